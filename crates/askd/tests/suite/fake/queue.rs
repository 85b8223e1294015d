//! Who runs when: so many at once, so many waiting, so long, in order, and each session once.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Answer, TestServer, TestServerBuilder};

async fn server(running: usize, waiting: usize) -> TestServer {
    let builder = TestServerBuilder::fake().set(|settings| {
        (settings.limits.max_concurrent, settings.limits.queue_length) = (running, waiting);
    });
    builder.start().await
}

/// Runs until it is released by the file `go`.
fn held(name: &str) -> Value {
    json!({"prompt": format!("!touch {name}\n!await go\n!result {name}")})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_at_once_and_says_so() {
    let server = server(1, 1).await;
    let running = server.ask_beside(&held("a"));
    server.reached("a").await;
    let waiting = server.ask_beside(&held("b"));
    server.busy_with(1, 1).await;
    assert_eq!(server.occupancy().await, (1, 1), "/health");
    for stream in [false, true] {
        let request = server.request(&json!({"prompt": "c", "stream": stream}));
        let refused = Answer::of(request.send().await.unwrap()).await;
        assert_eq!((refused.status, refused.code()), (429, "SERVER_BUSY"), "{refused:?}");
        assert!(refused.header("retry-after").is_some() && refused.message().contains("ASKD_QUEUE_LENGTH"));
    }
    server.release("go");
    assert_eq!((running.await.unwrap().result(), waiting.await.unwrap().result()), ("a", "b"));
    server.at_rest().await;
    assert_eq!(server.occupancy().await, (0, 0));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_too_long_is_refused_without_having_begun() {
    let builder = TestServerBuilder::fake().set(|settings| {
        settings.limits.max_concurrent = 1;
        settings.limits.queue_timeout = Duration::from_millis(200);
    });
    let server = builder.start().await;
    let running = server.ask_beside(&held("a"));
    server.reached("a").await;
    for stream in [false, true] {
        let request = server.request(&json!({"prompt": "!touch never", "stream": stream}));
        let refused = Answer::of(request.send().await.unwrap()).await;
        assert_eq!((refused.status, refused.code()), (429, "SERVER_BUSY"), "{refused:?}");
        assert!(refused.message().contains("QUEUE_TIMEOUT"), "{refused:?}");
        assert!(refused.body.get("result").is_none(), "it never began: {refused:?}");
    }
    server.release("go");
    assert_eq!(running.await.unwrap().result(), "a");
    server.at_rest().await;
    assert!(!server.folders.workspace().join("never").exists());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_go_in_the_order_of_arrival() {
    let server = server(1, 10).await;
    let first = server.ask_beside(&held("a"));
    server.reached("a").await;
    let mut others = Vec::new();
    for number in 0..4 {
        others.push(server.ask_beside(&json!({"prompt": format!("!await go\n!spawn plain\n!touch {number}")})));
        server.busy_with(1, number + 1).await;
    }
    server.release("go");
    first.await.unwrap();
    for other in others {
        other.await.unwrap();
    }
    let made = |number: usize| fs::metadata(server.folders.workspace().join(number.to_string())).unwrap().modified();
    assert!((0..3).all(|number| made(number).unwrap() < made(number + 1).unwrap()));
    server.at_rest().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_run_at_once_as_may() {
    let server = server(3, 10).await;
    let all: Vec<_> = ["a", "b", "c", "d"].into_iter().map(|name| server.ask_beside(&held(name))).collect();
    server.busy_with(3, 1).await;
    server.release("go");
    for run in all {
        assert_eq!(run.await.unwrap().status, 200);
    }
    server.at_rest().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_one_session_follow_each_other_and_hold_up_nobody() {
    let server = server(3, 10).await;
    let first = server.ask(json!({"prompt": "one"})).await;
    let session = first.body["session_id"].as_str().unwrap();
    let resumed = |prompt: &str| server.ask_beside(&json!({"prompt": prompt, "resume": session}));
    let second = resumed("!touch two\n!await go");
    server.reached("two").await;
    let third = resumed("!recall");
    server.busy_with(1, 1).await;
    assert_eq!(server.ask(json!({"prompt": "other"})).await.result(), "echo: other");
    assert!(!third.is_finished());
    server.release("go");
    second.await.unwrap();
    assert_eq!(third.await.unwrap().result(), "one / !touch two\n!await go", "the third saw what the second wrote");
    server.stop().await;
}
