//! Configuration takes effect with the very next run.

use std::fs;

use serde_json::json;

use super::World;

/// Asks, and gives everything that was sent to the model for it.
async fn sent(world: &World) -> String {
    world.model.clear();
    assert_eq!(world.ask(json!({"prompt": "[[text:x]]"})).await.result(), "x");
    world.sent()
}

/// `path` is written, changed and removed; each time the next run sees it.
async fn follows(path: &str, text: impl Fn(&str) -> String) {
    let world = World::new().await;
    let folders = &world.server.folders;
    for (now, before) in [("a-heron", "nothing-yet"), ("a-kingfisher", "a-heron")] {
        folders.write(path, &text(now));
        let sent = sent(&world).await;
        assert!(sent.contains(now), "{now} is missing");
        assert!(!sent.contains(before), "{before} is still there");
    }
    fs::remove_file(folders.root().join(path)).unwrap();
    assert!(!sent(&world).await.contains("a-kingfisher"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn claude_md() {
    follows("config/CLAUDE.md", |text| format!("Remember {text}.")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule() {
    follows("config/rules/birds.md", |text| format!("Always mention {text}.")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skills_description() {
    follows("config/skills/birds/SKILL.md", |text| format!("---\nname: birds\ndescription: Finds {text}.\n---\nx"))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subagents_description() {
    follows("config/agents/birds.md", |text| format!("---\nname: birds\ndescription: Finds {text}.\n---\nx")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_prompt_of_the_agent_that_answers() {
    let world = World::new().await;
    for text in ["Be a heron.", "Be a kingfisher."] {
        world.server.folders.write("config/agents/bird.md", &format!("---\nname: bird\ndescription: d\n---\n{text}"));
        assert_eq!(world.ask(json!({"prompt": "[[text:x]]", "agent": "bird"})).await.result(), "x");
        assert!(world.last_message().system_text().contains(text));
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_changes_in_its_own_home_is_gone_with_it() {
    let world = World::with(|server| server.file("config/CLAUDE.md", "Remember a-heron.")).await;
    let command = r#"sh -c 'echo "Remember an-intruder." >> "$CLAUDE_CONFIG_DIR/CLAUDE.md"'"#;
    let input = json!({"command": command, "description": "d"});
    let script = format!("{} [[then]] [[text:end]]", scripted_model::prompt::tool("Bash", &input));
    let answer = world.ask(json!({"prompt": script, "allowedTools": ["Bash"]})).await;
    assert_eq!((answer.result(), answer.header("x-askd-permission-denials")), ("end", None));
    let sent = sent(&world).await;
    assert!(sent.contains("a-heron") && !sent.contains("an-intruder"));
    assert_eq!(fs::read_to_string(world.server.folders.config().join("CLAUDE.md")).unwrap(), "Remember a-heron.");
    world.stop().await;
}
