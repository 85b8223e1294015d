//! `ETag`, `If-Match`, `If-None-Match`: nobody overwrites what he has not seen.

use serde_json::{Value, json};

use crate::harness::{TestServer, TestServerBuilder};

/// The same document on both surfaces.
const BOTH: [&str; 2] = ["/config/rules/a", "/v1/config/rules/a"];

async fn server() -> TestServer {
    TestServerBuilder::fake().start().await
}

fn text(text: &str) -> Value {
    json!({ "content": text })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_update_is_412_and_the_hint_says_what_is_there_now() {
    let server = server().await;
    let first = server.put("/v1/config/rules/a", &text("one")).await;
    let tag = first.etag().to_owned();
    for path in BOTH {
        assert_eq!(server.get(path).await.etag(), tag, "one tag for one content");
    }
    let second = server.put_if("/v1/config/rules/a", ("if-match", &tag), &text("two")).await;
    assert_eq!((second.status, second.etag() == tag), (200, false), "{second:?}");
    for path in BOTH {
        for late in [
            server.put_if(path, ("if-match", &tag), &text("three")).await,
            server.delete_if(path, ("if-match", &tag)).await,
        ] {
            assert_eq!(late.status, 412, "{late:?}");
            if path.starts_with("/v1") {
                assert_eq!(
                    (late.kind(), late.body["error"]["hint"].as_str().unwrap().contains(second.etag())),
                    ("conflict_error", true),
                    "{late:?}"
                );
            } else {
                assert_eq!((late.code(), late.message().contains(second.etag())), ("REQUEST_ERROR", true), "{late:?}");
            }
        }
    }
    assert_eq!(server.get("/config/rules/a").await.body["content"], "two");
    let gone = server.delete_if("/v1/config/rules/a", ("if-match", second.etag())).await;
    assert_eq!(gone.status, 204);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_ask_for_what_is_there_or_not_there() {
    let server = server().await;
    for path in BOTH {
        let missing = server.put_if(path, ("if-match", "*"), &text("x")).await;
        assert_eq!(missing.status, 412, "{missing:?}");
        let new = server.put_if(path, ("if-none-match", "*"), &text("x")).await;
        assert_eq!(new.status, 201, "{new:?}");
        let taken = server.put_if(path, ("if-none-match", "*"), &text("y")).await;
        assert_eq!(taken.status, 412, "{taken:?}");
        assert!(missing.message().contains("does not exist") && taken.message().contains("it exists"), "{taken:?}");
        let weak = format!("W/{}", new.etag());
        assert_eq!(server.put_if(path, ("if-match", &weak), &text("y")).await.status, 412, "a weak tag never matches");
        let list = format!("\"other\", {}", new.etag());
        assert_eq!(server.put_if(path, ("if-match", &list), &text("y")).await.status, 200);
        for header in [("if-match", "no-quotes"), ("if-match", "\"open"), ("if-none-match", "\"a\""), ("if-match", "")]
        {
            let malformed = server.put_if(path, header, &text("z")).await;
            assert_eq!(malformed.status, 400, "{header:?} {malformed:?}");
        }
        assert_eq!(server.delete_if(path, ("if-match", "*")).await.status, 204);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_it_already_gets_304_and_no_body() {
    let server =
        TestServerBuilder::fake().file("config/CLAUDE.md", "# Hi").file("config/rules/a.md", "x").start().await;
    for path in ["/config/rules/a", "/config/claude-md", "/v1/config", "/v1/config/rules/a", "/v1/config/export"] {
        let tag = server.get(path).await.etag().to_owned();
        for condition in [tag.clone(), format!("\"x\", W/{tag}"), "*".to_owned()] {
            let known = server.get_if(path, ("if-none-match", &condition)).await;
            assert_eq!((known.status, &known.body, known.etag()), (304, &json!(""), &*tag), "{path} {condition}");
        }
        assert_eq!(server.get_if(path, ("if-none-match", "\"other\"")).await.status, 200);
        assert_eq!(server.get_if(path, ("if-none-match", "other")).await.status, 400);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_by_hand_counts_like_any_other() {
    let server = server().await;
    let tag = server.put("/config/rules/a", &text("by the API")).await.etag().to_owned();
    server.folders.write("config/rules/a.md", "by hand");
    assert_eq!(server.put_if("/config/rules/a", ("if-match", &tag), &text("again")).await.status, 412);
    assert_eq!(server.get("/config/rules/a").await.body["content"], "by hand");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_and_files_have_tags_of_their_own() {
    let server = server().await;
    let entry = |url: &str| json!({"content": {"type": "http", "url": url}});
    let (one, other) = ("/v1/config/mcp-servers/one", "/v1/config/mcp-servers/other");
    let first = server.put(one, &entry("http://127.0.0.1:1/")).await;
    assert_eq!(first.status, 201, "{first:?}");
    assert_eq!(server.put_if(other, ("if-none-match", "*"), &entry("http://127.0.0.1:2/")).await.status, 201);
    // The other entry has changed the file, and not this one.
    let tag = first.etag().to_owned();
    let second = server.put_if(one, ("if-match", &tag), &entry("http://127.0.0.1:3/")).await;
    assert_eq!(second.status, 200, "{second:?}");
    assert_eq!(server.put_if(one, ("if-match", &tag), &entry("http://127.0.0.1:4/")).await.status, 412);
    assert_eq!(server.delete_if(one, ("if-match", &tag)).await.status, 412);
    let servers = &server.get("/v1/config/mcp-servers").await.body["content"];
    let servers: Value = serde_json::from_str(servers.as_str().unwrap()).unwrap();
    assert_eq!(servers["mcpServers"].as_object().unwrap().len(), 2);

    server.put("/v1/config/skills/s", &text("---\nname: s\ndescription: d\n---\nx")).await;
    let (a, b) = ("/v1/config/skills/s/files/a.txt", "/v1/config/skills/s/files/b.txt");
    let put = async |path: &str, condition: (&str, &str), bytes: &'static str| {
        let request = server.sending(reqwest::Method::PUT, path).header(condition.0, condition.1).body(bytes);
        request.send().await.unwrap()
    };
    let first = put(a, ("if-none-match", "*"), "1").await;
    assert_eq!(first.status(), 201);
    let tag = first.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(put(b, ("if-none-match", "*"), "1").await.status(), 201);
    let bare = tag.trim_matches('"');
    assert_eq!(put(a, ("if-match", bare), "1").await.status(), 200, "as bodies have it");
    assert_eq!(put(a, ("if-match", &tag), "2").await.status(), 200);
    assert_eq!(put(a, ("if-match", bare), "3").await.status(), 412);
    assert_eq!(put(a, ("if-match", &tag), "3").await.status(), 412);
    assert_eq!(put(a, ("if-none-match", "*"), "3").await.status(), 412);
    assert_eq!(server.get(a).await.body, json!(2));
    server.stop().await;
}
