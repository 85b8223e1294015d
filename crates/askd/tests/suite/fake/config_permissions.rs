//! Who may read and change the configuration.

use askd::settings::ConfigChanges;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, TestServer, TestServerBuilder};

/// Every route about configuration.
const ROUTES: [(&str, &str); 40] = [
    ("GET", "/config/agents"),
    ("GET", "/config/agents/a"),
    ("PUT", "/config/agents/a"),
    ("DELETE", "/config/agents/a"),
    ("GET", "/config/skills"),
    ("PUT", "/config/skills/a"),
    ("GET", "/config/rules"),
    ("PUT", "/config/rules/a"),
    ("GET", "/config/claude-md"),
    ("PUT", "/config/claude-md"),
    ("GET", "/v1/config"),
    ("GET", "/v1/config/agents"),
    ("GET", "/v1/config/agents/a"),
    ("PUT", "/v1/config/agents/a"),
    ("DELETE", "/v1/config/agents/a"),
    ("GET", "/v1/config/rules/a/b"),
    ("PUT", "/v1/config/rules/a/b"),
    ("DELETE", "/v1/config/commands/a/b"),
    ("PUT", "/v1/config/output-styles/a"),
    ("GET", "/v1/config/claude-md"),
    ("GET", "/v1/config/settings"),
    ("PUT", "/v1/config/settings"),
    ("DELETE", "/v1/config/settings"),
    ("GET", "/v1/config/policy"),
    ("PUT", "/v1/config/policy"),
    ("GET", "/v1/config/mcp-servers"),
    ("PUT", "/v1/config/mcp-servers"),
    ("GET", "/v1/config/mcp-servers/a"),
    ("PUT", "/v1/config/mcp-servers/a"),
    ("DELETE", "/v1/config/mcp-servers/a"),
    ("GET", "/v1/config/skills/a/files/b/c"),
    ("PUT", "/v1/config/skills/a/files/b/c"),
    ("DELETE", "/v1/config/skills/a/files/b/c"),
    ("POST", "/v1/config/validate"),
    ("GET", "/v1/config/history"),
    ("GET", "/v1/config/history/cfg_00000000-0000-7000-8000-000000000000"),
    ("GET", "/v1/config/history/cfg_00000000-0000-7000-8000-000000000000/diff"),
    ("POST", "/v1/config/history/cfg_00000000-0000-7000-8000-000000000000/restore"),
    ("GET", "/v1/config/export"),
    ("POST", "/v1/config/import"),
];

