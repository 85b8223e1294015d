//! How a server goes down: work that runs may end, new work is refused, nothing is left.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Answer, TestServer, TestServerBuilder};

async fn server_with_grace(grace: Duration) -> TestServer {
    let builder = TestServerBuilder::fake().set(|settings| {
        settings.stopping.shutdown_grace = grace;
        settings.limits.max_concurrent = 1;
    });
    builder.start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_server_refuses_new_work_and_lets_the_old_end() {
    let server = server_with_grace(Duration::from_mins(1)).await;
    let mut stream = server.stream(json!({"prompt": "!say there\n!await go\n!result fine"})).await;
    stream.until("assistant").await;
    let queued = server.ask_beside(&json!({"prompt": "!touch never"}));
    server.busy_with(1, 1).await;
    server.app.lifecycle().drain();
    let queued = queued.await.unwrap();
    assert_eq!((queued.status, queued.code()), (503, "SHUTTING_DOWN"), "{queued:?}");
    for stream in [false, true] {
        let request = server.request(&json!({"prompt": "!touch never", "stream": stream}));
        let refused = Answer::by(request).await;
        assert_eq!((refused.status, refused.code()), (503, "SHUTTING_DOWN"), "{refused:?}");
        assert!(refused.header("retry-after").is_some());
    }
    assert_eq!(server.get("/health").await.status, 200);
    server.release("go");
    assert_eq!(stream.until("result").await["result"], "fine");
    assert_eq!(stream.rest().await.last().unwrap().json(), json!({"code": 0}), "it ends as if nothing had happened");
    assert!(!server.folders.workspace().join("never").exists());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_outlasts_the_grace_is_stopped_and_its_client_is_told() {
    let server = server_with_grace(Duration::from_millis(300)).await;
    let mut stream = server.stream(json!({"prompt": "!spawn setsid\n!say there\n!hang"})).await;
    stream.until("assistant").await;
    server.app.lifecycle().drain();
    let blocks = stream.rest().await;
    let (done, error) = (&blocks[blocks.len() - 1], &blocks[blocks.len() - 2]);
    assert_eq!((done.event.as_deref(), done.json()), (Some("done"), json!({"code": 1})));
    assert_eq!(error.json(), json!({"error": "the server is shutting down"}));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_answers_everybody_who_waits() {
    let server = server_with_grace(Duration::from_mins(1)).await;
    let running = server.ask_beside(&json!({"prompt": "!touch there\n!hang"}));
    server.reached("there").await;
    let queued = server.ask_beside(&json!({"prompt": "!touch never"}));
    server.busy_with(1, 1).await;
    server.app.lifecycle().stop();
    for answer in [running.await.unwrap(), queued.await.unwrap()] {
        assert_eq!((answer.status, answer.code()), (503, "SHUTTING_DOWN"), "{answer:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_does_not_wait_for_the_stubborn() {
    let builder = TestServerBuilder::fake().set(|settings| {
        let long = Duration::from_mins(5);
        let stopping = &mut settings.stopping;
        (stopping.soft, stopping.eof, stopping.term, stopping.shutdown_grace) = (long, long, long, long);
    });
    let server = builder.start().await;
    let run = server.ask_beside(&json!({"prompt": "!stubborn\n!spawn stubborn\n!touch there\n!hang"}));
    server.reached("there").await;
    server.app.lifecycle().kill();
    assert_eq!(run.await.unwrap().code(), "SHUTTING_DOWN");
    server.stop().await;
}
