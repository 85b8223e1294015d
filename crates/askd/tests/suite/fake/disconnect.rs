//! A client that leaves takes its run with it, unless it asked for the opposite.

use serde_json::{Value, json};

use crate::harness::{RawClient, TestServer, TestServerBuilder, beside, eventually, living_pids};

/// A process with descendants of every kind, that runs until it is told.
const TREE: &str = "!spawn plain\n!spawn setsid\n!spawn stripped\n!touch there\n!await go\n!touch finished";

async fn one_slot() -> TestServer {
    TestServerBuilder::fake().set(|settings| settings.limits.max_concurrent = 1).start().await
}

fn asked(prompt: &str, stream: bool) -> Value {
    json!({"prompt": prompt, "stream": stream})
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_a_running_run_ends_its_whole_tree() {
    for stream in [false, true] {
        let server = one_slot().await;
        let mut client = RawClient::connect(server.address).await;
        client.ask(&asked(TREE, stream)).await;
        server.reached("there").await;
        assert_eq!(living_pids(&server.folders.workspace()).len(), 3, "the attack works");
        drop(client);
        server.at_rest().await;
        assert_eq!(living_pids(&server.folders.workspace()), [0; 0]);
        assert!(!server.folders.workspace().join("finished").exists());
        assert_eq!(server.ask(json!({"prompt": "next"})).await.result(), "echo: next", "the slot is free");
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_is_noticed_whatever_was_sent_before() {
    let much = "x".repeat(64 * 1024);
    for (further, stream) in
        [("\r\n", false), ("GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n", true), (&much, false)]
    {
        let server = one_slot().await;
        let mut client = RawClient::connect(server.address).await;
        client.ask(&asked(TREE, stream)).await;
        client.send(further).await;
        server.reached("there").await;
        drop(client);
        server.at_rest().await;
        assert!(!server.folders.workspace().join("finished").exists());
        assert_eq!(server.ask(json!({"prompt": "next"})).await.result(), "echo: next", "the slot is free");
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_says_it_sends_no_more_has_left() {
    for further in ["", "\r\n"] {
        let server = one_slot().await;
        let mut client = RawClient::connect(server.address).await;
        client.ask(&asked(TREE, false)).await;
        client.send(further).await;
        server.reached("there").await;
        client.end().await;
        server.at_rest().await;
        assert_eq!(client.rest().await, "");
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_the_queue_leaves_no_trace() {
    for stream in [false, true] {
        let server = one_slot().await;
        let running = server.ask_beside(&json!({"prompt": "!touch there\n!await go"}));
        server.reached("there").await;
        let mut client = RawClient::connect(server.address).await;
        client.ask(&asked("!touch never", stream)).await;
        server.busy_with(1, 1).await;
        drop(client);
        server.busy_with(1, 0).await;
        server.release("go");
        assert_eq!(running.await.unwrap().status, 200);
        server.at_rest().await;
        assert!(!server.folders.workspace().join("never").exists());
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_on_alone_if_its_client_wants_that() {
    for stream in [false, true] {
        let server = one_slot().await;
        let request = server.request(&asked("!touch there\n!await go\n!touch finished", stream));
        let request = request.header("x-askd-on-disconnect", "continue");
        let client = beside(async move { request.send().await.unwrap().text().await });
        server.reached("there").await;
        client.abort();
        assert!(client.await.unwrap_err().is_cancelled());
        // A run that was cancelled would have ended by interrupt; give the server a request's time to notice.
        assert_eq!(server.occupancy().await, (1, 0));
        server.release("go");
        server.reached("finished").await;
        server.at_rest().await;
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_at_any_moment_leaves_nothing() {
    let server = TestServerBuilder::fake().start().await;
    for delay in [0, 1, 3, 10, 20, 30, 50, 80, 120] {
        let run = server.ask_beside(&asked("!spawn setsid\n!hang", delay % 2 == 0));
        tokio::time::sleep(std::time::Duration::from_millis(delay)).await;
        run.abort();
    }
    // Requests that were not sent yet never arrive; the others end, and the last of them may arrive when nobody else is left.
    eventually("rest", || {
        let now = server.app.runs().occupancy();
        let left = [server.processes(), living_pids(&server.folders.workspace())].concat();
        ((now.active, now.queued) == (0, 0) && left.is_empty()).then_some(())
    })
    .await;
    server.stop().await;
}