async fn server(changes: ConfigChanges) -> TestServer {
    let server = TestServerBuilder::fake().set(|settings| settings.auth.config_changes = changes);
    server
        .file("config/rules/a.md", "A rule.")
        .file("config/settings.json", r#"{"env": {"TOKEN": "of-a-service"}}"#)
        .file("config/.mcp.json", r#"{"mcpServers": {"m": {"type": "http", "url": "http://127.0.0.1:1/"}}}"#)
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_opens_without_the_key_nor_with_a_runs_token() {
    let server = TestServerBuilder::fake().start().await;
    let run = server.run(json!({"prompt": "x"})).await["id"].as_str().unwrap().to_owned();
    let token = server.post(&format!("/v1/runs/{run}/stream-token"), &json!({})).await.body;
    let token = token["token"].as_str().unwrap();
    for (method, path) in ROUTES {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let bare = server.client.request(method.clone(), server.url(path));
        let wrong = bare.try_clone().unwrap().header("x-api-key", "wrong");
        let by_token = server.client.request(method.clone(), server.url(&format!("{path}?token={token}")));
        let as_key = bare.try_clone().unwrap().header("x-api-key", token);
        for request in [bare, wrong, by_token, as_key] {
            let answer = Answer::by(request.json(&json!({"content": "x"}))).await;
            assert_eq!(answer.status, 401, "{method} {path} {answer:?}");
            assert_eq!(answer.header("allow"), None, "nobody learns which routes there are: {method} {path}");
        }
        // The table is of routes that there are.
        let answer = Answer::by(server.sending(method.clone(), path)).await;
        assert_ne!(answer.status, 405, "{method} {path}");
        assert!(!answer.message().contains("there is no route"), "{method} {path}: {answer:?}");
    }
    server.stop().await;
}

fn archive(path: &str, text: &str) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, path, text.as_bytes()).unwrap();
    archive.into_inner().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_may_be_changed_where_what_executes_may_not() {
    let server = server(ConfigChanges::Texts).await;
    assert_eq!(server.put("/v1/config/rules/b", &json!({"content": "x"})).await.status, 201);
    assert_eq!(server.put("/config/claude-md", &json!({"content": "x"})).await.status, 200);
    let agent = "---\nname: a\ndescription: d\n---\nx";
    assert_eq!(server.put("/config/agents/a", &json!({"content": agent})).await.status, 201);

    let hooked = "---\nname: h\ndescription: d\nhooks:\n  PreToolUse:\n    - hooks:\n        - type: command\n          command: id\n---\nx";
    let skill = "---\nname: s\ndescription: d\n---\nx";
    for (path, content) in [
        ("/v1/config/agents/h", json!(hooked)),
        ("/v1/config/skills/s", json!(skill)),
        ("/v1/config/commands/c", json!("x")),
        ("/v1/config/settings", json!({"model": "opus"})),
        ("/v1/config/mcp-servers/n", json!({"type": "http", "url": "http://127.0.0.1:1/"})),
        ("/v1/config/mcp-servers", json!({"mcpServers": {}})),
    ] {
        let refused = server.put(path, &json!({ "content": content })).await;
        assert_eq!((refused.status, refused.kind()), (403, "permission_error"), "{path} {refused:?}");
        assert!(refused.body["error"]["hint"].as_str().unwrap().contains("ASKD_CONFIG_CHANGES"), "{refused:?}");
    }
    let legacy = server.put("/config/skills/s", &json!({"content": skill})).await;
    assert_eq!((legacy.status, legacy.code()), (403, "FORBIDDEN"), "{legacy:?}");
    for path in ["/v1/config/settings", "/v1/config/mcp-servers"] {
        assert_eq!(server.delete(path).await.status, 403, "{path}");
    }
    let import = async |path: &str, text: &str| {
        let request = server.posting("/v1/config/import").header("content-type", "application/x-tar");
        Answer::by(request.body(archive(path, text))).await
    };
    assert_eq!(import("rules/c.md", "x").await.status, 200);
    let refused = import("skills/s/SKILL.md", skill).await;
    assert_eq!((refused.status, refused.kind()), (403, "permission_error"), "{refused:?}");
    assert_eq!(server.folders.list("config"), [".mcp.json", "CLAUDE.md", "agents", "rules", "settings.json"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_may_be_changed_texts_are_still_read_and_secrets_are_not() {
    let server = server(ConfigChanges::None).await;
    for path in ["/config/rules/a", "/v1/config", "/v1/config/rules/a", "/v1/config/rules", "/v1/config/history"] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
    for path in ["/v1/config/settings", "/v1/config/mcp-servers", "/v1/config/mcp-servers/m", "/v1/config/export"] {
        let refused = server.get(path).await;
        assert_eq!((refused.status, refused.kind()), (403, "permission_error"), "{path} {refused:?}");
        assert!(!refused.body.to_string().contains("of-a-service"));
    }
    for (method, path) in ROUTES.into_iter().filter(|(method, path)| *method != "GET" && !path.contains("/validate")) {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = server.sending(method.clone(), path).json(&json!({"content": "x"}));
        let refused = Answer::by(request).await;
        assert_eq!(refused.status, 403, "{method} {path} {refused:?}");
    }
    let tried = server.post("/v1/config/validate", &json!({"kind": "rules", "content": "x"})).await;
    assert_eq!((tried.status, &tried.body["valid"]), (200, &json!(true)), "trying is not changing");
    assert_eq!(server.folders.list("config/rules"), ["a.md"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_and_skills_that_may_hold_secrets_are_read_only_with_the_permission_for_that() {
    const AGENT: &str =
        "---\nname: a\ndescription: d\nmcpServers:\n  - s: {command: x, env: {TOKEN: of-a-service}}\n---\nx";
    const SKILL: &str = "---\nname: s\ndescription: d\nhooks:\n  Stop:\n    - hooks:\n        - {type: command, command: of-a-service}\n---\nx";
    const PLAIN: &str = "---\nname: p\ndescription: d\n---\nx";
    let files = [
        ("config/agents/a.md", AGENT),
        ("config/agents/broken.md", "---\nmcpServers: {TOKEN: of-a-service\n---\n"),
        ("config/agents/p.md", PLAIN),
        ("config/skills/s/SKILL.md", SKILL),
    ];
    let builder = || files.iter().fold(TestServerBuilder::fake(), |builder, (file, text)| builder.file(file, text));
    let paths = [
        ("/config/agents/a", false),
        ("/v1/config/agents/a", false),
        ("/config/agents/broken", false),
        ("/v1/config/agents/broken", false),
        ("/config/skills/s", false),
        ("/v1/config/skills/s?contents", false),
        ("/v1/config/skills/s/files/SKILL.md", false),
        ("/config/agents/p", true),
        ("/v1/config/agents/p", true),
        ("/v1/config/agents", true),
        ("/config/agents", true),
    ];
    let open = builder().start().await;
    for (path, _) in paths {
        assert_eq!(open.get(path).await.status, 200, "{path}");
    }
    open.stop().await;
    for changes in [ConfigChanges::Texts, ConfigChanges::None] {
        let server = builder().set(move |settings| settings.auth.config_changes = changes).start().await;
        for (path, shown) in paths {
            let answer = server.get(path).await;
            assert_eq!(answer.status, if shown { 200 } else { 403 }, "{path} {answer:?}");
            assert!(!answer.body.to_string().contains("of-a-service"), "{path} {answer:?}");
        }
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_document_once_held_is_as_secret_in_the_history() {
    const PLAIN: &str = "---\nname: a\ndescription: d\n---\nx";
    const HOOKED: &str = "---\nname: a\ndescription: d\nhooks: {}\n---\nof-a-service";
    let server = server(ConfigChanges::Texts).await;
    assert_eq!(server.put("/v1/config/agents/a", &json!({"content": PLAIN})).await.status, 201);
    let id = server.get("/v1/config/history?kind=agents&name=a").await.body["data"][0]["id"].clone();
    let id = id.as_str().unwrap();
    server.folders.write("config/agents/a.md", HOOKED);
    let seen = server.get("/v1/config/history?kind=agents&name=a").await;
    let by_hand = seen.body["data"][0]["id"].as_str().unwrap();
    assert_eq!(seen.body["data"].as_array().unwrap().len(), 2, "{seen:?}");
    for (path, status) in [
        (format!("/v1/config/history/{id}"), 200),
        (format!("/v1/config/history/{id}/diff?to=current"), 403),
        (format!("/v1/config/history/{id}/diff?to={by_hand}"), 403),
        (format!("/v1/config/history/{by_hand}"), 403),
        (format!("/v1/config/history/{by_hand}/diff"), 403),
    ] {
        let answer = server.get(&path).await;
        assert_eq!(answer.status, status, "{path} {answer:?}");
        assert!(!answer.body.to_string().contains("of-a-service"), "{path} {answer:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_change_that_removed_a_secret_does_not_tell_it() {
    const HOOKED: &str = "---\nname: a\ndescription: d\nhooks: {}\n---\nof-a-service";
    const PLAIN: &str = "---\nname: a\ndescription: d\n---\nx";
    let server = server(ConfigChanges::Texts).await;
    assert_eq!(server.put("/v1/config/agents/a", &json!({"content": PLAIN})).await.status, 201);
    let mut ids = Vec::new();
    for text in [HOOKED, PLAIN] {
        server.folders.write("config/agents/a.md", text);
        let seen = server.get("/v1/config/history?kind=agents&name=a").await.body;
        ids.push(seen["data"][0]["id"].as_str().unwrap().to_owned());
    }
    assert_ne!(ids[0], ids[1]);
    let removed = &ids[1];
    for (path, status) in [
        (format!("/v1/config/history/{removed}"), 200),
        (format!("/v1/config/history/{removed}/diff?to=current"), 200),
        (format!("/v1/config/history/{removed}/diff"), 403),
    ] {
        let answer = server.get(&path).await;
        assert_eq!(answer.status, status, "{path} {answer:?}");
        assert!(!answer.body.to_string().contains("of-a-service"), "{path} {answer:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_sets_what_names_a_program_or_redirects_the_model() {
    let server = server(ConfigChanges::All).await;
    let put = async |content: Value| server.put("/v1/config/settings", &json!({ "content": content })).await;
    for (settings, key) in [
        (json!({"apiKeyHelper": "id"}), "apiKeyHelper"),
        (json!({"awsAuthRefresh": "id"}), "awsAuthRefresh"),
        (json!({"otelHeadersHelper": "id"}), "otelHeadersHelper"),
        (json!({"statusLine": {"type": "command", "command": "id"}}), "statusLine"),
        (json!({"env": {"ANTHROPIC_BASE_URL": "http://127.0.0.1:1"}}), "ANTHROPIC_BASE_URL"),
        (json!({"env": {"LD_PRELOAD": "/x.so"}}), "LD_PRELOAD"),
        (json!({"env": {"PATH": "/x"}}), "PATH"),
    ] {
        let refused = put(settings).await;
        assert_eq!((refused.status, refused.kind()), (403, "permission_error"), "{key} {refused:?}");
        assert!(refused.message().contains(key), "{key} {refused:?}");
    }
    assert_eq!(put(json!({"env": {"TEAM": "blue"}})).await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_has_written_may_stay_as_it_is() {
    let server = TestServerBuilder::fake().file("config/settings.json", r#"{"apiKeyHelper": "by-hand"}"#).start().await;
    let put = async |content: Value| server.put("/v1/config/settings", &json!({ "content": content })).await.status;
    assert_eq!(put(json!({"apiKeyHelper": "by-hand", "model": "opus"})).await, 200);
    assert_eq!(put(json!({"apiKeyHelper": "another", "model": "opus"})).await, 403);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_own_secrets_do_not_come_into_any_document() {
    let key = "sk-ant-the-operators-own-key";
    let server = TestServerBuilder::fake()
        .set(|settings| settings.credentials.anthropic_api_key = Some(key.to_owned().into()))
        .start()
        .await;
    for secret in [askd::settings::Settings::TEST_API_KEY, key] {
        for (path, content) in [
            ("/v1/config/rules/a", json!(format!("Use the key {secret}."))),
            ("/v1/config/claude-md", json!(secret)),
            ("/v1/config/settings", json!({"env": {"TOKEN": secret}})),
            (
                "/v1/config/mcp-servers/m",
                json!({"type": "http", "url": "http://127.0.0.1:1/", "headers": {"x": secret}}),
            ),
        ] {
            let refused = server.put(path, &json!({ "content": content })).await;
            assert_eq!((refused.status, refused.kind()), (400, "invalid_request_error"), "{path} {refused:?}");
            assert!(refused.message().contains("secret") && !refused.body.to_string().contains(secret), "{refused:?}");
        }
        let legacy = server.put("/config/rules/a", &json!({ "content": secret })).await;
        assert_eq!((legacy.status, legacy.code()), (400, "REQUEST_ERROR"), "{legacy:?}");
    }
    assert_eq!(server.folders.list("config"), [""; 0]);
    server.stop().await;
}
