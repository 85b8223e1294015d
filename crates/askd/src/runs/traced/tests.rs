//! What becomes of the CLI's messages.

use std::time::SystemTime;

use claude::frame::Frame;
use opentelemetry::trace::SpanId;
use opentelemetry_sdk::trace::SpanData;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::runs::RunErrorKind;
use crate::runs::warning::{Warning, WarningCode};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000 + second).unwrap()
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() - 1_000
}

/// A run, second by second.
struct Told {
    traces: Traces,
    trace: Arc<RunTrace>,
    now: i64,
}

impl Told {
    fn new(content: bool) -> Self {
        Self::of(Traces::for_testing(|settings| settings.content = content))
    }

    /// The first that the CLI says.
    fn tools(&mut self, names: &[&str]) {
        self.trace.observe(
            at(self.now),
            &EventBody::Agent(
                Frame::parse(json!({"type": "system", "subtype": "init", "tools": names}).to_string()).unwrap(),
            ),
        );
    }

    fn of(traces: Traces) -> Self {
        let span = traces.begin(None, INVOKE, SpanKind::Internal).since(at(0));
        let trace = RunTrace::of(&traces, span, RunId(Uuid::nil()), None, at(0));
        Self { traces, trace, now: 0 }
    }

    fn event(&mut self, body: &EventBody) {
        self.trace.observe(at(self.now), body);
        self.now += 1;
    }

    fn frame(&mut self, frame: &Value) {
        self.event(&EventBody::Agent(Frame::parse(frame.to_string()).unwrap()));
    }

    /// A part of an answer.
    fn answer(&mut self, id: &str, parent: Option<&str>, block: &Value) {
        let usage = json!({"input_tokens": 1, "output_tokens": 2, "cache_read_input_tokens": 3});
        let message = json!({"id": id, "model": "claude-x", "content": [block], "usage": usage, "stop_reason": null});
        self.frame(&json!({"type": "assistant", "message": message, "parent_tool_use_id": parent}));
    }

    fn result_of(&mut self, call: &str, parent: Option<&str>, is_error: bool) {
        let block = json!({"type": "tool_result", "tool_use_id": call, "content": "found it", "is_error": is_error});
        self.frame(&json!({"type": "user", "message": {"content": [block]}, "parent_tool_use_id": parent}));
    }

    fn end(self) -> Vec<SpanData> {
        self.end_as(Finished::completed())
    }

    fn end_as(mut self, end: Finished) -> Vec<SpanData> {
        self.event(&EventBody::Finished(end.into()));
        self.trace.close();
        self.trace.close();
        self.traces.waiting()
    }
}

fn call(id: &str, name: &str) -> Value {
    json!({"type": "tool_use", "id": id, "name": name, "input": {"path": "secret"}})
}

fn one<'a>(spans: &'a [SpanData], name: &str) -> &'a SpanData {
    let found: Vec<_> = spans.iter().filter(|span| span.name.starts_with(name)).collect();
    assert_eq!(found.len(), 1, "{name}: {:?}", spans.iter().map(|span| &span.name).collect::<Vec<_>>());
    found[0]
}

fn value(span: &SpanData, name: &str) -> Option<String> {
    span.attributes.iter().find(|it| it.key.as_str() == name).map(|it| it.value.to_string())
}

#[test]
fn a_call_of_the_model_lasts_from_what_it_answers_to_its_last_part_and_a_tool_to_its_result() {
    let mut told = Told::new(false);
    told.event(&EventBody::Started { cli_version: "2".into() });
    told.tools(&["Read"]);
    told.answer("m1", None, &json!({"type": "text", "text": "secret"}));
    told.answer("m1", None, &call("t1", "Read"));
    told.now = 10;
    told.result_of("t1", None, true);
    told.now = 20;
    told.answer("m2", None, &json!({"type": "text", "text": "secret"}));
    told.frame(&json!({"type": "result", "result": "secret"}));
    let spans = told.end();
    let run = one(&spans, INVOKE);
    let chats: Vec<_> = spans.iter().filter(|span| span.name == "chat claude-x").collect();
    let times: Vec<_> = chats.iter().map(|span| (seconds(span.start_time), seconds(span.end_time))).collect();
    assert_eq!(times, [(0, 2), (10, 20)]);
    let tool = one(&spans, "execute_tool Read");
    assert_eq!((seconds(tool.start_time), seconds(tool.end_time)), (2, 10));
    assert_eq!(value(tool, "error.type").as_deref(), Some("tool_error"));
    assert!(spans.iter().all(|span| span.parent_span_id == run.span_context.span_id() || span.name == INVOKE));
    assert_eq!(run.parent_span_id, SpanId::INVALID);
    assert_eq!(value(chats[0], "gen_ai.usage.input_tokens").as_deref(), Some("4"), "with what came from the cache");
    let placeholder = value(chats[0], "gen_ai.usage.output_tokens");
    assert_eq!(placeholder, None, "the CLI passes a part on before the answer is complete");
    assert_eq!(value(run, "gen_ai.response.model").as_deref(), Some("claude-x"));
    assert!(!format!("{spans:?}").contains("secret"), "content is off");
}

