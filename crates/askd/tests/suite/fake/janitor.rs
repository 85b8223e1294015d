//! What a server clears away when it starts, and every hour after that.

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use askd::serve::janitor;
use serde_json::json;
use uuid::Uuid;

use crate::harness::{TestServerBuilder, eventually};

/// Longer ago than anything is needed for a moment.
fn make_old(path: &std::path::Path) {
    File::open(path).unwrap().set_modified(SystemTime::UNIX_EPOCH + Duration::from_hours(1)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_a_crash_left_half_written_go_when_they_are_old() {
    let builder = TestServerBuilder::fake()
        .file("data/owners/0a1b2c3d.new", "half")
        .file("data/probe-1234/home/canary", "")
        .file("data/young.new", "");
    let data = builder.folders.data();
    make_old(&data.join("owners/0a1b2c3d.new"));
    make_old(&data.join("probe-1234"));
    let server = builder.start().await;
    eventually("that they are gone", || {
        (!data.join("owners/0a1b2c3d.new").exists() && !data.join("probe-1234").exists()).then_some(())
    })
    .await;
    assert!(data.join("young.new").exists());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transcripts_beyond_their_size_go_the_oldest_first() {
    let builder = TestServerBuilder::fake().set(|settings| {
        settings.paths.sessions_max_size = 1 << 20;
        settings.paths.session_retention = Duration::from_hours(24 * 365 * 100);
    });
    let data = builder.folders.data();
    let transcript = |session: u128| {
        let session = Uuid::from_u128(session);
        data.join(format!("sessions/{session}/{session}.jsonl"))
    };
    for session in 1..=3 {
        fs::create_dir_all(transcript(session).parent().unwrap()).unwrap();
        fs::write(transcript(session), vec![b' '; 400 << 10]).unwrap();
    }
    make_old(&transcript(2));
    let server = builder.start().await;
    eventually("that the oldest is gone", || (!transcript(2).exists()).then_some(())).await;
    assert!(transcript(1).exists() && transcript(3).exists());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_was_left_goes_and_that_of_a_run_at_work_stays() {
    let server = TestServerBuilder::fake().start().await;
    let run = server.submit(json!({"prompt": "!touch there\n!await go\n!result fine"})).await;
    server.reached("there").await;
    server.folders.write("data/homes/0badf00d/.claude/file", "");
    server.folders.write("data/owners/0badf00d", &Uuid::nil().to_string());
    janitor::clear(&server.app).await;
    assert_eq!((server.folders.list("data/homes").len(), server.folders.list("data/owners").len()), (1, 1));
    server.release("go");
    assert_eq!(server.ended(&run).await["result"], "fine");
    server.at_rest().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_long_as_a_process_of_an_ended_run_lives_no_home_goes() {
    let server = TestServerBuilder::fake().start().await;
    let id = fs::read_to_string(server.folders.data().join("instance-id")).unwrap();
    let marker = format!("{}/run_of_an_earlier_time", id.lines().next().unwrap());
    #[expect(clippy::disallowed_methods, reason = "a process that nothing could end")]
    let mut left = Command::new("sleep").arg("60").env("ASKD_RUN_MARKER", marker).stdin(Stdio::null()).spawn().unwrap();
    // After the process: the server clears away at its start too, and may not be through with it.
    server.folders.write("data/homes/0badf00d/file", "");
    janitor::clear(&server.app).await;
    assert_eq!(server.folders.list("data/homes"), ["0badf00d"]);
    left.kill().unwrap();
    left.wait().unwrap();
    janitor::clear(&server.app).await;
    assert_eq!(server.folders.list("data/homes"), [""; 0]);
    server.stop().await;
}
