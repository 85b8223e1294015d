//! One PostgreSQL, two servers: a key is the same on both, and what is done to it counts on both at once.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Engine, TestServer, TestServerBuilder};

/// A server on the database.
async fn on(url: &str) -> TestServer {
    let server = TestServerBuilder::fake().set(|settings| {
        settings.store.database_url = Some(url.to_owned().into());
        settings.limits.max_concurrent = 1;
        settings.server.heartbeat = Duration::from_millis(100);
    });
    server.start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_revoked_on_one_server_counts_on_no_other() {
    let url = Engine::postgres().await.url();
    let (one, other) = (on(&url).await, on(&url).await);
    let holder = one.user(json!({})).await;
    let there = holder.clone().at(&other);
    let working = there.submit(json!({"prompt": "!touch there\n!await go"})).await;
    other.reached("there").await;
    let waiting = there.submit(json!({"prompt": "!touch begun"})).await;
    let stream = there.follow(&working).await;

    let revoked = one.post(&format!("/v1/keys/{}/revoke", holder.id), &json!({})).await.body;
    assert_eq!((&revoked["runs_ended"], &revoked["runs_elsewhere"]), (&json!(0), &json!(2)), "{revoked}");
    let why = format!("the key {} was revoked", holder.id);
    for holder in [&holder, &there] {
        let refused = holder.get("/v1/runs").await;
        assert_eq!((refused.status, refused.message()), (401, &*why), "{refused:?}");
    }
    let end = stream.rest().await;
    assert_eq!(end.last().unwrap().json()["error"]["message"], why, "{end:?}");

    // As documented: what works in the hands of another server goes on, and what waits there does not begin.
    other.release("go");
    assert_eq!(other.ended(&working).await["state"], "completed");
    let waiting = other.ended(&waiting).await;
    assert_eq!((&waiting["state"], &waiting["error"]["message"]), (&json!("cancelled"), &json!(why)), "{waiting}");
    assert!(!other.folders.workspace().join("begun").exists());
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_a_key_is_its_own_on_every_server() {
    let url = Engine::postgres().await.url();
    let (one, other) = (on(&url).await, on(&url).await);
    let (owner, stranger) = (one.user(json!({})).await, one.user(json!({})).await);
    let run = owner.run(json!({"prompt": "x"})).await["id"].as_str().unwrap().to_owned();
    assert_eq!(owner.clone().at(&other).get(&format!("/v1/runs/{run}")).await.status, 200);
    for path in [format!("/v1/runs/{run}"), format!("/v1/runs/{run}/events")] {
        assert_eq!(stranger.clone().at(&other).get(&path).await.status, 404, "{path}");
    }
    one.stop().await;
    other.stop().await;
}
