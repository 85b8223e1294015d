//! What is hidden and mounted a second time is hidden there, too.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Folders, Program, V1, launcher};

/// The server in a mount namespace of its own, in which `from` is mounted at `to` as well.
fn mounted_twice(from: &Path, to: &Path) -> Command {
    let script = r#"mount --bind "$0" "$1" && shift && exec "$@""#;
    #[expect(clippy::disallowed_methods, reason = "the program under test, with a mount of its own")]
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script]).arg(from).arg(to).arg(launcher());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hidden_is_hidden_by_its_other_names_too() {
    #[expect(clippy::disallowed_methods, reason = "a look at the machine")]
    let possible = Command::new("unshare").args(["--mount", "mount", "--bind", "/etc", "/mnt"]).status();
    if !possible.is_ok_and(|status| status.success()) {
        // Past the harness, which shows nothing of a test that passes.
        let line = b"NOT RUN: what_is_hidden_is_hidden_by_its_other_names_too: nothing can be mounted here\n";
        drop(std::io::stderr().write_all(line));
        return;
    }
    for (policy, bwrap) in [("off", "bwrap"), ("best_effort", "bwrap"), ("best_effort", "/nonexistent/bwrap")] {
        // Not below /tmp, of which a run may have one of its own.
        let folders = Folders::below(Path::new(env!("CARGO_TARGET_TMPDIR")));
        folders.write("workspace/own/file", "");
        folders.write("workspace/other/secret", "");
        folders.write("whole/file", "");
        folders.write("part/file", "");
        let path = |below: &str| folders.root().join(below);
        for (from, to, secret) in [("data", "whole", "whole/instance-id"), ("workspace/other", "part", "part/secret")] {
            let command = mounted_twice(&path(from), &path(to));
            let program =
                Program::start_by(command, &folders, &[("ASKD_ISOLATION", policy), ("ASKD_BWRAP_BIN", bwrap)]);
            let client = V1::at(program.address().await);
            let script = format!("!attack read {}", path(secret).display());
            let run = client.ended(&client.submit(&json!({"prompt": script, "cwd": "own"})).await).await;
            let outcomes: Value = serde_json::from_str(run["result"].as_str().unwrap_or_default())
                .unwrap_or_else(|error| panic!("{error}: {run:#}\n{}", program.log()));
            let is_open = run["isolation"]["layer"] == "none";
            assert_eq!(outcomes[0]["worked"], is_open, "{policy} {bwrap} {to}: {outcomes}");
        }
    }
}
