//! `models`: who asks for another model gets one of the policy.

use scripted_model::prompt::{text, tool, turns};
use serde_json::{Value, json};

use super::super::World;
use super::{agent, skill};

async fn world() -> World {
    World::with(|server| {
        server
            .file("config/agents/op.md", &agent("op", "model: opus"))
            .file("config/agents/id.md", &agent("id", "model: claude-opus-4-5"))
            .file("config/skills/sko/SKILL.md", &skill("sko", "model: opus", "[[text:the skill]]"))
            .file("config/commands/cmo.md", "---\ndescription: d\nmodel: opus\n---\n[[text:the command]]\n")
            .file("config/skills/fork/SKILL.md", &skill("fork", "model: opus\ncontext: fork", "[[text:the fork]]"))
            .file("workspace/repo/.claude/settings.json", r#"{"availableModels": ["opus", "haiku"]}"#)
    })
    .await
}

/// Lets a subagent work; `more` is what the call of `Agent` has besides.
fn subagent(kind: &str, more: &Value) -> String {
    let mut input = json!({"description": "d", "subagent_type": kind, "prompt": "[[text:sub]]"});
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    turns([tool("Agent", &input), text("end")])
}

#[tokio::test(flavor = "multi_thread")]
async fn no_agent_skill_or_command_brings_another_model() {
    let world = world().await;
    let (free, held) = world.free_and_held(json!({"models": ["haiku"]})).await;
    let skill_call = |name: &str| turns([tool("Skill", &json!({"skill": name})), text("end")]);
    for (what, attempt) in [
        ("the frontmatter of the agent that answers", json!({"agent": "op", "prompt": "[[text:x]]"})),
        ("the frontmatter of a subagent", json!({"prompt": subagent("op", &json!({}))})),
        ("an id in it", json!({"prompt": subagent("id", &json!({}))})),
        ("the parameter of the tool", json!({"prompt": subagent("general-purpose", &json!({"model": "opus"}))})),
        ("a typed skill", json!({"prompt": "/sko", "expand": true})),
        ("a typed command", json!({"prompt": "/cmo", "expand": true})),
        ("a called skill that forks", json!({"prompt": skill_call("fork"), "allowed_tools": ["Skill"]})),
        ("settings of the workspace", json!({"prompt": subagent("op", &json!({})), "cwd": "repo"})),
    ] {
        let control = world.done(&free, &attempt).await;
        assert!(control.completed().used("opus"), "{what}: {control:?}");
        let done = world.done(&held, &attempt).await;
        assert_eq!(done.completed().models, ["claude-haiku-5-5"], "{what}: {done:?}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_another_model_is_refused_and_the_word_of_the_cli_does_not_change_it() {
    let world = world().await;
    let (free, held) = world.free_and_held(json!({"models": ["haiku", "sonnet"]})).await;
    let opus = json!({"prompt": "[[text:x]]", "model": "opus"});
    assert!(world.done(&free, &opus).await.completed().used("opus"));
    let message = world.refused(&held, &opus, "model").await;
    assert!(message.contains("allowed: haiku, sonnet"), "{message}");
    assert!(world.done(&held, &json!({"prompt": "[[text:x]]", "model": "sonnet"})).await.completed().used("sonnet"));

    let command = json!({"prompt": "/model opus", "expand": true});
    let control = world.done(&free, &command).await;
    assert!(!control.run["result"].as_str().unwrap().contains("not available"), "{control:?}");
    let done = world.done(&held, &command).await;
    assert!(done.run["result"].as_str().unwrap().contains("not available"), "{done:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_writes_its_own_settings_gains_nothing() {
    let world = world().await;
    let (free, held) = world.free_and_held(json!({"models": ["haiku"]})).await;
    let settings =
        r#"{"availableModels": ["opus", "haiku"], "modelOverrides": {"claude-haiku-5-5": "claude-opus-5-5"}}"#;
    // The CLI looks at changed files after a moment.
    let command = format!(
        "for f in settings.json askd-run.json; do echo '{settings}' > \"$CLAUDE_CONFIG_DIR/$f\"; done; sleep 3; \
         grep -c opus \"$CLAUDE_CONFIG_DIR/settings.json\""
    );
    let bash = tool("Bash", &json!({"command": command, "description": "d"}));
    let agent = tool("Agent", &json!({"description": "d", "subagent_type": "op", "prompt": "[[text:sub]]"}));
    let body = json!({"prompt": turns([bash, agent, text("end")]), "allowed_tools": ["Bash"], "model": "haiku"});
    let control = world.done(&free, &body).await;
    assert!(control.completed().used("opus"), "{control:?}");
    let done = world.done(&held, &body).await;
    assert_eq!(done.completed().models, ["claude-haiku-5-5"], "{done:?}");
    assert_eq!(done.tool_results[0].trim(), "1", "the run could not write its settings, so nothing is shown: {done:?}");
    world.stop().await;
}
