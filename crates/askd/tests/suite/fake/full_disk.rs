//! The disk with the store is full, for a while.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::json;

use crate::harness::{Answer, Folders, Program, Scraped, V1, eventually, eventually_async, integrity, launcher, types};

/// Mounts a small file system on the first argument, in a namespace of its own, and becomes the rest.
const ON_A_SMALL_DISK: &str = r#"mount -t tmpfs -o size=64m tmpfs "$0" && exec "$@""#;

/// `unshare`, with which an ordinary user may mount what only it sees.
fn unshare() -> Command {
    #[expect(clippy::disallowed_methods, reason = "a disk that is small is made by the system")]
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c"]);
    command
}

fn namespaces_work() -> bool {
    let folder = Folders::new();
    let tried = unshare().arg("mount -t tmpfs tmpfs \"$0\"").arg(folder.data()).stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}

/// Whether a test can run; says so where it cannot.
fn can_run(test: &str) -> bool {
    let can_run = namespaces_work();
    if !can_run {
        // Past the harness, which shows nothing of a test that passes.
        let line = format!("NOT RUN: {test}: unshare --map-root-user --mount is not allowed here\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    can_run
}

/// The server's data folder, which only it sees, and the file that fills its disk.
struct Disk(File);

impl Disk {
    fn of(folders: &Folders, program: &Program) -> Self {
        let path = folders.data();
        // Held open, it outlives its namespace.
        Self(File::open(format!("/proc/{}/root{}", program.pid(), path.display())).unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        format!("/proc/self/fd/{}/{name}", self.0.as_raw_fd()).into()
    }

    /// Takes so many bytes of it.
    fn take(&self, bytes: usize) {
        fs::write(self.path("ballast"), vec![0; bytes]).unwrap();
    }

    /// Takes what is left of it.
    fn fill(&self) {
        let mut ballast = File::options().append(true).create(true).open(self.path("ballast")).unwrap();
        while ballast.write_all(&[0; 16 << 10]).is_ok() {}
        while ballast.write_all(&[0; 4096]).is_ok() {}
    }

    fn make_space(&self) {
        fs::remove_file(self.path("ballast")).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_new_work_and_what_is_at_work_goes_on_when_there_is_space_again() {
    if !can_run("a_full_disk_refuses_new_work") {
        return;
    }
    let folders = Folders::new();
    let mut command = unshare();
    command.arg(ON_A_SMALL_DISK).arg(folders.data()).arg(launcher());
    let variables = [("ASKD_STORE_TIMEOUT", "2s"), ("ASKD_MIN_FREE_DISK", "0")];
    let mut program = Program::start_by(command, &folders, &variables);
    let client = V1::at(program.address().await);
    let disk = Disk::of(&folders, &program);
    assert!(
        disk.path("askd.db").exists() && !folders.data().join("askd.db").exists(),
        "the store is on the small disk"
    );
    let script = "!noise\n!touch there\n!drip 400 5 8k\n!touch said\n!await go\n!result fine";
    let run = client.submit(&json!({"prompt": script})).await;
    eventually("the run", || folders.workspace().join("there").exists().then_some(())).await;

    // Space that the store gives back is taken as well, and what still found some is counted.
    let mut accepted = 0;
    let refused = eventually_async("a refusal", async || {
        disk.fill();
        let answer = Answer::by(client.post("/runs", &json!({"prompt": "hello"}))).await;
        accepted += usize::from(answer.status == 202);
        (answer.status != 202).then_some(answer)
    })
    .await;
    assert_eq!((refused.status, &refused.body["error"]["type"]), (503, &json!("overloaded_error")), "{refused:?}");
    assert!(refused.message().contains("full") && refused.header("retry-after").is_some(), "{refused:?}");
    let refused = eventually_async("a refusal of /ask", async || {
        disk.fill();
        let answer = program.ask(&json!({"prompt": "hello"})).await;
        accepted += usize::from(answer.status == 200);
        (answer.status != 200).then_some(answer)
    })
    .await;
    assert_eq!((refused.status, refused.code()), (503, "STORE_UNAVAILABLE"), "{refused:?}");
    let not_ready = eventually_async("a server that is not ready", async || {
        disk.fill();
        let answer = client.get("/readyz").await;
        (answer.status == 503).then_some(answer)
    })
    .await;
    let store = &not_ready.body["checks"]["store"];
    assert!(store["ok"] == false && store["message"].as_str().unwrap().contains("full"), "{not_ready:?}");
    // Here too the store may find some space in between.
    eventually_async("metrics of a store that fails", async || {
        disk.fill();
        let told = Scraped::of(client.get("/metrics").await.body.as_str().unwrap().to_owned());
        let is_down = told.count("askd_store_up", &[]) == 0 && told.count("askd_ready", &[("check", "store")]) == 0;
        (is_down && told.count("askd_store_failures_total", &[("problem", "full")]) > 0).then_some(())
    })
    .await;
    assert_eq!(client.get("/livez").await.status, 200, "a restart would not help");
    assert_eq!(client.run(&run).await["state"], "running", "what is stored can be read");

    disk.make_space();
    eventually_async("readiness", async || (client.get("/readyz").await.status == 200).then_some(())).await;
    folders.write("workspace/go", "");
    let ended = client.ended(&run).await;
    assert_eq!((&ended["state"], &ended["result"]), (&json!("completed"), &json!("fine")), "{ended}");
    let events = client.events(&run).await;
    assert_eq!(types(&events).iter().filter(|kind| **kind == "agent.assistant").count(), 400);
    assert_eq!(client.ended(&client.submit(&json!({"prompt": "hello"})).await).await["result"], "echo: hello");
    let all = client.get("/v1/runs").await.body["data"].as_array().unwrap().len();
    assert_eq!(all, accepted + 2, "what was refused is not there later");
    program.signal(Signal::TERM);
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.log());
    for file in ["askd.db", "askd.db-wal"] {
        if disk.path(file).exists() {
            fs::copy(disk.path(file), folders.data().join(file)).unwrap();
        }
    }
    assert_eq!(integrity(&folders.data().join("askd.db")).await, "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_nearly_full_takes_no_new_runs_and_those_at_work_go_on() {
    if !can_run("a_disk_that_is_nearly_full_takes_no_new_runs") {
        return;
    }
    let folders = Folders::new();
    let mut command = unshare();
    command.arg(ON_A_SMALL_DISK).arg(folders.data()).arg(launcher());
    let mut program = Program::start_by(command, &folders, &[("ASKD_MIN_FREE_DISK", "32MiB")]);
    let client = V1::at(program.address().await);
    let disk = Disk::of(&folders, &program);
    let run = client.submit(&json!({"prompt": "!touch there\n!await go\n!result fine"})).await;
    eventually("the run", || folders.workspace().join("there").exists().then_some(())).await;
    disk.take(40 << 20);
    let not_ready = eventually_async("a server that is not ready", async || {
        let answer = client.get("/readyz").await;
        (answer.status == 503).then_some(answer)
    })
    .await;
    let checks = &not_ready.body["checks"];
    assert!(checks["disk"]["ok"] == false && checks["store"]["ok"] == true, "{not_ready:?}");
    assert!(checks["disk"]["message"].as_str().unwrap().contains("ASKD_MIN_FREE_DISK"), "{not_ready:?}");

    let refused = Answer::by(client.post("/runs", &json!({"prompt": "hello"}))).await;
    assert_eq!((refused.status, &refused.body["error"]["type"]), (503, &json!("overloaded_error")), "{refused:?}");
    assert!(refused.message().contains("32MiB") && refused.header("retry-after").is_some(), "{refused:?}");
    let refused = program.ask(&json!({"prompt": "hello"})).await;
    assert_eq!((refused.status, refused.code()), (503, "STORE_UNAVAILABLE"), "{refused:?}");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");

    folders.write("workspace/go", "");
    assert_eq!(client.ended(&run).await["result"], "fine", "what is at work goes on");
    disk.make_space();
    eventually_async("readiness", async || (client.get("/readyz").await.status == 200).then_some(())).await;
    assert_eq!(program.ask(&json!({"prompt": "hello"})).await.status, 200);
    program.signal(Signal::TERM);
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.log());
}

/// A small file system for homes only, so that the store has space.
const WITH_SMALL_HOMES: &str = r#"mkdir "$0/homes" && mount -t tmpfs -o size=1m tmpfs "$0/homes" && exec "$@""#;

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_home_does_not_fit_on_the_disk_says_so_and_leaves_no_home() {
    if !can_run("a_run_whose_home_does_not_fit_on_the_disk_says_so") {
        return;
    }
    let folders = Folders::new();
    folders.write("config/skills/large/data", &"x".repeat(2 << 20));
    let mut command = unshare();
    command.arg(WITH_SMALL_HOMES).arg(folders.data()).arg(launcher());
    let program = Program::start_by(command, &folders, &[("ASKD_MIN_FREE_DISK", "0")]);
    let client = V1::at(program.address().await);
    let run = client.ended(&client.submit(&json!({"prompt": "hello"})).await).await;
    assert_eq!((&run["state"], &run["error"]["type"]), (&json!("failed"), &json!("run")), "{run}");
    assert!(run["error"]["message"].as_str().unwrap().contains("disk of the server is full"), "{run}");
    assert!(run["error"]["hint"].as_str().unwrap().contains("try again"), "{run}");
    let homes = format!("/proc/{}/root{}/homes", program.pid(), folders.data().display());
    eventually("that the home is gone", || fs::read_dir(&homes).unwrap().next().is_none().then_some(())).await;
}
