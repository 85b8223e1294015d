//! What one message of the CLI says that a person wants to know. Forms were seen in 2.1.261, 2.1.276 and 2.1.330.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Kind, Notice, seconds, shortened};
use crate::frame::Frame;
use crate::reply::skipped_servers;

/// What a message says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// To be told, unless the same was told before.
    Say {
        /// In words.
        notice: Notice,
        /// What makes it the same.
        key: String,
    },
    /// A call of a tool was denied.
    Denied {
        /// The tool.
        tool: String,
        /// The call.
        call: String,
    },
    /// The provider will be asked again.
    Retry {
        /// What it had answered.
        answer: String,
        /// The same in words.
        message: String,
    },
    /// An MCP server failed, and the CLI does not say why.
    Missing {
        /// Its name.
        server: String,
    },
}

/// How much of a text of the CLI is told, in characters.
const MAX_TEXT: usize = 500;

/// A note about prices, which the CLI calls a warning: it is for the operator, and names the provider's host.
const ABOUT_PRICES: &str = "We're changing auto mode";

/// What this message says; nothing, if it is like most.
pub(super) fn heard(frame: &Frame) -> Vec<Heard> {
    match (frame.kind.as_str(), frame.subtype.as_deref()) {
        ("result", _) => denials(frame),
        ("rate_limit_event", _) => of(frame, rate_limit),
        ("system", Some("init")) => init(frame),
        ("system", Some("permission_denied")) => {
            of(frame, |Call { tool_name, tool_use_id }| Some(Heard::Denied { tool: tool_name, call: tool_use_id }))
        }
        ("system", Some("api_retry")) => of(frame, retry),
        ("system", Some("model_fallback" | "model_refusal_fallback")) => of(frame, fallback),
        ("system", Some("compact_boundary")) => of(frame, compacted),
        ("system", Some("status")) => of(frame, not_compacted),
        ("system", Some("session_writes_lost")) => of(frame, writes_lost),
        ("system", Some("hook_response")) => of(frame, hook),
        ("system", Some("notification")) => of(frame, notification),
        ("system", Some("informational")) => of(frame, informational),
        _ => Vec::new(),
    }
}

fn of<T: DeserializeOwned>(frame: &Frame, read: impl FnOnce(T) -> Option<Heard>) -> Vec<Heard> {
    frame.body::<T>().and_then(read).into_iter().collect()
}

pub(super) fn say(kind: Kind, key: impl Into<String>, message: impl Into<String>) -> Heard {
    Heard::Say { notice: Notice { kind, message: message.into(), until: None }, key: key.into() }
}

fn cut(text: &str) -> String {
    shortened(text.trim(), MAX_TEXT)
}

#[derive(Deserialize)]
struct Call {
    #[serde(default)]
    tool_name: String,
    #[serde(default)]
    tool_use_id: String,
}

fn denials(frame: &Frame) -> Vec<Heard> {
    #[derive(Deserialize)]
    struct Result {
        #[serde(default)]
        permission_denials: Vec<Call>,
    }
    let calls = frame.body::<Result>().map(|result| result.permission_denials).unwrap_or_default();
    let denied = |(at, call): (usize, Call)| {
        let Call { tool_name: tool, tool_use_id: call } = call;
        // Without an id, calls are told apart by their place.
        Heard::Denied { tool, call: if call.is_empty() { at.to_string() } else { call } }
    };
    calls.into_iter().enumerate().map(denied).collect()
}

#[derive(Deserialize)]
struct Limited {
    rate_limit_info: Limit,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Limit {
    status: String,
    #[serde(default)]
    resets_at: Option<f64>,
    #[serde(default)]
    rate_limit_type: Option<String>,
    #[serde(default)]
    utilization: Option<f64>,
}

fn rate_limit(Limited { rate_limit_info: limit }: Limited) -> Option<Heard> {
    // A refusal is the end of the run, and said there.
    if !limit.status.contains("warning") {
        return None;
    }
    let which = limit.rate_limit_type.unwrap_or_else(|| "of the account".to_owned());
    let used = limit.utilization.map_or_else(String::new, |used| format!(" to {:.0} %", used * 100.0));
    let message = format!("the provider's limit `{which}` is used up{used}");
    let message = if used.is_empty() { format!("the provider's limit `{which}` is nearly used up") } else { message };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a number that is no time saturates, and is no time then either"
    )]
    let until = limit.resets_at.map(|at| at as i64);
    let notice = Notice { kind: Kind::RateLimit, message, until };
    Some(Heard::Say { notice, key: which })
}

