//! A key that counts no more: at once for requests, within a heartbeat for what is open, and for what waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use askd::settings::Settings;
use jiff::{Timestamp, ToSpan as _};
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{
    Answer, Folders, Holder, Program, Stream, TestServer, TestServerBuilder, V1, beside, eventually, eventually_async,
    marked_processes,
};

async fn server() -> TestServer {
    let server = TestServerBuilder::fake().set(|settings| {
        settings.limits.max_concurrent = 1;
        settings.server.heartbeat = Duration::from_millis(100);
    });
    server.start().await
}

async fn user(server: &TestServer) -> Holder {
    server.user(json!({})).await
}

async fn revoke(server: &TestServer, holder: &Holder, body: Value) -> Value {
    let revoked = server.post(&format!("/v1/keys/{}/revoke", holder.id), &body).await;
    assert_eq!(revoked.status, 200, "{revoked:?}");
    revoked.body
}

fn why(holder: &Holder) -> String {
    format!("the key {} was revoked", holder.id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_refused_from_then_on_whatever_is_done_to_it() {
    let server = server().await;
    let holder = user(&server).await;
    assert_eq!(holder.get("/v1/runs").await.status, 200);
    let revoked = revoke(&server, &holder, json!({})).await;
    assert_eq!((&revoked["valid"], &revoked["runs_ended"]), (&json!(false), &json!(0)), "{revoked}");
    for _ in 0..3 {
        let refused = holder.get("/v1/runs").await;
        assert_eq!((refused.status, refused.message()), (401, &*why(&holder)), "{refused:?}");
    }
    // Without a body it is the same, and again it changes nothing.
    let path = format!("/v1/keys/{}/revoke", holder.id);
    let again = Answer::by(server.posting(&path)).await.body;
    assert_eq!(again["revoked_at"], revoked["revoked_at"]);
    assert_eq!(server.post(&format!("/v1/keys/{}/rotate", holder.id), &json!({})).await.status, 409);
    let longer = server.sending(Method::PATCH, &format!("/v1/keys/{}", holder.id)).json(&json!({"expires_at": null}));
    assert_eq!(Answer::by(longer).await.status, 409);
    assert_eq!(server.post(&path, &json!({"runs": "stop"})).await.param(), "runs");
    assert_eq!(holder.get("/v1/runs").await.status, 401);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_runs_end_with_it_and_those_of_others_do_not() {
    let server = server().await;
    let (holder, other) = (user(&server).await, user(&server).await);
    let working = holder.submit(json!({"prompt": "!touch there\n!hang"})).await;
    server.reached("there").await;
    let waiting = holder.submit(json!({"prompt": "!touch begun"})).await;
    let others = other.submit(json!({"prompt": "x"})).await;
    let revoked = revoke(&server, &holder, json!({"runs": "cancel"})).await;
    assert_eq!((&revoked["runs_ended"], &revoked["runs_elsewhere"]), (&json!(2), &json!(0)), "{revoked}");
    for run in [working, waiting] {
        let run = server.ended(&run).await;
        assert_eq!((&run["state"], &run["error"]["message"]), (&json!("cancelled"), &json!(why(&holder))), "{run}");
    }
    assert_eq!(server.ended(&others).await["state"], "completed");
    assert!(!server.folders.workspace().join("begun").exists());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_goes_on_and_what_waits_does_not_begin() {
    let server = server().await;
    let holder = user(&server).await;
    let working = holder.submit(json!({"prompt": "!touch there\n!await go\n!result done"})).await;
    server.reached("there").await;
    let waiting = holder.submit(json!({"prompt": "!touch begun"})).await;
    let revoked = revoke(&server, &holder, json!({"runs": "keep"})).await;
    assert_eq!(revoked["runs_ended"], 0, "{revoked}");
    server.release("go");
    let working = server.ended(&working).await;
    assert_eq!((&working["state"], &working["result"]), (&json!("completed"), &json!("done")), "{working}");
    let waiting = server.ended(&waiting).await;
    assert_eq!((&waiting["state"], &waiting["error"]["message"]), (&json!("cancelled"), &json!(why(&holder))));
    assert!(!server.folders.workspace().join("begun").exists());
    server.stop().await;
}

/// The error that a stream below `/v1` ends with.
async fn end_of(stream: Stream) -> Value {
    let rest = stream.rest().await;
    let last = rest.last().unwrap();
    assert_eq!(last.event.as_deref(), Some("error"), "{rest:?}");
    last.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_open_end_and_tokens_count_no_more() {
    let server = server().await;
    let holder = user(&server).await;
    // Output keeps coming, so that no stream is ever silent for a heartbeat.
    let run = holder.submit(json!({"prompt": "!touch there\n!noise\n!await go"})).await;
    server.reached("there").await;
    let made = holder.post(&format!("/v1/runs/{run}/stream-token"), &json!({})).await.body;
    let url = server.url(made["url"].as_str().unwrap());
    let by_token = async || server.client.get(&url).header("accept", "text/event-stream").send().await.unwrap();
    let (own, token) = (holder.follow(&run).await, Stream::of(by_token().await));
    let admins = server.follow(&run, "").await;
    revoke(&server, &holder, json!({"runs": "keep"})).await;
    for stream in [own, token] {
        let error = end_of(stream).await;
        assert_eq!(error["error"]["type"], "authentication_error", "{error}");
        assert_eq!(error["error"]["message"], why(&holder), "{error}");
    }
    let refused = Answer::to("GET", by_token().await).await;
    assert_eq!((refused.status, refused.message()), (401, "the key that made this token was revoked"), "{refused:?}");
    server.release("go");
    let rest = admins.envelopes().await;
    assert_eq!(rest.last().unwrap()["type"], "run.completed", "others go on");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_waited_for_end_and_the_runs_that_are_kept_do_not() {
    for path in ["/ask", "/v1/runs?wait=60"] {
        let server = server().await;
        let holder = user(&server).await;
        let body = json!({"prompt": "!touch there\n!await go\n!result done"});
        let request = holder.sending(Method::POST, path).json(&body);
        let answer = beside(async move { Answer::by(request).await });
        server.reached("there").await;
        revoke(&server, &holder, json!({"runs": "keep"})).await;
        let answer = answer.await.unwrap();
        assert_eq!(answer.status, 401, "{path} {answer:?}");
        assert!(answer.message().contains(&why(&holder)), "{path} {answer:?}");
        server.release("go");
        let run = server.ended(answer.run_id()).await;
        assert_eq!(run["state"], "completed", "{path} {run}");
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_whose_runs_end_with_their_key_say_that_it_was_revoked() {
    // No heartbeat comes before the end of the run.
    let server =
        TestServerBuilder::fake().set(|settings| settings.server.heartbeat = Duration::from_hours(1)).start().await;
    for path in ["/ask", "/v1/runs?wait=60"] {
        let holder = user(&server).await;
        let there = path.replace(['/', '?', '='], "-");
        let request = holder.sending(Method::POST, path).json(&json!({"prompt": format!("!touch {there}\n!hang")}));
        let answer = beside(async move { Answer::by(request).await });
        server.reached(&there).await;
        revoke(&server, &holder, json!({"runs": "cancel"})).await;
        let answer = answer.await.unwrap();
        assert_eq!(answer.status, 401, "{path} {answer:?}");
        assert!(answer.message().contains(&why(&holder)), "{path} {answer:?}");
        assert_eq!(server.ended(answer.run_id()).await["state"], "cancelled", "{path}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_questions_end_too() {
    let server = server().await;
    let holder = user(&server).await;
    let body = json!({"prompt": "!touch there\n!await go", "stream": true});
    let response = holder.sending(Method::POST, "/ask").json(&body).send().await.unwrap();
    server.reached("there").await;
    revoke(&server, &holder, json!({"runs": "keep"})).await;
    let rest = Stream::of(response).rest().await;
    let told = rest.iter().any(|block| block.data.as_deref().is_some_and(|data| data.contains(&why(&holder))));
    assert!(told, "{rest:?}");
    server.release("go");
    server.at_rest().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_may_no_longer_read_reads_no_further() {
    let server = server().await;
    let holder = user(&server).await;
    let run = holder.submit(json!({"prompt": "!touch there\n!await go"})).await;
    server.reached("there").await;
    let stream = holder.follow(&run).await;
    let path = format!("/v1/keys/{}", holder.id);
    let change = server.sending(Method::PATCH, &path).json(&json!({"scopes": ["ask"]}));
    assert_eq!(change.send().await.unwrap().status(), 200);
    let error = end_of(stream).await;
    assert!(error["error"]["message"].as_str().unwrap().contains("may no longer see this run"), "{error}");
    server.release("go");
    server.ended(&run).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_key_expires_while_it_waits_does_not_begin() {
    let ahead = Arc::new(AtomicI64::new(0));
    let clock = Arc::clone(&ahead);
    let now = move || Timestamp::from_second(1_795_000_000 + clock.load(Ordering::Relaxed)).unwrap();
    let server = TestServerBuilder::fake().clock(now).set(|settings| settings.limits.max_concurrent = 1).start().await;
    let end = Timestamp::from_second(1_795_000_100).unwrap().to_string();
    let holder = server.holder(&json!({"name": "x", "scopes": ["runs:write"], "expires_at": end})).await;
    let working = holder.submit(json!({"prompt": "!touch there\n!await go"})).await;
    server.reached("there").await;
    let waiting = holder.submit(json!({"prompt": "!touch begun"})).await;
    ahead.store(100, Ordering::Relaxed);
    server.release("go");
    assert_eq!(server.ended(&working).await["state"], "completed", "what has begun is not ended by the clock");
    let waiting = server.ended(&waiting).await;
    let expired = format!("the key {} has expired", holder.id);
    assert_eq!((&waiting["state"], &waiting["error"]["message"]), (&json!("cancelled"), &json!(expired)), "{waiting}");
    assert!(!server.folders.workspace().join("begun").exists());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_key_expired_before_a_restart_is_not_taken_up_again() {
    let folders = Folders::new();
    let mut program = Program::start(&folders, &[("MAX_CONCURRENT", "1")]);
    let client = V1::at(program.address().await);
    client.submit(&json!({"prompt": "!touch there\n!hang"})).await;
    eventually("the run at work", || folders.workspace().join("there").exists().then_some(())).await;
    let body = json!({"name": "x", "scopes": ["runs:write"]});
    let made = Answer::by(client.post("/keys", &body)).await.body;
    let address = program.address().await;
    let request = reqwest::Client::new().post(format!("http://{address}/v1/runs"));
    let request = request.header("x-api-key", made["key"].as_str().unwrap());
    let taken = Answer::by(request.json(&json!({"prompt": "!touch begun"}))).await;
    assert_eq!(taken.status, 202, "{taken:?}");
    // Only now, so that it is not over before the run is there; and not so soon that it is over before it is asked for.
    let path = format!("http://{address}/v1/keys/{}", made["id"].as_str().unwrap());
    let end = eventually_async("an end of the key that is to come", async || {
        let end = Timestamp::now() + 2.seconds();
        let change = reqwest::Client::new().patch(&path).header("x-api-key", Settings::TEST_API_KEY);
        let changed = Answer::by(change.json(&json!({"expires_at": end.to_string()}))).await;
        (changed.status == 200).then_some(end)
    })
    .await;
    program.signal(Signal::KILL);
    program.ended().await;
    eventually("the end of every process", || marked_processes(&folders.data()).is_empty().then_some(())).await;
    eventually("the end of the key", || (Timestamp::now() > end).then_some(())).await;
    let program = Program::start(&folders, &[("MAX_CONCURRENT", "1")]);
    let run = V1::at(program.address().await).ended(taken.run_id()).await;
    let expired = format!("the key {} has expired", made["id"].as_str().unwrap());
    assert_eq!((&run["state"], &run["error"]["message"]), (&json!("cancelled"), &json!(expired)), "{run}");
    assert!(!folders.workspace().join("begun").exists());
}
