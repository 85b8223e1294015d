//! How many requests a minute a key may send. How the limits refill is tested beside them, with a clock of their own.

use std::num::NonZeroU32;

use askd::audit::Actor;
use askd::keys::change::NewKey;
use askd::keys::{Policy, Scope, Scopes};
use askd::settings::Settings;
use askd::settings::network::Rates;
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::harness::{Answer, RawClient, TestServer, TestServerBuilder};

async fn server(change: impl FnOnce(&mut Rates)) -> TestServer {
    TestServerBuilder::fake().set(|settings| change(&mut settings.network.rates)).start().await
}

/// A further key with these scopes.
async fn key(server: &TestServer, scopes: Scopes) -> String {
    let keys = &server.app.runs().shared().keys;
    let new = NewKey { name: "other".into(), scopes, policy: Policy::default(), expires_at: None };
    let by = Actor { key_id: Some("admin".into()), address: None, request_id: "test".into() };
    keys.create(new, &by).await.unwrap().token.expose_secret().to_owned()
}

async fn get_by(server: &TestServer, key: &str, path: &str) -> Answer {
    Answer::by(server.client.get(server.url(path)).header("x-api-key", key)).await
}

fn seconds(answer: &Answer) -> u64 {
    answer.header("retry-after").unwrap_or_else(|| panic!("{answer:?}")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_has_sent_its_minute_of_questions_is_told_when_to_come_again() {
    let server = server(|rates| rates.ask = NonZeroU32::new(2)).await;
    for left in [1, 0] {
        let answer = server.ask(json!({"prompt": "hello"})).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("ratelimit-policy"), Some(r#""ask";q=2;w=60"#));
        assert_eq!(answer.header("ratelimit"), Some(&*format!(r#""ask";r={left};t=30"#)));
    }
    let refused = server.ask(json!({"prompt": "hello"})).await;
    assert_eq!((refused.status, refused.code()), (429, "RATE_LIMITED"), "{refused:?}");
    assert!((1..=30).contains(&seconds(&refused)), "{refused:?}");
    assert_eq!(refused.header("ratelimit"), Some(&*format!(r#""ask";r=0;t={}"#, seconds(&refused))));
    assert!(refused.message().contains("2 requests a minute") && refused.message().contains("ASKD_RATE_ASK"));
    assert_eq!(refused.header("x-askd-run-id"), None, "nothing was begun");
    // Only there, and only this key.
    assert_eq!(server.get("/v1/runs").await.status, 200);
    let other = key(&server, Scopes::ALL).await;
    let request = server.client.post(server.url("/ask")).header("x-api-key", &other);
    let answer = Answer::by(request.json(&json!({"prompt": "hello"}))).await;
    assert_eq!(answer.result(), "echo: hello");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn below_v1_the_limit_is_told_as_clients_of_the_messages_api_know_it() {
    let server = server(|rates| rates.v1 = NonZeroU32::new(2)).await;
    let answer = server.get("/v1/runs").await;
    assert_eq!(answer.header("anthropic-ratelimit-requests-limit"), Some("2"));
    assert_eq!(answer.header("anthropic-ratelimit-requests-remaining"), Some("1"));
    let reset: jiff::Timestamp = answer.header("anthropic-ratelimit-requests-reset").unwrap().parse().unwrap();
    let seconds_left = reset.as_second() - jiff::Timestamp::now().as_second();
    assert!((20..=31).contains(&seconds_left), "{reset}");
    assert_eq!(server.get("/v1/isolation").await.status, 200, "the same group");
    let refused = server.get("/v1/runs").await;
    assert_eq!((refused.status, refused.kind()), (429, "rate_limit_error"), "{refused:?}");
    assert_eq!(refused.header("anthropic-ratelimit-requests-remaining"), Some("0"));
    assert!((1..=30).contains(&seconds(&refused)));
    assert_eq!(server.get("/health").await.status, 200, "what needs no key has no limit");
    assert_eq!(server.submit(json!({"prompt": "hello"})).await.len(), 40, "a group of its own");
    server.at_rest().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_forms_of_the_configuration_are_one_group_and_submitting_runs_is_another() {
    let server = server(|rates| (rates.config, rates.runs) = (NonZeroU32::new(2), NonZeroU32::new(1))).await;
    let old = server.get("/config/agents").await;
    assert_eq!(old.header("ratelimit"), Some(r#""config";r=1;t=30"#));
    assert_eq!(old.header("anthropic-ratelimit-requests-limit"), None, "only below /v1");
    let new = server.get("/v1/config/agents").await;
    assert_eq!(new.header("ratelimit"), Some(r#""config";r=0;t=30"#));
    assert_eq!(new.header("anthropic-ratelimit-requests-remaining"), Some("0"));
    assert_eq!((server.get("/config/agents").await.status, server.get("/v1/config").await.status), (429, 429));
    let run = server.post("/v1/runs", &json!({"prompt": "hello"})).await;
    assert_eq!((run.status, run.header("ratelimit-policy")), (202, Some(r#""runs";q=1;w=60"#)));
    assert_eq!(server.post("/v1/runs", &json!({"prompt": "hello"})).await.status, 429);
    let list = server.get("/v1/runs").await;
    assert_eq!((list.status, list.header("ratelimit")), (200, None), "a limit that is off is not spoken of");
    server.at_rest().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_requests_with_a_right_key_are_counted_and_counting_needs_no_body() {
    let server = server(|rates| rates.ask = NonZeroU32::new(1)).await;
    for _ in 0..5 {
        let request = server.client.post(server.url("/ask")).header("x-api-key", "wrong");
        let answer = Answer::by(request.json(&json!({"prompt": "hello"}))).await;
        assert_eq!((answer.status, answer.header("ratelimit")), (401, None));
    }
    // Whatever becomes of it: this one has no prompt.
    assert_eq!(server.ask(json!({})).await.status, 400);
    // The answer comes although the body does not.
    let mut client = RawClient::connect(server.address).await;
    client.head(1_000_000).await;
    let answer = client.until("\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_key_may_not_do_counts_as_well() {
    let server = server(|rates| rates.v1 = NonZeroU32::new(2)).await;
    let key = key(&server, Scopes::from_iter([Scope::Ask])).await;
    for expected in [403, 403, 429] {
        let answer = get_by(&server, &key, "/v1/runs").await;
        assert_eq!((answer.status, answer.header("ratelimit-policy")), (expected, Some(r#""v1";q=2;w=60"#)));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_holder_of_a_stream_token_uses_up_what_its_key_may_send() {
    let server = server(|rates| rates.v1 = NonZeroU32::new(4)).await;
    let run = server.submit(json!({"prompt": "hello"})).await;
    let token = server.post(&format!("/v1/runs/{run}/stream-token"), &json!({})).await;
    assert_eq!((token.status, token.header("ratelimit")), (201, Some(r#""v1";r=3;t=15"#)), "{token:?}");
    let url = server.url(token.body["url"].as_str().unwrap());
    for left in ["2", "1", "0"] {
        let answer = server.client.get(&url).send().await.unwrap();
        assert_eq!(answer.headers()["anthropic-ratelimit-requests-remaining"], left);
        drop(answer.bytes().await.unwrap());
    }
    assert_eq!(server.client.get(&url).send().await.unwrap().status(), 429);
    assert_eq!(get_by(&server, Settings::TEST_API_KEY, "/v1/runs").await.status, 429);
    server.at_rest().await;
    server.stop().await;
}
