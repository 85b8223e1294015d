//! Many keys and few slots: a flood of one does not hold up the others for longer than the documented bound.

use std::fs;

use reqwest::Method;
use serde_json::json;

use crate::harness::{Answer, Holder, TestServer, TestServerBuilder, eventually};

async fn server(running: usize, waiting: usize) -> TestServer {
    let builder = TestServerBuilder::fake().set(|settings| {
        (settings.limits.max_concurrent, settings.limits.queue_length) = (running, waiting);
        settings.network.rates.runs = None;
        settings.network.rates.v1 = None;
    });
    builder.start().await
}

/// A run that notes its beginning in the file `order`.
fn notes(word: &str) -> serde_json::Value {
    json!({"prompt": format!("!mark order {word}"), "on_disconnect": "continue"})
}

/// The words of `order`, in the order of beginnings.
fn order(server: &TestServer) -> Vec<String> {
    let text = fs::read_to_string(server.folders.workspace().join("order")).unwrap_or_default();
    text.lines().filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
}

async fn occupied(server: &TestServer) -> String {
    let held = server.submit(json!({"prompt": "!touch held\n!await go"})).await;
    server.reached("held").await;
    held
}

async fn all(holder: &Holder, words: impl IntoIterator<Item = String>) {
    let requests = words.into_iter().map(|word| holder.sending(Method::POST, "/v1/runs").json(&notes(&word)).send());
    for answer in futures_util::future::join_all(requests).await {
        let answer = Answer::to("POST", answer.unwrap()).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_keys_one_floods_with_two_hundred_and_the_others_wait_for_no_more_than_the_bound() {
    let server = server(1, 1_000).await;
    let held = occupied(&server).await;
    let flood = server.user(json!({})).await;
    all(&flood, (0..200).map(|_| "flood".to_owned())).await;
    let mut others = Vec::new();
    for number in 0..9 {
        let holder = server.user(json!({})).await;
        all(&holder, (0..2).map(|_| format!("other{number}"))).await;
        others.push(holder);
    }
    server.busy_with(1, 218).await;
    server.release("go");
    server.ended(&held).await;
    let first = |order: &[String], word: &str| order.iter().position(|begun| begun == word);
    let seen = eventually("every other key's runs have begun", || {
        let order = order(&server);
        let words: Vec<_> = (0..9).map(|number| format!("other{number}")).collect();
        let both = |word: &String| order.iter().filter(|begun| *begun == word).count() == 2;
        words.iter().all(both).then_some(order)
    })
    .await;
    for number in 0..9 {
        let word = format!("other{number}");
        let before = first(&seen, &word).unwrap();
        assert!(before <= 9, "{word} began after {before} others: {seen:?}");
        let second = seen.iter().rposition(|begun| *begun == word).unwrap();
        assert!(second <= 19, "the second of {word} began after {second} others: {seen:?}");
    }
    // And the flood is served like any other key meanwhile.
    assert!((1..=3).contains(&seen.iter().take(20).filter(|begun| *begun == "flood").count()), "{seen:?}");
    let revoked = server.post(&format!("/v1/keys/{}/revoke", flood.id), &json!({"runs": "cancel"})).await;
    assert_eq!(revoked.status, 200, "{revoked:?}");
    server.at_rest().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_says_how_long_it_would_take_and_still_takes_a_key_of_which_nothing_waits() {
    let server = server(1, 2).await;
    let held = occupied(&server).await;
    let (flood, other) = (server.user(json!({})).await, server.user(json!({})).await);
    all(&flood, (0..2).map(|_| "flood".to_owned())).await;
    let refused = flood.post("/v1/runs", &notes("flood")).await;
    assert_eq!((refused.status, refused.kind()), (529, "overloaded_error"), "{refused:?}");
    assert!(refused.message().contains("ASKD_QUEUE_LENGTH") && refused.message().contains("in about"), "{refused:?}");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=3_600).contains(&wait), "{wait}");
    all(&other, ["other".to_owned()]).await;
    server.release("go");
    server.ended(&held).await;
    server.at_rest().await;
    assert_eq!(order(&server)[..2].iter().filter(|word| *word == "other").count(), 1, "{:?}", order(&server));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_may_have_one_at_work_leaves_the_other_slots_to_others() {
    let server = server(3, 100).await;
    let held = server.user(json!({"max_concurrent": 1, "max_waiting": 1})).await;
    let wait = |word: &str| json!({"prompt": format!("!touch {word}\n!await go"), "on_disconnect": "continue"});
    let first = held.submit(wait("first")).await;
    server.reached("first").await;
    let second = held.submit(wait("second")).await;
    let refused = held.post("/v1/runs", &wait("third")).await;
    // It is the key's own limit: nobody else has anything to do with it.
    assert_eq!((refused.status, refused.kind()), (429, "rate_limit_error"), "{refused:?}");
    assert!(refused.message().contains("max_waiting") && refused.header("retry-after").is_some(), "{refused:?}");
    let asked = held.post("/ask", &json!({"prompt": "x"})).await;
    assert_eq!((asked.status, &asked.body["error"]["code"]), (429, &json!("RATE_LIMITED")), "{asked:?}");
    let other = server.submit(wait("other")).await;
    server.reached("other").await;
    assert!(!server.folders.workspace().join("second").exists(), "two run, and a slot is free");
    server.release("go");
    for run in [&first, &second, &other] {
        assert_eq!(server.ended(run).await["state"], "completed");
    }
    server.at_rest().await;
    server.stop().await;
}
