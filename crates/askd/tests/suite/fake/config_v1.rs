//! `/v1/config`: documents of every kind, in both scopes.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, TestServer, TestServerBuilder};

async fn server() -> TestServer {
    TestServerBuilder::fake().start().await
}

/// Without what changes from test to test.
fn steady(mut body: Value) -> String {
    for field in ["modified_at", "change", "at", "id", "request_id"] {
        if body.get(field).is_some_and(|value| !value.is_null()) {
            body[field] = json!("…");
        }
    }
    body.to_string()
}

fn shown(answer: Answer) -> String {
    format!("{} {}", answer.status, steady(answer.body))
}

const SKILL: &str = "---\nname: lookup\ndescription: Looks up.\n---\nRun run.sh.\n";

/// Every kind with a name for it, a content, and its file in a scope's folder.
fn documents() -> [(&'static str, Value, &'static str); 9] {
    let agent = "---\nname: a\ndescription: An agent.\n---\nYou help.\n";
    [
        ("agents/a", json!(agent), "agents/a.md"),
        ("skills/lookup", json!(SKILL), "skills/lookup/SKILL.md"),
        ("rules/team/rust/style", json!("Prefer tabs.\n"), "rules/team/rust/style.md"),
        ("commands/git/sum-up", json!("---\ndescription: Sums up.\n---\nSum up.\n"), "commands/git/sum-up.md"),
        (
            "output-styles/terse",
            json!("---\nname: terse\ndescription: Few words.\n---\nBe brief.\n"),
            "output-styles/terse.md",
        ),
        ("claude-md", json!("# The house\n"), "CLAUDE.md"),
        ("settings", json!({"permissions": {"deny": ["WebFetch"]}}), "settings.json"),
        ("mcp-servers", json!({"mcpServers": {"m": {"type": "http", "url": "http://127.0.0.1:1/"}}}), ".mcp.json"),
        ("policy", json!(askd::guard::Policy::default_text()), "askd-policy.json"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_is_put_read_and_deleted_in_both_scopes() {
    let server = TestServerBuilder::fake().file("workspace/shop/README", "x").start().await;
    for (document, content, file) in documents() {
        for (query, folder) in [("", "config"), ("?workspace=shop", "workspace/shop")] {
            if document == "policy" && !query.is_empty() {
                continue;
            }
            let path = format!("/v1/config/{document}{query}");
            let dot_claude = !query.is_empty() && !matches!(file, "CLAUDE.md" | ".mcp.json");
            let file = server.folders.root().join(folder).join(if dot_claude { ".claude" } else { "" }).join(file);
            // There always is a policy.
            let before = if document == "policy" { 200 } else { 404 };
            assert_eq!((server.get(&path).await.status, server.delete(&path).await.status), (before, 404), "{path}");
            let put = server.put(&path, &json!({ "content": content })).await;
            assert_eq!((put.status, &put.body["outcome"]), (201, &json!("created")), "{path} {put:?}");
            assert!(file.is_file(), "{}", file.display());
            let again = server.put(&path, &json!({ "content": content })).await;
            assert_eq!(
                (again.status, &again.body["outcome"], &again.body["change"]),
                (200, &json!("unchanged"), &Value::Null)
            );
            let got = server.get(&path).await;
            assert_eq!((got.status, got.etag()), (200, put.etag()), "{path}");
            assert_eq!(got.body["workspace"], if query.is_empty() { Value::Null } else { json!("shop") });
            let text = got.body["content"].as_str().unwrap();
            match &content {
                Value::String(content) => assert_eq!(text, content),
                object => assert_eq!(&serde_json::from_str::<Value>(text).unwrap(), object),
            }
            assert_eq!(server.delete(&path).await.status, 204, "{path}");
            assert_eq!((server.get(&path).await.status, file.exists()), (before, false), "{path}");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_and_lists_look_like_this() {
    let server = server().await;
    let (agents, path) = ("/v1/config/agents", "/v1/config/agents/a");
    let agent = "---\nname: a\ndescription: An agent.\n---\nYou help.\n";
    insta::assert_snapshot!(shown(server.put(path, &json!({ "content": agent })).await), @r#"201 {"change":"…","etag":"f94ad375953795fc9c57174b8f5b9e7cbf0203361d30a463819a97a1c0b6dc8d","kind":"agents","name":"a","outcome":"created","type":"config_written","warnings":[],"workspace":null}"#);
    insta::assert_snapshot!(shown(server.get(path).await), @r#"200 {"content":"---\nname: a\ndescription: An agent.\n---\nYou help.\n","description":"An agent.","errors":[],"etag":"f94ad375953795fc9c57174b8f5b9e7cbf0203361d30a463819a97a1c0b6dc8d","executes":[],"kind":"agents","modified_at":"…","name":"a","size":49,"type":"config_document","valid":true,"warnings":[],"workspace":null}"#);
    let mut list = server.get(agents).await.body;
    list["data"][0]["modified_at"] = json!("…");
    insta::assert_snapshot!(list, @r#"{"data":[{"description":"An agent.","etag":"f94ad375953795fc9c57174b8f5b9e7cbf0203361d30a463819a97a1c0b6dc8d","executable":false,"kind":"agents","modified_at":"…","name":"a","size":49,"type":"config_entry","valid":true,"workspace":null}],"next_page":null}"#);
    let mut skill = server
        .put(
            "/v1/config/skills/lookup",
            &json!({"content": SKILL, "files": [
        {"path": "run.sh", "content": "#!/bin/sh\necho 7\n", "executable": true},
        {"path": "data/table.bin", "content_base64": "AP8="}]}),
        )
        .await
        .body;
    skill["change"] = json!("…");
    insta::assert_snapshot!(skill, @r#"{"change":"…","etag":"f5be7d875bbbd3079c570d19a93f615a6d9ed94110b2d7cfa8e4fe01839338c1","kind":"skills","name":"lookup","outcome":"created","type":"config_written","warnings":[],"workspace":null}"#);
    insta::assert_snapshot!(steady(server.get("/v1/config/skills/lookup?contents").await.body), @r##"{"content":"---\nname: lookup\ndescription: Looks up.\n---\nRun run.sh.\n","description":"Looks up.","errors":[],"etag":"f5be7d875bbbd3079c570d19a93f615a6d9ed94110b2d7cfa8e4fe01839338c1","executes":["its text can run commands, and its frontmatter can grant tools and hold hooks","run.sh is executable"],"files":[{"content":"---\nname: lookup\ndescription: Looks up.\n---\nRun run.sh.\n","etag":"bf2c890569270a1b45e959fd13d974b4b5be2b0947837ff3231ee11aea03a1b6","executable":false,"path":"SKILL.md","size":56},{"content_base64":"AP8=","etag":"ae974d4a74c2371d8cfe842b7aa4f6698de8570526eeb3db1941b0b72311d470","executable":false,"path":"data/table.bin","size":2},{"content":"#!/bin/sh\necho 7\n","etag":"c1df652f38d5528dd3a44c49b07ddb5f11f55ac2562a171db1b1fff220000737","executable":true,"path":"run.sh","size":17}],"kind":"skills","modified_at":"…","name":"lookup","size":75,"type":"config_document","valid":true,"warnings":[],"workspace":null}"##);
    insta::assert_snapshot!(steady(server.get("/v1/config").await.body), @r#"{"documents":{"agents":1,"claude-md":0,"commands":0,"mcp-servers":0,"output-styles":0,"policy":0,"rules":0,"settings":0,"skills":1},"etag":"0136048b9b341d0c19a0c6a6e3dd4d5f1007b11d9d0a996c23abda3e0c5623b7","read_only_reason":null,"size":124,"type":"config","workspace":null,"writable":true}"#);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_page_by_page_and_names_may_hold_folders() {
    let server = server().await;
    let names = ["a", "b/a", "b/c/d", "e"];
    for name in names {
        assert_eq!(server.put(&format!("/v1/config/rules/{name}"), &json!({"content": "x"})).await.status, 201);
    }
    let (mut seen, mut query) = (Vec::new(), "limit=3".to_owned());
    loop {
        let page = server.get(&format!("/v1/config/rules?{query}")).await.body;
        let entries = page["data"].as_array().unwrap();
        seen.extend(entries.iter().map(|entry| entry["name"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_page"].as_str() else { break };
        query = format!("limit=3&page={next}");
    }
    assert_eq!(seen, names);
    for (query, param) in
        [("limit=0", "limit"), ("page=../x", "page"), ("colour=red", "colour"), ("workspace=..", "workspace")]
    {
        let wrong = server.get(&format!("/v1/config/rules?{query}")).await;
        assert_eq!((wrong.status, wrong.param()), (400, param), "{wrong:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skill_has_all_its_files() {
    let server = server().await;
    let files = json!([{"path": "run.sh", "content": "#!/bin/sh\n", "executable": true}, {"path": "doc/a.txt", "content": "a"}]);
    let put = server.put("/v1/config/skills/lookup", &json!({"content": SKILL, "files": files})).await;
    assert_eq!(put.status, 201, "{put:?}");
    let folder = server.folders.config().join("skills/lookup");
    let mode = |file: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        folder.join(file).metadata().unwrap().permissions().mode() & 0o111
    };
    assert!(mode("run.sh") != 0 && mode("doc/a.txt") == 0);

    // Single files, as bytes.
    let url = "/v1/config/skills/lookup/files/tool";
    let sent = server.sending(Method::PUT, url).header("x-askd-executable", "true").body(vec![0, 255, 10]);
    let answer = Answer::by(sent).await;
    assert_eq!((answer.status, &answer.body["outcome"]), (201, &json!("created")), "{answer:?}");
    assert_eq!(format!("\"{}\"", answer.body["etag"].as_str().unwrap()), answer.etag(), "the file's, as in the header");
    let whole = server.get("/v1/config/skills/lookup").await;
    assert_eq!(answer.body["document_etag"], whole.body["etag"]);
    let got = server.getting(url).send().await.unwrap();
    let header = |name: &str| got.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(
        (header("x-askd-executable"), header("content-type")),
        ("true".into(), "application/octet-stream".into())
    );
    assert_eq!(got.bytes().await.unwrap(), [0, 255, 10][..]);
    assert_ne!(mode("tool"), 0);

    // The text alone leaves the files, a whole skill replaces them.
    server.put("/v1/config/skills/lookup", &json!({"content": SKILL.replace("run.sh", "tool")})).await;
    assert_eq!(server.folders.list("config/skills/lookup"), ["SKILL.md", "doc", "run.sh", "tool"]);
    assert_eq!(server.delete(url).await.status, 204);
    assert_eq!((server.delete(url).await.status, server.get(url).await.status), (404, 404));
    let put = server.put("/v1/config/skills/lookup", &json!({"content": SKILL, "files": []})).await;
    assert_eq!(put.status, 200, "{put:?}");
    assert_eq!(server.folders.list("config/skills/lookup"), ["SKILL.md"]);
    assert_eq!(server.delete("/v1/config/skills/lookup/files/SKILL.md").await.status, 400, "a skill has its text");
    assert_eq!(server.delete("/v1/config/skills/lookup").await.status, 204);
    assert_eq!(server.folders.list("config/skills"), [""; 0]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_of_files_lead_nowhere_else() {
    let server = TestServerBuilder::fake().file("secret", "secret").start().await;
    server.put("/v1/config/skills/s", &json!({"content": SKILL})).await;
    let long = "a".repeat(2000);
    let deep = "a/".repeat(500) + "a";
    for path in [
        "%2e%2e/secret",
        "..%2fsecret",
        "a/%2e%2e/b",
        "a//b",
        "%2fetc%2fpasswd",
        "a%00",
        "a%5cb",
        "%ff",
        &long,
        &deep,
        "a/",
    ] {
        let url = format!("/v1/config/skills/s/files/{path}");
        for method in ["GET", "PUT", "DELETE"] {
            let (status, answer) = server.raw(method, &url, "x").await;
            assert!((400..500).contains(&status), "{method} {path}: {answer}");
        }
    }
    for path in ["../secret", "/etc/passwd", "a/../../b", "", "a\0b", "a\\b", ".", &deep] {
        let files = json!([{"path": path, "content": "x"}]);
        let answer = server.put("/v1/config/skills/t", &json!({"content": SKILL, "files": files})).await;
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
    }
    assert_eq!(server.folders.list("config/skills"), ["s"]);
    assert_eq!(server.folders.list("config/skills/s"), ["SKILL.md"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_of_many_is_put_and_taken_away() {
    let server = server().await;
    let path = "/v1/config/mcp-servers/search";
    assert_eq!(server.get(path).await.status, 404);
    let entry = json!({"command": "true", "args": ["-x"]});
    insta::assert_snapshot!(shown(server.put(path, &json!({ "content": entry })).await), @r#"201 {"change":"…","etag":"c60f36b5029c5114f351308aa153924249f5d1793fd3b35bf67c7057537d4d6d","kind":"mcp-servers","name":"search","outcome":"created","type":"config_written","warnings":[],"workspace":null}"#);
    insta::assert_snapshot!(shown(server.get(path).await), @r#"200 {"content":{"args":["-x"],"command":"true"},"etag":"c60f36b5029c5114f351308aa153924249f5d1793fd3b35bf67c7057537d4d6d","name":"search","type":"config_mcp_server","workspace":null}"#);
    let same = server.put(path, &json!({ "content": entry })).await;
    assert_eq!((same.status, &same.body["outcome"]), (200, &json!("unchanged")), "{same:?}");
    let bad = server.put("/v1/config/mcp-servers/bad", &json!({"content": {"command": 7}})).await;
    assert_eq!((bad.status, bad.kind()), (400, "invalid_request_error"), "what the CLI would skip: {bad:?}");
    for name in ["a%20b", "a%2Fb", "..%2Fa", "a.b", &"x".repeat(65)] {
        assert_eq!(
            server.put(&format!("/v1/config/mcp-servers/{name}"), &json!({ "content": entry })).await.status,
            400,
            "{name}"
        );
    }
    assert_eq!(server.delete(path).await.status, 204);
    assert_eq!((server.delete(path).await.status, server.get(path).await.status), (404, 404));
    server.folders.write("config/.mcp.json", "no JSON");
    let broken = server.put(path, &json!({ "content": entry })).await;
    assert_eq!((broken.status, broken.kind()), (409, "conflict_error"), "{broken:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_cli_would_skip_is_refused_with_every_problem() {
    let server = server().await;
    let answer = server.put("/v1/config/agents/a", &json!({"content": "---\nname: a\n---\nx"})).await;
    assert_eq!((answer.status, answer.kind(), answer.param()), (400, "invalid_request_error", "content"));
    assert!(answer.body["error"]["problems"][0]["message"].is_string(), "{answer:?}");
    let wrong = json!({"permissions": {"deny": "Bash", "allow": [1]}});
    let answer = server.put("/v1/config/settings", &json!({ "content": wrong })).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    let problems = answer.body["error"]["problems"].as_array().unwrap();
    assert!(problems.len() >= 2 && problems.iter().all(|problem| problem["line"].is_u64()), "{problems:?}");
    let odd = server.put("/v1/config/settings", &json!({"content": {"unheardOf": 1}})).await;
    assert_eq!(odd.status, 201, "{odd:?}");
    assert!(odd.body["warnings"][0]["message"].is_string(), "{odd:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_tried_without_being_put() {
    let server = TestServerBuilder::fake().file("config/agents/broken.md", "---\nname: [\n---\n").start().await;
    let tried = async |body: Value| server.post("/v1/config/validate", &body).await;
    let good = tried(json!({"kind": "rules", "content": "x"})).await;
    assert_eq!((good.status, &good.body["valid"]), (200, &json!(true)), "{good:?}");
    let bad = tried(json!({"kind": "agents", "name": "a", "content": "x"})).await;
    assert_eq!((bad.status, &bad.body["valid"]), (200, &json!(false)));
    assert!(bad.body["errors"][0]["message"].is_string(), "{bad:?}");
    let skill = tried(json!({"kind": "skills", "content": SKILL, "files": [{"path": "a", "content": "b"}]})).await;
    assert_eq!((&skill.body["valid"], skill.body["executes"][0].is_string()), (&json!(true), true), "{skill:?}");
    let disk = tried(json!({})).await;
    assert_eq!(
        (&disk.body["valid"], &disk.body["documents"][0]["name"]),
        (&json!(false), &json!("broken")),
        "{disk:?}"
    );
    assert_eq!(disk.body["documents"][0]["type"], "config_validation_entry");
    for (body, param) in [
        (json!({"kind": "colours", "content": "x"}), "kind"),
        (json!({"content": "x"}), "kind"),
        (json!({"kind": "rules", "name": "A", "content": "x"}), "name"),
        (json!({"kind": "rules"}), "content"),
        (json!({"kind": "rules", "colour": 1}), "colour"),
    ] {
        let wrong = tried(body.clone()).await;
        assert_eq!((wrong.status, wrong.param()), (400, param), "{body} {wrong:?}");
    }
    assert_eq!(server.folders.list("config"), ["agents"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_and_answers_are_bounded() {
    let server = TestServerBuilder::fake()
        .set(|settings| (settings.server.max_body, settings.server.max_config_body) = (4096, 64 << 10))
        .start()
        .await;
    let text = |length: usize| json!({"content": "x".repeat(length)});
    for path in ["/config/rules/a", "/v1/config/rules/a"] {
        assert!(server.put(path, &text(60_000)).await.status < 300, "more than another body may have: {path}");
        let large = server.put(path, &text(70_000)).await;
        assert_eq!((large.status, large.message().contains("ASKD_MAX_CONFIG_BODY")), (413, true), "{large:?}");
    }
    server.put("/v1/config/skills/s", &json!({"content": SKILL})).await;
    let file =
        server.sending(Method::PUT, "/v1/config/skills/s/files/a").body("x".repeat(70_000)).send().await.unwrap();
    assert_eq!(file.status(), 413);
    let archive =
        server.posting("/v1/config/import").header("content-type", "application/x-tar").body("x".repeat(70_000));
    assert_eq!(archive.send().await.unwrap().status(), 413);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_that_is_not_there_and_a_document_behind_a_link_are_told() {
    let server = TestServerBuilder::fake().file("workspace/shop/README", "x").file("outside.md", "x").start().await;
    let missing = server.get("/v1/config/rules?workspace=nowhere").await;
    assert_eq!((missing.status, missing.kind()), (404, "not_found_error"), "{missing:?}");
    for name in ["a/b", "..", ".", "", "%2e%2e", "a%2Fb"] {
        let wrong = server.get(&format!("/v1/config/rules?workspace={name}")).await;
        assert_eq!((wrong.status, wrong.param()), (400, "workspace"), "{name} {wrong:?}");
    }
    let policy = server.get("/v1/config/policy?workspace=shop").await;
    assert_eq!((policy.status, policy.param()), (400, "workspace"), "{policy:?}");

    let link = |target: &str, at: &str| {
        let at = server.folders.root().join(at);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(server.folders.root().join(target), at).unwrap();
    };
    link("outside.md", "config/rules/linked.md");
    link("outside.md", "workspace/shop/CLAUDE.md");
    for path in ["/v1/config/rules/linked", "/v1/config/claude-md?workspace=shop"] {
        let refused = server.put(path, &json!({"content": "changed"})).await;
        assert_eq!((refused.status, refused.kind()), (409, "conflict_error"), "{path} {refused:?}");
        assert!(refused.body["error"]["hint"].is_string(), "{refused:?}");
    }
    let read = server.get("/v1/config/claude-md?workspace=shop").await;
    assert_eq!(read.status, 409, "{read:?}");
    assert_eq!(std::fs::read_to_string(server.folders.root().join("outside.md")).unwrap(), "x");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_try_says_what_a_put_of_this_caller_would_be_refused_for() {
    const AGENT: &str = "---\nname: twin\ndescription: d\n---\nx";
    let server = TestServerBuilder::fake()
        .set(|settings| settings.auth.config_changes = askd::settings::ConfigChanges::All)
        .file("config/agents/first.md", AGENT)
        .start()
        .await;
    std::os::unix::fs::symlink("first.md", server.folders.config().join("agents/link.md")).unwrap();
    let key = askd::settings::Settings::TEST_API_KEY;
    for (kind, name, content, part) in [
        ("rules", "a", json!("x"), None),
        ("rules", "a", json!(format!("the key is {key}")), Some("secrets")),
        ("settings", "", json!({"apiKeyHelper": "id"}), Some("apiKeyHelper")),
        ("agents", "second", json!(AGENT), Some("first")),
        ("agents", "first", json!(AGENT), None),
        ("agents", "link", json!(AGENT.replace("twin", "other")), Some("symbolic link")),
    ] {
        let mut body = json!({"kind": kind, "name": name, "content": content});
        let path = format!("/v1/config/{kind}/{name}");
        if name.is_empty() {
            body.as_object_mut().unwrap().remove("name");
        }
        let tried = server.post("/v1/config/validate", &body).await;
        assert_eq!((tried.status, &tried.body["valid"]), (200, &json!(true)), "{path} {tried:?}");
        let refused = tried.body["refused"].as_str();
        assert_eq!(refused.is_some(), part.is_some(), "{path} {tried:?}");
        assert!(refused.is_none_or(|text| text.contains(part.unwrap())), "{path} {tried:?}");
        let put = server.put(path.trim_end_matches('/'), &json!({ "content": content })).await;
        assert_eq!(put.status < 300, part.is_none(), "{path} {put:?}");
    }
    server.stop().await;

    let server = TestServerBuilder::fake()
        .set(|settings| settings.auth.config_changes = askd::settings::ConfigChanges::Texts)
        .start()
        .await;
    let tried = server.post("/v1/config/validate", &json!({"kind": "commands", "name": "c", "content": "x"})).await;
    assert!(tried.body["refused"].as_str().unwrap().contains("permission"), "{tried:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_is_not_taken_says_which_are() {
    let server = server().await;
    for (method, path, takes) in [
        (Method::PUT, "/v1/config/agents", "GET"),
        (Method::DELETE, "/v1/config/rules", "GET"),
        (Method::POST, "/v1/config/agents/a", "PUT"),
        (Method::DELETE, "/v1/config", "GET"),
        (Method::POST, "/config/agents", "GET"),
    ] {
        let answer = Answer::by(server.sending(method, path).json(&json!({}))).await;
        assert_eq!(answer.status, 405, "{path}");
        assert!(answer.header("allow").is_some_and(|allow| allow.contains(takes)), "{path} {answer:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_with_a_byte_order_mark_runs_are_given_too() {
    let server = server().await;
    for (path, content) in [
        ("mcp-servers", "\u{feff}{\"mcpServers\": {\"m\": {\"type\": \"http\", \"url\": \"http://127.0.0.1:1/\"}}}"),
        ("settings", "\u{feff}{\"permissions\": {\"deny\": [\"WebFetch\"]}}"),
        ("claude-md", "\u{feff}# The house\n"),
    ] {
        let put = server.put(&format!("/v1/config/{path}"), &json!({ "content": content })).await;
        assert_eq!(put.status, 201, "{path} {put:?}");
    }
    let run = server.ask(json!({"prompt": "x"})).await;
    assert_eq!(run.status, 200, "{run:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_the_envelope_of_the_messages_api() {
    let server = server().await;
    let send = async |request: reqwest::RequestBuilder| {
        let answer = Answer::by(request.header("x-request-id", "req-1")).await;
        format!("{} {}", answer.status, answer.body)
    };
    insta::assert_snapshot!(send(server.getting("/v1/config/agents/none")).await, @r#"404 {"error":{"message":"there is no agent `none`","type":"not_found_error"},"request_id":"req-1","type":"error"}"#);
    insta::assert_snapshot!(send(server.getting("/v1/config/colours")).await, @r#"404 {"error":{"message":"there is no route GET /v1/config/colours","type":"not_found_error"},"request_id":"req-1","type":"error"}"#);
    insta::assert_snapshot!(send(server.getting("/v1/config/settings/x")).await, @r#"400 {"error":{"message":"there is only one settings, and it has no name","type":"invalid_request_error"},"request_id":"req-1","type":"error"}"#);
    insta::assert_snapshot!(send(server.sending(Method::PUT, "/v1/config/agents").json(&json!({}))).await, @r#"405 {"error":{"message":"/v1/config/agents does not take PUT","type":"invalid_request_error"},"request_id":"req-1","type":"error"}"#);
    insta::assert_snapshot!(send(server.sending(Method::PUT, "/v1/config/agents/a").json(&json!({"content": "x"}))).await, @r#"400 {"error":{"message":"line 1: `name`: is missing, and the CLI would skip the agent; add e.g. `name: code-reviewer`","param":"content","problems":[{"field":"name","line":1,"message":"is missing, and the CLI would skip the agent; add e.g. `name: code-reviewer`"},{"field":"description","line":1,"message":"is missing, and the CLI would skip the agent; add e.g. `description: Reviews changes`"}],"type":"invalid_request_error"},"request_id":"req-1","type":"error"}"#);
    insta::assert_snapshot!(send(server.sending(Method::PUT, "/v1/config/rules/a").header("if-match", "*").json(&json!({"content": "x"}))).await, @r#"412 {"error":{"hint":"there is none now","message":"If-Match does not hold: it does not exist","param":"If-Match","type":"conflict_error"},"request_id":"req-1","type":"error"}"#);
    insta::assert_snapshot!(send(server.sending(Method::PUT, "/v1/config/settings").json(&json!({"content": {"apiKeyHelper": "x"}}))).await, @r#"403 {"error":{"hint":"no setting that names a program or redirects the model is set over HTTP; the operator writes it into the file","message":"line 2: `apiKeyHelper`: names a program that the CLI starts, which only the operator may do: set it in the file on the server","param":"content","problems":[{"field":"apiKeyHelper","line":2,"message":"names a program that the CLI starts, which only the operator may do: set it in the file on the server"}],"type":"permission_error"},"request_id":"req-1","type":"error"}"#);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_usual_mistakes_are_told_with_what_was_probably_meant() {
    let server = TestServerBuilder::fake().start().await;
    for (path, body, part) in [
        ("settings", json!({"permissions": {}}), "put it into `content`"),
        ("mcp-servers/x", json!({"command": "x"}), "put it into `content`"),
        ("mcp-servers", json!({"content": {"x": {"command": "x"}}}), "`mcpServers`: is missing: servers stand in it"),
        ("mcp-servers/x", json!({"content": {"comand": "x"}}), "did you mean `command`?"),
        ("rules/my_rule", json!({"content": "x"}), "did you mean `my-rule`?"),
        ("agents/reviewer.md", json!({"content": "x"}), "did you mean `reviewer`?"),
    ] {
        let refused = server.put(&format!("/v1/config/{path}"), &body).await;
        let error = refused.body["error"].to_string();
        assert!(refused.status == 400 && error.contains(part), "{path}: {refused:?}");
        assert!(!error.contains("files"), "only skills have files: {error}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_a_skill_stays_executable_unless_the_request_says_otherwise() {
    let server = TestServerBuilder::fake().start().await;
    let files = json!([{"path": "run.sh", "content": "1", "executable": true}]);
    let skill = json!({"content": "---\nname: s\ndescription: d\n---\nx", "files": files});
    assert_eq!(server.put("/v1/config/skills/s", &skill).await.status, 201);
    let path = "/v1/config/skills/s/files/run.sh";
    let put = async |header: Option<&str>| {
        let request = server.sending(Method::PUT, path).body("2");
        let request = header.into_iter().fold(request, |request, value| request.header("x-askd-executable", value));
        assert_eq!(request.send().await.unwrap().status(), 200);
        let response = server.getting(path).send().await.unwrap();
        response.headers()["x-askd-executable"].to_str().unwrap().to_owned()
    };
    assert_eq!(
        (put(None).await, put(Some("false")).await, put(None).await),
        ("true".into(), "false".into(), "false".into())
    );
    server.stop().await;
}
