//! Files that the CLI needs and that somebody replaces while the server and its runs work.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Folders, Program, V1, eventually};

/// `vault/mounted/token > ..data/token`, `..data > ..1`, as Kubernetes mounts tokens, with a second version at hand.
fn furnish(folders: &Folders) {
    folders.write("vault/mounted/..1/token", "one");
    folders.write("vault/mounted/..2/token", "two");
    let mounted = folders.root().join("vault/mounted");
    symlink("..1", mounted.join("..data")).unwrap();
    symlink("..data/token", mounted.join("token")).unwrap();
}

/// As the kubelet does it.
fn turn(folders: &Folders) {
    let mounted = folders.root().join("vault/mounted");
    symlink("..2", mounted.join("..data_tmp")).unwrap();
    fs::rename(mounted.join("..data_tmp"), mounted.join("..data")).unwrap();
    fs::remove_dir_all(mounted.join("..1")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_replaced_is_read_by_runs_under_way_and_by_those_that_come() {
    for bwrap in ["bwrap", "/nonexistent/bwrap"] {
        // Not below /tmp, of which a run may have one of its own.
        let folders = Folders::below(Path::new(env!("CARGO_TARGET_TMPDIR")));
        furnish(&folders);
        folders.write("vault/other", "");
        let path = |name: &str| folders.root().join(name).display().to_string();
        let variables = [
            ("ASKD_ISOLATION", "best_effort"),
            ("ASKD_BWRAP_BIN", bwrap),
            ("ASKD_HIDDEN_FOLDERS", &path("vault")),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", &path("vault/mounted/token")),
        ];
        let program = Program::start(&folders, &variables);
        let client = V1::at(program.address().await);
        let reads = format!("!attack read {}\n!attack read {}", path("vault/mounted/token"), path("vault/other"));

        let before = client.submit(&json!({"prompt": format!("!touch there\n!await go\n{reads}")})).await;
        eventually("the run", || folders.workspace().join("there").exists().then_some(())).await;
        turn(&folders);
        folders.write("workspace/go", "");
        let after = client.submit(&json!({"prompt": reads})).await;
        for run in [before, after] {
            let run = client.ended(&run).await;
            let outcomes: Value = serde_json::from_str(run["result"].as_str().unwrap_or_default())
                .unwrap_or_else(|error| panic!("{error}: {run:#}\n{}", program.log()));
            assert_eq!(outcomes[0]["worked"], true, "the token: {run:#}");
            let is_open = run["isolation"]["layer"] == "none";
            assert_eq!(outcomes[1]["worked"], is_open, "what lies beside it: {run:#}");
        }
    }
}
