//! What a person wants to know of a run: told at once, told once, and still there when the run is looked at later.

use serde_json::{Value, json};

use crate::harness::{Program, TestServerBuilder};

/// Codes and texts of a run's warnings.
fn warnings(run: &Value) -> Vec<(&str, &str)> {
    let all = run["warnings"].as_array().unwrap().iter();
    all.map(|warning| (warning["code"].as_str().unwrap(), warning["message"].as_str().unwrap())).collect()
}

fn line(message: &Value) -> String {
    format!("!line {message}")
}

fn retry(status: u16) -> String {
    line(&json!({
        "type": "system", "subtype": "api_retry", "attempt": 1, "max_retries": 10, "retry_delay_ms": 500,
        "error_status": status, "error": "overloaded",
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_cli_says_stands_on_the_run_in_the_order_in_which_it_was_told_and_counts_come_last() {
    let server = TestServerBuilder::fake().start().await;
    let denied = |id: &str| {
        line(&json!({"type": "system", "subtype": "permission_denied", "tool_name": "Bash", "tool_use_id": id}))
    };
    let fallback = line(&json!({
        "type": "system", "subtype": "model_fallback", "trigger": "overloaded",
        "original_model": "claude-opus-5-5", "fallback_model": "claude-haiku-5-5",
    }));
    let compacted = line(&json!({
        "type": "system", "subtype": "compact_boundary", "uuid": "u",
        "compact_metadata": {"trigger": "auto", "pre_tokens": 9, "post_tokens": 1},
    }));
    let script =
        [denied("a"), retry(529), fallback.clone(), compacted, denied("b"), retry(500), fallback, "!result end".into()];
    let run = server.run(json!({"prompt": script.join("\n")})).await;
    let expected = [
        (
            "upstream_retried",
            "the provider did not answer as it should (529 overloaded); the CLI asks it again after 0.5 s, for time 1 of at most 10",
        ),
        ("model_fallback", "`claude-haiku-5-5` answers instead of `claude-opus-5-5`, which is overloaded"),
        (
            "compacted",
            "the conversation was summed up to make room, from 9 tokens to 1; details of what came before are lost to the model",
        ),
        (
            "upstream_retried",
            "the provider did not answer as it should 2 times: 500 overloaded (1), 529 overloaded (1)",
        ),
        ("tools_denied", "2 tool calls were denied: Bash (2)"),
    ];
    assert_eq!(warnings(&run), expected);

    // The events say the same, each right before the message that it is about.
    let events = server.follow(run["id"].as_str().unwrap(), "").await.envelopes().await;
    let told: Vec<_> =
        events.iter().filter(|event| event["type"] == "run.warning").map(|event| &event["data"]).collect();
    assert_eq!(told, run["warnings"].as_array().unwrap().iter().collect::<Vec<_>>());
    let at = events.iter().position(|event| event["data"]["code"] == "model_fallback").unwrap();
    assert_eq!(events[at + 1]["data"]["subtype"], "model_fallback");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_passes_while_the_provider_does_not_answer_names_the_provider() {
    let server = TestServerBuilder::fake().start().await;
    let unanswered = [retry(529), retry(529), "!hang".into()].join("\n");
    let names_it = async |run: &Value| run["error"]["message"].to_string().contains("not answered 2 times in a row");
    let run = server.late(json!({"prompt": unanswered}), names_it).await;
    assert!(run["error"]["hint"].as_str().unwrap().contains("askd doctor"), "{run}");
    let answered = [retry(529), "!say half".into(), "!hang".into()].join("\n");
    server.late(json!({"prompt": answered}), async |run| run["error"]["hint"].to_string().contains("more time")).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_pieces_and_a_subagent_that_failed_are_told_to_every_kind_of_client() {
    let server = TestServerBuilder::fake().start().await;
    let cut = line(&json!({
        "type": "user", "isSynthetic": true, "parent_tool_use_id": null,
        "message": {"role": "user", "content": [{"type": "text", "text": "Output token limit hit. Resume directly"}]},
    }));
    let begun = line(&json!({
        "type": "system", "subtype": "task_started", "task_id": "t", "task_type": "local_agent",
        "subagent_type": "rev", "description": "look",
    }));
    let failed = line(&json!({
        "type": "system", "subtype": "task_notification", "task_id": "t", "status": "failed", "summary": "400 bad",
    }));
    let prompt = [cut, begun, failed, "!result second half".into()].join("\n");
    let expected = [
        ("subagent_failed", "the subagent `rev` (look) failed: 400 bad"),
        (
            "answer_continued",
            "the answer was cut once (limit of output), and the model went on: the result is the last piece, the pieces before \
             it are in the messages of the CLI",
        ),
    ];
    let run = server.run(json!({"prompt": prompt})).await;
    assert_eq!(warnings(&run), expected);
    let answer = server.ask(json!({"prompt": prompt})).await;
    let headers: Vec<_> =
        answer.headers.get_all("x-askd-warning").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!(headers, expected.map(|(_, message)| message));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_end_that_leaves_something_to_go_on_with_says_so() {
    let server = TestServerBuilder::fake().start().await;
    let says_so = async |late: &Value| late["error"]["hint"].to_string().contains("continue the session");
    server.late(json!({"prompt": "!hang"}), says_so).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_do_not_get_into_warnings_and_lists_of_runs_have_none() {
    let server = TestServerBuilder::fake()
        .set(|settings| settings.credentials.anthropic_api_key = Some("sk-secret-of-a-test".to_owned().into()))
        .start()
        .await;
    let hook = line(&json!({
        "type": "system", "subtype": "hook_response", "hook_name": "Stop", "outcome": "error", "exit_code": 1,
        "stderr": "the key is sk-secret-of-a-test\nmore",
    }));
    let run = server.run(json!({"prompt": hook})).await;
    assert_eq!(warnings(&run), [("hook_failed", "a hook of Stop failed with exit code 1: the key is [redacted]")]);
    let listed = server.get("/v1/runs").await.body;
    assert_eq!(listed["data"][0].get("warnings"), None);
    let quiet = server.run(json!({"prompt": "hi"})).await;
    assert_eq!(quiet["warnings"], json!([]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cli_that_warns_without_end_fills_neither_the_log_nor_the_run() {
    let server = TestServerBuilder::fake().start().await;
    let warn = |n: u32| {
        line(&json!({"type": "system", "subtype": "informational", "level": "warning", "content": format!("w{n}")}))
    };
    let junk = |n: u32| format!("!line junk {n}");
    let script: Vec<String> = (0..200).map(warn).chain((0..200).map(junk)).collect();
    let run = server.run(json!({"prompt": script.join("\n")})).await;
    let told = warnings(&run);
    assert!(told.len() <= 50, "{}", told.len());
    assert_eq!(told.last(), Some(&("other", "190 more warnings of this kind were left out")));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_says_that_the_cli_is_not_the_tested_one_and_ask_does_not() {
    for (version, words) in [("2.1.276", "is older than 2.1.330"), ("2.2.0", "is newer than 2.1.330")] {
        let server = TestServerBuilder::fake_that(&format!("version {version} (Claude Code)")).start().await;
        let run = server.run(json!({"prompt": "hi"})).await;
        let told = warnings(&run);
        assert!(told.len() == 1 && told[0].0 == "cli_version" && told[0].1.contains(words), "{told:?}");
        let answer = server.ask(json!({"prompt": "hi"})).await;
        assert_eq!((answer.result(), answer.header("x-askd-warning")), ("echo: hi", None));
        let stream = server.stream(json!({"prompt": "hi"})).await.rest().await;
        assert!(stream.iter().all(|block| block.comment.as_deref().is_none_or(|comment| !comment.contains("warning"))));
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_names_what_the_cli_of_the_server_lacks() {
    let folders = crate::harness::Folders::new();
    let variables = [("ASKD_CHILD_ENV", "FAKE_CLAUDE"), ("FAKE_CLAUDE", "version 2.1.276 (Claude Code)")];
    let program = Program::start(&folders, &variables);
    program.address().await;
    let log = program.log();
    assert!(log.contains("Claude Code CLI 2.1.276 is older than 2.1.330") && log.contains("lacks"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_the_cli_does_not_take_ends_the_run() {
    let servers = json!({"mcpServers": {"s": {"command": "true", "env": {"A": "${B}"}}}}).to_string();
    // One that takes them with `initialize`, and one that has to be given them.
    for version in ["", "version 2.1.276 (Claude Code);"] {
        let takes = TestServerBuilder::fake_that(version.trim_end_matches(';')).file("config/.mcp.json", &servers);
        let server = takes.start().await;
        let run = server.run(json!({"prompt": "hi"})).await;
        assert_eq!((&run["state"], &run["result"]), (&json!("completed"), &json!("echo: hi")), "{run:#}");
        let told = warnings(&run);
        let of_variables =
            told.iter().any(|(code, text)| *code == "mcp_server_failed" && text.contains("does not fill"));
        assert_eq!(of_variables, !version.is_empty(), "{told:?}");
        server.stop().await;

        let options = format!("{version}no-servers");
        let refuses = TestServerBuilder::fake_that(&options).file("config/.mcp.json", &servers);
        let server = refuses.start().await;
        let run = server.run(json!({"prompt": "!sleep 20000\n!touch worked"})).await;
        assert_eq!(run["state"], "failed", "{run:#}");
        let message = run["error"]["message"].as_str().unwrap();
        assert!(message.contains("does not take the MCP servers"), "{message}");
        // The one that takes them with `initialize` has its prompt by then, and is ended.
        assert!(!server.folders.list("workspace").contains(&"worked".to_owned()), "it has worked on its prompt");
        server.stop().await;
    }
}
