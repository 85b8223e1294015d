//! What the real CLI makes of refusals, odd ends of a model and hooks, and what the table of outcomes makes of that.
//!
//! Deadlines, limits, cancels and deaths are askd's own doing: `ends`, `killed`, `budgets`, and the scripted CLI.

use futures_util::{StreamExt, stream};
use scripted_model::prompt::{text, tool, turns};
use serde_json::{Value, json};

use super::World;
use crate::harness::{TestServerBuilder, older_cli, real_cli};

/// A prompt, and the state and type of error that its run ends with.
type Case<'a> = (String, &'a str, &'a str);

/// Runs all of them; the runs, in this order.
async fn runs(world: &World, cases: &[Case<'_>]) -> Vec<Value> {
    let runs = stream::iter(cases).map(async |(prompt, ..)| world.server.run(json!({"prompt": prompt})).await);
    let runs: Vec<Value> = runs.buffered(2).collect().await;
    for ((prompt, state, kind), run) in cases.iter().zip(&runs) {
        let kind = if kind.is_empty() { Value::Null } else { json!(kind) };
        assert_eq!((&run["state"], &run["error"]["type"]), (&json!(state), &kind), "{prompt}: {run}");
    }
    runs
}

fn error(status: u16, message: &str) -> String {
    format!("[[error:{status},message={}]]", Value::from(message))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_the_provider_is_told_by_what_can_be_done_about_it() {
    let world = World::new().await;
    let cases = [
        (error(400, "messages.0.content: something is wrong"), "failed", "invalid_request"),
        (error(400, "prompt is too long: 250000 tokens > 200000 maximum"), "failed", "prompt_too_long"),
        (error(400, "Could not process image"), "failed", "image"),
        (
            error(400, "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing."),
            "failed",
            "billing",
        ),
        (error(400, "You have reached your specified API usage limits."), "failed", "billing"),
        (error(401, "invalid x-api-key"), "failed", "authentication"),
        (error(402, "There is an issue with your billing information."), "failed", "billing"),
        (error(403, "Your API key does not have permission."), "failed", "permission"),
        ("[[error:404,type=not_found_error,message=\"model: nonesuch\"]]".into(), "failed", "model_not_found"),
        (error(408, "Request timeout"), "failed", "connection"),
        (error(413, "Request exceeds the maximum size"), "failed", "request_too_large"),
        ("[[error:429,retry_after=3600]]".into(), "failed", "rate_limit"),
        (error(500, "Internal server error"), "failed", "server_error"),
        (error(503, "Service unavailable"), "failed", "server_error"),
        ("[[error:529]]".into(), "failed", "overloaded"),
        ("[[cut]]".into(), "failed", "connection"),
    ];
    for ((prompt, ..), run) in cases.iter().zip(runs(&world, &cases).await) {
        assert_eq!(run["error"]["retry_at"], Value::Null, "{prompt}: a key is not told when to come back");
        assert!(run["error"]["upstream_status"].is_u64() || prompt == "[[cut]]", "{run}");
        assert_eq!(run["partial_result"], Value::Null, "{prompt}: nothing was said");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_its_end_is_not_a_success_and_is_kept() {
    let world = World::new().await;
    // The CLI asks a model that ran out of words to go on, a few times.
    let without_end = |stop: &str| turns((0..6).map(|_| format!("{} [[stop:{stop}]]", text("so far"))));
    let cases = [
        (without_end("max_tokens"), "incomplete", "max_output_tokens"),
        (without_end("model_context_window_exceeded"), "incomplete", "context_window"),
        (without_end("refusal"), "failed", "refusal"),
        (format!("{} [[stop:pause_turn]]", text("so far")), "incomplete", "paused"),
        (format!("{} [[stop:stop_sequence]]", text("all")), "completed", ""),
    ];
    let runs = runs(&world, &cases).await;
    for run in &runs[..4] {
        assert_eq!(run["partial_result"], "so far", "{run}");
    }
    assert_eq!((&runs[4]["result"], &runs[4]["partial_result"]), (&json!("all"), &Value::Null));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_answer_is_a_failure_unless_tools_were_called() {
    let world = World::new().await;
    let silence = "[[think:hm]]".to_owned();
    let call = tool("Bash", &json!({"command": "echo hi", "description": "d"}));
    let cases = [
        (turns([silence.clone(), silence.clone(), silence.clone()]), "failed", "empty_answer"),
        (turns([call, silence.clone(), silence.clone(), silence]), "completed", ""),
    ];
    let runs = runs(&world, &cases).await;
    let warned = runs[1]["warnings"].to_string();
    assert!(warned.contains("called tools and gave no answer"), "{warned}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_before_a_failure_is_kept() {
    let world = World::new().await;
    let call =
        format!("{} {}", text("I look first."), tool("Bash", &json!({"command": "echo hi", "description": "d"})));
    let run = world.server.run(json!({"prompt": turns([call.clone(), error(500, "no")])})).await;
    assert_eq!((&run["state"], &run["error"]["type"]), (&json!("failed"), &json!("server_error")), "{run}");
    assert_eq!(run["partial_result"], "I look first.", "{run}");
    let run = world.server.run(json!({"prompt": turns([call, text("found")]), "max_turns": 1})).await;
    assert_eq!((&run["state"], &run["error"]["type"]), (&json!("incomplete"), &json!("turn_limit")), "{run}");
    assert_eq!(run["partial_result"], "I look first.", "{run}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_is_cancelled_and_keeps_what_it_had_said() {
    let world = World::new().await;
    let prompt = format!("{} [[think:hm]] [[hang]]", text("So far."));
    let id = world.server.submit(json!({"prompt": prompt})).await;
    let mut events = world.server.follow(&id, "types=agent.assistant,run.*").await;
    while let Some(event) = events.next().await {
        if event.event.as_deref() == Some("agent.assistant") {
            break;
        }
    }
    world.server.post(&format!("/v1/runs/{id}/interrupt"), &json!({})).await;
    let run = world.server.ended(&id).await;
    assert_eq!((&run["state"], &run["error"]["type"]), (&json!("cancelled"), &json!("cancelled")), "{run}");
    assert!(run["error"]["terminal_reason"].as_str().is_some_and(|reason| reason.starts_with("aborted")), "{run}");
    assert_eq!(run["partial_result"], "So far.", "{run}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_cut_off_is_a_failure_with_each_cli() {
    for cli in [Some(real_cli()), older_cli("2.1.276"), older_cli("2.1.261")].into_iter().flatten() {
        let version = cli.display().to_string();
        let world = World::of(cli, |server| server).await;
        // The newest one asks to go on, a few times. The older ones take a part for the whole, and call it a success.
        let cut = turns((0..6).map(|_| format!("{} [[short]]", text("so far"))));
        let run = world.server.run(json!({"prompt": cut})).await;
        assert_eq!(
            (&run["state"], &run["error"]["type"]),
            (&json!("failed"), &json!("connection")),
            "{version}: {run}"
        );
        assert_eq!(run["partial_result"], "so far", "{version}: {run}");
        world.stop().await;
    }
}

/// With a hook of the operator's configuration.
fn with_hook<'a>(event: &'a str, command: &'a str) -> impl FnOnce(TestServerBuilder) -> TestServerBuilder + 'a {
    let hooks = json!({"hooks": {event: [{"hooks": [{"type": "command", "command": command}]}]}});
    move |server| server.file("config/settings.json", &hooks.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_stops_a_run_does_not_look_like_a_success() {
    let stop = r#"echo '{"continue":false,"stopReason":"enough now"}'"#;
    let call = turns([
        format!("{} {}", text("I look."), tool("Bash", &json!({"command": "echo hi", "description": "d"}))),
        text("found"),
    ]);
    for (event, command, prompt, state, kind) in [
        ("UserPromptSubmit", "echo 'forbidden word' >&2; exit 2", text("one"), "failed", "hook_stopped"),
        ("UserPromptSubmit", stop, text("one"), "failed", "hook_stopped"),
        ("PostToolUse", stop, call.clone(), "incomplete", "hook_stopped"),
        ("Stop", "echo 'not yet' >&2; exit 2", turns([text("one"), text("two")]), "incomplete", "hook_stopped"),
        ("Stop", stop, text("one"), "completed", ""),
    ] {
        let world = World::with(with_hook(event, command)).await;
        let run = runs(&world, &[(prompt, state, kind)]).await.remove(0);
        let said = run["partial_result"].as_str();
        match (event, state) {
            ("PostToolUse", _) => assert_eq!(said, Some("I look."), "{run}"),
            ("Stop", "incomplete") => assert_eq!(said, Some("done"), "the last of many answers: {run}"),
            ("Stop", _) => {
                assert_eq!(run["result"], "one");
                assert!(run["warnings"].to_string().contains("Stop hook"), "{run}");
            }
            _ => assert!(said.is_none() && !run["error"]["message"].to_string().contains("[["), "{run}"),
        }
        world.stop().await;
    }
}
