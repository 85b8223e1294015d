//! `bypassPermissions`, where the operator allows it. The CLI refuses it to root, so the program runs as a user
//! without rights.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use scripted_model::ScriptedModel;
use scripted_model::prompt::{text, tool, turns};
use serde_json::json;

use super::outside::Outside;
use super::{Told, World};
use crate::harness::{Folders, real_cli};

/// `nobody`.
const UNPRIVILEGED: u32 = 65534;

/// A program that a user without rights can execute, wherever the checkout lies.
fn reachable(program: &Path, folders: &Folders) -> PathBuf {
    let there = folders.root().join(program.file_name().unwrap());
    fs::hard_link(program, &there).or_else(|_| fs::copy(program, &there).map(drop)).unwrap();
    there
}

/// Starts the program as a user without rights, in folders that this user owns.
async fn start(folders: &Folders, model: &ScriptedModel) -> Outside {
    let askd = Path::new(env!("CARGO_BIN_EXE_askd"));
    let (cli, command) = if rustix::process::geteuid().is_root() {
        let id = Some(UNPRIVILEGED);
        chown(folders.root(), id, id).unwrap();
        fs::set_permissions(folders.root(), fs::Permissions::from_mode(0o755)).unwrap();
        for folder in [folders.config(), folders.workspace(), folders.data()] {
            chown(folder, id, id).unwrap();
        }
        #[expect(clippy::disallowed_methods, reason = "the program under test, as another user")]
        let mut command = Command::new("/usr/bin/setpriv");
        let user = [format!("--reuid={UNPRIVILEGED}"), format!("--regid={UNPRIVILEGED}"), "--clear-groups".into()];
        command.args(user).arg("--").arg(reachable(askd, folders));
        (reachable(&real_cli(), folders), Some(command))
    } else {
        (real_cli(), None)
    };
    let cli = cli.display().to_string();
    let variables = [("ASKD_CLAUDE_BIN", cli.as_str()), ("ASKD_ALLOW_BYPASS", "1"), ("ASKD_ALLOW_ROOT", "")];
    Outside::start(folders, model, command, &variables).await
}

fn bash(command: &str) -> String {
    turns([tool("Bash", &json!({"command": command, "description": "d"})), text("end")])
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_runs_without_a_rule() {
    let model = ScriptedModel::start().await.unwrap();
    let folders = Folders::new();
    let server = start(&folders, &model).await;
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
    let server = start(&folders, &model).await;
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
