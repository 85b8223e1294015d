//! A run as clients see it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::options::options;
use super::time::rfc3339;
use super::usage::RunUsage;
use crate::isolation::RunIsolation;
use crate::runs::RunError;
use crate::runs::request::RunRequest;
use crate::runs::warning::Warning;
use crate::store::runs::RunRow;
use crate::usd::Usd;

/// A larger text or value of a result is left out; `result_seq` says where it is.
const MAX_RESULT_PART: usize = 1 << 20;

/// How much of a run is shown.
#[derive(Debug, Clone, Copy)]
pub enum Detail<'a> {
    /// As one of many: without long texts and without its result.
    Listed,
    /// With everything, as far as there is some and it is kept.
    Single {
        /// The data of its last `agent.result`, JSON.
        result: Option<&'a str>,
        /// The data of the last message of a run without a full answer, JSON.
        last_words: Option<&'a str>,
    },
}

/// A run. In lists it comes without long texts and without its result.
// The fields in the order in which they are read.
#[derive(Serialize, ToSchema)]
pub struct Run<'a> {
    /// What this is.
    r#type: &'a str,
    /// Its id.
    id: &'a str,
    /// The key that submitted it.
    key: &'a str,
    /// Where it stands.
    state: &'a str,
    /// Its session, which a later run can continue.
    #[schema(format = "uuid")]
    session_id: &'a str,
    /// The workspace that it works in; `null`: the root of all.
    #[schema(required)]
    workspace: Option<&'a str>,
    /// Its working folder, relative to the workspace root.
    cwd: &'a str,
    /// The client's notes.
    metadata: BTreeMap<&'a str, &'a str>,
    /// What was asked, by the names of `POST /v1/runs`; of secrets only the names.
    options: Value,
    /// What becomes of it when its client leaves.
    on_disconnect: &'a str,
    /// When it was submitted.
    #[schema(format = DateTime)]
    created_at: String,
    /// When its turn came.
    #[schema(required, format = DateTime)]
    started_at: Option<String>,
    /// When it ended.
    #[schema(required, format = DateTime)]
    finished_at: Option<String>,
    /// How long it waited for its turn.
    #[schema(required)]
    queued_ms: Option<i64>,
    /// How long it took until the CLI said something.
    #[schema(required)]
    first_event_ms: Option<i64>,
    /// How long it took from its submission to its end.
    #[schema(required)]
    duration_ms: Option<i64>,
    /// The version of its CLI.
    #[schema(required)]
    cli_version: Option<&'a str>,
    /// What confined it.
    #[schema(required, value_type = Option<RunIsolation>)]
    isolation: Option<&'a RawValue>,
    /// The number of its last event.
    last_seq: u64,
    /// The number of the event with its result.
    #[schema(required)]
    result_seq: Option<u64>,
    /// Calls of tools that were denied.
    permission_denials: Denials<'a>,
    /// What a person wants to know besides; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Vec<Warning>>)]
    warnings: Option<&'a RawValue>,
    /// What it cost, by the CLI's estimate.
    #[schema(required, value_type = Option<f64>)]
    cost_usd: Option<Usd>,
    /// What it has used.
    #[schema(required)]
    usage: Option<RunUsage>,
    #[serde(flatten)]
    result: Option<Answer<'a>>,
    /// Why it did not complete.
    #[schema(required)]
    error: Option<RunError>,
}

/// Calls of tools that were denied.
#[derive(Serialize, ToSchema)]
pub struct Denials<'a> {
    /// How many.
    count: u64,
    /// Which, in the CLI's words; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Vec<Value>>)]
    calls: Option<&'a RawValue>,
}

/// What came of a run; not in lists.
#[derive(Serialize, ToSchema)]
pub struct Answer<'a> {
    /// The answer.
    #[schema(value_type = Option<String>)]
    result: Option<&'a RawValue>,
    /// What the model had said, if it did not come to its end.
    partial_result: Option<String>,
    /// The answer in the form of the schema that was asked for.
    #[schema(value_type = Option<Value>)]
    structured_output: Option<&'a RawValue>,
}

