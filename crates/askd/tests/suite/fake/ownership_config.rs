//! Configuration with a key that is for some workspaces.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Holder, TestServer, TestServerBuilder};

async fn world() -> (TestServer, Holder) {
    let server = TestServerBuilder::fake()
        .file("workspace/mine/.claude/rules/a.md", "mine")
        .file("workspace/other/.claude/rules/a.md", "other")
        .file("config/rules/a.md", "of all")
        .file("config/settings.json", r#"{"env": {"TOKEN": "of-a-service"}}"#)
        .start()
        .await;
    let holder = server.user(json!({"workspaces": ["mine"]})).await;
    (server, holder)
}

async fn send(holder: &Holder, method: &str, path: &str) -> Answer {
    let request = holder.sending(Method::from_bytes(method.as_bytes()).unwrap(), path);
    let request = if path.contains("import") {
        request.header("content-type", "application/x-tar").body(Vec::new())
    } else {
        request.json(&json!({"content": "text"}))
    };
    Answer::by(request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn its_own_workspace_is_its_own() {
    let (server, holder) = world().await;
    assert_eq!(holder.get("/v1/config/rules/a?workspace=mine").await.body["content"], "mine");
    assert_eq!(holder.put("/v1/config/rules/b?workspace=mine", &json!({"content": "new"})).await.status, 201);
    for path in ["/v1/config?workspace=mine", "/v1/config/history?workspace=mine", "/v1/config/export?workspace=mine"] {
        assert_eq!(holder.get(path).await.status, 200, "{path}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_workspace_is_refused_by_name_on_every_route() {
    let (server, holder) = world().await;
    for (method, path) in [
        ("GET", "/v1/config?workspace=other"),
        ("GET", "/v1/config/rules?workspace=other"),
        ("GET", "/v1/config/rules/a?workspace=other"),
        ("PUT", "/v1/config/rules/a?workspace=other"),
        ("DELETE", "/v1/config/rules/a?workspace=other"),
        ("PUT", "/v1/config/claude-md?workspace=other"),
        ("GET", "/v1/config/mcp-servers/x?workspace=other"),
        ("PUT", "/v1/config/mcp-servers/x?workspace=other"),
        ("GET", "/v1/config/skills/x/files/y?workspace=other"),
        ("PUT", "/v1/config/skills/x/files/y?workspace=other"),
        ("POST", "/v1/config/validate?workspace=other"),
        ("GET", "/v1/config/history?workspace=other"),
        ("GET", "/v1/config/export?workspace=other"),
        ("POST", "/v1/config/import?workspace=other"),
    ] {
        let refused = send(&holder, method, path).await;
        assert_eq!((refused.status, refused.param()), (403, "workspace"), "{method} {path} {refused:?}");
        assert!(refused.message().contains("`other`"), "{refused:?}");
        // A workspace that does not exist is refused alike.
        let nowhere = send(&holder, method, &path.replace("other", "nowhere")).await;
        assert_eq!(nowhere.message().replace("nowhere", "other"), refused.message(), "{method} {path}");
    }
    let text = std::fs::read_to_string(server.folders.workspace().join("other/.claude/rules/a.md")).unwrap();
    assert_eq!(text, "other");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_holds_for_all_runs_is_read_and_not_changed() {
    let (server, holder) = world().await;
    assert_eq!(holder.get("/v1/config/rules/a").await.body["content"], "of all");
    assert_eq!(holder.get("/config/rules/a").await.body["content"], "of all");
    for (method, path) in [
        ("PUT", "/v1/config/rules/a"),
        ("DELETE", "/v1/config/rules/a"),
        ("PUT", "/config/rules/a"),
        ("DELETE", "/config/rules/a"),
        ("PUT", "/config/claude-md"),
        ("PUT", "/v1/config/policy"),
        ("PUT", "/v1/config/mcp-servers/x"),
        ("PUT", "/v1/config/skills/x/files/y"),
        ("GET", "/v1/config/export"),
        ("POST", "/v1/config/import"),
        ("GET", "/v1/config/history?all=true"),
        // Keys of services stand in these.
        ("GET", "/v1/config/settings"),
        ("GET", "/v1/config/mcp-servers"),
        ("GET", "/v1/config/mcp-servers/x"),
    ] {
        let refused = send(&holder, method, path).await;
        assert_eq!(refused.status, 403, "{method} {path} {refused:?}");
        assert!(refused.message().contains("the configuration of all runs"), "{method} {path} {refused:?}");
    }
    assert_eq!(server.get("/config/rules/a").await.body["content"], "of all");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_in_another_workspace_is_one_that_there_is_not() {
    let (server, holder) = world().await;
    let change = async |workspace: &str| -> String {
        let path = format!("/v1/config/rules/new?workspace={workspace}");
        let written = server.put(&path, &json!({"content": "x"})).await;
        assert_eq!(written.status, 201, "{written:?}");
        written.body["change"].as_str().unwrap().to_owned()
    };
    let (mine, others) = (change("mine").await, change("other").await);
    let nowhere = "cfg_00000000-0000-7000-8000-000000000000";
    for (method, tail) in [("GET", ""), ("GET", "/diff"), ("POST", "/restore")] {
        let path = |id: &str| format!("/v1/config/history/{id}{tail}");
        assert_eq!(send(&holder, method, &path(&mine)).await.status, 200, "{method} {tail}");
        let (refused, unknown) =
            (send(&holder, method, &path(&others)).await, send(&holder, method, &path(nowhere)).await);
        assert_eq!(refused.status, 404, "{method} {tail} {refused:?}");
        assert_eq!(refused.message().replace(&others, nowhere), unknown.message());
    }
    // Neither as the other side of a comparison.
    let compared = holder.get(&format!("/v1/config/history/{mine}/diff?to={others}")).await;
    assert_eq!(compared.status, 404, "{compared:?}");
    let listed: Vec<Value> = holder.get("/v1/config/history").await.body["data"].as_array().unwrap().clone();
    assert!(listed.iter().all(|change| change["workspace"].is_null()), "{listed:?}");
    server.stop().await;
}
