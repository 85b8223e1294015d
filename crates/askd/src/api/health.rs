//! Whether the server is there, has started, and takes work: needs no key, asks nobody. `docs/health.md` says what to do
//! with the answers.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value, json};

use super::error::ApiError;
use super::query::Query;
use crate::api::openapi::{parameters, told};
use crate::app::App;
use crate::app::readiness::{Check, Readiness};

/// Says that the server is there, and how busy it is. `ok` also while it drains: as on the Node server, it says that the
/// process answers, and a process that is ending well must not be killed for it.
#[utoipa::path(
    get, path = "/health", operation_id = "get_health", tag = "health",
    summary = "Say whether the server is there, and how busy it is",
    description = "As the Node server did.",
    responses((status = 200, description = "It is.", body = told::legacy::Health)),
)]
pub(super) async fn health(State(app): State<Arc<App>>) -> Json<Value> {
    let occupancy = app.runs().occupancy();
    Json(json!({
        "status": "ok",
        "version": env!("CARGO_PKG_VERSION"),
        "concurrency": { "active": occupancy.active, "max": occupancy.max, "queued": occupancy.queued },
    }))
}

/// Says that the process answers.
#[utoipa::path(
    get, path = "/livez", operation_id = "get_livez", tag = "health",
    summary = "Say whether the process answers",
    description = "Say whether the process answers.",
    responses((status = 200, description = "It does.", content((told::Status = "application/json"), (String = "text/plain")))),
)]
pub(super) async fn live(headers: HeaderMap) -> Response {
    if wants_text(&headers) { "ok\n".into_response() } else { Json(json!({ "status": "ok" })).into_response() }
}

/// Says that the start is complete. Before that nothing is answered at all: the address is bound before runs of an earlier
/// server are settled, and connections wait until that is done.
#[utoipa::path(
    get, path = "/startupz", operation_id = "get_startupz", tag = "health",
    summary = "Say whether the start is complete",
    description = "Say whether the start is complete.",
    responses((status = 200, description = "It is.", content((told::Status = "application/json"), (String = "text/plain")))),
)]
pub(super) async fn started(headers: HeaderMap) -> Response {
    if wants_text(&headers) { "ok\n".into_response() } else { Json(json!({ "status": "started" })).into_response() }
}

/// Says whether a run that is submitted now would be done. With the checks when it would not, or when `verbose` is asked for.
#[utoipa::path(
    get, path = "/readyz", operation_id = "get_readyz", tag = "health",
    summary = "Say whether a run that is submitted now would be done",
    description = "Say whether a run that is submitted now would be done.",
    params(parameters::Verbose),
    responses(
        (status = 200, description = "It would.", content((told::Readiness = "application/json"), (String = "text/plain"))),
        (status = 503, description = "It would not; the checks say why.", content((told::Readiness = "application/json"), (String = "text/plain"))),
    ),
)]
pub(super) async fn ready(State(app): State<Arc<App>>, headers: HeaderMap, uri: Uri) -> Result<Response, ApiError> {
    // Load balancers and monitors add parameters of their own, so others are let be.
    let verbose = Query::of(&uri)?.flag("verbose")?.unwrap_or(false);
    let readiness = app.readiness();
    let status = if readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let with_checks = verbose || !readiness.is_ready();
    if wants_text(&headers) {
        return Ok((status, text(&readiness, with_checks)).into_response());
    }
    Ok((status, Json(object(&readiness, with_checks))).into_response())
}

fn object(readiness: &Readiness, with_checks: bool) -> Value {
    let mut answer = json!({ "status": if readiness.is_ready() { "ready" } else { "not_ready" } });
    if with_checks {
        let checks = readiness.checks.iter().map(|check| (check.name.to_owned(), shown(check)));
        answer["checks"] = Value::Object(checks.collect::<Map<_, _>>());
    }
    answer
}

fn shown(check: &Check) -> Value {
    let mut shown = json!({ "ok": check.ok });
    if !check.required {
        shown["required"] = false.into();
    }
    if let Some(message) = &check.message {
        shown["message"] = message.as_str().into();
    }
    shown
}

/// As the probes of Kubernetes write it.
fn text(readiness: &Readiness, with_checks: bool) -> String {
    if !with_checks {
        return "ok\n".to_owned();
    }
    let mut text = String::new();
    for Check { name, ok, required, message } in &readiness.checks {
        let sign = if *ok { '+' } else { '-' };
        let word = match (ok, required) {
            (true, _) => "ok",
            (false, true) => "failed",
            (false, false) => "failed, not required",
        };
        let message = message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
        // Writing into a string cannot fail.
        let _ = writeln!(text, "[{sign}]{name} {word}{message}");
    }
    let _ = writeln!(text, "readyz check {}", if readiness.is_ready() { "passed" } else { "failed" });
    text
}

/// Whether plain text is what was asked for, and not only what would do as well: probes say `*/*` or nothing.
fn wants_text(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut names = values.flat_map(|value| value.split(',')).map(|range| range.split(';').next().unwrap_or("").trim());
    let known = ["text/plain", "application/json"];
    // The first of the two that is named.
    let first = names.find_map(|name| known.into_iter().find(|known| name.eq_ignore_ascii_case(known)));
    first == Some("text/plain")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_given_to_who_asks_for_it_and_json_to_all_others() {
        let wants = |accept: &str| {
            let headers = [(header::ACCEPT, accept.parse().unwrap())];
            wants_text(&HeaderMap::from_iter(headers))
        };
        assert!(wants("text/plain") && wants("Text/Plain; charset=utf-8, */*") && wants("text/html, text/plain"));
        assert!(!wants("*/*") && !wants("application/json, text/plain") && !wants("text/html"));
        assert!(!wants_text(&HeaderMap::new()));
    }

    #[test]
    fn the_text_has_a_line_for_each_check_and_a_verdict() {
        let check = |name, ok, required, message: Option<&str>| Check {
            name,
            ok,
            required,
            message: message.map(str::to_owned),
        };
        let readiness = Readiness {
            checks: [
                check("store", true, true, None),
                check("disk", true, true, Some("unknown")),
                check("cli", false, true, Some("the CLI cannot be started")),
                check("queue", false, false, Some("full")),
                check("draining", true, true, None),
            ],
        };
        insta::assert_snapshot!(text(&readiness, true), @r"
        [+]store ok
        [+]disk ok: unknown
        [-]cli failed: the CLI cannot be started
        [-]queue failed, not required: full
        [+]draining ok
        readyz check failed
        ");
        assert_eq!(text(&readiness, false), "ok\n");
        assert_eq!(
            object(&readiness, true)["checks"]["queue"],
            json!({"ok": false, "required": false, "message": "full"})
        );
    }
}
