//! A request that is sent twice joins the run as its first sender wanted it: what becomes of the run when clients leave is
//! for that one to say.

use reqwest::RequestBuilder;
use serde_json::json;

use crate::harness::{Stream, TestServer, TestServerBuilder};

async fn server() -> TestServer {
    TestServerBuilder::fake().start().await
}

/// Asks with a key, and reads until the CLI has begun.
async fn joined(request: RequestBuilder) -> Stream {
    let mut stream = Stream::of(request.header("idempotency-key", "k").send().await.unwrap());
    stream.until("assistant").await;
    stream
}

fn asked(server: &TestServer) -> RequestBuilder {
    server.request(&json!({"prompt": "!say there\n!touch there\n!await go\n!result fine", "stream": true}))
}

/// Waits until the server has noticed that a client is gone who left after those before it.
async fn departures_are_noticed(server: &TestServer) {
    let mut client = server.stream(json!({"prompt": "!say there\n!hang"})).await;
    client.until("assistant").await;
    server.busy_with(2, 0).await;
    drop(client);
    server.busy_with(1, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_goes_on_alone_does_so_whoever_leaves() {
    let server = server().await;
    let first = joined(asked(&server).header("x-askd-on-disconnect", "continue")).await;
    let run = first.headers["x-askd-run-id"].to_str().unwrap().to_owned();
    let replay = joined(asked(&server)).await;
    assert_eq!(replay.headers["idempotency-replayed"], "true");
    assert_eq!(replay.headers["x-askd-run-id"], *run);
    drop(replay);
    departures_are_noticed(&server).await;
    drop(first);
    departures_are_noticed(&server).await;
    server.release("go");
    let run = server.ended(&run).await;
    assert_eq!((&run["state"], &run["result"]), (&json!("completed"), &json!("fine")), "{run}");
    server.at_rest().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_holds_a_run_that_its_clients_leaving_ends() {
    let server = server().await;
    let first = joined(asked(&server)).await;
    // What it says of leaving does not count.
    let mut replay = joined(asked(&server).header("x-askd-on-disconnect", "continue")).await;
    assert_eq!(replay.headers["idempotency-replayed"], "true");
    drop(first);
    departures_are_noticed(&server).await;
    server.release("go");
    assert_eq!(replay.until("result").await["result"], "fine");
    assert_eq!(replay.rest().await.last().unwrap().json(), json!({"code": 0}));
    server.at_rest().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_client_that_leaves_ends_it_also_when_that_is_a_replay() {
    let server = server().await;
    let first = joined(asked(&server)).await;
    let run = first.headers["x-askd-run-id"].to_str().unwrap().to_owned();
    let replay = joined(asked(&server).header("x-askd-on-disconnect", "continue")).await;
    drop(first);
    departures_are_noticed(&server).await;
    drop(replay);
    assert_eq!(server.ended(&run).await["state"], "cancelled");
    server.at_rest().await;
    server.stop().await;
}