fn init(frame: &Frame) -> Vec<Heard> {
    #[derive(Deserialize)]
    struct Init {
        #[serde(default)]
        mcp_servers: Vec<Server>,
        #[serde(default)]
        plugin_errors: Option<Vec<Plugin>>,
    }
    #[derive(Deserialize)]
    struct Server {
        name: String,
        status: String,
    }
    #[derive(Deserialize)]
    struct Plugin {
        #[serde(default)]
        plugin: String,
        #[serde(default)]
        message: String,
    }
    let left_out = skipped_servers(frame).into_iter().map(|server| {
        let message = format!("the MCP server `{}` was left out: {}", server.name, cut(&server.message));
        say(Kind::McpServer, server.name, message)
    });
    let Some(Init { mcp_servers, plugin_errors }) = frame.body() else { return left_out.collect() };
    let missing = mcp_servers.into_iter().filter_map(|Server { name, status }| {
        let what = match status.as_str() {
            // No tool of it is there.
            "failed" => return Some(Heard::Missing { server: name }),
            "needs-auth" => "wants a login first, and its tools are missing",
            "pending" => "had not answered when the turn began, and its tools are missing",
            _ => return None,
        };
        let message = format!("the MCP server `{name}` {what}");
        Some(say(Kind::McpServer, name, message))
    });
    let plugins = plugin_errors.unwrap_or_default().into_iter().map(|Plugin { plugin, message }| {
        let message = format!("the plugin `{plugin}` was left out: {}", cut(&message));
        say(Kind::LeftOut, plugin, message)
    });
    left_out.chain(missing).chain(plugins).collect()
}

#[derive(Deserialize)]
struct AskedAgain {
    #[serde(default)]
    attempt: u64,
    #[serde(default)]
    max_retries: u64,
    #[serde(default)]
    retry_delay_ms: f64,
    #[serde(default)]
    error_status: Option<u16>,
    #[serde(default)]
    error: Option<String>,
}

