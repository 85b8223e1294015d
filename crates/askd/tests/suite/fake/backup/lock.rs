//! What holds the lock of a data folder, and is no server.

use std::io::Write as _;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::net::TcpListener;

use super::{askd, backup, done, names, said, serve};
use crate::harness::{Folders, V1, eventually, launcher};

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_taken_for_a_server_and_told_to_reload_goes_on() {
    let (folders, fresh) = (Folders::new(), Folders::new());
    let program = serve(&folders);
    let client = V1::at(program.address().await);
    let run = client.submit(&json!({"prompt": "hello"})).await;
    client.ended(&run).await;
    let archive = folders.root().join("backup");
    backup(&folders.data(), &archive).await;
    let mut command = askd(&fresh.data(), &["restore", "--from", "-"], &[]);
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let (pid, lock) = (Pid::from_child(&child), fresh.data().join("lock"));
    let is_named = || std::fs::read_to_string(&lock).is_ok_and(|named| named == pid.to_string());
    eventually("the lock", || is_named().then_some(())).await;
    kill_process(pid, Signal::HUP).unwrap();
    let written = child.stdin.take().unwrap().write_all(&std::fs::read(&archive).unwrap());
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    assert!(output.status.success() && written.is_ok(), "{}: {}", output.status, said(&output));
    assert!(fresh.data().join("askd.db").is_file());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_is_taken_for_a_server_and_told_to_reload_goes_on() {
    let folders = Folders::new();
    // A database that does not answer.
    let database = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://askd@{}/askd", database.local_addr().unwrap());
    let child = askd(&folders.data(), &["migrate"], &[("ASKD_DATABASE_URL", &url)]).spawn().unwrap();
    let (connection, _) = database.accept().await.unwrap();
    kill_process(Pid::from_child(&child), Signal::HUP).unwrap();
    drop(connection);
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{}: {}", output.status, said(&output));
    assert!(said(&output).contains("ASKD_DATABASE_URL"), "it has come to its own end: {}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_cannot_write_the_lock_leaves_nothing_of_it() {
    let folders = Folders::new();
    let archive = folders.root().join("archive");
    std::fs::write(&archive, "none").unwrap();
    // Files can be made, and nothing be written to them, as on a full disk.
    let refused = async |data: &std::path::Path| {
        let mut command = shell("trap '' XFSZ; ulimit -f 0; exec \"$0\" restore --from \"$1\"");
        command.arg(launcher()).arg(&archive).env_clear().env("ASKD_DATA_DIR", data).env("ASKD_ALLOW_ROOT", "1");
        let output = done(command).await;
        assert_eq!(output.status.code(), Some(1), "{}: {}", output.status, said(&output));
        assert!(said(&output).contains("cannot take the lock"), "{}", said(&output));
    };
    let new = folders.root().join("new");
    refused(&new).await;
    assert!(!new.exists());
    refused(&folders.data()).await;
    assert_eq!(names(&folders.data()), [""; 0]);
    folders.write("data/lock", "");
    refused(&folders.data()).await;
    assert_eq!(names(&folders.data()), ["lock"], "it was there before");
}

#[expect(clippy::disallowed_methods, reason = "what sets the limit is not the program under test")]
fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    command
}
