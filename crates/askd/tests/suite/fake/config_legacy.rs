//! `/config`, as the Node server had it.

use serde_json::{Value, json};

use crate::harness::{Answer, TestServer, TestServerBuilder};

async fn server() -> TestServer {
    TestServerBuilder::fake().start().await
}

/// A text that is good for any kind.
fn text(name: &str) -> String {
    format!("---\nname: {name}\ndescription: About {name}.\n---\nThe text of {name}.\n")
}

/// Rules have other keys.
fn content(kind: &str, name: &str) -> Value {
    let text = if kind == "rules" { format!("# {name}\nPrefer tabs.\n") } else { text(name) };
    json!({ "content": text })
}

fn shown(answer: &Answer) -> String {
    format!("{} {}", answer.status, answer.body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slash_at_the_end_is_taken_as_express_took_it() {
    let server = TestServerBuilder::fake().start().await;
    for (path, body) in [("/config/rules/a/", "x"), ("/config/claude-md/", "y")] {
        assert!(server.put(path, &json!({ "content": body })).await.status < 300, "{path}");
        assert_eq!(server.get(path).await.body["content"], body);
    }
    assert_eq!(server.get("/config/rules/").await.body["total"], 1);
    assert_eq!(server.delete("/config/rules/a/").await.status, 204);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_leads_out_is_a_conflict_that_names_it() {
    let server = TestServerBuilder::fake().file("config/rules/a.md", "x").start().await;
    let link = server.folders.root().join("config/rules/out.md");
    std::os::unix::fs::symlink("../../elsewhere.md", link).unwrap();
    let refused = server.get("/config/rules/out").await;
    assert_eq!(refused.status, 409, "{refused:?}");
    assert!(
        refused.message().contains("`rules/out.md`") && refused.message().contains("replace the link"),
        "{refused:?}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_skills_and_rules_are_put_read_listed_and_deleted() {
    let server = server().await;
    for (kind, file) in [("agents", "agents/one.md"), ("skills", "skills/one/SKILL.md"), ("rules", "rules/one.md")] {
        let path = format!("/config/{kind}/one");
        let empty = server.get(&format!("/config/{kind}")).await;
        assert_eq!(empty.body, json!({"items": [], "count": 0, "total": 0, "limit": 50, "offset": 0}), "{kind}");
        assert_eq!((server.get(&path).await.status, server.delete(&path).await.status), (404, 404), "{kind}");

        let put = server.put(&path, &content(kind, "one")).await;
        assert_eq!((put.status, &put.body), (201, &json!({"name": "one"})), "{put:?}");
        let on_disk = std::fs::read_to_string(server.folders.config().join(file)).unwrap();
        assert_eq!(content(kind, "one")["content"], on_disk.as_str());
        let one = server.get(&path).await;
        assert_eq!((one.status, one.body), (200, json!({"name": "one", "content": on_disk})), "{kind}");

        let again = server.put(&path, &content(kind, "two")).await;
        assert_eq!((again.status, again.body), (200, json!({"name": "one"})), "{kind}");
        let description = if kind == "rules" { "" } else { "About two." };
        let listed = server.get(&format!("/config/{kind}")).await.body;
        assert_eq!(listed["items"], json!([{"name": "one", "description": description}]), "{kind}");

        let gone = server.delete(&path).await;
        assert_eq!((gone.status, gone.body), (204, json!("")), "{kind}");
        assert_eq!(server.get(&path).await.status, 404, "{kind}");
        assert!(!server.folders.config().join(file).exists());
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn claude_md_is_empty_until_it_is_put() {
    let server = server().await;
    let path = "/config/claude-md";
    assert_eq!(server.get(path).await.body, json!({"content": ""}));
    for text in ["# One\n", "# Two\n"] {
        let put = server.put(path, &json!({"content": text})).await;
        assert_eq!((put.status, put.body), (200, json!({"updated": true})));
        assert_eq!(server.get(path).await.body, json!({"content": text}));
        assert_eq!(std::fs::read_to_string(server.folders.config().join("CLAUDE.md")).unwrap(), text);
    }
    assert_eq!(server.delete(path).await.status, 405);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_sorted_and_comes_in_pages() {
    let mut builder = TestServerBuilder::fake();
    for name in ["c", "a", "b", "d"] {
        builder = builder.file(&format!("config/agents/{name}.md"), &text(name));
    }
    // What has no name that a path could have is not listed, nor are rules in folders.
    let builder = builder.file("config/agents/Not_Kebab.md", "x").file("config/rules/team/deep.md", "x");
    let server = builder.file("config/rules/flat.md", "x").start().await;
    let page = server.get("/config/agents?limit=2&offset=1").await;
    insta::assert_snapshot!(page.body, @r#"{"count":2,"items":[{"description":"About b.","name":"b"},{"description":"About c.","name":"c"}],"limit":2,"offset":1,"total":4}"#);
    let behind = server.get("/config/agents?offset=9").await.body;
    assert_eq!((&behind["items"], &behind["total"]), (&json!([]), &json!(4)));
    let rules = server.get("/config/rules").await.body;
    assert_eq!(rules["items"], json!([{"name": "flat", "description": ""}]));
    for (query, part) in
        [("limit=0", "limit"), ("limit=201", "limit"), ("offset=-1", "offset"), ("colour=red", "colour")]
    {
        let wrong = server.get(&format!("/config/agents?{query}")).await;
        assert_eq!((wrong.status, wrong.code()), (400, "REQUEST_ERROR"), "{wrong:?}");
        assert!(wrong.message().contains(part), "{wrong:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_way_clamps_pages_and_drops_unknown_fields() {
    let server = TestServerBuilder::fake().set(|settings| settings.server.legacy_lenient = true).start().await;
    let listed = server.get("/config/agents?limit=1000&offset=x&colour=red").await;
    assert_eq!((listed.status, &listed.body["limit"], &listed.body["offset"]), (200, &json!(200), &json!(0)));
    let body = json!({"content": text("a"), "author": "me"});
    assert_eq!(server.put("/config/agents/a", &body).await.status, 201);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_body_is_said() {
    let server = server().await;
    let put = async |body: Value| shown_message(&server.put("/config/rules/a", &body).await);
    insta::assert_snapshot!(put(json!({})).await, @"400 REQUEST_ERROR content is missing");
    insta::assert_snapshot!(put(json!({"content": ""})).await, @"400 REQUEST_ERROR content must not be empty");
    insta::assert_snapshot!(put(json!({"content": 5})).await, @"400 REQUEST_ERROR content must be a string");
    insta::assert_snapshot!(put(json!({"content": "x", "name": "b"})).await, @"400 REQUEST_ERROR there is no field `name`; the fields are content");
    insta::assert_snapshot!(put(json!({"content": "ä".repeat(500_001)})).await, @"400 REQUEST_ERROR content has 500001 characters; at most 500000 are allowed");
    assert_eq!(server.put("/config/rules/a", &json!({"content": "ä".repeat(500_000)})).await.status, 201);
    let untyped = server.sending(reqwest::Method::PUT, "/config/rules/b").body("{}").send().await.unwrap();
    assert_eq!(untyped.status(), 415);
    server.stop().await;
}

fn shown_message(answer: &Answer) -> String {
    format!("{} {} {}", answer.status, answer.code(), answer.message())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_cli_would_silently_skip_is_refused_with_line_and_field() {
    let server = server().await;
    for (path, content, parts) in [
        ("/config/agents/a", "No frontmatter.", &["name"][..]),
        ("/config/agents/a", "---\nname: a\n---\nx", &["description"]),
        ("/config/agents/a", "---\nname: [\n---\nx", &["line"]),
        ("/config/skills/a", "---\nname: [\n---\nx", &["line"]),
        ("/config/rules/a", "---\npaths: [\n---\nx", &["line"]),
    ] {
        let answer = server.put(path, &json!({ "content": content })).await;
        assert_eq!((answer.status, answer.code()), (400, "REQUEST_ERROR"), "{content}: {answer:?}");
        for part in parts {
            assert!(answer.message().contains(part), "{content}: {answer:?}");
        }
    }
    assert_eq!(server.folders.list("config"), [""; 0], "nothing was written");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_kebab_case_and_lead_nowhere_else() {
    let server = TestServerBuilder::fake().file("secret.md", &text("secret")).start().await;
    let long = "a".repeat(61);
    let names = [
        "Upper",
        "a_b",
        "-a",
        "a-",
        "a--b",
        "a.b",
        "%2e%2e",
        "..%2fsecret",
        "..%2F..%2Fsecret",
        "a%2Fb",
        "a%00",
        "%ff",
        "%",
        "a%20b",
        "%C3%A4",
        &long,
        ".",
        "..%5csecret",
    ];
    let body = json!({"content": text("a")}).to_string();
    for kind in ["agents", "skills", "rules"] {
        for name in names {
            for method in ["GET", "PUT", "DELETE"] {
                let (status, answer) = server.raw(method, &format!("/config/{kind}/{name}"), &body).await;
                assert_eq!(status, 400, "{method} {kind} {name}: {answer}");
                assert!(answer.contains("REQUEST_ERROR"), "{answer}");
            }
        }
        // As they are in the path, they are other routes.
        for path in [format!("/config/{kind}/../secret"), format!("/config/{kind}/a/b")] {
            assert_eq!(server.raw("GET", &path, "").await.0, 404, "{path}");
        }
    }
    assert_eq!(server.folders.list(""), ["config", "data", "secret.md", "workspace"]);
    assert_eq!(server.folders.list("config"), [""; 0]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_by_hand_is_seen_at_once() {
    let server = server().await;
    server.put("/config/agents/a", &json!({"content": text("a")})).await;
    server.folders.write("config/agents/a.md", &text("by-hand"));
    server.folders.write("config/agents/new.md", &text("new"));
    assert_eq!(server.get("/config/agents/a").await.body["content"], text("by-hand"));
    let names = server.get("/config/agents").await.body["items"].as_array().unwrap().len();
    assert_eq!(names, 2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_text_of_a_skill_is_put_and_its_other_files_stay() {
    let server = TestServerBuilder::fake()
        .file("config/skills/s/SKILL.md", &text("s"))
        .file("config/skills/s/run.sh", "echo hi")
        .start()
        .await;
    let put = server.put("/config/skills/s", &json!({"content": text("changed")})).await;
    assert_eq!(put.status, 200, "{put:?}");
    assert_eq!(server.folders.list("config/skills/s"), ["SKILL.md", "run.sh"]);
    assert_eq!(server.get("/config/skills/s").await.body["content"], text("changed"));
    std::fs::remove_file(server.folders.config().join("skills/s/SKILL.md")).unwrap();
    assert_eq!(server.get("/config/skills/s").await.status, 404, "a folder is no skill");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_the_node_servers_envelope() {
    let server = server().await;
    let send =
        async |request: reqwest::RequestBuilder| shown(&Answer::by(request.header("x-request-id", "req-1")).await);
    insta::assert_snapshot!(send(server.getting("/config/agents/none")).await, @r#"404 {"error":{"code":"NOT_FOUND","message":"there is no agent `none`","requestId":"req-1"}}"#);
    insta::assert_snapshot!(send(server.getting("/config/agents/Not-Kebab")).await, @r#"400 {"error":{"code":"REQUEST_ERROR","message":"name must be kebab-case: 1 to 60 characters of a-z, 0-9 and single `-` between them; did you mean `not-kebab`?","requestId":"req-1"}}"#);
    insta::assert_snapshot!(send(server.getting("/config/commands")).await, @r#"404 {"error":{"code":"NOT_FOUND","message":"there is no route GET /config/commands","requestId":"req-1"}}"#);
    insta::assert_snapshot!(send(server.posting("/config/agents")).await, @r#"405 {"error":{"code":"REQUEST_ERROR","message":"/config/agents does not take POST","requestId":"req-1"}}"#);
    server.stop().await;
}
