//! Pages that are generated from the code, and checked against it by `tests/docs.rs`.

use claude::outcome::ProblemKind;
use claude::outcome::table::{ROWS, Row, Verdict};

use crate::api::error::outcome::{code, status};
use crate::runs::RunErrorKind;

/// `docs/reference/settings.md`.
pub fn settings_reference() -> String {
    crate::settings::reference_markdown()
}

/// `docs/reference/metrics.md`.
pub fn metrics_reference() -> String {
    crate::metrics::reference::reference_markdown()
}

const OUTCOMES: &str = "\
# How the end of a run is judged

Generated from the code; not to be edited by hand (`ASKD_UPDATE_DOCS=1 cargo test -p askd --test docs`).
Why the rows are as they are: [decision 0035](../decisions/0035-outcomes-are-a-table.md).

The first row of which all holds decides. The CLI's own words are those of its last `result` message; `error` is the word
in the message that the CLI has put in the place of the model's last one, or `api_error` of the result. \"A failure\" is a
result in which anything says so: `is_error`, another `subtype` than `success`, `api_error_status`, `errors`,
`startup_failure_reason`, or a `terminal_reason` that the CLI counts as a failure. \"A success\" is a result of a CLI that
was done or exited by itself, without any of that.

| Row | When | State | `error.type` |
|---|---|---|---|
";

const KINDS: &str = "
## Types of errors, and how they are told

The run itself is always answered with 200 or 202. `/ask`, and `POST /v1/runs?wait=…&fail_http=true`, tell it by the status.
`retry-after` comes with it where it is known when to come back (`error.retry_at`): for the limits of a login only, since
the CLI tells nothing of the `retry-after` that a provider sends.

| `error.type` | `/ask` | `fail_http` |
|---|---|---|
";

/// `docs/reference/outcomes.md`.
pub fn outcomes_reference() -> String {
    let rows: Vec<_> = ROWS.iter().map(line).collect();
    let kinds = RunErrorKind::ALL.map(|kind| {
        let (code, usual) = code(kind).describe();
        format!("| `{}` | {} `{code}` | {} |", kind.as_str(), usual.as_u16(), status(kind))
    });
    format!("{OUTCOMES}{}\n{KINDS}{}\n", rows.join("\n"), kinds.join("\n"))
}

fn line(row: &Row) -> String {
    let marks: Vec<_> = row.when.iter().map(ToString::to_string).collect();
    let when = if marks.is_empty() { "anything else".to_owned() } else { marks.join(" · ") };
    let (state, kind) = match row.then {
        Verdict::Completed if row.message.is_some() => ("`completed`, with a warning", None),
        Verdict::Completed => ("`completed`", None),
        Verdict::Incomplete(kind) => ("`incomplete`", Some(kind)),
        Verdict::Cancelled => ("`cancelled`", Some(ProblemKind::Cancelled)),
        Verdict::Failed(kind) => ("`failed`", Some(kind)),
    };
    let kind = kind.map(|kind| format!("`{}`", RunErrorKind::from(kind).as_str())).unwrap_or_default();
    format!("| {} | {when} | {state} | {kind} |", row.name)
}
