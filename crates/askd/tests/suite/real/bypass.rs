//! `bypassPermissions`, where the operator allows it. The CLI refuses it to root, so the program runs as a user
//! without rights.

use scripted_model::ScriptedModel;
use scripted_model::prompt::{text, tool, turns};
use serde_json::json;

use super::outside::Outside;
use super::{Told, World};
use crate::harness::Folders;

/// A server that lets requests ask for it.
async fn start(folders: &Folders, model: &ScriptedModel, isolation: &str) -> Outside {
    Outside::unprivileged(folders, model, &[("ASKD_ALLOW_BYPASS", "1"), ("ASKD_ISOLATION", isolation)]).await
}

fn bash(command: &str) -> String {
    turns([tool("Bash", &json!({"command": command, "description": "d"})), text("end")])
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_runs_without_a_rule() {
    let model = ScriptedModel::start().await.unwrap();
    let folders = Folders::new();
    let server = start(&folders, &model, "best_effort").await;
    let body = json!({"prompt": bash("sh -c 'touch made.txt; id -u'"), "permissionMode": "bypassPermissions"});
    let told = Told(server.stream(body.clone()).await.rest().await);
    assert_eq!(told.text(), "end");
    assert_eq!(told.init()["permissionMode"], "bypassPermissions");
    assert_eq!(folders.list("workspace"), ["made.txt"]);
    let answer = server.ask(body).await;
    assert_eq!((answer.result(), answer.header("x-askd-permission-denials")), ("end", None));

    // It is asked for: the default stays what it was.
    let answer = server.ask(json!({"prompt": bash("sh -c 'touch other.txt'")})).await;
    assert_eq!((answer.result(), answer.header("x-askd-permission-denials")), ("end", Some("1")));
    server.stop(&folders).await;
    model.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deny_rules_hold_all_the_same() {
    let model = ScriptedModel::start().await.unwrap();
    let folders = Folders::new();
    folders.write("config/private.txt", "the-operators-secret");
    folders.write("elsewhere.txt", "not-private");
    // Without a layer, which would stop it first.
    let server = start(&folders, &model, "off").await;
    for (file, content, denied) in
        [("elsewhere.txt", "not-private", None), ("config/private.txt", "the-operators-secret", Some("1"))]
    {
        let script = turns([tool("Read", &json!({"file_path": folders.root().join(file)})), text("end")]);
        let answer = server.ask(json!({"prompt": script, "permissionMode": "bypassPermissions"})).await;
        assert_eq!((answer.result(), answer.header("x-askd-permission-denials")), ("end", denied), "{file}");
        let results = model.messages().pop().unwrap().tool_results();
        assert_eq!(results[0].contains(content), denied.is_none(), "{file}: {results:?}");
    }
    server.stop(&folders).await;
    model.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_is_refused_by_the_cli_and_the_answer_says_so() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let world = World::with(|server| server.set(|settings| settings.permissions.allow_bypass = true)).await;
    let answer = world.ask(json!({"prompt": "[[text:no]]", "permissionMode": "bypassPermissions"})).await;
    assert_eq!((answer.status, answer.code()), (500, "RUN_FAILED"), "{answer:?}");
    assert!(answer.message().contains("root"), "{answer:?}");
    assert!(world.model.messages().is_empty());
    world.stop().await;
}
