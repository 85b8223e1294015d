//! Secrets that are replaced while a run is under way, as an operator or Kubernetes does it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;

use askd::settings::Settings;
use serde_json::{Value, json};

use crate::harness::{Folders, Program, V1, eventually};

/// `mounted/key > ..data > ..1/key`, and a plain file, each in a folder of its own.
fn furnish(folders: &Folders) {
    for version in ["..1", "..2"] {
        folders.write(&format!("mounted/{version}/key"), Settings::TEST_API_KEY);
    }
    symlink("..1", folders.root().join("mounted/..data")).unwrap();
    symlink("..data/key", folders.root().join("mounted/key")).unwrap();
    folders.write("plain/model", "a key of the model");
}

/// Both become others at one stroke.
fn replace(folders: &Folders) {
    let path = |name: &str| folders.root().join(name);
    symlink("..2", path("mounted/..new")).unwrap();
    fs::rename(path("mounted/..new"), path("mounted/..data")).unwrap();
    fs::remove_dir_all(path("mounted/..1")).unwrap();
    folders.write("plain/new", "another key of the model");
    fs::rename(path("plain/new"), path("plain/model")).unwrap();
}

/// What came of a run's attempts to read.
fn has_read(run: &Value) -> Vec<bool> {
    let outcomes: Vec<Value> = serde_json::from_str(run["result"].as_str().unwrap_or_else(|| panic!("{run}"))).unwrap();
    outcomes.iter().map(|outcome| outcome["worked"].as_bool().unwrap_or_else(|| panic!("{outcome}"))).collect()
}

async fn a_server_with(policy: &str, bwrap: &str, could_read: bool) {
    // Not among temporary files, of which a run has its own.
    let folders = Folders::below(Path::new(env!("CARGO_TARGET_TMPDIR")));
    furnish(&folders);
    let path = |name: &str| folders.root().join(name).display().to_string();
    let variables = [
        ("ASKD_ISOLATION", policy),
        ("ASKD_BWRAP_BIN", bwrap),
        ("API_KEY", ""),
        ("API_KEY_FILE", &path("mounted/key")),
        ("ANTHROPIC_API_KEY_FILE", &path("plain/model")),
    ];
    let program = Program::start(&folders, &variables);
    let client = V1::at(program.address().await);
    let reads = ["mounted/key", "mounted/..2/key", "plain/model"].map(|name| format!("!attack read {}", path(name)));
    let reads = reads.join("\n");

    let before = client.submit(&json!({"prompt": format!("!touch there\n!await go\n{reads}")})).await;
    eventually("the run", || folders.workspace().join("there").exists().then_some(())).await;
    replace(&folders);
    folders.write("workspace/go", "");
    let after = client.submit(&json!({"prompt": reads})).await;
    for run in [before, after] {
        let run = client.ended(&run).await;
        assert_eq!(has_read(&run), [could_read; 3], "{run:#}");
    }
    let report = client.get("/v1/isolation").await.body;
    assert!(!report["not_prevented"].to_string().contains("a folder of their own"), "{report:#}");
}

fn not_run(layer: &str) {
    // Past the harness, which shows nothing of a test that passes.
    let line = format!("NOT RUN: secrets that are replaced, with {layer}: not possible here\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_a_folder_of_its_own_stays_out_of_sight_when_it_is_replaced() {
    a_server_with("off", "bwrap", true).await;
    let possible = {
        #[expect(clippy::disallowed_methods, reason = "what the server is to find out by itself")]
        let bwrap = std::process::Command::new("bwrap").args(["--ro-bind", "/", "/", "--unshare-pid", "true"]).status();
        bwrap.is_ok_and(|status| status.success())
    };
    if possible {
        a_server_with("required", "bwrap", false).await;
    } else {
        not_run("bubblewrap");
    }
    if supervisor::landlock::abi() >= supervisor::landlock::NEEDED_ABI {
        a_server_with("required", "/nonexistent", false).await;
    } else {
        not_run("Landlock");
    }
}