#[test]
fn what_a_subagent_does_is_below_the_call_that_started_it_also_in_the_background() {
    let mut told = Told::new(false);
    told.event(&EventBody::Started { cli_version: "2".into() });
    told.tools(&["Task", "Bash"]);
    told.answer("m1", None, &call("t1", "Agent"));
    told.result_of("t1", None, false);
    told.answer("m2", Some("t1"), &call("t2", "Bash"));
    told.result_of("t2", Some("t1"), false);
    let spans = told.end();
    let agent = one(&spans, "execute_tool Agent");
    let below: Vec<_> = spans.iter().filter(|span| span.parent_span_id == agent.span_context.span_id()).collect();
    assert_eq!(below.iter().map(|span| &*span.name).collect::<Vec<_>>(), ["execute_tool Bash", "chat claude-x"]);
}

#[test]
fn the_providers_own_tools_end_with_the_part_of_the_answer_that_has_their_result() {
    let mut told = Told::new(true);
    for (kind, name) in [("server_tool_use", "web_search"), ("server_tool_use", "web_fetch"), ("mcp_tool_use", "find")]
    {
        told.answer("m1", None, &json!({"type": kind, "id": name, "name": name, "input": {}}));
    }
    told.now = 10;
    for (kind, name, content) in [
        ("web_search_tool_result", "web_search", json!([{"type": "web_search_result", "url": "u"}])),
        (
            "web_fetch_tool_result",
            "web_fetch",
            json!({"type": "web_fetch_tool_result_error", "error_code": "unavailable"}),
        ),
        ("mcp_tool_result", "find", json!([{"type": "text", "text": "found it"}])),
    ] {
        told.answer(
            "m1",
            None,
            &json!({"type": kind, "tool_use_id": name, "content": content, "is_error": name == "find"}),
        );
    }
    told.now = 50;
    let spans = told.end();
    for (number, (name, error)) in
        [("web_search", None), ("web_fetch", Some("tool_error")), ("find", Some("tool_error"))].into_iter().enumerate()
    {
        let tool = one(&spans, &format!("execute_tool {name}"));
        let expected = (number as u64, 10 + number as u64, error);
        let error = value(tool, "error.type");
        assert_eq!((seconds(tool.start_time), seconds(tool.end_time), error.as_deref()), expected, "{name}");
    }
    assert_eq!(value(one(&spans, "execute_tool find"), "gen_ai.tool.call.result").as_deref(), Some("found it"));
}

#[test]
fn a_runs_span_ends_once_when_its_end_is_stored_and_told_of_in_whatever_order() {
    for is_stored_first in [true, false] {
        let mut told = Told::new(false);
        if is_stored_first {
            told.trace.close();
        }
        told.now = 7;
        told.event(&EventBody::Finished(Finished::completed().into()));
        assert_eq!(told.traces.waiting().len(), usize::from(is_stored_first));
        told.trace.close();
        assert_eq!(told.traces.waiting().len(), usize::from(!is_stored_first));
    }
}

#[test]
fn what_is_open_at_the_end_is_ended_with_the_run_and_has_failed_if_that_has() {
    for (end, expected) in
        [(Finished::completed(), None), (Finished::cancelled(RunErrorKind::Cancelled, "secret"), Some("cancelled"))]
    {
        let mut told = Told::new(false);
        told.answer("m1", None, &call("t1", "Bash"));
        let spans = told.end_as(end);
        assert_eq!(value(one(&spans, "execute_tool"), "error.type").as_deref(), expected);
        assert!(!format!("{spans:?}").contains("secret"));
    }
}

#[test]
fn a_warning_is_an_event_of_the_run() {
    let mut told = Told::new(false);
    told.event(&EventBody::Warning(Warning::new(WarningCode::RateLimit, "secret")));
    let spans = told.end();
    let events = &one(&spans, INVOKE).events;
    assert_eq!((&*events[0].name, events[0].attributes[0].value.as_str()), ("askd.warning", "rate_limit".into()));
    assert!(!format!("{spans:?}").contains("secret"));
}

