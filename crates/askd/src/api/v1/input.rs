//! `POST /v1/runs/{id}/input` and `/interrupt`: a word to a run at work.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::super::body::json_object;
use super::super::caller::Caller;
use super::super::dialect::INPUT;
use super::super::error::ApiError;
use super::super::fields::Fields;
use super::super::idempotency::Key;
use super::super::options::content::{INPUTS, said};
use super::super::query;
use super::command::{live, note, once};
use super::find;
use crate::api::openapi::{parameters, sent, told};
use crate::app::App;
use crate::audit::Action;
use crate::runs::content::Block;
use crate::runs::live::{Command, Input, Priority};

const INPUT_ROUTE: &str = "POST /v1/runs/{id}/input";
const INTERRUPT_ROUTE: &str = "POST /v1/runs/{id}/interrupt";

/// Ends the current turn.
#[utoipa::path(
    post, path = "/v1/runs/{id}/interrupt", operation_id = "interrupt_run", tag = "runs",
    summary = "End the current turn of a run",
    description = "End the current turn of a run.",
    params(("id" = String, Path, description = "The run's id."), parameters::IdempotencyKey),
    responses((status = 202, description = "It is being ended.", body = told::Interrupt)),
)]
pub(super) async fn interrupt(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    query::none(&uri)?;
    let promise = Key::of(&headers)?.map(|key| key.promise(INTERRUPT_ROUTE, &id));
    let (id, _) = find(&app, caller.key(), &id).await?;
    let answer = json!({"type": "interrupt", "run_id": id.to_string()}).to_string();
    let act = {
        let (app, caller) = (Arc::clone(&app), caller.clone());
        async move {
            live(&app, caller.key(), id).await?.command(Command::Interrupt).await?;
            note(&app, &caller, Action::RunInterrupted, id).await;
            Ok(())
        }
    };
    Ok(once(&app, caller.key_id(), promise, id, answer, act).await?.into_response(StatusCode::ACCEPTED))
}

/// Gives the run a further message of the user. Accepted means that it is worked on: whether it still can be is decided
/// by the run's own task.
#[utoipa::path(
    post, path = "/v1/runs/{id}/input", operation_id = "create_input", tag = "runs",
    summary = "Give a run a further message",
    description = "Accepted means that it will be worked on.",
    params(("id" = String, Path, description = "The run's id."), parameters::IdempotencyKey),
    request_body = sent::InputRequest,
    responses((status = 202, description = "The message was taken.", body = told::Input)),
)]
pub(super) async fn input(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    query::none(request.uri())?;
    let key = Key::with_body(request.headers(), &caller).await?;
    let subject = id.clone();
    let (asked, promise) = json_object(request, &app.settings().server, |object| {
        let promise = key.map(|key| key.promise(INPUT_ROUTE, &subject, &object));
        Ok((parse(object)?, promise))
    })
    .await?;
    let (id, row) = find(&app, caller.key(), &id).await?;
    let uuid = app.runs().shared().ambient.uuid();
    let Asked { message, content, priority } = asked;
    let input = Input { uuid, message, content, priority };
    let answer = json!({"type": "input", "id": uuid, "run_id": id.to_string(), "priority": priority.as_str()});
    let act = {
        let (app, caller) = (Arc::clone(&app), caller.clone());
        async move {
            live(&app, caller.key(), id).await?.command(|answer| Command::Input(input, answer)).await?;
            // What the owner says to its run stands in the run's events; that somebody else has said it only here.
            if row.key_id != caller.key_id() {
                note(&app, &caller, Action::RunInput, id).await;
            }
            Ok(())
        }
    };
    Ok(once(&app, caller.key_id(), promise, id, answer.to_string(), act).await?.into_response(StatusCode::ACCEPTED))
}

/// What the body says.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    message: String,
    content: Vec<Block>,
    priority: Priority,
}

fn parse(object: Map<String, Value>) -> Result<Asked, ApiError> {
    let mut fields = Fields::new(object, &INPUT, false)?;
    let (message, content) = said(&mut fields, "message", &INPUTS)?;
    let priority = match fields.string("priority")? {
        None => Priority::default(),
        Some(word) => Priority::from_word(&word).ok_or_else(|| {
            let words = Priority::WORDS.join(", ");
            fields.wrong("priority", format_args!("must be one of {words}"))
        })?,
    };
    Ok(Asked { message, content, priority })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(body: Value) -> Result<Asked, ApiError> {
        let Value::Object(object) = body else { panic!("not an object") };
        parse(object)
    }

    #[test]
    fn a_message_has_a_priority() {
        let asked = |priority| Asked { message: "m".into(), content: vec![], priority };
        assert_eq!(parsed(json!({"message": "m"})).unwrap(), asked(Priority::Next));
        assert_eq!(parsed(json!({"message": "m", "priority": "now"})).unwrap(), asked(Priority::Now));
        for (body, param) in [
            (json!({}), "message"),
            (json!({"prompt": "m"}), "prompt"),
            (json!({"message": " "}), "message"),
            (json!({"message": "x".repeat(50_001)}), "message"),
            (json!({"message": "m", "prompt": "m"}), "prompt"),
            (json!({"message": "m", "priority": "soon"}), "priority"),
            (json!({"message": "m", "role": "user"}), "role"),
            (json!({"message": "m", "content": [{"type": "text", "text": "m"}]}), "content"),
            (json!({"content": []}), "content"),
        ] {
            assert_eq!(parsed(body).unwrap_err().at_fault(), Some(param));
        }
    }

    #[test]
    fn a_message_may_have_pictures_and_no_documents() {
        let gif = json!({"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": "R0lGODlhAQABAAAAAA=="}});
        let asked = parsed(json!({"content": [{"type": "text", "text": "m"}, gif]})).unwrap();
        assert_eq!((asked.message.as_str(), asked.content.len()), ("", 2));
        let document = json!({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "d"}});
        let upload = json!({"type": "image", "source": {"type": "upload", "upload_id": "upl_"}});
        for (block, part) in [
            (document, "content[0].type `document` is not taken here: the CLI loses documents in the middle of a run"),
            (upload, "content[0].source.type must be base64"),
        ] {
            let error = parsed(json!({"content": [block]})).unwrap_err();
            assert!(error.message().starts_with(part), "{}", error.message());
            assert!(part.starts_with(error.at_fault().unwrap()), "{error:?}");
        }
    }
}