/// What is taken out of the CLI's message, as it stands there.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Message<'a> {
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    structured_output: Option<&'a RawValue>,
    #[serde(borrow)]
    permission_denials: Option<&'a RawValue>,
}

/// The run in JSON.
pub fn encode(row: &RunRow, metadata: &[(String, String)], detail: Detail<'_>) -> Vec<u8> {
    let request = serde_json::from_str::<RunRequest>(&row.request).ok();
    let message = match detail {
        Detail::Listed | Detail::Single { result: None, .. } => Message::default(),
        Detail::Single { result: Some(text), .. } => serde_json::from_str(text).unwrap_or_default(),
    };
    let partial_result = match detail {
        Detail::Listed | Detail::Single { last_words: None, .. } => None,
        Detail::Single { last_words: Some(text), .. } => text_of(text),
    };
    let since = |time: Option<i64>| time.map(|time| (time - row.created_at).max(0));
    let run = Run {
        r#type: "run",
        id: &row.id,
        key: &row.key_id,
        state: &row.state,
        session_id: &row.session_id,
        workspace: row.workspace.as_deref(),
        cwd: request.as_ref().map_or("", |request| &request.cwd),
        metadata: metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
        options: request.as_ref().map_or(Value::Null, |request| options(request, detail)),
        on_disconnect: &row.on_disconnect,
        created_at: rfc3339(row.created_at),
        started_at: row.started_at.map(rfc3339),
        finished_at: row.finished_at.map(rfc3339),
        queued_ms: since(row.started_at),
        first_event_ms: since(row.first_event_at),
        duration_ms: since(row.finished_at),
        cli_version: row.cli_version.as_deref(),
        isolation: row.isolation.as_deref().and_then(|text| serde_json::from_str(text).ok()),
        last_seq: row.last_seq,
        result_seq: row.result_seq,
        permission_denials: Denials { count: row.denials, calls: small(message.permission_denials) },
        warnings: matches!(detail, Detail::Single { .. })
            .then(|| row.warnings.as_deref().unwrap_or("[]"))
            .and_then(|text| serde_json::from_str(text).ok()),
        cost_usd: row.cost_micros.map(Usd::from_micros),
        usage: RunUsage::of(row),
        result: matches!(detail, Detail::Single { .. }).then(|| Answer {
            result: small(message.result),
            partial_result,
            // One that does not fit its schema stays in the event.
            structured_output: small(message.structured_output).filter(|_| row.state == "completed"),
        }),
        error: row.error.as_deref().map(RunError::from_json),
    };
    // Texts, numbers and JSON that was parsed always serialise.
    serde_json::to_vec(&run).unwrap_or_default()
}