#[test]
fn a_run_has_so_many_spans_and_no_more() {
    let mut told = Told::of(Traces::for_testing(|settings| settings.run_spans = 10));
    for number in 0..100 {
        // However many parts an answer has, it is one.
        told.answer(&format!("m{number}"), None, &json!({"type": "thinking", "thinking": "well"}));
        told.answer(&format!("m{number}"), None, &json!({"type": "text", "text": "so"}));
        told.answer(&format!("m{number}"), None, &call(&format!("t{number}"), "Bash"));
    }
    let spans = told.end();
    assert_eq!(spans.len(), 11);
    assert_eq!(value(one(&spans, INVOKE), "askd.spans.left_out").as_deref(), Some("190"));
}

#[test]
fn content_is_there_if_it_is_asked_for_and_cut() {
    let mut told = Told::new(true);
    told.trace.asked("what is it?");
    told.answer("m1", None, &json!({"type": "text", "text": "€".repeat(100_000)}));
    told.answer("m1", None, &call("t1", "Read"));
    told.result_of("t1", None, false);
    let spans = told.end();
    let said = value(one(&spans, "chat"), "gen_ai.output.messages").unwrap();
    assert!(said.contains("€€€") && said.contains("Read") && said.len() < 5_000, "{}", said.len());
    let tool = one(&spans, "execute_tool");
    assert_eq!(value(tool, "gen_ai.tool.call.arguments").as_deref(), Some(r#"{"path":"secret"}"#));
    assert_eq!(value(tool, "gen_ai.tool.call.result").as_deref(), Some("found it"));
    assert!(value(one(&spans, INVOKE), "gen_ai.input.messages").unwrap().contains("what is it?"));
}

#[test]
fn what_a_call_has_said_is_kept_within_bounds_also_names_and_ids_that_a_model_makes_up() {
    let mut told = Told::new(true);
    for _ in 0..100 {
        told.answer("m1", None, &call(&"i".repeat(100_000), &"n".repeat(100_000)));
    }
    let said = value(one(&told.end(), "chat"), "gen_ai.output.messages").unwrap();
    assert!(said.contains("tool_call") && said.len() < 10_000, "{} bytes", said.len());
}

#[test]
fn the_name_of_a_tool_that_a_model_makes_up_is_content() {
    for (content, expected) in [(false, "execute_tool other"), (true, "execute_tool the secret is 42")] {
        let mut told = Told::new(content);
        told.tools(&["Read"]);
        told.answer("m1", None, &call("t1", "the secret is 42"));
        let spans = told.end();
        assert_eq!(one(&spans, "execute_tool").name, expected);
        // Not by its number: ids and times are made of digits as well.
        assert_eq!(format!("{spans:?}").contains("secret"), content);
    }
}

#[test]
fn a_tool_of_a_server_that_connected_late_has_its_name_once_it_has_done_something() {
    let mut told = Told::new(false);
    told.tools(&["Read"]);
    for (id, is_error) in [("t1", true), ("t2", false), ("t3", true)] {
        told.answer("m1", None, &call(id, "mcp__tracker__find"));
        told.result_of(id, None, is_error);
    }
    let spans = told.end();
    let tools = spans.iter().filter(|span| span.name.starts_with("execute_tool"));
    let tools: Vec<_> = tools.map(|span| (&*span.name, value(span, "gen_ai.tool.name").unwrap())).collect();
    let late = ("execute_tool mcp__tracker__find", "mcp__tracker__find".to_owned());
    assert_eq!(tools, [("execute_tool other", "other".to_owned()), late.clone(), late]);
}

#[test]
fn messages_of_another_form_are_let_be() {
    let mut told = Told::new(true);
    for frame in [
        json!({"type": "assistant"}),
        json!({"type": "assistant", "message": 5}),
        json!({"type": "assistant", "message": {"id": 5, "content": "text", "usage": []}, "parent_tool_use_id": 7}),
        json!({"type": "user", "message": {"content": [5, {"type": "tool_result"}]}}),
        json!({"type": "user", "message": {"content": "a text"}}),
        json!({"type": "system", "subtype": "init", "model": null}),
        json!({"type": "system", "subtype": "init", "tools": [5, null, {}]}),
        json!({"type": "system", "subtype": "init", "tools": "Read"}),
    ] {
        told.frame(&frame);
    }
    assert_eq!(one(&told.end(), INVOKE).span_kind, SpanKind::Internal);
}
