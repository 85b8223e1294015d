//! What a process has used so far, by model, and what that costs by the CLI's own estimate.
//!
//! Three places tell it, and [`Account`](account::Account) makes one sum of them. A `result` tells what was used since the
//! one before, or in old CLIs since the start of the process. [`get_usage`] can be asked at any time, also while a tool or a
//! subagent works; it counts calls of the model that have ended, those of subagents included. And a new CLI that ends in
//! order, also by a signal, leaves its figures in the last line of its transcript ([`cost_state`]).
//!
//! What assistant messages say of usage is not final, and some calls have no message (checked), so none is counted.

use serde::Deserialize;
use serde_json::Value;

use self::by_model::ByModel;
use crate::frame::Frame;
use crate::input::control_request;

pub mod account;
pub mod by_model;

/// What the request id of a `get_usage` request begins with.
pub const USAGE_ID: &str = "askd-usage";

/// Asks what the session has cost. `number` makes its id one of its own.
pub fn get_usage(number: u32) -> String {
    #[derive(serde::Serialize)]
    struct Body {
        subtype: &'static str,
        skip_behaviors: bool,
    }
    // With the behaviours it would read transcripts of a week (checked).
    control_request(&format!("{USAGE_ID}-{number}"), &Body { subtype: "get_usage", skip_behaviors: true })
}

/// Whether a line may hold an answer to [`get_usage`]. Cheap.
pub fn may_be_usage(line: &str) -> bool {
    line.len() < MAX_REPLY && line.contains(USAGE_ID)
}

/// An answer is a few hundred bytes for each model.
const MAX_REPLY: usize = 64 << 10;

/// The totals of the conversation; an error if the CLI does not tell, because it knows no such question; `None` when the frame
/// is something else.
pub fn usage(frame: &Frame) -> Option<Result<ByModel, String>> {
    #[derive(Deserialize)]
    struct Envelope {
        response: Response,
    }
    #[derive(Deserialize)]
    struct Response {
        request_id: String,
        #[serde(default)]
        error: Option<String>,
        #[serde(default, rename = "response")]
        body: Value,
    }
    if frame.kind != "control_response" {
        return None;
    }
    let response = frame.body::<Envelope>()?.response;
    if !response.request_id.starts_with(USAGE_ID) {
        return None;
    }
    let session = response.body.get("session");
    let part = |name| session.and_then(|session| session.get(name));
    let total = ByModel::with_total(part("model_usage"), part("total_cost_usd"));
    Some(total.ok_or_else(|| response.error.unwrap_or_else(|| "the answer has an unknown form".into())))
}

/// The totals of the conversation, if this is the line of a transcript that says so. Old CLIs write none (checked with
/// 2.1.276).
pub fn cost_state(line: &str) -> Option<ByModel> {
    #[derive(Deserialize)]
    struct Line {
        r#type: String,
        #[serde(rename = "totalCostUSD")]
        total: Value,
        #[serde(default, rename = "modelUsage")]
        models: Value,
    }
    let line: Line = serde_json::from_str(line).ok()?;
    (line.r#type == "cost-state").then(|| ByModel::with_total(Some(&line.models), Some(&line.total)))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Option<Result<f64, String>> {
        Some(usage(&Frame::parse(line.into()).unwrap())?.map(|told| told.cost_usd()))
    }

    /// Of each model: tokens of input and output, read from a cache and written to it, searches.
    fn tokens(told: &ByModel) -> Vec<(&str, [u64; 5])> {
        let of = |it: &by_model::Amount| {
            [it.input_tokens, it.output_tokens, it.cache_read_tokens, it.cache_write_tokens, it.web_searches]
        };
        told.iter().map(|(model, amount)| (model, of(amount))).collect()
    }

    #[test]
    fn the_question_is_one_line_with_an_id_of_its_own() {
        insta::assert_snapshot!(get_usage(7), @r#"{"type":"control_request","request_id":"askd-usage-7","request":{"subtype":"get_usage","skip_behaviors":true}}"#);
    }

    #[test]
    fn the_answer_is_told_from_others_and_from_a_refusal() {
        let answer = r#"{"type":"control_response","response":{"subtype":"success","request_id":"askd-usage-7",
            "response":{"session":{"total_cost_usd":0.25,"total_api_duration_ms":1}}}}"#;
        assert!(may_be_usage(answer));
        assert_eq!(of(answer), Some(Ok(0.25)));
        assert_eq!(of(&answer.replace("askd-usage", "askd-interrupt")), None);
        assert_eq!(of(&answer.replace("control_response", "result")), None);
        let unknown = r#"{"type":"control_response","response":{"subtype":"error","request_id":"askd-usage-7","error":"unsupported"}}"#;
        assert_eq!(of(unknown), Some(Err("unsupported".into())));
        assert!(matches!(of(&answer.replace("session", "sitting")), Some(Err(_))));
    }

    #[test]
    fn an_answer_tells_what_each_model_was_used_for() {
        // As 2.1.330 has written it; older ones leave some fields out.
        let answer = r#"{"type":"control_response","response":{"subtype":"success","request_id":"askd-usage-1","response":{
            "session":{"total_cost_usd":0.0042,"total_api_duration_ms":47,"model_usage":{"claude-opus-5-5":{"inputTokens":1000,
            "outputTokens":10,"cacheReadInputTokens":7,"cacheCreationInputTokens":6,"webSearchRequests":1,"costUSD":0.0042}}},
            "rate_limits_available":false,"behaviors":null}}}"#;
        let told = usage(&Frame::parse(answer.into()).unwrap()).unwrap().unwrap();
        assert_eq!(tokens(&told), [("claude-opus-5-5", [1000, 10, 7, 6, 1])]);
    }

    #[test]
    fn the_line_of_a_transcript_is_told_from_others() {
        // As 2.1.330 has written it.
        let line = r#"{"type":"cost-state","sessionId":"x","totalCostUSD":0.0042,"totalAPIDuration":37,"modelUsage":{
            "my-model-x[1m]":{"inputTokens":1000,"outputTokens":10,"thinkingTokens":0,"cacheReadInputTokens":0,
            "cacheCreationInputTokens":0,"webSearchRequests":0,"costUSD":0.0042}},"hasUnknownModelCost":true}"#;
        assert_eq!(tokens(&cost_state(line).unwrap()), [("my-model-x", [1000, 10, 0, 0, 0])]);
        assert_eq!(cost_state(r#"{"type":"cost-state","totalCostUSD":1.5}"#).map(|told| told.cost_usd()), Some(1.5));
        assert_eq!(cost_state(r#"{"type":"user","totalCostUSD":1.5}"#), None);
        assert_eq!(cost_state("no json"), None);
    }
}
