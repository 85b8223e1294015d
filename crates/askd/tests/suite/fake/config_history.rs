//! `/v1/config/history`: who changed what, what it was, and back.

use serde_json::{Value, json};

use crate::harness::{Answer, TestServer, TestServerBuilder};

async fn server() -> TestServer {
    TestServerBuilder::fake().file("workspace/shop/README", "x").start().await
}

fn text(text: &str) -> Value {
    json!({ "content": text })
}

/// Changes of a query, the newest first.
async fn changes(server: &TestServer, query: &str) -> Vec<Value> {
    let answer = server.get(&format!("/v1/config/history?{query}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["data"].as_array().unwrap().clone()
}

fn actions(changes: &[Value]) -> Vec<String> {
    let action =
        |change: &Value| format!("{} {}", change["action"].as_str().unwrap(), change["name"].as_str().unwrap_or("-"));
    changes.iter().map(action).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_noted_with_who_when_and_what() {
    let server = server().await;
    let path = "/v1/config/rules/a";
    let request = server.sending(reqwest::Method::PUT, path).header("x-request-id", "req-7").json(&text("one"));
    let put = Answer::by(request).await;
    server.put("/config/rules/a", &text("two")).await;
    server.put(path, &text("two")).await;
    server.delete("/config/rules/a").await;
    let all = changes(&server, "kind=rules&name=a").await;
    assert_eq!(actions(&all), ["removed a", "updated a", "created a"], "the same once more is no change");
    let mut first = all[2].clone();
    assert_eq!(first["id"], put.body["change"]);
    assert!(first["at"].as_str().unwrap().ends_with('Z'));
    (first["id"], first["at"]) = (json!("…"), json!("…"));
    insta::assert_snapshot!(first, @r#"{"action":"created","address":"127.0.0.1","after":"7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed","at":"…","before":null,"id":"…","key_id":"admin","kind":"rules","name":"a","request_id":"req-7","state":"done","type":"config_change","workspace":null}"#);
    assert_eq!(
        (&all[1]["before"], &all[0]["before"], &all[0]["after"]),
        (&all[2]["after"], &all[1]["after"], &Value::Null)
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_asked_for_by_document_and_scope_and_comes_in_pages() {
    let server = server().await;
    for name in ["a", "b", "c"] {
        server.put(&format!("/v1/config/rules/{name}"), &text(name)).await;
    }
    server.put("/v1/config/rules/w?workspace=shop", &text("w")).await;
    assert_eq!(actions(&changes(&server, "").await), ["created c", "created b", "created a"]);
    assert_eq!(actions(&changes(&server, "workspace=shop").await), ["created w"]);
    assert_eq!(changes(&server, "all").await.len(), 4);
    let page = server.get("/v1/config/history?limit=2").await.body;
    assert_eq!(actions(page["data"].as_array().unwrap()), ["created c", "created b"]);
    let next = page["next_page"].as_str().unwrap();
    let page = server.get(&format!("/v1/config/history?limit=2&page={next}")).await.body;
    assert_eq!(
        (actions(page["data"].as_array().unwrap()), &page["next_page"]),
        (vec!["created a".to_owned()], &Value::Null)
    );
    for (query, param) in [
        ("kind=colours", "kind"),
        ("kind=rules", "name"),
        ("name=a", "kind"),
        ("kind=rules&name=A", "name"),
        ("page=x", "page"),
        ("limit=0", "limit"),
        ("all&workspace=shop", "all"),
        ("colour=red", "colour"),
    ] {
        let wrong = server.get(&format!("/v1/config/history?{query}")).await;
        assert_eq!((wrong.status, wrong.param()), (400, param), "{query} {wrong:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_version_is_read_compared_and_put_back() {
    let server = server().await;
    let path = "/v1/config/rules/a";
    for version in ["one\nsame\n", "two\nsame\n", "three\nsame\n"] {
        server.put(path, &text(version)).await;
    }
    let all = changes(&server, "kind=rules&name=a").await;
    let ids: Vec<_> = all.iter().map(|change| change["id"].as_str().unwrap()).collect();
    let get = async |path: String| server.get(&path).await;
    let old = get(format!("/v1/config/history/{}", ids[1])).await;
    assert_eq!((&old.body["content"], &old.body["kept"]), (&json!("two\nsame\n"), &json!(true)), "{old:?}");

    let diff = async |id: &str, query: &str| {
        let answer = server.get(&format!("/v1/config/history/{id}/diff{query}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["diff"].as_str().unwrap().to_owned()
    };
    let step = diff(ids[1], "").await;
    assert!(step.contains("-one") && step.contains("+two") && step.contains(" same"), "{step}");
    assert!(diff(ids[2], "").await.contains("+one"), "what was created was nothing before");
    let since = diff(ids[2], "?to=current").await;
    assert!(since.contains("-one") && since.contains("+three"), "{since}");
    let between = diff(ids[2], &format!("?to={}", ids[1])).await;
    assert!(between.contains("-one") && between.contains("+two"), "{between}");

    let stale = format!("/v1/config/history/{}/restore", ids[2]);
    let refused = server.posting(&stale).header("if-match", "\"other\"").send().await.unwrap();
    assert_eq!(refused.status(), 412);
    let restored = Answer::by(server.posting(&stale)).await;
    assert_eq!((restored.status, &restored.body["outcome"]), (200, &json!("updated")), "{restored:?}");
    assert_eq!(server.get(path).await.body["content"], "one\nsame\n");
    assert_eq!(changes(&server, "kind=rules&name=a").await[0]["action"], "restored");

    // Also what is gone, and back to nothing.
    server.delete(path).await;
    let newest = changes(&server, "kind=rules&name=a").await;
    let removal = format!("/v1/config/history/{}/restore", newest[0]["id"].as_str().unwrap());
    let nothing = Answer::by(server.posting(&removal)).await;
    let hint = nothing.body["error"]["hint"].as_str().unwrap_or_default();
    assert!(nothing.status == 404 && hint.ends_with(newest[1]["id"].as_str().unwrap()), "{nothing:?}");
    let back = Answer::by(server.posting(&stale)).await;
    assert_eq!((back.status, server.get(path).await.status), (200, 200), "{back:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_by_hand_becomes_a_change_of_nobody() {
    let server = server().await;
    server.put("/v1/config/rules/a", &text("by the API")).await;
    server.folders.write("config/rules/a.md", "by hand");
    let all = changes(&server, "kind=rules&name=a").await;
    assert_eq!(actions(&all), ["outside a", "created a"]);
    assert_eq!((&all[0]["key_id"], &all[0]["address"]), (&Value::Null, &Value::Null));
    let id = all[0]["id"].as_str().unwrap();
    assert_eq!(server.get(&format!("/v1/config/history/{id}")).await.body["content"], "by hand");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_or_not_of_the_same_document_is_told() {
    let server = server().await;
    server.put("/v1/config/rules/a", &text("a")).await;
    server.put("/v1/config/rules/b", &text("b")).await;
    let ids: Vec<_> =
        changes(&server, "").await.iter().map(|change| change["id"].as_str().unwrap().to_owned()).collect();
    let other = server.get(&format!("/v1/config/history/{}/diff?to={}", ids[0], ids[1])).await;
    assert_eq!((other.status, other.param()), (400, "to"), "{other:?}");
    for id in ["cfg_00000000-0000-7000-8000-000000000000", "cfg_x", "x", "..%2f", "%00"] {
        for path in [format!("/v1/config/history/{id}"), format!("/v1/config/history/{id}/diff")] {
            assert_eq!(server.get(&path).await.status, 404, "{path}");
        }
        let restore = server.posting(&format!("/v1/config/history/{id}/restore")).send().await.unwrap();
        assert_eq!(restore.status(), 404, "{id}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skills_files_come_back_with_it() {
    let server = server().await;
    let skill = "---\nname: s\ndescription: d\n---\nx";
    let files = json!([{"path": "run.sh", "content": "echo 1", "executable": true}]);
    let put = server.put("/v1/config/skills/s", &json!({"content": skill, "files": files})).await;
    server.delete("/v1/config/skills/s").await;
    let id = put.body["change"].as_str().unwrap();
    let kept = server.get(&format!("/v1/config/history/{id}?contents")).await;
    assert_eq!(kept.body["files"][1]["content"], "echo 1", "{kept:?}");
    let restored = server.posting(&format!("/v1/config/history/{id}/restore")).send().await.unwrap();
    assert_eq!(restored.status(), 200);
    let got = server.getting("/v1/config/skills/s/files/run.sh").send().await.unwrap();
    assert_eq!(got.headers()["x-askd-executable"], "true");
    server.stop().await;
}
