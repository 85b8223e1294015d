//! Wrong keys: nobody guesses for long, and nobody is locked out by somebody else's guesses.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;

use askd::audit::Actor;
use askd::keys::change::{NewKey, RunsOfRevoked};
use askd::keys::{Policy, Scopes};
use askd::settings::Settings;
use askd::settings::network::network;
use secrecy::ExposeSecret as _;
use serde_json::Value;

use crate::harness::{Answer, TestServer, TestServerBuilder, eventually_async};

const RIGHT: &str = Settings::TEST_API_KEY;
const ALLOWED: u32 = 5;

fn builder() -> TestServerBuilder {
    TestServerBuilder::fake().set(|settings| settings.network.rates.failures = NonZeroU32::new(ALLOWED))
}

/// Asks with this key from an address of this machine.
async fn from(last: u8, server: &TestServer, key: &str) -> Answer {
    let address = IpAddr::from(Ipv4Addr::new(127, 0, 0, last));
    let client = reqwest::Client::builder().local_address(address).build().unwrap();
    Answer::by(client.get(server.url("/v1/runs")).header("x-api-key", key)).await
}

fn actor() -> Actor {
    Actor { key_id: Some("admin".into()), address: None, request_id: "test".into() }
}

/// A made key: its id and its token.
async fn made(server: &TestServer) -> (String, String) {
    let new = NewKey { name: "other".into(), scopes: Scopes::ALL, policy: Policy::default(), expires_at: None };
    let made = server.app.runs().shared().keys.create(new, &actor()).await.unwrap();
    (made.key.id.to_string(), made.token.expose_secret().to_owned())
}

/// A token of the right form that nobody was given.
fn unknown_token(number: usize) -> String {
    format!("askd_{number:032x}_{number:064x}")
}

#[tokio::test(flavor = "multi_thread")]
async fn after_some_wrong_keys_not_even_the_right_one_is_looked_at_and_elsewhere_nobody_notices() {
    let server = builder().start().await;
    for number in 0..ALLOWED {
        let answer = from(1, &server, &format!("guess-{number}")).await;
        assert_eq!((answer.status, answer.kind()), (401, "authentication_error"), "{answer:?}");
    }
    for key in ["guess-again", RIGHT, "askd_no_token"] {
        let answer = from(1, &server, key).await;
        assert_eq!((answer.status, answer.kind()), (429, "rate_limit_error"), "{key}: {answer:?}");
        let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=12).contains(&wait), "{answer:?}");
        assert!(answer.message().contains("not looked at"), "{answer:?}");
    }
    assert_eq!(from(2, &server, RIGHT).await.status, 200, "from another address");
    assert_eq!(server.client.get(server.url("/health")).send().await.unwrap().status(), 200, "what needs no key");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_key_that_nobody_guesses_is_compared_whatever_comes_from_its_address() {
    const LONG: &str = "0123456789abcdef0123456789abcdef";
    for (key, served) in [(LONG, 200), (&LONG[1..], 429)] {
        let server = builder().set(|settings| settings.auth.api_key = key.into()).start().await;
        for number in 0..=ALLOWED {
            from(1, &server, &format!("guess-{number}")).await;
        }
        assert_eq!(from(1, &server, key).await.status, served, "{key}");
        assert_eq!(from(1, &server, "guess-again").await.status, 429, "{key}");
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_holder_of_a_made_key_is_served_behind_the_address_that_somebody_guesses_from() {
    let server = builder().start().await;
    let (_, token) = made(&server).await;
    for number in 0..ALLOWED {
        assert_eq!(from(1, &server, &format!("guess-{number}")).await.status, 401);
    }
    assert_eq!(from(1, &server, RIGHT).await.status, 429);
    assert_eq!(from(1, &server, &token).await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_can_guess_is_no_guess_and_a_forgotten_job_locks_nobody_out() {
    let server = builder().start().await;
    let (id, token) = made(&server).await;
    server.app.runs().shared().keys.revoke(&id, RunsOfRevoked::Keep, &actor()).await.unwrap();
    for _ in 0..=ALLOWED {
        let replayed = from(1, &server, &token).await;
        assert_eq!((replayed.status, replayed.message()), (401, &*format!("the key {id} was revoked")), "{replayed:?}");
        assert_eq!(server.client.get(server.url("/v1/runs")).send().await.unwrap().status(), 401);
    }
    assert_eq!(from(1, &server, RIGHT).await.status, 200);
    // A replaced secret is a token that nobody knows.
    for number in 0..3 * ALLOWED as usize {
        let replaced = from(1, &server, &unknown_token(number)).await;
        assert_eq!((replaced.status, replaced.kind()), (401, "authentication_error"), "{replaced:?}");
    }
    assert_eq!(from(1, &server, RIGHT).await.status, 200);
    eventually_async("an entry of nobody's key", async || {
        let audited = server.get("/v1/audit?action=request.refused&limit=200").await;
        let of_nobody = |row: &Value| row["key"].is_null() && row["detail"]["key"].is_null();
        audited.body["data"].as_array().unwrap().iter().any(of_nobody).then_some(())
    })
    .await;
    for number in 0..ALLOWED {
        assert_eq!(from(1, &server, &format!("askd_guess_{number}")).await.status, 401);
    }
    assert_eq!(from(1, &server, RIGHT).await.status, 429);
    // Also then it is said what became of a key.
    assert_eq!(from(1, &server, &token).await.status, 401);
    assert_eq!(from(1, &server, &unknown_token(1)).await.status, 401);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_trusted_proxy_each_client_is_counted_for_itself_and_else_the_header_helps_nobody() {
    let get = async |server: &TestServer, from: String, key: &str| {
        server.client.get(server.url("/v1/runs")).header("x-forwarded-for", from).header("x-api-key", key).send().await
    };
    for trusted in [true, false] {
        let server = builder()
            .set(|settings| settings.network.trusted_proxies.extend(trusted.then(|| network("127.0.0.1").unwrap())))
            .start()
            .await;
        // A guesser that says each time that it is somebody else, to the left of what the proxy says.
        for number in 0..ALLOWED {
            let answer = get(&server, format!("192.0.2.{number}, 203.0.113.7"), "guess").await.unwrap();
            assert_eq!(answer.status(), 401);
        }
        let guesser = get(&server, "192.0.2.99, 203.0.113.7".into(), RIGHT).await.unwrap();
        assert_eq!(guesser.status(), 429, "trusted: {trusted}");
        let neighbour = get(&server, "203.0.113.8".into(), RIGHT).await.unwrap();
        assert_eq!(neighbour.status(), if trusted { 200 } else { 429 }, "trusted: {trusted}");
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_guess_no_more_than_one_after_another() {
    let server = std::sync::Arc::new(builder().start().await);
    let guesses = (0..50).map(|number| {
        let server = std::sync::Arc::clone(&server);
        crate::harness::beside(async move { from(1, &server, &format!("guess-{number}")).await.status })
    });
    let mut compared = 0;
    for guess in guesses.collect::<Vec<_>>() {
        compared += u32::from(guess.await.unwrap() == 401);
    }
    // Between the look and the count there is nothing to wait for, so only threads that work at the same moment get by.
    assert!((ALLOWED..25).contains(&compared), "{compared} guesses were compared");
    std::sync::Arc::into_inner(server).unwrap().stop().await;
}
