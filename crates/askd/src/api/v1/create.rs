//! `POST /v1/runs`: submits a run, and answers at once, at its end, or event by event.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value};

use super::super::body::json_object;
use super::super::caller::Caller;
use super::super::counted;
use super::super::dialect::RUNS;
use super::super::error::ApiError;
use super::super::fields::Fields;
use super::super::front::trace::{InTrace, about};
use super::super::headers::name_run;
use super::super::idempotency::Key as IdempotencyKey;
use super::super::options::{Route, run_request};
use super::super::query::Query;
use super::super::request_id::RequestId;
use super::super::standing::Standing;
use super::accept::{Form, form};
use super::event_stream::{EventStream, LAST_EVENT_ID, after_header};
use super::run_answer;
use super::wait::Wait;
use crate::api::openapi::{parameters, sent, told};
use crate::app::App;
use crate::encode::events::{Encoder, Wire};
use crate::encode::run::Run;
use crate::encode::types::Types;
use crate::keys::{Key, Scope};
use crate::runs::request::{OnDisconnect, RunRequest};
use crate::runs::secrets::RunSecrets;
use crate::runs::submit::{Submission, Submitted};
use crate::runs::{RunError, RunState};

/// The route, as the scope of an idempotency key.
const ROUTE: &str = "POST /v1/runs";
/// How many notes a run may carry.
pub(in crate::api) const MAX_METADATA: usize = 16;
pub(in crate::api) const MAX_METADATA_NAME: usize = 64;
pub(in crate::api) const MAX_METADATA_VALUE: usize = 512;

/// How the client wants to be answered.
struct Manner {
    form: Form,
    wait: Option<Wait>,
    /// Whether the status says what became of the run.
    fail_http: bool,
    /// Whether the query asks for partial messages.
    deltas: Option<bool>,
    /// Where a stream goes on, if the request attaches to an earlier run.
    after: u64,
}

/// What the body says.
struct Asked {
    request: RunRequest,
    secrets: RunSecrets,
    on_disconnect: OnDisconnect,
    metadata: Vec<(String, String)>,
}

