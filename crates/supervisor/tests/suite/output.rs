//! Output that is long, broken, slow to be read, or held open.

use std::fs;
use std::time::Duration;

use supervisor::ladder::Rung;
use supervisor::lines::{Line, LineError};
use supervisor::process::Exit;
use supervisor::spawn::{Limits, spawn};

use crate::support::{assert_nothing_left, eventually, limits, rest, script, start, start_ready, stop};

#[tokio::test]
async fn ten_megabytes_on_one_line() {
    let mut child = start("head -c 10000000 /dev/zero | tr '\\0' x; echo; echo end").await;
    let lines = rest(&mut child.lines).await;
    assert_eq!((lines[0].len(), lines[1].as_str()), (10_000_000, "end"));
}

#[tokio::test]
async fn a_line_beyond_the_limit_ends_the_stream_and_the_child_can_still_be_stopped() {
    let launch = script("echo first; yes | tr -d '\\n'");
    let mut child = spawn(launch, Limits { max_line_bytes: 100_000, ..limits() }).await.unwrap();
    assert_eq!(child.lines.next().await.unwrap().unwrap(), Line::Text("first".to_owned()));
    let error = child.lines.next().await.unwrap().unwrap_err();
    assert!(matches!(error, LineError::TooLong { limit: 100_000 }), "{error}");
    assert!(child.lines.next().await.is_none());
    let (stopped, process) = stop(child, Rung::Term).await;
    assert_eq!(stopped.rung, Some(Rung::Term));
    assert_nothing_left(process.identity());
}

#[tokio::test]
async fn bad_utf8_spoils_its_own_line_only() {
    let mut child = start("printf 'one\\ntw\\377o\\nthree'").await;
    let mut lines = Vec::new();
    while let Some(line) = child.lines.next().await {
        lines.push(line.unwrap());
    }
    assert_eq!(lines[1], Line::NotUtf8 { lossy: "tw\u{fffd}o".to_owned(), valid_up_to: 2 });
    assert_eq!((lines[0].as_str(), lines[2].as_str(), lines.len()), ("one", "three", 3));
}

#[tokio::test]
async fn a_flood_on_stderr_is_drained_and_its_end_is_kept() {
    let mut child = start("head -c 5000000 /dev/zero | tr '\\0' e >&2; echo last words >&2; echo done").await;
    assert_eq!(rest(&mut child.lines).await, ["done"]);
    child.process.wait_gone().await;
    let stderr = child.stderr.clone();
    eventually("all of stderr is read", || stderr.text().ends_with("last words\n")).await;
    assert_eq!(stderr.text().len() as u64 + stderr.dropped(), 5_000_011);
}

#[tokio::test]
async fn closing_stdout_is_not_the_end_of_the_child() {
    let mut child = start("echo ready; exec >&-; exec sleep 600").await;
    assert_eq!(rest(&mut child.lines).await, ["ready"]);
    assert!(tokio::time::timeout(Duration::from_millis(50), child.process.wait_exit()).await.is_err());
    let (stopped, process) = stop(child, Rung::Term).await;
    assert_eq!(stopped.exit, Exit::Signal(15));
    assert_nothing_left(process.identity());
}

#[tokio::test]
async fn a_grandchild_that_holds_the_pipes_does_not_hold_up_the_end() {
    let mut child = start("sleep 600 & echo parent ends").await;
    // The end of the output comes although `sleep` inherited the pipe: the guardian ends what is left over.
    assert_eq!(rest(&mut child.lines).await, ["parent ends"]);
    let gone = child.process.wait_gone().await;
    assert_eq!((gone.exit, gone.leftover, gone.leaked), (Exit::Code(0), 1, 0));
    assert_nothing_left(child.identity());
}

#[tokio::test]
async fn a_child_waits_for_a_slow_reader() {
    let child = start("exec yes 0123456789012345678901234567890123456789").await;
    let progress = format!("/proc/{}/io", child.pid());
    let state = format!("/proc/{}/stat", child.pid());
    // Blocked in a write: asleep, with no more written than a pipe holds.
    eventually("the child sleeps", || fs::read_to_string(&state).unwrap().contains(") S ")).await;
    if let Ok(io) = fs::read_to_string(progress) {
        let written = io.lines().find_map(|line| line.strip_prefix("wchar: ")).unwrap();
        assert!(written.parse::<u64>().unwrap() <= 256 * 1024, "{io}");
    }
    let (stopped, process) = stop(child, Rung::Term).await;
    assert_eq!(stopped.exit, Exit::Signal(15));
    assert_nothing_left(process.identity());
}

#[tokio::test]
async fn output_written_just_before_the_end_is_not_lost() {
    let mut child = start_ready("echo ready; trap 'echo bye; exit 0' TERM; while :; do sleep 0.01; done").await;
    let mut seen = Vec::new();
    let drain = async {
        while let Some(Ok(line)) = child.lines.next().await {
            seen.push(line.as_str().to_owned());
        }
    };
    let stopped = child.process.stop(Rung::Term, async |_| {}, None, drain).await;
    assert_eq!((stopped.exit, stopped.rung), (Exit::Code(0), Some(Rung::Term)));
    assert_eq!(seen, ["bye"]);
}
