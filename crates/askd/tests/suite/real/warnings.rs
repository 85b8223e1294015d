//! What the real CLI says that a person wants to know, as it gets to the run.

use scripted_model::prompt::{text, tool, turns};
use serde_json::{Value, json};

use super::World;

/// The texts of a run's warnings of this code.
fn of<'a>(run: &'a Value, code: &str) -> Vec<&'a str> {
    let all = run["warnings"].as_array().unwrap().iter().filter(|warning| warning["code"] == code);
    all.map(|warning| warning["message"].as_str().unwrap()).collect()
}

#[track_caller]
fn assert_completed(run: &Value) {
    assert_eq!(run["state"], "completed", "{run:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn denied_tools_are_named_and_counted_and_a_quiet_run_has_no_warning() {
    let world = World::new().await;
    let fetch = || tool("WebFetch", &json!({"url": "http://127.0.0.1:9/", "prompt": "x"}));
    let write = tool("Write", &json!({"file_path": "/etc/x-of-askd", "content": "y"}));
    let run = world.server.run(json!({"prompt": turns([format!("{}{}", fetch(), fetch()), write, text("end")])})).await;
    assert_completed(&run);
    assert_eq!(of(&run, "tools_denied"), ["3 tool calls were denied: WebFetch (2), Write"]);
    let quiet = world.server.run(json!({"prompt": "[[text:x]]"})).await;
    assert_eq!(quiet["warnings"], json!([]), "the tested CLI says nothing of itself");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_asked_again_and_a_model_that_answers_instead_are_told() {
    let world = World::with(|server| {
        server.set(|settings| settings.child.environment.retain(|(name, _)| name != "CLAUDE_CODE_MAX_RETRIES"))
    })
    .await;
    let retried = world.server.run(json!({"prompt": "[[error:529,times=1]][[text:ok]]"})).await;
    assert_completed(&retried);
    let told = of(&retried, "upstream_retried");
    assert!(told.len() == 1 && told[0].contains("(529 overloaded)"), "{told:?}");

    let body = json!({"prompt": "[[error:500,times=1]][[text:ok]]", "model": "opus", "fallback_model": "haiku"});
    let fell_back = world.server.run(body).await;
    assert_completed(&fell_back);
    let told = of(&fell_back, "model_fallback");
    assert!(told.len() == 1 && told[0].contains("haiku") && told[0].contains("opus"), "{told:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_started_is_named_and_the_run_goes_on_without_it() {
    let servers = json!({"mcpServers": {"gone": {"command": "/nonexistent/server"}}}).to_string();
    let world = World::with(|server| server.file("config/.mcp.json", &servers)).await;
    let run = world.server.run(json!({"prompt": "[[text:fine]]"})).await;
    assert_completed(&run);
    let told = of(&run, "mcp_server_failed");
    assert!(told.len() == 1 && told[0].contains("`gone` could not be started"), "{told:?}");
    assert!(told[0].contains("there is no such command"), "the CLI was asked why: {told:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_which_the_result_is_only_the_last_piece_is_told() {
    let world = World::new().await;
    for (what, prompt) in [
        ("limit of output", "[[text:first]][[stop:max_tokens]][[then]][[text:second]]"),
        ("stream ended early", "[[text:first]][[short]][[then]][[text:second]]"),
        ("stopped by a safety classifier", "[[text:first]][[stop:refusal]][[then]][[text:second]]"),
    ] {
        let run = world.server.run(json!({"prompt": prompt})).await;
        assert_completed(&run);
        assert_eq!(run["result"], "second");
        let told = of(&run, "answer_continued");
        assert!(told.len() == 1 && told[0].contains(&format!("cut once ({what})")), "{run:#}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subagent_that_failed_or_met_its_own_limit_is_told_although_the_run_completes() {
    let world = World::new().await;
    let agents = json!({"rev": {"description": "r", "prompt": "p", "max_turns": 1}});
    let delegate = |prompt: &str, then: &str| {
        let call = json!({"description": "look", "prompt": prompt, "subagent_type": "rev", "run_in_background": false});
        json!({"prompt": turns([tool("Task", &call), text(then)]), "agents": agents})
    };
    let failed = world.server.run(delegate("[[error:401,message=\"bad key\"]]", "parent")).await;
    assert_completed(&failed);
    let told = of(&failed, "subagent_failed");
    assert!(told.len() == 1 && told[0].contains("`rev` (look) failed") && told[0].contains("401"), "{failed:#}");

    let looping = tool("Bash", &json!({"command": "true"}));
    let stopped = world.server.run(delegate(&turns([looping.clone(), looping]), "parent")).await;
    assert_completed(&stopped);
    let told = of(&stopped, "subagent_failed");
    assert!(told.len() == 1 && told[0].contains("`rev` (look) reached its own limit of turns"), "{stopped:#}");
    world.stop().await;
}