#[utoipa::path(
    post, path = "/v1/runs", operation_id = "create_run", tag = "runs",
    summary = "Submit a run",
    description = "Answers at once; with `wait`, or the header `Prefer`, when the run has ended or the time is over; with `Accept: text/event-stream` or `application/x-ndjson` event by event. The run goes on when its client leaves, unless `on_disconnect` says otherwise.",
    params(parameters::RunManner, parameters::Prefer, parameters::LastEventId, parameters::IdempotencyKey),
    request_body = sent::RunRequest,
    responses(
        (status = 200, description = "The run has ended, or its events follow.", content((Run<'static> = "application/json"), (told::EventBlock = "text/event-stream"), (String = "application/x-ndjson"))),
        (status = 202, description = "The run was taken in.", body = Run<'static>),
    ),
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Extension(request_id): Extension<RequestId>,
    caller: Caller,
    request: Request,
) -> Result<Response, ApiError> {
    let server = &app.settings().server;
    let manner = Manner::of(&request, &app)?;
    let trace = InTrace::of(&request).cloned();
    let key = IdempotencyKey::with_body(request.headers(), &caller).await?;
    let (asked, idempotency) = json_object(request, server, |object| {
        let idempotency = key.map(|key| key.promise(ROUTE, "", &object));
        Ok((Asked::parse(object, &manner)?, idempotency))
    })
    .await?;
    let Asked { request, secrets, on_disconnect, metadata } = asked;
    let deltas = manner.deltas.unwrap_or(request.deltas);
    let submission = Submission {
        route: "/v1/runs",
        request,
        secrets,
        on_disconnect,
        metadata,
        key: Arc::clone(caller.key()),
        idempotency,
        trace: trace.as_ref().and_then(InTrace::place),
    };
    let submitted = app.runs().submit(submission).await;
    let submitted = submitted.inspect_err(|error| counted::refused(&app, "/v1/runs", error));
    let submitted = submitted.map_err(|error| ApiError::of_submit(error, &RUNS))?;
    let (id, session, replayed) = (submitted.id, submitted.session, submitted.replayed);
    let (trace_id, span_id) = about(trace.as_ref(), &submitted);
    tracing::info!(run = %id, request_id = request_id.0, replayed, trace_id, span_id, "run submitted");
    let answered = match manner.form {
        Form::Json => answer(&app, caller.key(), submitted, manner.wait, manner.fail_http).await,
        Form::Stream(wire) => {
            let standing = Standing::of(&app, caller.key(), Scope::RunsWrite, caller.key_id());
            stream(&app, submitted, wire, deltas, manner.after, request_id, standing).await
        }
    };
    // From here on there is a run, so an error names it as well.
    let failed = |error: ApiError| error.with_place(LAST_EVENT_ID).after_submit(id).into_response();
    let mut response = answered.unwrap_or_else(failed);
    name_run(response.headers_mut(), id, session, replayed);
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/runs/{id}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// The run: finished, if that was waited for and it came, else as it is.
async fn answer(
    app: &Arc<App>,
    key: &Arc<Key>,
    mut submitted: Submitted,
    wait: Option<Wait>,
    fail_http: bool,
) -> Result<Response, ApiError> {
    // Dropped with the connection, it cancels a run whose client wanted that.
    let holder = submitted.holder.take();
    let mut standing = Standing::of(app, key, Scope::RunsWrite, key.id.as_str());
    if let Some(wait) = wait {
        tokio::select! {
            ended = wait.until_end(app, &submitted) => ended?,
            why = standing.lost() => {
                // Whether the run ends with its key was decided when the key was revoked.
                if let Some(holder) = holder {
                    holder.release();
                }
                return Err(why);
            }
        }
    }
    let (id, row) = super::find(app, key, &submitted.id.to_string()).await?;
    let state = RunState::from_word(&row.state);
    if wait.is_some()
        && state == Some(RunState::Cancelled)
        && let Some(why) = standing.lost_by_now().await
    {
        return Err(why);
    }
    let ended = state.is_some_and(RunState::is_final);
    let status = if ended && wait.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
    let error = row.error.as_deref().filter(|_| ended && fail_http).map(RunError::from_json);
    let mut response = match error {
        Some(error) => {
            let run = super::run_body(app, id, &row).await?;
            ApiError::of_shown_run(&error, run, app.runs().shared().ambient.now()).into_response()
        }
        None => run_answer(app, status, id, &row).await?,
    };
    if let Some(wait) = wait {
        wait.applied(response.headers_mut());
    }
    if let Some(holder) = holder {
        holder.release();
    }
    Ok(response)
}

async fn stream(
    app: &App,
    mut submitted: Submitted,
    wire: Wire,
    deltas: bool,
    after: u64,
    request_id: RequestId,
    standing: Standing,
) -> Result<Response, ApiError> {
    let holder = submitted.holder.take();
    // A new run has no events that its client could have seen.
    let after = if submitted.replayed { after } else { 0 };
    let events = app.runs().follow_submitted(&submitted, after).await?;
    let encoder = Encoder::new(wire, submitted.id);
    let heartbeat = app.settings().server.heartbeat;
    let stream = EventStream::new(events, encoder, Types::default(), heartbeat, request_id);
    Ok(stream.with_deltas(deltas).held_by(holder).while_it_may(standing).into_response(wire))
}

impl Manner {
    fn of(request: &Request, app: &App) -> Result<Self, ApiError> {
        let (headers, mut query) = (request.headers(), Query::of(request.uri())?);
        let form = form(headers)?;
        let wait = Wait::of(&mut query, headers, app.settings().server.max_wait)?;
        let deltas = query.flag("deltas")?;
        let fail_http = query.flag("fail_http")?.unwrap_or(false);
        query.finish(&["wait", "deltas", "fail_http"])?;
        if fail_http && (form != Form::Json || wait.is_none()) {
            let what = "needs an answer that waits for the end: add ?wait=SECONDS, and ask for application/json";
            return Err(ApiError::param("fail_http", what));
        }
        Ok(Self { form, wait, fail_http, deltas, after: after_header(headers)?.unwrap_or(0) })
    }

    /// Whether there is a connection whose end would say that the client has left.
    fn stays(&self) -> bool {
        self.form != Form::Json || self.wait.is_some()
    }
}

impl Asked {
    fn parse(object: Map<String, Value>, manner: &Manner) -> Result<Self, ApiError> {
        let mut fields = Fields::new(object, &RUNS, false)?;
        let (mut request, secrets) = run_request(&mut fields, Route::Runs)?;
        request.deltas |= manner.deltas == Some(true);
        let on_disconnect = on_disconnect(&mut fields)?;
        if on_disconnect == OnDisconnect::Cancel && !manner.stays() {
            let what = "cancel needs a client that stays: add ?wait=SECONDS, or Accept: text/event-stream";
            return Err(fields.wrong("on_disconnect", what));
        }
        Ok(Self { request, secrets, on_disconnect, metadata: metadata(&mut fields)? })
    }
}

fn on_disconnect(fields: &mut Fields) -> Result<OnDisconnect, ApiError> {
    let Some(word) = fields.string("on_disconnect")? else { return Ok(OnDisconnect::Continue) };
    let words = OnDisconnect::WORDS.join(" or ");
    OnDisconnect::from_word(&word).ok_or_else(|| fields.wrong("on_disconnect", format_args!("must be {words}")))
}

fn metadata(fields: &mut Fields) -> Result<Vec<(String, String)>, ApiError> {
    const FIELD: &str = "metadata";
    let Some(object) = fields.object(FIELD)? else { return Ok(Vec::new()) };
    let field = fields.name(FIELD);
    if object.len() > MAX_METADATA {
        let what = format!("has {} entries; at most {MAX_METADATA} are allowed", object.len());
        return Err(fields.wrong(FIELD, what));
    }
    let entries = object.into_iter().map(|(name, value)| {
        let short: String = name.chars().take(MAX_METADATA_NAME).collect();
        let wrong = |what: String| ApiError::param(&format!("{field}.{short}"), what);
        if !metadata_name_fits(&name) {
            let rule = format!("must have a name of 1 to {MAX_METADATA_NAME} of A-Z, a-z, 0-9, `_`, `.` and `-`");
            return Err(wrong(rule));
        }
        match value {
            Value::String(value) => metadata_value(&value).map_err(wrong).map(|()| (name, value)),
            _ => Err(wrong("must be a string".to_owned())),
        }
    });
    entries.collect()
}

pub(super) fn metadata_name_fits(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    (1..=MAX_METADATA_NAME).contains(&name.len()) && name.bytes().all(plain)
}

/// What is wrong with a value. Control characters would be of no use in a filter, and not every database stores all of
/// them.
fn metadata_value(value: &str) -> Result<(), String> {
    match value.chars().count() {
        length if length > MAX_METADATA_VALUE => {
            Err(format!("has {length} characters; at most {MAX_METADATA_VALUE} are allowed"))
        }
        _ if value.chars().any(char::is_control) => Err("must not have control characters".to_owned()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
