//! The values of labels that are words of this program: all there are, by metric. Their series are there before the first of
//! them is counted, since whoever looks at how a counter grows does not see its first step if that makes it.

use super::table::Declared;

/// The words of a label: metric, label, words.
pub static WORDS: &[(&str, &str, &[&str])] = &[
    ("askd_runs_submitted_total", "route", ROUTES),
    ("askd_runs_refused_total", "route", ROUTES),
    (
        "askd_runs_refused_total",
        "reason",
        &[
            "not_allowed",
            "content",
            "no_upload",
            "key_reused",
            "queue_full_of_key",
            "budget",
            "queue_full",
            "busy",
            "disk",
            "store",
            "mistake",
            "shutting_down",
        ],
    ),
    ("askd_run_duration_seconds", "state", ENDS),
    ("askd_runs_ended_total", "state", ENDS),
    (
        "askd_cli_start_failures_total",
        "reason",
        &[
            "not_found",
            "not_executable",
            "too_long",
            "view",
            "hand_over",
            "launcher",
            "guardian",
            "too_late",
            "leaked",
            "other",
        ],
    ),
    ("askd_run_warnings_total", "code", WARNINGS),
    ("askd_guard_verdicts_total", "result", &["pass", "deny", "failed"]),
    ("askd_store_failures_total", "problem", &["full", "unavailable", "busy", "mistake"]),
    ("askd_store_event_bytes_total", "form", &["raw", "stored"]),
    ("askd_readers", "kind", &["sse", "ndjson", "ask", "wait"]),
    ("askd_slow_clients_dropped_total", "reason", &["no_bytes", "too_long"]),
    ("askd_auth_failures_total", "reason", &["missing", "wrong", "ended", "stream_token", "not_looked_at"]),
    ("askd_rate_limited_total", "bucket", &["ask", "config", "runs", "v1", "at_once", "wrong_keys"]),
    ("askd_config_changes_total", "action", &["created", "updated", "removed", "restored", "imported", "outside"]),
    ("askd_reloads_total", "result", &["ok", "invalid"]),
    ("askd_metrics_names_beyond_total", "label", &["model", "key"]),
    ("askd_trace_spans_total", "result", &["exported", "dropped"]),
];

/// By which runs come.
const ROUTES: &[&str] = &["/ask", "/v1/runs"];

/// What runs warn of.
const WARNINGS: &[&str] = &[
    "tools_denied",
    "project_config_left_out",
    "background_ended",
    "compacted",
    "model_fallback",
    "upstream_retried",
    "rate_limit",
    "answer_continued",
    "subagent_failed",
    "mcp_server_failed",
    "left_out",
    "hook_failed",
    "transcript_lost",
    "cli_version",
    "schema_repaired",
    "budget",
    "unknown_tool",
    "output",
    "other",
];

/// In which runs end.
const ENDS: &[&str] = &["completed", "incomplete", "cancelled", "failed", "lost"];

/// Why runs fail that are not what was asked for: what alerts look at.
pub(super) const FAILURES: &[&str] = &[
    "cli_died",
    "startup",
    "run",
    "upstream",
    "rate_limit",
    "overloaded",
    "server_error",
    "connection",
    "authentication",
    "billing",
    "permission",
    "timeout",
];

/// What runs reached that are incomplete.
pub(super) const LIMITS: &[&str] =
    &["turn_limit", "budget", "schema", "context_window", "max_output_tokens", "paused", "hook_stopped"];

/// The words of a label of a metric; `None` if they are not words of this program.
pub(super) fn of(metric: &Declared, label: &str) -> Option<&'static [&'static str]> {
    let name = metric.name();
    WORDS.iter().find(|(its, of, _)| *its == name && *of == label).map(|(_, _, words)| *words)
}

/// Whether each value is one of its label's words, where those are known. For tests: it is asked in debug builds only.
pub(super) fn fit(metric: &Declared, values: &[impl AsRef<str>]) -> bool {
    let fits =
        |(label, value): (&&str, &_)| of(metric, label).is_none_or(|words| words.contains(&AsRef::as_ref(value)));
    metric.labels.iter().zip(values).all(fits)
}
