//! `POST /ask`: one question, one answer, at once or as a stream.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};

use super::body::json_object;
use super::error::ApiError;
use super::request_id::RequestId;
use crate::app::App;
use crate::runs::submit::{Cancel, Submitted};

mod answer;
mod fields;
mod request;
mod stream;

use request::AskRequest;

/// What becomes of the run when its client leaves: `cancel` (the default) or `continue`.
const ON_DISCONNECT_HEADER: &str = "x-askd-on-disconnect";
/// The run's id.
const RUN_ID_HEADER: HeaderName = HeaderName::from_static("x-askd-run-id");
/// The session's id, for `resume`, also where there is no result that names it.
const SESSION_ID_HEADER: HeaderName = HeaderName::from_static("x-askd-session-id");

/// Submits a run and follows it to its end.
pub(super) async fn ask(
    State(app): State<Arc<App>>,
    Extension(request_id): Extension<RequestId>,
    request: Request,
) -> Result<Response, ApiError> {
    let goes_on = continues_alone(request.headers())?;
    let server = &app.settings().server;
    let asked = json_object(request, server, |object| AskRequest::parse(object, server.legacy_lenient)).await?;
    let streams = asked.stream;
    let submitted = app.runs().submit(asked.into_spec(&app).await?)?;

    let Submitted { id, session, events, cancel } = submitted;
    tracing::info!(run = %id, request_id = request_id.0, streams, "run submitted");
    let client = Client(if goes_on { None } else { Some(cancel) });
    let mut response = if streams {
        let responded = stream::respond(events, client, server.heartbeat).await;
        responded.unwrap_or_else(ApiError::into_response)
    } else {
        answer::respond(events, client).await
    };
    for (name, id) in [(RUN_ID_HEADER, id.to_string()), (SESSION_ID_HEADER, session.to_string())] {
        if let Ok(id) = HeaderValue::from_str(&id) {
            response.headers_mut().insert(name, id);
        }
    }
    Ok(response)
}

/// Dropped when the client has left, whether its run was queued or running; then the run is cancelled. After the end of
/// the run that does nothing.
struct Client(Option<Cancel>);

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(cancel) = &self.0 {
            cancel.cancel();
        }
    }
}

fn continues_alone(headers: &HeaderMap) -> Result<bool, ApiError> {
    match headers.get(ON_DISCONNECT_HEADER).map(HeaderValue::as_bytes) {
        None | Some(b"cancel") => Ok(false),
        Some(b"continue") => Ok(true),
        Some(_) => Err(ApiError::request(format!("the header {ON_DISCONNECT_HEADER} must be `cancel` or `continue`"))),
    }
}
