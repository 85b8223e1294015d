//! Nothing is switched off silently: the default policy can be read, and what replaces, loses or hides something says so.

use askd::guard::Policy;
use askd::settings::ConfigChanges;
use serde_json::{Value, json};

use crate::harness::{Answer, TestServerBuilder};

const POLICY: &str = "/v1/config/policy";

fn warnings(answer: &Answer) -> String {
    answer.body["warnings"].to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_policy_is_read_replaced_and_returned_to() {
    let server = TestServerBuilder::fake().start().await;
    let default = server.get(POLICY).await;
    assert_eq!((default.status, &default.body["default"], &default.body["valid"]), (200, &json!(true), &json!(true)));
    assert_eq!(default.body["content"], json!(Policy::default_text()));
    let tag = default.header("etag").unwrap().to_owned();
    assert_eq!(server.get_if(POLICY, ("if-none-match", &tag)).await.status, 304);

    let put = server.put_if(POLICY, ("if-none-match", "*"), &json!({"content": {"version": 1}})).await;
    assert_eq!(put.status, 201, "to the conditions there is none: {put:?}");
    assert!(warnings(&put).contains("the guard is off"), "{put:?}");
    let own = server.get(POLICY).await;
    assert_eq!((own.status, &own.body["default"]), (200, &json!(false)));
    assert_ne!(own.header("etag").unwrap(), tag);

    assert_eq!(server.delete(POLICY).await.status, 204);
    assert_eq!(server.get(POLICY).await.header("etag"), Some(&*tag));
    assert_eq!(server.delete(POLICY).await.status, 404, "the default cannot be removed");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_lacks_rules_of_the_default_is_put_with_a_warning_that_names_them() {
    let server = TestServerBuilder::fake().start().await;
    let rules = json!([{"id": "no-publish", "message": "m", "programs": ["npm"], "subcommands": ["publish"]}]);
    let put = server.put(POLICY, &json!({"content": {"version": 1, "guard": {"rules": rules}}})).await;
    assert_eq!(put.status, 201, "{put:?}");
    for id in Policy::of_the_house().rule_ids() {
        assert!(warnings(&put).contains(&format!("`{id}`")), "{id}: {put:?}");
    }
    let put = server.put(POLICY, &json!({"content": Policy::default_text()})).await;
    assert_eq!((put.status, warnings(&put).as_str()), (200, "[]"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misspelt_key_that_was_to_forbid_something_is_not_taken() {
    let server = TestServerBuilder::fake().start().await;
    for (settings, meant) in [
        (json!({"permission": {"deny": ["WebFetch"]}}), "`permissions`"),
        (json!({"Permissions": {"deny": ["WebFetch"]}}), "`permissions`"),
        (json!({"permissions": {"denny": ["WebFetch"]}}), "`deny`"),
        (json!({"deny": ["WebFetch"]}), "`permissions.deny`"),
        (json!({"ask": ["WebFetch"]}), "`permissions.ask`"),
        (json!({"allow": ["WebFetch"]}), "`permissions.allow`"),
        (json!({"sandbox": {"enabledd": true}}), "`enabled`"),
    ] {
        let put = server.put("/v1/config/settings", &json!({ "content": settings })).await;
        assert_eq!(put.status, 400, "{settings}");
        assert!(put.body.to_string().contains(&format!("did you mean {meant}?")), "{put:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_see_settings_is_told_none_of_their_problems() {
    let server = TestServerBuilder::fake().file("config/settings.json", r#"{"theme": 5}"#);
    let server = server.set(|settings| settings.auth.config_changes = ConfigChanges::Texts).start().await;
    let all = server.post("/v1/config/validate", &json!({})).await;
    assert_eq!((all.status, &all.body["documents"]), (200, &json!([])), "{all:?}");
    server.stop().await;
}

/// The texts of what keeps a workspace's configuration out of runs.
fn told(list: &Value) -> String {
    list.as_array().unwrap().iter().map(|problem| problem["message"].as_str().unwrap_or_default()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_a_workspaces_configuration_out_of_runs_is_told_at_once() {
    let server = TestServerBuilder::fake().file("workspace/shop/README", "x").start().await;
    let deny = json!({"content": {"permissions": {"deny": ["WebFetch"]}}});
    let put = server.put("/v1/config/settings?workspace=shop", &deny).await;
    assert_eq!((put.status, warnings(&put).as_str()), (201, "[]"));
    let overview = server.get("/v1/config?workspace=shop").await.body;
    assert_eq!((&overview["loaded_by_runs"], &overview["why_not"]), (&json!(true), &json!([])));

    let skill = "---\nname: s\ndescription: d\nallowed-tools: Bash\n---\nText\n";
    let entry = json!({"mcpServers": {"m": {"type": "http", "url": "http://127.0.0.1:1/"}}});
    for (document, content) in [
        ("settings", json!({"permissions": {"deny": ["WebFetch"], "allow": ["Bash"]}})),
        ("mcp-servers", entry),
        ("skills/s", json!(skill)),
    ] {
        let path = format!("/v1/config/{document}?workspace=shop");
        let put = server.put(&path, &json!({ "content": content })).await;
        assert!(told(&put.body["warnings"]).contains("runs do not load"), "{put:?}");
        let overview = server.get("/v1/config?workspace=shop").await.body;
        assert_eq!(overview["loaded_by_runs"], json!(false), "{document}");
        assert!(told(&overview["why_not"]).contains("keeps the workspace's configuration out"), "{overview}");
        let all = server.post("/v1/config/validate?workspace=shop", &json!({})).await.body;
        assert_eq!(all["loaded_by_runs"], json!(false));
        if document == "settings" {
            assert_eq!(server.put(&path, &deny).await.status, 200);
        } else {
            assert_eq!(server.delete(&path).await.status, 204);
        }
    }
    assert_eq!(server.get("/v1/config?workspace=shop").await.body["loaded_by_runs"], json!(true));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_a_skill_hides_is_told_of_with_either() {
    let server = TestServerBuilder::fake().start().await;
    let (skill, command) = ("/v1/config/skills/dup", "/v1/config/commands/dup");
    let text = json!({"content": "---\nname: dup\ndescription: d\n---\nText\n"});
    assert_eq!(warnings(&server.put(skill, &text).await), "[]");
    let text = json!({"content": "---\ndescription: d\n---\nText\n"});
    let put = server.put(command, &text).await;
    assert!(warnings(&put).contains("is hidden by skills/dup"), "{put:?}");
    let all = server.post("/v1/config/validate", &json!({})).await;
    assert!(all.body["documents"].to_string().contains("is hidden by"), "{all:?}");
    assert_eq!(warnings(&server.put("/v1/config/commands/dup/dup", &text).await), "[]", "another name");
    server.stop().await;
}
