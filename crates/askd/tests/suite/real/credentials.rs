//! The credential with which the CLI works: how it arrives, and that it does not come back.

use std::time::Duration;

use askd::settings::groups::Credentials;
use scripted_model::prompt::text;
use serde_json::json;

use super::World;
use crate::harness::TestServerBuilder;

/// Changes the credentials; there are none at first.
fn only(change: impl FnOnce(&mut Credentials)) -> impl FnOnce(TestServerBuilder) -> TestServerBuilder {
    move |server| {
        server.set(|settings| {
            settings.credentials.anthropic_api_key = None;
            change(&mut settings.credentials);
        })
    }
}

/// Asks, and gives `x-api-key` and `authorization` as they reached the model.
async fn arrived(world: &World) -> (Option<String>, Option<String>) {
    let answer = world.ask(json!({"prompt": "[[text:hi]]"})).await;
    assert_eq!(answer.result(), "hi");
    let message = world.last_message();
    let header = |name: &str| message.header(name).map(str::to_owned);
    (header("x-api-key"), header("authorization"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_key_arrives_as_one() {
    let world = World::with(only(|it| it.anthropic_api_key = Some("sk-a-key".to_owned().into()))).await;
    assert_eq!(arrived(&world).await, (Some("sk-a-key".to_owned()), None));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_arrives_as_bearer() {
    let world = World::with(only(|it| it.anthropic_auth_token = Some("a-token".to_owned().into()))).await;
    assert_eq!(arrived(&world).await, (None, Some("Bearer a-token".to_owned())));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_lived_token_of_a_person_arrives_as_bearer() {
    let world = World::with(only(|it| it.claude_code_oauth_token = Some("sk-ant-oat01-x".to_owned().into()))).await;
    assert_eq!(arrived(&world).await, (None, Some("Bearer sk-ant-oat01-x".to_owned())));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helpers_key_arrives_and_a_new_one_when_the_old_is_stale() {
    let world = World::with(|server| {
        let calls = server.folders.root().join("calls");
        let command = format!("echo x >> {0}; echo sk-from-helper-$(wc -l < {0})", calls.display());
        only(|it| {
            it.api_key_helper = Some(command);
            it.api_key_helper_ttl = Duration::ZERO;
        })(server)
    })
    .await;
    for key in ["sk-from-helper-1", "sk-from-helper-2"] {
        assert_eq!(arrived(&world).await, (Some(key.to_owned()), None));
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helper_that_fails_fails_the_run_before_the_cli_starts() {
    let world = World::with(only(|it| it.api_key_helper = Some("echo a secret; exit 3".to_owned()))).await;
    let answer = world.ask(json!({"prompt": "[[text:no]]"})).await;
    assert_eq!((answer.status, answer.code()), (500, "RUN_FAILED"), "{answer:?}");
    assert!(answer.message().contains("ASKD_API_KEY_HELPER"), "{answer:?}");
    assert!(!answer.message().contains("secret"), "{answer:?}");
    assert!(world.model.recorded().is_empty());
    world.stop().await;
}

fn login() -> String {
    json!({"claudeAiOauth": {
        "accessToken": "the-token-of-a-login",
        "refreshToken": "the-refresh-token-of-a-login",
        "expiresAt": 4_102_444_800_000_u64,
        "scopes": ["user:inference", "user:profile"],
        "subscriptionType": "max",
    }})
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_login_is_used_when_there_is_nothing_else() {
    let world = World::with(|server| {
        only(|_| ())(server)
            .file("config/.credentials.json", &login())
            // Project settings could send the token elsewhere.
            .file("workspace/CLAUDE.md", "The text of the repository.")
    })
    .await;
    assert_eq!(arrived(&world).await, (None, Some("Bearer the-token-of-a-login".to_owned())));
    assert!(!world.sent().contains("The text of the repository."));
    let kept = world.server.folders.config().join(".credentials.json");
    world.server.at_rest().await;
    assert_eq!(std::fs::read_to_string(kept).unwrap(), login(), "the login is as it was");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_login_is_not_used_beside_a_key() {
    let world = World::with(|server| server.file("config/.credentials.json", &login())).await;
    assert_eq!(arrived(&world).await, (Some("sk-test-key".to_owned()), None));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_credential_the_run_fails_and_says_so() {
    let world = World::with(only(|_| ())).await;
    let (answer, told) = world.ask_both_ways(json!({"prompt": "[[text:no]]"})).await;
    assert_ne!((answer.status, answer.code()), (200, ""), "{answer:?}");
    assert!(answer.message().contains("the server has no credential for the model"), "{answer:?}");
    assert_eq!(told.code(), 1);
    assert!(world.model.messages().is_empty());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_model_repeats_does_not_come_back() {
    let world = World::new().await;
    let (answer, told) = world.ask_both_ways(json!({"prompt": text("The key is sk-test-key, keep it.")})).await;
    assert_eq!(answer.result(), "The key is [redacted], keep it.");
    assert_eq!(told.text(), "The key is [redacted], keep it.");
    assert!(!format!("{told:?}").contains("sk-test-key"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_an_upstream_error_does_not_come_back() {
    let world = World::new().await;
    let prompt = r#"[[error:400,message="invalid key sk-test-key"]]"#;
    let (answer, told) = world.ask_both_ways(json!({"prompt": prompt})).await;
    assert_eq!((answer.status, answer.code()), (502, "UPSTREAM_ERROR"));
    // The prompt itself holds the key too and is repeated in no answer.
    assert!(!format!("{answer:?} {told:?}").contains("sk-test-key"), "{answer:?} {told:?}");
    world.stop().await;
}
