//! A key that is revoked or changed between the head of a request and the end of its body.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Holder, RawClient, TestServer, TestServerBuilder, eventually_async};

async fn server() -> TestServer {
    TestServerBuilder::fake().file("workspace/a/.keep", "").file("config/skills/s/SKILL.md", "A skill.").start().await
}

/// A request whose head was let in, and whose body is asked for.
async fn begun(server: &TestServer, holder: &Holder, method: &str, path: &str, body: &str) -> RawClient {
    let (token, length) = (&holder.token, body.len());
    let mut client = RawClient::connect(server.address).await;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nx-api-key: {token}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\nconnection: close\r\nexpect: 100-continue\r\n\r\n"
    );
    client.send(&head).await;
    client.until("100 Continue").await;
    client
}

/// Sends the body; the whole answer.
async fn finished(mut client: RawClient, body: &str) -> String {
    client.send(body).await;
    client.rest().await
}

async fn change(server: &TestServer, holder: &Holder, tail: &str, body: Value) {
    let method = if tail.is_empty() { Method::PATCH } else { Method::POST };
    let request = server.sending(method, &format!("/v1/keys/{}{tail}", holder.id)).json(&body);
    let changed = Answer::by(request).await;
    assert_eq!(changed.status, 200, "{changed:?}");
}

const PROMPT: &str = r#"{"prompt": "!touch begun"}"#;
const TEXT: &str = r#"{"content": "x"}"#;
const NEW_KEY: &str = r#"{"name": "stolen", "scopes": ["admin"]}"#;

/// Everything that is done after a body.
const ACTS: [(&str, &str, &str); 11] = [
    ("POST", "/ask", PROMPT),
    ("POST", "/v1/runs", PROMPT),
    ("PUT", "/config/rules/a", TEXT),
    ("PUT", "/v1/config/rules/a", TEXT),
    ("PUT", "/v1/config/skills/s/files/a.txt", TEXT),
    ("PUT", "/v1/config/mcp-servers/m", r#"{"content": {"type": "http", "url": "http://127.0.0.1:1/"}}"#),
    ("POST", "/v1/keys", NEW_KEY),
    ("PATCH", "/v1/keys/OTHER", r#"{"name": "mine", "scopes": ["admin"]}"#),
    ("POST", "/v1/keys/OTHER/rotate", r#"{"overlap_seconds": 0}"#),
    ("POST", "/v1/keys/OTHER/revoke", r#"{"runs": "cancel"}"#),
    ("POST", "/v1/runs/RUN/input", r#"{"message": "go on"}"#),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_counts_no_more_when_the_body_is_there_does_nothing() {
    let server = server().await;
    let other = server.user(json!({})).await;
    let run = other.submit(json!({"prompt": "!touch there\n!await go"})).await;
    server.reached("there").await;
    let everything = json!(["ask", "runs:read", "runs:write", "config:read", "config:write", "config:exec", "admin"]);
    let ends: [(&str, Value, u16, &str); 3] = [
        ("/revoke", json!({}), 401, "was revoked"),
        ("/rotate", json!({"overlap_seconds": 0}), 401, "not valid"),
        ("", json!({"scopes": ["usage:read"]}), 403, "this needs the scope"),
    ];
    for (tail, body, status, why) in ends {
        for (method, path, sent) in ACTS {
            let path = path.replace("OTHER", &other.id).replace("RUN", &run);
            let holder = server.holder(&json!({"name": "h", "scopes": everything})).await;
            let client = begun(&server, &holder, method, &path, sent).await;
            change(&server, &holder, tail, body.clone()).await;
            let answer = finished(client, sent).await;
            let expected = format!("HTTP/1.1 {status} ");
            assert!(answer.starts_with(&expected) && answer.contains(why), "{method} {path} {tail}: {answer}");
        }
    }
    assert_eq!(server.get("/v1/config/rules/a").await.status, 404);
    assert_eq!(server.get("/v1/config/skills/s/files/a.txt").await.status, 404);
    assert!(!server.get("/v1/keys?limit=200").await.body.to_string().contains("stolen"));
    assert!(!server.folders.workspace().join("begun").exists());
    let kept = other.get("/v1/keys/self").await;
    assert_eq!((kept.status, &kept.body["name"]), (200, &json!("user")), "{kept:?}");
    let refused = eventually_async("an entry of each, which are noted in the background", async || {
        let refused = server.get("/v1/audit?action=request.refused&limit=200").await.body;
        (refused["data"].as_array().unwrap().len() >= 3 * ACTS.len()).then_some(refused)
    })
    .await;
    assert_eq!(refused["data"].as_array().unwrap().len(), 3 * ACTS.len(), "{refused}");
    server.release("go");
    assert_eq!(server.ended(&run).await["state"], "completed");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_binds_as_it_is_when_the_body_is_there() {
    let server = server().await;
    let narrow = json!({"policy": {"workspaces": ["a"]}});
    for (method, path, sent, status, why) in [
        ("POST", "/ask", PROMPT, 403, "workspace"),
        ("POST", "/v1/runs", PROMPT, 403, "workspace"),
        ("PUT", "/config/rules/a", TEXT, 409, "send the request again"),
        ("PUT", "/v1/config/rules/a", TEXT, 409, "send the request again"),
        ("PUT", "/v1/config/skills/s/files/a.txt", TEXT, 409, "send the request again"),
    ] {
        let holder = server.user(json!({})).await;
        let client = begun(&server, &holder, method, path, sent).await;
        change(&server, &holder, "", narrow.clone()).await;
        let answer = finished(client, sent).await;
        let expected = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&expected) && answer.contains(why), "{method} {path}: {answer}");
    }
    assert_eq!(server.get("/v1/config/rules/a").await.status, 404);
    assert!(!server.folders.workspace().join("begun").exists());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_only_called_otherwise_goes_on() {
    let server = server().await;
    let holder = server.user(json!({})).await;
    let client = begun(&server, &holder, "PUT", "/v1/config/rules/a", TEXT).await;
    change(&server, &holder, "", json!({"name": "new"})).await;
    let answer = finished(client, TEXT).await;
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    server.stop().await;
}
