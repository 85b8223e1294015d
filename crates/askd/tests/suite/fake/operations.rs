//! The page on operations: its commands, typed beside a server at work.

use std::process::Command;

use rustix::process::Signal;
use serde_json::json;

use crate::docs::{can_run, commands};
use crate::harness::{Folders, Program, V1, eventually, launcher};

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_page_on_operations_work_as_printed() {
    let test = "the_commands_of_the_page_on_operations_work_as_printed";
    if !can_run(test) {
        return;
    }
    let folders = Folders::new();
    let mut program = Program::start(&folders, &[]);
    let client = V1::at(program.address().await);
    let run = client.submit(&json!({"prompt": "hello"})).await;
    client.ended(&run).await;
    let place = folders.root().join("shell");
    std::fs::create_dir_all(place.join("bin")).unwrap();
    std::os::unix::fs::symlink(launcher(), place.join("bin/askd")).unwrap();
    let script = commands(test).join("\n");
    #[expect(clippy::disallowed_methods, reason = "a shell, as a reader of the document has it")]
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-xc", &script]).current_dir(&place).env_clear();
    shell.env("PATH", format!("{}:/usr/bin:/bin", place.join("bin").display()));
    shell.env("ASKD_DATA_DIR", folders.data()).env("ASKD_ALLOW_ROOT", "1");
    let output = tokio::task::spawn_blocking(move || shell.output().unwrap()).await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(errors.contains("is as it was at"), "{errors}");
    let reloaded = "the settings are what they were";
    eventually("the reload", || program.log().contains(reloaded).then_some(())).await;
    program.signal(Signal::TERM);
    assert!(program.ended().await.success());
    let fresh = place.join("fresh").display().to_string();
    let program = Program::start(&folders, &[("ASKD_DATA_DIR", &fresh)]);
    assert_eq!(V1::at(program.address().await).run(&run).await["state"], "completed");
}
