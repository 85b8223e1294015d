//! Requests and files that are made to hold the server up.

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};

use super::schema::{SLOW_CHECKS, slow_schema};
use crate::harness::TestServerBuilder;

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_would_fill_the_memory_is_refused() {
    let server = TestServerBuilder::fake().start().await;
    let pattern = |number: usize| json!({"pattern": format!(r"\w{{400}}[\d\w]{{300}}{number}$")});
    for (count, expected) in
        [(20_000, "bytes; at most 262144 are allowed"), (101, "101 regular expressions; at most 100 are allowed")]
    {
        let patterns: Vec<Value> = (0..count).map(pattern).collect();
        let answer = server.ask(json!({"prompt": "!touch never", "jsonSchema": {"allOf": patterns}})).await;
        assert_eq!((answer.status, answer.code()), (400, "REQUEST_ERROR"), "{answer:?}");
        assert!(answer.message().starts_with("jsonSchema has ") && answer.message().contains(expected), "{answer:?}");
    }
    let answer = server.ask(json!({"prompt": "!touch never", "jsonSchema": {"pattern": r"\p{L}{900}x"}})).await;
    assert_eq!((answer.status, answer.code()), (400, "REQUEST_ERROR"), "{answer:?}");
    assert!(answer.message().contains("small when it is compiled"), "{answer:?}");
    assert_eq!(server.folders.list("workspace"), [""; 0], "nothing was started");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_would_take_years_fails_the_run_and_leaves_no_work_behind() {
    let _alone = SLOW_CHECKS.lock().await;
    let server = TestServerBuilder::fake().start().await;
    let result = json!({"structured_output": {"a": 1}});
    let body = json!({"prompt": format!("!result {result}"), "jsonSchema": slow_schema()});
    // As many as may be checked at once: those that were given up do not keep their turns.
    let runs = [server.ask_beside(&body), server.ask_beside(&body)];
    for run in runs {
        let answer = run.await.unwrap();
        assert_eq!((answer.status, answer.code()), (500, "SCHEMA_FAILED"), "{answer:?}");
        assert!(answer.message().contains("too complex"), "{answer:?}");
    }
    let body = json!({"prompt": r#"!result {"structured_output":{}}"#, "jsonSchema": {"type": "object"}});
    assert_eq!(server.ask(body).await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_in_the_place_of_an_agent_holds_nobody() {
    let server = TestServerBuilder::fake().file("config/agents/other.md", "---\nname: other\n---\n").start().await;
    let pipe = server.folders.config().join("agents/fifo.md");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let body = json!({"prompt": "!touch never", "agent": "fifo"});
    let asked: Vec<_> = (0..8).map(|_| server.ask_beside(&body)).collect();
    for answer in asked {
        let answer = answer.await.unwrap();
        assert_eq!((answer.status, answer.code()), (400, "AGENT_NOT_FOUND"), "{answer:?}");
        assert!(answer.message().contains("not a regular file"), "{answer:?}");
    }
    assert_eq!(server.get("/health").await.status, 200);
    server.stop().await;
}
