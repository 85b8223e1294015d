//! Routes, and the checks the real service makes before it answers.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, request};
use axum::response::Response;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::answer::{Watch, answer, error, json as json_response};
use crate::conversation::cue;
use crate::play::Opening;
use crate::record::{Arrival, Ending, RecordedRequest};
use crate::recorder::Recorder;
use crate::reply::reply;

/// The largest request body.
const BODY_LIMIT: usize = 64 * 1024 * 1024;

/// The whole service.
pub(crate) fn router(recorder: Arc<Recorder>) -> Router {
    Router::new().fallback(handle).with_state(recorder)
}

async fn handle(State(recorder): State<Arc<Recorder>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    match (&head.method, head.uri.path()) {
        (&Method::GET, "/__bill") => {
            let body = json!({"models": recorder.bills()}).to_string();
            return json_response(StatusCode::OK, body, "req_bill");
        }
        (&Method::GET, "/__requests") => return requests(&recorder, head.uri.query()),
        (&Method::DELETE, "/__requests") => {
            recorder.clear();
            return json_response(StatusCode::OK, "{}".to_owned(), "req_clear");
        }
        _ => {}
    }
    let id = Uuid::new_v4().simple().to_string();
    let Ok(raw) = to_bytes(body, BODY_LIMIT).await else {
        let message = "Request exceeds the maximum size";
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message, &id);
    };
    let arrived = recorder.add(arrival(&head, raw));
    let watch = Watch { recorder: Arc::clone(&recorder), request: arrived.clone() };
    let response = match (&head.method, head.uri.path()) {
        (&Method::POST, "/v1/messages") => return message(&arrived, id, watch).await,
        (&Method::POST, "/v1/messages/count_tokens") => count_tokens(&arrived, &id),
        (&Method::GET | &Method::HEAD, "/") => Response::new(Body::empty()),
        (method, path) => {
            let message = format!("{method} {path} is not served here");
            refuse(StatusCode::NOT_FOUND, "not_found_error", &message, &id)
        }
    };
    recorder.end(&arrived, Ending::Answered);
    response
}

async fn message(arrived: &RecordedRequest, id: String, watch: Watch) -> Response {
    let checked = parse_body(arrived, &["model", "max_tokens", "messages"])
        .and_then(|body| cue(&body).map(|cue| (body, cue)).map_err(|e| e.to_string()));
    let (body, cue) = match checked {
        Ok(checked) => checked,
        Err(reason) => {
            watch.recorder.end(arrived, Ending::Answered);
            return invalid(&reason, &id);
        }
    };
    // The same prompt in another session strikes anew.
    let key = format!("{}\n{}", body["metadata"]["user_id"], cue.key);
    let mut part = reply(&body, cue);
    watch.recorder.with_faults(|faults| faults.settle(&key, &mut part));
    let opening = Opening {
        id,
        model: body["model"].as_str().unwrap_or_default().to_owned(),
        input_tokens: estimate_tokens(arrived),
    };
    let streamed = body["stream"] == true;
    drop(body);
    answer(part, opening, streamed, watch).await
}

fn count_tokens(arrived: &RecordedRequest, id: &str) -> Response {
    match parse_body(arrived, &["model", "messages"]) {
        Ok(_) => {
            let count = json!({"input_tokens": estimate_tokens(arrived)});
            json_response(StatusCode::OK, count.to_string(), &format!("req_{id}"))
        }
        Err(reason) => invalid(&reason, id),
    }
}

/// The body, if it is an object with these fields in their right types.
fn parse_body(arrived: &RecordedRequest, required: &[&str]) -> Result<Value, String> {
    let body: Value = serde_json::from_slice(arrived.raw_body())
        .map_err(|error| format!("The request body is not valid JSON: {error}"))?;
    for field in required {
        let (right, expected) = match *field {
            "messages" => (
                body[field].as_array().is_some_and(|all| !all.is_empty()),
                "Input should be a list with at least one message",
            ),
            "max_tokens" => (body[field].is_u64(), "Input should be a valid integer"),
            _ => (body[field].is_string(), "Input should be a valid string"),
        };
        if body.get(field).is_none() {
            return Err(format!("{field}: Field required"));
        }
        if !right {
            return Err(format!("{field}: {expected}"));
        }
    }
    Ok(body)
}

/// About four bytes to a token; exact counts come from `[[usage:…]]`.
fn estimate_tokens(arrived: &RecordedRequest) -> u64 {
    (arrived.raw_body().len() as u64).div_ceil(4)
}

fn requests(recorder: &Recorder, query: Option<&str>) -> Response {
    let mut all = recorder.requests();
    let last = query.and_then(|query| query.strip_prefix("last="));
    if let Some(last) = last.and_then(|last| last.parse::<usize>().ok()) {
        all.drain(..all.len().saturating_sub(last));
    }
    let all: Vec<Value> = all.iter().map(RecordedRequest::to_value).collect();
    let body = json!({"requests": all}).to_string();
    json_response(StatusCode::OK, body, "req_list")
}

fn arrival(head: &request::Parts, raw: bytes::Bytes) -> Arrival {
    let headers = head.headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), value)
    });
    Arrival { method: head.method.to_string(), path: head.uri.to_string(), headers: headers.collect(), raw }
}

fn invalid(reason: &str, id: &str) -> Response {
    refuse(StatusCode::BAD_REQUEST, "invalid_request_error", reason, id)
}

fn refuse(status: StatusCode, kind: &str, message: &str, id: &str) -> Response {
    error(status, kind, message, &format!("req_{id}"))
}
