//! `GET /v1/info`: what a client may count on, and nothing that is not its business.

use std::path::Path;

use claude::version::capabilities::Feature;
use serde_json::{Value, json};

use crate::harness::TestServerBuilder;

#[tokio::test(flavor = "multi_thread")]
async fn it_says_versions_what_the_cli_can_do_and_what_a_request_may_ask_for() {
    let server = TestServerBuilder::fake()
        .set(|settings| {
            settings.models.allowed = vec!["claude-opus-4-8".into()];
            settings.models.default = Some("haiku".into());
        })
        .start()
        .await;
    let info = server.get("/v1/info").await;
    assert_eq!((info.status, &info.body["type"]), (200, &json!("info")));
    let info = info.body;
    assert_eq!(info["version"], server.get("/health").await.body["version"]);
    let cli = &info["cli"];
    assert_eq!((&cli["version"], &cli["status"]), (&json!("2.1.330"), &json!("tested")));
    assert_eq!((&cli["tested"], &cli["minimum"]), (&json!("2.1.330"), &json!("2.1.261")));
    let capabilities = cli["capabilities"].as_object().unwrap();
    assert_eq!(capabilities.len(), Feature::ALL.len());
    assert!(capabilities.values().all(|has| *has == json!(true)), "{capabilities:?}");
    let models = info["models"]["allowed"].as_array().unwrap();
    assert!(models.contains(&json!("sonnet")) && models.contains(&json!("claude-opus-4-8")), "{models:?}");
    assert_eq!(info["models"]["default"], "haiku");
    assert_eq!(
        (&info["isolation"], &info["profiles"]),
        (&json!({"layer": "none"}), &json!(["default", "bare", "restricted"]))
    );
    assert_eq!(info["permission_modes"]["default"], "acceptEdits");
    let may_bypass =
        |info: &Value| info["permission_modes"]["allowed"].as_array().unwrap().contains(&json!("bypassPermissions"));
    assert!(!may_bypass(&info), "the operator has not allowed it");
    assert_eq!(info["features"]["sealed_secrets"], false);
    server.stop().await;

    let server = TestServerBuilder::fake().set(|settings| settings.permissions.allow_bypass = true).start().await;
    assert!(may_bypass(&server.get("/v1/info").await.body));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_limits_are_those_that_a_request_meets() {
    let server = TestServerBuilder::fake().start().await;
    let limits = server.get("/v1/info").await.body["limits"].clone();
    let number = |name: &str| limits[name].as_u64().unwrap_or_else(|| panic!("{name}: {limits:#}"));
    let refused = async |body: Value| server.post("/v1/runs", &body).await.status == 400;
    let text = |length: u64| "x".repeat(usize::try_from(length).unwrap());
    assert!(refused(json!({"prompt": text(number("prompt_characters") + 1)})).await);
    assert!(!refused(json!({"prompt": text(number("prompt_characters"))})).await);
    assert!(refused(json!({"prompt": "x", "max_turns": number("max_turns") + 1})).await);
    assert!(!refused(json!({"prompt": "x", "max_turns": number("max_turns")})).await);
    let longest = limits["timeout_seconds"]["max"].as_u64().unwrap();
    assert!(refused(json!({"prompt": "x", "timeout_seconds": longest + 1})).await);
    assert!(!refused(json!({"prompt": "x", "timeout_seconds": longest})).await);
    let variables = |count: u64| -> Value {
        (0..count).map(|n| (format!("V{n}"), json!("x"))).collect::<serde_json::Map<_, _>>().into()
    };
    assert!(refused(json!({"prompt": "x", "env": variables(number("env") + 1)})).await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_for_every_key_and_for_nobody_else_and_names_no_path() {
    let server = TestServerBuilder::fake().start().await;
    let unknown = reqwest::get(server.url("/v1/info")).await.unwrap();
    assert_eq!(unknown.status(), 401);
    let least = server.holder(&json!({"name": "least", "scopes": ["ask"]})).await;
    let info = least.get("/v1/info").await;
    assert_eq!(info.status, 200, "{info:?}");
    for path in [server.folders.root(), Path::new(env!("CARGO_BIN_EXE_askd"))] {
        assert!(!info.body.to_string().contains(path.to_str().unwrap()), "{info:?}");
    }
    assert_eq!(server.get("/v1/info?verbose=1").await.status, 400);
    server.stop().await;
}