#[expect(clippy::unnecessary_wraps, reason = "as the others")]
fn retry(asked: AskedAgain) -> Option<Heard> {
    let AskedAgain { attempt, max_retries, retry_delay_ms, error_status, error } = asked;
    let word = error.filter(|word| word != "unknown").map_or_else(String::new, |word| format!(" {word}"));
    let answer = match error_status {
        Some(status) => format!("{status}{word}"),
        None => format!("no answer{word}"),
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number that is no time saturates")]
    let delay_ms = retry_delay_ms as u64;
    let message = format!(
        "the provider did not answer as it should ({answer}); the CLI asks it again after {}, for time {attempt} of at most \
         {max_retries}",
        seconds(delay_ms)
    );
    Some(Heard::Retry { answer, message })
}

#[derive(Deserialize)]
struct OtherModel {
    #[serde(default)]
    trigger: String,
    original_model: String,
    fallback_model: String,
}

#[expect(clippy::unnecessary_wraps, reason = "as the others")]
fn fallback(OtherModel { trigger, original_model: from, fallback_model: to }: OtherModel) -> Option<Heard> {
    let why = match trigger.as_str() {
        "refusal" => "whose safeguards stopped the answer".to_owned(),
        "overloaded" => "which is overloaded".to_owned(),
        "model_not_found" => "which the provider does not have".to_owned(),
        "server_error" => "for which the provider failed".to_owned(),
        other => format!("({})", cut(other)),
    };
    Some(say(Kind::ModelFallback, format!("{from} {to}"), format!("`{to}` answers instead of `{from}`, {why}")))
}

#[derive(Deserialize)]
struct Compacted {
    #[serde(default)]
    uuid: String,
    compact_metadata: Compaction,
}

#[derive(Deserialize)]
struct Compaction {
    #[serde(default)]
    trigger: String,
    #[serde(default)]
    pre_tokens: u64,
    #[serde(default)]
    post_tokens: u64,
}

fn compacted(Compacted { uuid, compact_metadata: done }: Compacted) -> Option<Heard> {
    let Compaction { trigger, pre_tokens, post_tokens } = done;
    let message = format!(
        "the conversation was summed up to make room, from {pre_tokens} tokens to {post_tokens}; details of what came before \
         are lost to the model"
    );
    // Whoever wrote `/compact` knows.
    (trigger != "manual").then(|| say(Kind::Compacted, uuid, message))
}

#[derive(Deserialize)]
struct State {
    #[serde(default)]
    compact_result: Option<String>,
    #[serde(default)]
    compact_error: Option<String>,
}

fn not_compacted(state: State) -> Option<Heard> {
    let why = state.compact_error.unwrap_or_default();
    let message = format!("the conversation could not be summed up to make room ({})", cut(&why));
    (state.compact_result.as_deref() == Some("failed")).then(|| say(Kind::Compacted, why, message))
}

#[derive(Deserialize)]
struct WritesLost {
    #[serde(default)]
    error_code: String,
}

#[expect(clippy::unnecessary_wraps, reason = "as the others")]
fn writes_lost(WritesLost { error_code }: WritesLost) -> Option<Heard> {
    let message = format!(
        "the CLI could not save all of the conversation ({}): continued, the session lacks its end, or cannot be continued",
        cut(&error_code)
    );
    Some(say(Kind::TranscriptLost, error_code, message))
}

#[derive(Deserialize)]
struct Failed {
    #[serde(default)]
    hook_name: String,
    outcome: String,
    #[serde(default)]
    exit_code: Option<i64>,
    #[serde(default)]
    stderr: String,
}

fn hook(Failed { hook_name, outcome, exit_code, stderr }: Failed) -> Option<Heard> {
    let how = match outcome.as_str() {
        "error" => exit_code.map_or_else(|| "failed".to_owned(), |code| format!("failed with exit code {code}")),
        "cancelled" => "was ended before it was done".to_owned(),
        _ => return None,
    };
    let said =
        stderr.lines().find(|line| !line.trim().is_empty()).map_or_else(String::new, |line| format!(": {}", cut(line)));
    let message = format!("a hook of {} {how}{said}", cut(&hook_name));
    Some(say(Kind::Hook, message.clone(), message))
}

#[derive(Deserialize)]
struct Notification {
    key: String,
}

/// The other keys repeat in short what is said elsewhere.
fn notification(Notification { key }: Notification) -> Option<Heard> {
    (key == "stop-hook-error").then(|| say(Kind::Hook, key, "a hook that was asked at the end of a turn failed"))
}

#[derive(Deserialize)]
struct Informational {
    #[serde(default)]
    level: String,
    #[serde(default)]
    content: String,
    #[serde(default)]
    prevent_continuation: bool,
    #[serde(default)]
    hook_no_verdict: Option<NoVerdict>,
}

/// A hook was asked whether a call may be made, and could not be run or said nothing that the CLI knows. Then it is made.
#[derive(Deserialize)]
struct NoVerdict {
    #[serde(default)]
    hook_event: String,
    #[serde(default)]
    timed_out: bool,
}

fn informational(told: Informational) -> Option<Heard> {
    let Informational { level, content, prevent_continuation, hook_no_verdict } = told;
    if let Some(NoVerdict { hook_event, timed_out }) = hook_no_verdict {
        let how = if timed_out { "took too long" } else { "gave no usable answer" };
        let message = format!("a hook of {} {how}, and the CLI went on without it", cut(&hook_event));
        return Some(say(Kind::Hook, message.clone(), message));
    }
    // What keeps the turn from going on is its end, and said there.
    let is_one = level == "warning" && !prevent_continuation && !content.starts_with(ABOUT_PRICES);
    is_one.then(|| say(Kind::Other, content.clone(), format!("the CLI warns: {}", cut(&content))))
}
