//! Values of a run are replaced in what leaves the server, and in nothing else: what askd makes of the words of the CLI does
//! not depend on which values a request has.

use serde_json::{Value, json};

use crate::harness::{Holder, TestServer, TestServerBuilder};

/// A run with this value in its environment; the run and its events.
async fn with_value(server: &TestServer, value: &str, script: &str) -> (Value, Vec<Value>) {
    let run = server.run(json!({"prompt": script, "env": {"X_KEY": value}, "on_disconnect": "cancel"})).await;
    let events = server.get(&format!("/v1/runs/{}/events", run["id"].as_str().unwrap())).await.body;
    (run, events["data"].as_array().unwrap().clone())
}

fn of_kind<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["type"] == kind).map(|event| &event["data"]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_is_a_word_of_the_protocol_changes_no_outcome() {
    let server = TestServerBuilder::fake().start().await;
    let failed = r#"!result {"subtype":"error_during_execution","is_error":true,"errors":["is_error, completed, \"type\":\"x"]}"#;
    for (value, script, state) in [
        ("is_error", failed, "failed"),
        ("completed", failed, "failed"),
        (r#""type":""#, failed, "failed"),
        ("is_error", "!result it is_error not", "completed"),
        ("completed", "!result now completed", "completed"),
        (r#""type":""#, r#"!result {"result":"with \"type\":\" in it"}"#, "completed"),
        (r#","result":"#, "!result hello", "completed"),
    ] {
        let (run, events) = with_value(&server, value, &format!("!say here: {value} and more\n{script}")).await;
        assert_eq!(run["state"], state, "{value}: {run}");
        let said = of_kind(&events, "agent.assistant");
        assert_eq!(said[0]["message"]["content"][0]["text"], "here: [redacted] and more", "{value}: {events:?}");
        let result = of_kind(&events, "agent.result")[0];
        assert_eq!(result["is_error"], state == "failed", "{value}: {result}");
        for text in [&run["result"], &run["error"]["message"], &result["errors"], &result["result"]] {
            assert!(!text.to_string().replace('\\', "").contains(value), "{value}: {text}");
        }
        if state == "failed" {
            assert!(run["error"]["message"].as_str().unwrap().contains("[redacted]"), "{value}: {run}");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_hides_nothing_from_the_policy_of_its_key() {
    let server = TestServerBuilder::fake().start().await;
    let held: Holder = server.user(json!({"tools": ["Read"], "models": ["haiku"], "env": ["X_KEY"]})).await;
    let init =
        json!({"type": "system", "subtype": "init", "model": "m", "permissionMode": "acceptEdits", "tools": ["Bash"]});
    let message = json!({"type": "assistant", "message": {"model": "claude-opus-5-5", "content": []}});
    for (value, line) in
        [(r#""tools":["#, &init), ("permissionMode", &init), ("assistant", &message), ("claude-o", &message)]
    {
        let script = format!("!bare\n!line {line}\n!hang");
        let run = held.run(json!({"prompt": script, "env": {"X_KEY": value}, "on_disconnect": "cancel"})).await;
        assert_eq!((&run["state"], &run["error"]["type"]), (&json!("failed"), &json!("policy")), "{value}: {run}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_message_is_cut_without_leaving_half_a_value() {
    const SECRET: &str = "ghp_0123456789abcdef";
    let server = TestServerBuilder::fake().start().await;
    for length in 980..=1_000 {
        let result = json!({"is_error": true, "result": format!("{}{SECRET}", "x".repeat(length))});
        let (run, _) = with_value(&server, SECRET, &format!("!result {result}")).await;
        let message = run["error"]["message"].as_str().unwrap();
        assert!(message.contains("xxx") && !message.contains("ghp_0123"), "{length}: {message}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_way_out_has_a_value() {
    const SECRET: &str = "sesame \"open\" 1234";
    let server = TestServerBuilder::fake().start().await;
    let spelt = json!(SECRET).to_string();
    let spelt = spelt.trim_matches('"');
    let hook = json!({
        "type": "system", "subtype": "hook_response", "hook_name": "Stop", "outcome": "error", "exit_code": 1,
        // Cut in the middle of the value.
        "stderr": format!("{}{SECRET}", "x".repeat(490)),
    });
    // It comes in two pieces.
    let (first, second) = SECRET.split_at(7);
    let delta =
        |text| json!({"type": "stream_event", "event": {"type": "content_block_delta", "delta": {"text": text}}});
    let nested = json!({"type": "user", "message": {"content": json!({"inner": SECRET}).to_string()}});
    let failed = json!({"subtype": "error_during_execution", "is_error": true, "errors": [SECRET]});
    let prompt = [
        "!await go".to_owned(),
        format!("!line {}", delta(first)),
        format!("!line {}", delta(second)),
        // One that is followed by others at once may be left out.
        "!await on".to_owned(),
        format!("!line {hook}"),
        format!("!line no message, {SECRET}"),
        format!("!line {{\"no type\":\"{spelt}\"}}"),
        format!("!line {nested}"),
        format!("!background local_bash echo {SECRET}"),
        format!("!result {failed}"),
    ];
    let body =
        json!({"prompt": prompt.join("\n"), "deltas": true, "env": {"X_KEY": SECRET}, "on_disconnect": "cancel"});
    let request = server.posting("/v1/runs?deltas=true").header("accept", "text/event-stream").json(&body);
    let mut stream = crate::harness::Stream::of(request.send().await.unwrap());
    stream.until_event("run.started").await;
    server.release("go");
    let part = stream.until_event("agent.stream_event").await;
    server.release("on");
    let blocks = stream.rest().await;
    let events: Vec<Value> =
        blocks.iter().filter(|block| block.id.is_some()).map(crate::harness::Block::json).collect();
    let id = events[0]["run_id"].as_str().unwrap();
    let mut run = server.get(&format!("/v1/runs/{id}")).await.body;
    // What was asked is shown as it was asked.
    run["options"]["prompt"] = Value::Null;
    let all = server.get(&format!("/v1/runs/{id}/events")).await.body;
    assert_eq!(run["state"], "failed", "{run}");
    assert_eq!(part["data"]["event"]["delta"]["text"], "[redacted]", "{part}");
    let warnings = run["warnings"].to_string();
    for part in ["a hook of Stop", "no message, [redacted]", "the background task `echo [redacted]`"] {
        assert!(warnings.contains(part), "{part}: {warnings}");
    }
    for text in [&part, &run, &all, &json!(events)] {
        assert!(!text.to_string().contains("sesame"), "{text:#}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_has_only_so_many_values_and_they_are_looked_for_at_once() {
    let server = TestServerBuilder::fake().start().await;
    let limits = server.get("/v1/info").await.body["limits"].clone();
    let most = |name: &str| usize::try_from(limits[name].as_u64().unwrap()).unwrap();
    let (bytes, lines) = (most("secret_bytes"), most("secret_lines"));
    let many = |lines: usize| (0..lines).map(|line| format!("line {line:05}")).collect::<Vec<_>>().join("\n");
    // No single value is too large.
    let large = |bytes: usize| json!({"A_KEY": "a".repeat(bytes / 4), "B_KEY": "b".repeat(bytes / 4), "C_KEY": "c".repeat(bytes / 4), "D_KEY": "d".repeat(bytes - bytes / 4 * 3)});
    let header =
        |value: String| json!({"web": {"type": "http", "url": "http://127.0.0.1:1/", "headers": {"X-Y": value}}});
    let request = |field: &str, value: Value| {
        let mut body = json!({"prompt": "!result done", "on_disconnect": "cancel"});
        body[field] = value;
        body
    };
    for (field, value, bound) in [
        ("env", json!({"A_KEY": many(lines + 1)}), lines),
        ("env", large(bytes + 2), bytes),
        ("mcp_servers", header("h".repeat(bytes + 1)), bytes),
    ] {
        let refused = server.post("/v1/runs?wait=60", &request(field, value)).await;
        assert_eq!((refused.status, refused.param()), (400, field), "{refused:?}");
        assert!(refused.message().contains(&format!("at most {bound}")), "{refused:?}");
    }
    // Keys in PEM are of sixty lines at most.
    for value in [json!({"A_KEY": many(lines)}), large(bytes), json!({"A_KEY": many(60), "B_KEY": many(60)})] {
        assert_eq!(server.run(request("env", value)).await["state"], "completed");
    }
    server.stop().await;
}