/// What a message of the model says; `None` if that is nothing, or very long.
fn text_of(message: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Said {
        message: Content,
    }
    #[derive(Deserialize)]
    struct Content {
        content: Vec<Block>,
    }
    #[derive(Deserialize)]
    struct Block {
        #[serde(default)]
        r#type: String,
        #[serde(default)]
        text: String,
    }
    let Said { message } = serde_json::from_str(message).ok()?;
    let text: String = message.content.into_iter().filter(|it| it.r#type == "text").map(|it| it.text).collect();
    (!text.is_empty() && text.len() <= MAX_RESULT_PART).then_some(text)
}

fn small(value: Option<&RawValue>) -> Option<&RawValue> {
    value.filter(|value| value.get().len() <= MAX_RESULT_PART)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> RunRow {
        RunRow {
            id: "run_00000000-0000-0000-0000-000000000007".into(),
            key_id: "admin".into(),
            session_id: "00000000-0000-0000-0000-000000000008".into(),
            workspace: Some("shop".into()),
            state: "incomplete".into(),
            epoch: 1,
            owner: "me".into(),
            lease_until: None,
            on_disconnect: "continue".into(),
            request:
                r#"{"prompt":"hi","cwd":"shop/web","max_turns":3,"resume":"00000000-0000-0000-0000-000000000008"}"#
                    .into(),
            last_seq: 9,
            log_bytes: 100,
            created_at: 1_795_000_000_000,
            started_at: Some(1_795_000_000_100),
            first_event_at: Some(1_795_000_000_200),
            finished_at: Some(1_795_000_000_300),
            cli_version: Some("2.1.330".into()),
            result_seq: Some(8),
            denials: 1,
            isolation: Some(r#"{"layer":"none","in_force":["limits"],"reason":"ASKD_ISOLATION is off"}"#.into()),
            error: Some(r#"{"type":"turn_limit","message":"Reached maximum number of turns (3)"}"#.into()),
            cost_micros: Some(250_000),
            reserved_micros: None,
            usage: Some(
                r#"{"complete":false,"models":{"":{"cost_micros":50000},"opus":{"input_tokens":10,"cost_micros":150000}}}"#
                    .into(),
            ),
            warnings: Some(r#"[{"code":"tools_denied","message":"1 tool call was denied: Bash"}]"#.into()),
            trace_context: None,
            answer_seq: None,
            events_expired: false,
        }
    }

    const LAST_WORDS: &str = r#"{"type":"assistant","message":{"content":[{"type":"thinking","thinking":"x"},{"type":"text","text":"half a"}]}}"#;

    fn pretty(detail: Detail<'_>) -> String {
        let metadata = [("team".to_owned(), "a".to_owned())];
        let value: Box<RawValue> = serde_json::from_slice(&encode(&row(), &metadata, detail)).unwrap();
        // Field by field, in their order.
        value.get().replace(",\"", ",\n\"")
    }

    #[test]
    fn a_single_run_shows_everything() {
        let result = r#"{"type":"result","result":"half","permission_denials":[{"tool_name":"Bash"}]}"#;
        insta::assert_snapshot!(pretty(Detail::Single { result: Some(result), last_words: Some(LAST_WORDS) }), @r#"
        {"type":"run",
        "id":"run_00000000-0000-0000-0000-000000000007",
        "key":"admin",
        "state":"incomplete",
        "session_id":"00000000-0000-0000-0000-000000000008",
        "workspace":"shop",
        "cwd":"shop/web",
        "metadata":{"team":"a"},
        "options":{"additional_folders":[],
        "agent":null,
        "agents":{},
        "allowed_tools":[],
        "append_system_prompt":null,
        "content":[],
        "deltas":false,
        "disallowed_tools":[],
        "effort":null,
        "env":[],
        "expand":false,
        "fallback_model":[],
        "fork_session":false,
        "idle_timeout_seconds":null,
        "max_budget_usd":null,
        "max_turns":3,
        "mcp_servers":[],
        "model":null,
        "output_schema":null,
        "permission_mode":null,
        "priority":null,
        "profile":null,
        "prompt":"hi",
        "queue_timeout_seconds":null,
        "session_id":"00000000-0000-0000-0000-000000000008",
        "system_prompt":null,
        "timeout_seconds":null,
        "tools":null,
        "write_root":null},
        "on_disconnect":"continue",
        "created_at":"2026-11-18T11:06:40.000Z",
        "started_at":"2026-11-18T11:06:40.100Z",
        "finished_at":"2026-11-18T11:06:40.300Z",
        "queued_ms":100,
        "first_event_ms":200,
        "duration_ms":300,
        "cli_version":"2.1.330",
        "isolation":{"layer":"none",
        "in_force":["limits"],
        "reason":"ASKD_ISOLATION is off"},
        "last_seq":9,
        "result_seq":8,
        "permission_denials":{"count":1,
        "calls":[{"tool_name":"Bash"}]},
        "warnings":[{"code":"tools_denied",
        "message":"1 tool call was denied: Bash"}],
        "cost_usd":0.25,
        "usage":{"estimate":true,
        "complete":false,
        "input_tokens":10,
        "output_tokens":0,
        "cache_read_input_tokens":0,
        "cache_creation_input_tokens":0,
        "web_search_requests":0,
        "cost_usd":0.25,
        "models":{"opus":{"input_tokens":10,
        "output_tokens":0,
        "cache_read_input_tokens":0,
        "cache_creation_input_tokens":0,
        "web_search_requests":0,
        "cost_usd":0.15}}},
        "result":"half",
        "partial_result":"half a",
        "structured_output":null,
        "error":{"type":"turn_limit",
        "message":"Reached maximum number of turns (3)",
        "upstream_status":null,
        "terminal_reason":null,
        "hint":null,
        "retry_at":null}}
        "#);
    }

    #[test]
    fn a_run_in_a_list_shows_no_long_texts() {
        insta::assert_snapshot!(pretty(Detail::Listed), @r#"
        {"type":"run",
        "id":"run_00000000-0000-0000-0000-000000000007",
        "key":"admin",
        "state":"incomplete",
        "session_id":"00000000-0000-0000-0000-000000000008",
        "workspace":"shop",
        "cwd":"shop/web",
        "metadata":{"team":"a"},
        "options":{"additional_folders":[],
        "agent":null,
        "allowed_tools":[],
        "deltas":false,
        "disallowed_tools":[],
        "effort":null,
        "env":[],
        "expand":false,
        "fallback_model":[],
        "fork_session":false,
        "idle_timeout_seconds":null,
        "max_budget_usd":null,
        "max_turns":3,
        "mcp_servers":[],
        "model":null,
        "permission_mode":null,
        "priority":null,
        "profile":null,
        "queue_timeout_seconds":null,
        "session_id":"00000000-0000-0000-0000-000000000008",
        "timeout_seconds":null,
        "tools":null,
        "write_root":null},
        "on_disconnect":"continue",
        "created_at":"2026-11-18T11:06:40.000Z",
        "started_at":"2026-11-18T11:06:40.100Z",
        "finished_at":"2026-11-18T11:06:40.300Z",
        "queued_ms":100,
        "first_event_ms":200,
        "duration_ms":300,
        "cli_version":"2.1.330",
        "isolation":{"layer":"none",
        "in_force":["limits"],
        "reason":"ASKD_ISOLATION is off"},
        "last_seq":9,
        "result_seq":8,
        "permission_denials":{"count":1},
        "cost_usd":0.25,
        "usage":{"estimate":true,
        "complete":false,
        "input_tokens":10,
        "output_tokens":0,
        "cache_read_input_tokens":0,
        "cache_creation_input_tokens":0,
        "web_search_requests":0,
        "cost_usd":0.25,
        "models":{"opus":{"input_tokens":10,
        "output_tokens":0,
        "cache_read_input_tokens":0,
        "cache_creation_input_tokens":0,
        "web_search_requests":0,
        "cost_usd":0.15}}},
        "error":{"type":"turn_limit",
        "message":"Reached maximum number of turns (3)",
        "upstream_status":null,
        "terminal_reason":null,
        "hint":null,
        "retry_at":null}}
        "#);
    }

    #[test]
    fn last_words_are_texts_and_not_too_long() {
        assert_eq!(text_of(LAST_WORDS).as_deref(), Some("half a"));
        let long =
            format!(r#"{{"message":{{"content":[{{"type":"text","text":"{}"}}]}}}}"#, "x".repeat(MAX_RESULT_PART + 1));
        for nothing in [&long, "{}", r#"{"message":{"content":"of another form"}}"#, r#"{"message":{"content":[]}}"#] {
            assert_eq!(text_of(nothing), None);
        }
    }

    #[test]
    fn a_long_result_is_left_where_it_is() {
        let result = format!(r#"{{"result":"{}","permission_denials":[1]}}"#, "x".repeat(MAX_RESULT_PART));
        let run: Value =
            serde_json::from_slice(&encode(&row(), &[], Detail::Single { result: Some(&result), last_words: None }))
                .unwrap();
        let calls = &run["permission_denials"]["calls"][0];
        assert_eq!((&run["result"], calls, &run["result_seq"]), (&Value::Null, &1.into(), &8.into()));
    }
}
