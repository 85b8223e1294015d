//! `POST /ask`: one question, one answer, at once or as a stream.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};

use super::body::json_object;
use super::caller::Caller;
use super::counted;
use super::dialect::ASK;
use super::error::ApiError;
use super::front::trace::{InTrace, about};
use super::headers::name_run;
use super::idempotency::Key;
use super::query::Query;
use super::request_id::RequestId;
use super::standing::Standing;
use crate::api::openapi::{parameters, sent, told};
use crate::app::App;
use crate::keys::Scope;
use crate::runs::follow::FollowError;
use crate::runs::request::OnDisconnect;
use crate::runs::secrets::RunSecrets;
use crate::runs::submit::Submission;

mod answer;
mod request;
mod stream;

use request::AskRequest;

/// The route, as the scope of an idempotency key.
const ROUTE: &str = "POST /ask";
/// What becomes of the run when its client leaves: `cancel` (the default) or `continue`.
const ON_DISCONNECT_HEADER: &str = "x-askd-on-disconnect";

/// Submits a run and follows it to its end.
#[utoipa::path(
    post, path = "/ask", operation_id = "create_answer", tag = "ask",
    summary = "Ask, and wait for the answer",
    description = "The answer is the CLI's own `result` object, and the status is 200 only if the run succeeded. With `\"stream\": true` the CLI's own lines come as server-sent events, `event: error` if the run failed, and `event: done` at the end. A client that leaves ends its run.",
    params(parameters::OnDisconnect, parameters::IdempotencyKey),
    request_body = sent::AskRequest,
    responses(
        (status = 200, description = "The run succeeded, or it is under way and its lines follow.", content((told::legacy::CliResult = "application/json"), (told::legacy::StreamBlock = "text/event-stream"))),
    ),
)]
pub(super) async fn ask(
    State(app): State<Arc<App>>,
    Extension(request_id): Extension<RequestId>,
    caller: Caller,
    request: Request,
) -> Result<Response, ApiError> {
    let on_disconnect = on_disconnect(request.headers())?;
    let trace = InTrace::of(&request).cloned();
    let key = Key::with_body(request.headers(), &caller).await?;
    let server = &app.settings().server;
    if !server.legacy_lenient {
        of_another_route(request.uri())?;
    }
    let (asked, idempotency) = json_object(request, server, |object| {
        let idempotency = key.map(|key| key.promise(ROUTE, "", &object));
        Ok((AskRequest::parse(object, server.legacy_lenient)?, idempotency))
    })
    .await?;
    let AskRequest { request, stream: streams } = asked;
    let submission = Submission {
        route: "/ask",
        request,
        secrets: RunSecrets::default(),
        on_disconnect,
        metadata: Vec::new(),
        key: Arc::clone(caller.key()),
        idempotency,
        trace: trace.as_ref().and_then(InTrace::place),
    };
    let submitted = app.runs().submit(submission).await;
    let submitted = submitted.inspect_err(|error| counted::refused(&app, "/ask", error));
    let submitted = submitted.map_err(|error| ApiError::of_submit(error, &ASK))?;
    let (id, session, replayed) = (submitted.id, submitted.session, submitted.replayed);
    let (trace_id, span_id) = about(trace.as_ref(), &submitted);
    tracing::info!(run = %id, request_id = request_id.0, streams, replayed, trace_id, span_id, "run submitted");
    // From here on there is a run, so an error names it as well.
    let unread = |error: FollowError| ApiError::from(error).after_submit(id);
    let standing = Standing::of(&app, caller.key(), Scope::Ask, caller.key_id());
    let ambient = &app.runs().shared().ambient;
    let mut response = match app.runs().follow_submitted(&submitted, 0).await {
        Ok(events) if streams => {
            let responded =
                stream::respond(events, submitted.holder, standing, server.heartbeat, ambient, unread).await;
            responded.unwrap_or_else(ApiError::into_response)
        }
        Ok(events) => answer::respond(events, submitted.holder, standing, ambient, unread).await,
        Err(error) => unread(error).into_response(),
    };
    name_run(response.headers_mut(), id, session, replayed);
    Ok(response)
}

/// Parameters that askd has elsewhere: who gives one relies on it. The Node server looked at none, and others pass.
fn of_another_route(uri: &Uri) -> Result<(), ApiError> {
    let Ok(mut query) = Query::of(uri) else { return Ok(()) };
    for name in ["fail_http", "wait", "deltas"] {
        if query.take(name)?.is_some() {
            return Err(ApiError::param(name, "is a parameter of POST /v1/runs; POST /ask has none"));
        }
    }
    Ok(())
}

fn on_disconnect(headers: &HeaderMap) -> Result<OnDisconnect, ApiError> {
    let Some(word) = headers.get(ON_DISCONNECT_HEADER) else { return Ok(OnDisconnect::Cancel) };
    let choice = word.to_str().ok().and_then(OnDisconnect::from_word);
    choice.ok_or_else(|| {
        let message = format!("the header {ON_DISCONNECT_HEADER} must be `cancel` or `continue`");
        ApiError::request(message).with_param(ON_DISCONNECT_HEADER)
    })
}
