//! `askd demo`, as a process.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Folders, eventually, fake_cli, launcher, marked_processes};

fn start(folders: &Folders, question: &str) -> Child {
    #[expect(clippy::disallowed_methods, reason = "the program under test")]
    let mut command = Command::new(launcher());
    command.arg("demo").arg("--claude-bin").arg(fake_cli()).arg(question);
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("TMPDIR", folders.workspace());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_shows_an_answer_and_leaves_nothing() {
    let folders = Folders::new();
    let output = tokio::task::block_in_place(|| start(&folders, "!say hello").wait_with_output().unwrap());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("hello"));
    assert_eq!(folders.list("workspace"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scripted_model_alone_ends_with_its_input_or_with_a_signal() {
    for by_signal in [false, true] {
        #[expect(clippy::disallowed_methods, reason = "the program under test")]
        let mut command = Command::new(launcher());
        command.args(["demo", "--only-model"]).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut model = command.spawn().unwrap();
        let mut address = String::new();
        tokio::task::block_in_place(|| BufReader::new(model.stdout.as_mut().unwrap()).read_line(&mut address)).unwrap();
        let requests = reqwest::get(format!("{}/__requests", address.trim())).await.unwrap();
        assert_eq!(requests.status(), 200);
        if by_signal {
            kill_process(Pid::from_child(&model), Signal::TERM).unwrap();
        } else {
            drop(model.stdin.take());
        }
        let status = eventually("the end of the model", || model.try_wait().unwrap()).await;
        assert_eq!(status.code(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_demo_leaves_nothing() {
    for signal in [Signal::INT, Signal::TERM] {
        let folders = Folders::new();
        let mut demo = start(&folders, "!spawn setsid\n!touch there\n!hang");
        let path = |name: &str| folders.workspace().join(name);
        let below = eventually("the run", || {
            let name = folders.list("workspace").into_iter().next()?;
            path(&name).join("workspace/there").exists().then_some(path(&name))
        })
        .await;
        assert_eq!(fs::metadata(&below).unwrap().permissions().mode() & 0o777, 0o700);
        let data = below.join("data");
        assert_ne!(marked_processes(&data), [0; 0]);
        let (id, begin) = (fs::read(data.join("instance-id")).unwrap(), Instant::now());
        kill_process(Pid::from_child(&demo), signal).unwrap();
        let status = eventually("the end of the demo", || demo.try_wait().unwrap()).await;
        assert_eq!(status.code(), Some(130));
        assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
        assert_eq!(folders.list("workspace"), [""; 0]);
        folders.write("data/instance-id", str::from_utf8(&id).unwrap());
        assert_eq!(marked_processes(&folders.data()), [0; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_that_is_interrupted_while_it_starts_leaves_nothing() {
    let folders = Folders::new();
    let mut demo = start(&folders, "hello");
    eventually("the folder", || (!folders.list("workspace").is_empty()).then_some(())).await;
    kill_process(Pid::from_child(&demo), Signal::INT).unwrap();
    let status = eventually("the end of the demo", || demo.try_wait().unwrap()).await;
    assert_eq!(status.code(), Some(130));
    assert_eq!(folders.list("workspace"), [""; 0]);
}
