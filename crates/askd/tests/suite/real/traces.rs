//! The spans of one real run, as the reference definitions of OTLP read them.

use std::fs;

use scripted_model::prompt::{text, tool, turns};
use serde_json::{Value, json};

use super::World;
use crate::harness::{Collector, Spans, python};

const SECRET: &str = "token-in-private-4711";

/// A run that looks at its place in the trace with a tool, and answers; what is said is `in-private`.
async fn run(world: &World, env: Value) -> Value {
    let command = "printf %s \"$TRACEPARENT\" > seen; echo \"output-in-private $MY_TOKEN\"";
    let script = turns([
        format!(
            "[[usage:input=100,output=20,cache_read=30,cache_write=40]]{}",
            tool("Bash", &json!({"command": command, "description": "d"}))
        ),
        format!("[[usage:input=7,output=5]]{}", text("answer-in-private")),
    ]);
    let body = json!({
        "prompt": format!("prompt-in-private {script}"), "system_prompt": "system-in-private",
        "allowed_tools": ["Bash"], "env": env, "on_disconnect": "cancel",
    });
    let run = world.server.run(body).await;
    assert_eq!((&run["state"], &run["result"]), (&"completed".into(), &"answer-in-private".into()), "{run}");
    run
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_run_is_one_trace_with_its_calls_and_tokens_and_nothing_of_what_was_said() {
    let name = "a_real_run_is_one_trace_with_its_calls_and_tokens_and_nothing_of_what_was_said";
    let Some(python) = python(name) else { return };
    let collector = Collector::start().await;
    let world = World::with(|server| server.set(|settings| collector.gets(&mut settings.traces))).await;
    let told = run(&world, json!({})).await;
    let seen = fs::read_to_string(world.server.folders.workspace().join("seen")).unwrap();
    world.stop().await;

    let spans = collector.spans(&python);
    let (request, run) = (spans.one("POST /v1/runs"), spans.one("invoke_agent"));
    let [first, second] = spans.all("chat")[..] else { panic!("{:?}", spans.names()) };
    let (tool, start) = (spans.one("execute_tool Bash"), spans.one("start"));
    assert!(Spans::is_below(run, request) && Spans::is_below(spans.one("spawn"), start));
    for span in [spans.one("queue"), start, first, tool, second] {
        assert!(Spans::is_below(span, run), "{span}");
        assert!(span["start"].as_u64() >= run["start"].as_u64() && span["end"].as_u64() <= run["end"].as_u64());
    }
    let time = |span: &Value, name: &str| span[name].as_u64().unwrap();
    assert!(time(first, "start") <= time(tool, "start") && time(tool, "end") <= time(second, "start"), "{spans:?}");
    // The process belongs to it too.
    assert_eq!(seen, format!("00-{}-{}-01", run["trace_id"].as_str().unwrap(), run["span_id"].as_str().unwrap()));

    let usage = &told["usage"];
    let number = |name: &str| usage[name].as_u64().unwrap();
    let (read, written) = (number("cache_read_input_tokens"), number("cache_creation_input_tokens"));
    let of_run = &run["attributes"];
    assert_eq!(of_run["gen_ai.usage.input_tokens"], number("input_tokens") + read + written, "{usage}");
    assert_eq!(of_run["gen_ai.usage.output_tokens"], number("output_tokens"));
    assert_eq!(of_run["gen_ai.usage.cache_read.input_tokens"], read);
    assert_eq!(of_run["gen_ai.usage.cache_creation.input_tokens"], written);
    assert_eq!((&of_run["askd.cost.usd"], &of_run["gen_ai.conversation.id"]), (&told["cost_usd"], &told["session_id"]));
    for chat in [first, second] {
        let attributes = &chat["attributes"];
        assert_eq!(attributes["gen_ai.response.model"], of_run["gen_ai.response.model"], "{chat}");
        assert!(attributes["gen_ai.usage.output_tokens"].is_null(), "the CLI does not say it: {chat}");
        assert!(attributes["gen_ai.response.id"].as_str().unwrap().starts_with("msg_"), "{chat}");
        assert_eq!(chat["name"], format!("chat {}", attributes["gen_ai.request.model"].as_str().unwrap()));
    }
    assert_eq!(first["attributes"]["gen_ai.usage.input_tokens"], 170);
    assert_eq!(tool["attributes"]["gen_ai.tool.name"], "Bash");
    assert!(tool["attributes"]["gen_ai.tool.call.id"].is_string() && tool["attributes"]["error.type"].is_null());
    let bytes = collector.bytes();
    assert!(!bytes.contains("in-private") && !bytes.contains("printf"), "content is off: {bytes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn content_is_in_the_spans_of_whoever_asks_for_it_and_no_secret_in_it() {
    let Some(python) = python("content_is_in_the_spans_of_whoever_asks_for_it_and_no_secret_in_it") else { return };
    let collector = Collector::start().await;
    let world = World::with(|server| {
        server.set(|settings| {
            collector.gets(&mut settings.traces);
            settings.traces.content = true;
        })
    })
    .await;
    run(&world, json!({"MY_TOKEN": SECRET})).await;
    world.stop().await;

    let spans = collector.spans(&python);
    let (run, tool) = (&spans.one("invoke_agent")["attributes"], &spans.one("execute_tool")["attributes"]);
    let text = |of: &Value, name: &str| of[name].as_str().unwrap_or_else(|| panic!("{name}: {of}")).to_owned();
    assert!(text(run, "gen_ai.input.messages").contains("prompt-in-private"));
    assert!(text(run, "gen_ai.output.messages").contains("answer-in-private"));
    assert!(text(tool, "gen_ai.tool.call.arguments").contains("printf"));
    assert!(text(tool, "gen_ai.tool.call.result").contains("output-in-private [redacted]"), "{tool}");
    let bytes = collector.bytes();
    for secret in [SECRET, "sk-test-key"] {
        assert!(!bytes.contains(secret), "{secret}");
    }
}
