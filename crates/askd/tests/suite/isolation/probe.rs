//! The probe itself: a probe that could not get at anything would confirm everything.

use std::fs;
use std::io::Write as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::{Command, Stdio};

use askd::isolation::attempts::{Attempt, Findings, Hidden, Outsider, Targets};
use rustix::process::geteuid;
use supervisor::identity::ProcessId;

use crate::harness::{Folders, Program, V1, fake_cli, launcher, script};

/// Lets the probe loose, with nothing around it.
fn unconfined(targets: &Targets) -> Findings {
    #[expect(clippy::disallowed_methods, reason = "the program under test")]
    let mut command = Command::new(launcher());
    command.arg("__probe").env_clear().stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(&serde_json::to_vec(targets).unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn every_attempt_of_the_probe_succeeds_where_nothing_stops_it() {
    let folders = Folders::new();
    folders.write("data/secret", "a secret");
    let (data, workspace) = (folders.data(), folders.workspace());
    let name = format!("askd-test-{}", std::process::id());
    let _hidden = UnixListener::bind(data.join("s")).unwrap();
    let _shown = UnixListener::bind(workspace.join("s")).unwrap();
    let _abstract = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a process to get at")]
    let mut outsider = Command::new("sleep").arg("60").spawn().unwrap();
    let ProcessId { pid, start } = ProcessId::of(outsider.id()).unwrap();
    let found = unconfined(&Targets {
        name: name.clone(),
        needed: vec![workspace.clone()],
        programs: vec![fake_cli()],
        secret: data.join("secret"),
        hidden: vec![Hidden::at(&data).unwrap(), Hidden::at(&folders.config()).unwrap()],
        shown: folders.config(),
        beside: workspace.clone(),
        system: vec![folders.root().to_owned()],
        temporary: workspace.clone(),
        shared: vec![Hidden::at(&std::env::temp_dir()).unwrap()],
        hidden_socket: Some(data.join("s")),
        shown_socket: Some(workspace.join("s")),
        abstract_socket: Some(name),
        processes: vec![Outsider { pid, start }],
    });
    outsider.kill().unwrap();
    outsider.wait().unwrap();

    let done = |attempt: &Attempt| assert_eq!(*attempt, Attempt::Done, "{found:#?}");
    let lists =
        [&found.needed, &found.programs, &found.hidden, &found.hidden_writes, &found.system_writes, &found.shared];
    lists.into_iter().flatten().for_each(done);
    [&found.secret, &found.shown, &found.shown_write, &found.beside_write, &found.fork].into_iter().for_each(done);
    [&found.hidden_socket, &found.shown_socket, &found.abstract_socket].into_iter().flatten().for_each(done);
    let process = &found.processes[0];
    assert!(process.seen);
    done(&process.signal);
    done(&process.environment);
    // On some machines only root, or a parent, may trace.
    let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    if geteuid().is_root() || matches!(scope.trim(), "" | "0") {
        done(&process.trace);
    }
    if geteuid().is_root() {
        done(&found.kernel_write);
    }
    assert!(!found.own_temporary);
    assert_eq!(folders.list(""), ["config", "data", "workspace"], "it leaves nothing");
}

/// A bubblewrap that hangs at its first start, fails at its second, and works from then on.
fn moody(folders: &Folders) -> String {
    let (root, path) = (folders.root().display(), folders.root().join("bwrap"));
    let text = format!(
        "#!/bin/sh\nmkdir '{root}/first' 2>/dev/null && exec sleep 60\nmkdir '{root}/second' 2>/dev/null && exit 1\n\
         exec bwrap \"$@\"\n"
    );
    script(&path, &text);
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_is_not_given_up_because_a_probe_hung_or_did_not_start() {
    let folders = Folders::new();
    let layer = async |variables: &[(&str, &str)]| {
        let program = Program::start(&folders, &[&[("ASKD_ISOLATION", "best_effort")], variables].concat());
        let report = V1::at(program.address().await).get("/v1/isolation").await.body;
        report["layer"].as_str().unwrap().to_owned()
    };
    if layer(&[]).await != "bubblewrap" {
        let line = b"NOT RUN: a_layer_is_not_given_up: bubblewrap does not work here\n";
        drop(std::io::stderr().write_all(line));
        return;
    }
    assert_eq!(layer(&[("ASKD_BWRAP_BIN", &moody(&folders))]).await, "bubblewrap");
    assert!(folders.root().join("second").exists());
    assert_eq!(folders.list("data").iter().filter(|name| name.starts_with("probe-")).count(), 0);
}
