//! Nothing of a run outlives it, however its processes daemonise.

use std::time::Duration;

use serde_json::json;

use crate::harness::{TestServerBuilder, living_pids};

/// With a word after each, so that none of them is a long silence.
const ALL: &str = "!spawn plain\n!say 1\n!spawn setsid\n!say 2\n!spawn nohup\n!say 3\n!spawn stripped\n!say 4\n\
    !spawn stubborn\n!say 5\n";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_after_any_end() {
    for (ending, status) in [
        ("!result fine", 200),
        ("!exit 1", 500),
        ("!die", 500),
        ("!close-stdout\n!hang", 504),
        ("!stubborn\n!hang", 504),
        ("!stubborn\n!result fine", 200),
        ("!result {\"is_error\":true}", 500),
    ] {
        // Short only where silence is the end.
        let idle = if status == 504 { Duration::from_secs(3) } else { Duration::from_mins(1) };
        let server = TestServerBuilder::fake().set(|settings| settings.deadlines.idle = idle).start().await;
        let answer = server.ask(json!({"prompt": format!("{ALL}!touch all\n{ending}")})).await;
        assert_eq!(answer.status, status, "{ending}: {answer:?}");
        assert!(server.folders.workspace().join("all").exists(), "the processes were there");
        server.at_rest().await;
        assert_eq!(living_pids(&server.folders.workspace()), [0; 0], "{ending}");
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_does_not_wait_for_the_end_of_the_tree() {
    let builder = TestServerBuilder::fake().set(|settings| {
        (settings.stopping.eof, settings.stopping.term) = (Duration::from_secs(2), Duration::from_secs(2));
    });
    let server = builder.start().await;
    let answer = server.ask(json!({"prompt": "!stubborn\n!result fine"})).await;
    assert_eq!(answer.result(), "fine");
    assert_eq!(server.occupancy().await.0, 1, "the slot is not free before the tree is gone");
    server.at_rest().await;
    server.stop().await;
}
