//! `tools` and `denied_tools`: a tool that the policy does not have is not there, whoever allows it.

use askd::settings::ProjectConfig;
use scripted_model::prompt::{text, tool, turns};
use serde_json::{Value, json};

use super::super::{World, mcp};
use super::{Done, agent, skill};

fn touch(file: &str) -> String {
    tool("Bash", &json!({"command": format!("touch {file}"), "description": "d"}))
}

fn made(world: &World, folder: &str) -> bool {
    world.server.folders.list(folder).contains(&"made".to_owned())
}

fn clear(world: &World, folder: &str) {
    drop(std::fs::remove_file(world.server.folders.root().join(folder).join("made")));
}

/// A repository whose hook lets every call pass.
fn hook() -> String {
    let decision = json!({"hookSpecificOutput": {"hookEventName": "PreToolUse", "permissionDecision": "allow"}});
    let hook = json!({"type": "command", "command": format!("echo '{decision}'")});
    json!({"hooks": {"PreToolUse": [{"matcher": "Bash", "hooks": [hook]}]}}).to_string()
}

async fn world() -> World {
    World::with(|server| {
        let repo = server.folders.workspace().join("repo");
        let server = server.set(|settings| {
            settings.permissions.project_config = ProjectConfig::Trusted;
            settings.permissions.trusted_projects = vec![repo];
        });
        server
            .file("config/agents/shell.md", &agent("shell", "tools: Bash"))
            .file(
                "config/skills/al/SKILL.md",
                &skill("al", "allowed-tools: Bash(touch:*)", &turns([touch("made"), text("x")])),
            )
            .file("config/skills/inline/SKILL.md", &skill("inline", "", "It is !`touch made` [[text:x]]"))
            .file("config/settings.json", r#"{"permissions": {"allow": ["Bash(touch:*)"]}}"#)
            .file("workspace/repo/.claude/settings.json", &hook())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_brings_a_tool_back() {
    let world = world().await;
    let (free, held) = world.free_and_held(json!({"tools": ["Read", "Agent", "Skill"]})).await;
    let subagent = json!({"description": "d", "subagent_type": "shell", "prompt": turns([touch("made"), text("sub")])});
    for (what, attempt, folder) in [
        ("settings of the operator", json!({"prompt": turns([touch("made"), text("end")])}), "workspace"),
        (
            "a hook of the workspace",
            json!({"prompt": turns([touch("made"), text("end")]), "cwd": "repo", "permission_mode": "dontAsk"}),
            "workspace/repo",
        ),
        (
            "the agent that answers",
            json!({"agent": "shell", "prompt": turns([touch("made"), text("end")])}),
            "workspace",
        ),
        ("a subagent", json!({"prompt": turns([tool("Agent", &subagent), text("end")])}), "workspace"),
        ("a skill", json!({"prompt": "/al", "expand": true, "permission_mode": "dontAsk"}), "workspace"),
        ("a command in a skill", json!({"prompt": "/inline", "expand": true}), "workspace"),
    ] {
        let control = world.done(&free, &attempt).await;
        assert!(made(&world, folder), "{what}: {control:?}");
        clear(&world, folder);
        let done = world.done(&held, &attempt).await;
        assert!(!made(&world, folder), "{what}: {done:?}");
        assert!(!done.completed().tools.contains(&"Bash".to_owned()), "{what}: {done:?}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_cannot_allow_what_its_key_does_not_have() {
    let world = World::new().await;
    let (free, held) = world.free_and_held(json!({"tools": ["Read"]})).await;
    let body = json!({"prompt": turns([touch("made"), text("end")]), "allowed_tools": ["Bash(touch:*)"]});
    world.done(&free, &body).await.completed();
    assert!(made(&world, "workspace"));
    let message = world.refused(&held, &body, "allowed_tools").await;
    assert!(message.contains("`Bash(touch:*)` is not allowed by the policy of this key; allowed: Read"), "{message}");

    let only = world.server.user(json!({"allowed_tools": ["Bash(touch:*)"]})).await;
    clear(&world, "workspace");
    world.done(&only, &body).await.completed();
    assert!(made(&world, "workspace"));
    let wider = json!({"prompt": "[[text:x]]", "allowed_tools": ["Bash"]});
    world.refused(&only, &wider, "allowed_tools").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_without_tools_has_none_and_may_still_have_an_answer_in_form() {
    let world = World::new().await;
    let held = world.server.user(json!({"tools": []})).await;
    let done = world.done(&held, &json!({"prompt": "[[text:x]]"})).await;
    assert!(done.completed().tools.is_empty(), "{done:?}");
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]});
    let form =
        json!({"prompt": turns([tool("StructuredOutput", &json!({"a": "b"})), text("end")]), "output_schema": schema});
    let done = world.done(&held, &form).await;
    assert_eq!(done.completed().run["structured_output"], json!({"a": "b"}), "{done:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn denied_rules_hold_whatever_is_allowed() {
    let world = World::new().await;
    let (free, held) = world.free_and_held(json!({"denied_tools": ["Bash(touch:*)"]})).await;
    for allowed in [json!(["Bash"]), json!(["Bash(touch:*)"])] {
        let body = json!({"prompt": turns([touch("made"), text("end")]), "allowed_tools": allowed});
        world.done(&free, &body).await.completed();
        assert!(made(&world, "workspace"), "{allowed}");
        clear(&world, "workspace");
        let done = world.done(&held, &body).await;
        assert!(!made(&world, "workspace"), "{allowed}: {done:?}");
        assert!(done.tool_results[0].contains("denied"), "{done:?}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_writes_its_own_settings_gains_neither_a_tool_nor_a_denied_call() {
    let world = World::new().await;
    let policy =
        json!({"tools": ["Bash", "Agent"], "denied_tools": ["Bash(touch:*)"], "permission_modes": ["dontAsk"]});
    let (free, held) = world.free_and_held(policy).await;
    let settings = r#"{"permissions": {"allow": ["Bash", "Write"], "deny": [], "defaultMode": "acceptEdits"}}"#;
    // The CLI looks at changed files after a moment.
    let command = format!(
        "for f in settings.json askd-run.json; do echo '{settings}' > \"$CLAUDE_CONFIG_DIR/$f\"; done; sleep 3; \
         grep -c acceptEdits \"$CLAUDE_CONFIG_DIR/askd-run.json\""
    );
    let rewrite = tool("Bash", &json!({"command": command, "description": "d"}));
    let file = world.server.folders.workspace().join("written");
    let write = tool("Write", &json!({"file_path": file, "content": "x"}));
    let body = json!({
        "prompt": turns([rewrite, touch("made"), write, text("end")]), "allowed_tools": ["Bash"], "permission_mode": "dontAsk",
    });
    world.done(&free, &body).await.completed();
    assert!(made(&world, "workspace") && file.exists(), "an allow rule in one of the files has been read");
    clear(&world, "workspace");
    std::fs::remove_file(&file).unwrap();
    let done = world.done(&held, &body).await;
    assert!(!made(&world, "workspace") && !file.exists(), "{:?}", done.completed());
    assert_eq!(done.tool_results[0].trim(), "1", "the run could not write its settings, so nothing is shown: {done:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_named_servers_are_given_and_only_named_tools_called() {
    if !mcp::has_node() {
        return;
    }
    let entries = json!({"one": mcp::entry(mcp::SERVER, "one"), "two": mcp::entry(mcp::SERVER, "two")});
    let world = World::with(|server| server.file("config/.mcp.json", &mcp::servers(&entries))).await;
    let said =
        |done: &Done, who: &str| done.tool_results.iter().any(|result| result.contains(&format!("hello from {who}")));
    let call = |server: &str| -> Value {
        json!({"prompt": turns([tool(&format!("mcp__{server}__say"), &json!({})), text("end")]), "permission_mode": "default"})
    };
    let rule = |mut body: Value, server: &str| {
        body["allowed_tools"] = json!([format!("mcp__{server}__say")]);
        body
    };
    let (free, held) = world.free_and_held(json!({"tools": ["mcp__one", "mcp__two__other"]})).await;
    let only_one = world.server.user(json!({"tools": ["mcp__one__say"]})).await;
    for server in ["one", "two"] {
        let control = world.done(&free, &rule(call(server), server)).await;
        assert!(said(control.completed(), server), "{control:?}");
    }
    for holder in [&held, &only_one] {
        let done = world.done(holder, &rule(call("one"), "one")).await;
        assert!(said(done.completed(), "one"), "{done:?}");
        world.refused(holder, &rule(call("two"), "two"), "allowed_tools").await;
    }
    // The server of a tool that is named is there, with all its tools; the others are refused when they are called.
    let done = world.done(&held, &call("two")).await;
    assert!(done.completed().tools.contains(&"mcp__two__say".to_owned()) && !said(&done, "two"), "{done:?}");
    assert!(
        done.tool_results[0].contains("policy of the run's key does not have the tool `mcp__two__say`"),
        "{done:?}"
    );
    let done = world.done(&only_one, &call("two")).await;
    assert!(!done.completed().tools.contains(&"mcp__two__say".to_owned()) && !said(&done, "two"), "{done:?}");
    world.stop().await;
}
