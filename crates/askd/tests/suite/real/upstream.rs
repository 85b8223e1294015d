//! The provider refuses or fails: always 502 with the CLI's result, never the provider's own status.

use serde_json::json;

use super::World;

async fn fails(directive: &str, status: Option<u16>) {
    let world = World::new().await;
    let (answer, told) = world.ask_both_ways(json!({"prompt": directive})).await;
    assert_eq!((answer.status, answer.code()), (502, "UPSTREAM_ERROR"), "{answer:?}");
    let result = &answer.body["result"];
    assert_eq!((&result["type"], &result["is_error"]), (&json!("result"), &json!(true)), "{answer:?}");
    if let Some(status) = status {
        assert!(answer.message().contains(&status.to_string()), "{answer:?}");
        assert_eq!(result["api_error_status"], status);
    }
    assert!(answer.body["error"]["requestId"].is_string());
    assert_eq!((told.code(), told.error().as_deref()), (1, Some(answer.message())));
    assert_eq!(told.result()["is_error"], true);
    world.stop().await;
}

macro_rules! statuses {
    ($($name:ident: $status:literal;)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            fails(concat!("[[error:", $status, "]]"), Some($status)).await;
        }
    )*};
}

statuses! {
    a_request_that_it_does_not_understand: 400;
    a_wrong_key: 401;
    a_key_without_the_right: 403;
    a_model_that_does_not_exist: 404;
    a_request_that_is_too_large: 413;
    a_rate_limit: 429;
    a_mistake_of_its_own: 500;
    an_overload: 529;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_before_the_answer() {
    fails("[[cut]]", None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_in_the_middle_of_the_answer() {
    fails("[[text:half an]] [[cut]]", None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_in_the_middle_of_the_answer() {
    fails("[[text:half an]] [[error:529]]", None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overload_that_passes_is_retried_by_the_cli() {
    let world = World::with(|server| {
        server.set(|settings| settings.child.environment.retain(|(name, _)| name != "CLAUDE_CODE_MAX_RETRIES"))
    })
    .await;
    let told = world.told(json!({"prompt": "[[error:529,times=1]] [[text:at last]]"})).await;
    assert_eq!(told.text(), "at last");
    assert!(told.messages().any(|message| message["subtype"] == "api_retry"), "the retry is shown");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there() {
    let world = World::with(|server| {
        server.set(|settings| {
            let variable = settings.child.environment.iter_mut().find(|(name, _)| name == "ANTHROPIC_BASE_URL");
            // Nobody listens on the port of `discard`.
            variable.unwrap().1 = "http://127.0.0.1:9".to_owned().into();
        })
    })
    .await;
    let answer = world.ask(json!({"prompt": "x"})).await;
    assert_eq!((answer.status, answer.code()), (502, "UPSTREAM_ERROR"), "{answer:?}");
    world.stop().await;
}
