//! `GET /v1/runs/{id}/events`: as a page, or as a stream from any place to the end.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::super::caller::Reader;
use super::super::error::ApiError;
use super::super::front::trace::InTrace;
use super::super::query::Query;
use super::super::request_id::RequestId;
use super::super::standing::Standing;
use super::accept::{Form, form};
use super::event_stream::{EventStream, LAST_EVENT_ID, after_header};
use super::stream_token::PARAMETER as TOKEN;
use super::{find, page};
use crate::api::openapi::{parameters, told};
use crate::app::App;
use crate::encode::events::{Encoder, Wire};
use crate::encode::types::Types;
use crate::keys::Scope;
use crate::runs::request::RunRequest;
use crate::runs::{RunId, RunState, event};
use crate::store::runs::RunRow;
use crate::traces::place::Place;

/// The route, for which there are tokens.
pub(in crate::api) const ROUTE: &str = "/v1/runs/{id}/events";

const PARAMETERS: [&str; 6] = ["after", "page", "limit", "types", "deltas", TOKEN];
const NO_DELTAS: &str = "this run was started without deltas";

/// What the client asks for.
struct Asked {
    form: Form,
    after: u64,
    /// What named the place.
    place: &'static str,
    limit: Option<u64>,
    types: Types,
    deltas: bool,
}

#[utoipa::path(
    get, path = "/v1/runs/{id}/events", operation_id = "list_events", tag = "events",
    summary = "Read or follow the events of a run",
    description = "By `Accept` a page, server-sent events or NDJSON. A stream ends with the run, and goes on where it broke off: `Last-Event-ID`, or `after`. Taken up again at its end it answers 204.",
    params(("id" = String, Path, description = "The run's id."), parameters::EventFilter, parameters::LastEventId),
    responses(
        (status = 200, description = "The events.", content((told::EventPage = "application/json"), (told::EventBlock = "text/event-stream"), (String = "application/x-ndjson"))),
        (status = 204, description = "The run has ended, and there is nothing behind that number."),
    ),
)]
pub(super) async fn events(
    State(app): State<Arc<App>>,
    Extension(request_id): Extension<RequestId>,
    reader: Reader,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let asked = Asked::of(&request)?;
    let (id, row) = find(&app, reader.key(), &id).await?;
    if let Some(trace) = InTrace::of(&request) {
        trace.is_about(id, row.trace_context.as_deref().and_then(Place::from_json).as_ref());
    }
    let place = asked.place;
    let answered = match asked.form {
        Form::Json => page::page(&app, id, &row, asked.after, asked.limit, &asked.types).await,
        Form::Stream(wire) => stream(&app, &reader, id, &row, asked, wire, request_id).await,
    };
    answered.map_err(|error| error.with_place(place))
}

async fn stream(
    app: &Arc<App>,
    reader: &Reader,
    id: RunId,
    row: &RunRow,
    asked: Asked,
    wire: Wire,
    request_id: RequestId,
) -> Result<Response, ApiError> {
    let ended = RunState::from_word(&row.state).is_none_or(RunState::is_final);
    if ended && asked.after == row.last_seq && wire == Wire::Sse {
        // The one answer after which a browser does not come again.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let events = app.runs().follow(id, asked.after).await?;
    let heartbeat = app.settings().server.heartbeat;
    let mut stream = EventStream::new(events, Encoder::new(wire, id), asked.types, heartbeat, request_id);
    if asked.deltas {
        let has = serde_json::from_str::<RunRequest>(&row.request).is_ok_and(|request| request.deltas);
        stream = if has { stream.with_deltas(true) } else { stream.with_comment(NO_DELTAS) };
    }
    let standing = Standing::of(app, reader.key(), Scope::RunsRead, &row.key_id);
    Ok(stream.while_it_may(standing).into_response(wire))
}

impl Asked {
    fn of(request: &Request) -> Result<Self, ApiError> {
        let mut query = Query::of(request.uri())?;
        let form = form(request.headers())?;
        let (after, page) = (query.number("after")?, query.number("page")?);
        if after.is_some() && page.is_some() {
            return Err(ApiError::param("page", "is another name of after: give one of them"));
        }
        let header = after_header(request.headers())?;
        let types = query.take("types")?.map(|list| types(&list)).transpose();
        let asked = Self {
            form,
            // A browser that reconnects sends the header, with the address of its first request.
            after: header.or(after).or(page).unwrap_or(0),
            place: match (header, page) {
                (Some(_), _) => LAST_EVENT_ID,
                (None, Some(_)) => "page",
                (None, None) => "after",
            },
            limit: query.number("limit")?,
            types: types.map_err(|what| ApiError::param("types", what))?.unwrap_or_default(),
            deltas: query.flag("deltas")?.unwrap_or(false),
        };
        query.take(TOKEN)?;
        query.finish(&PARAMETERS)?;
        match form {
            Form::Json if asked.deltas => Err(ApiError::param("deltas", "needs a stream: Accept: text/event-stream")),
            Form::Stream(_) if asked.limit.is_some() => Err(ApiError::param("limit", "is for pages, not for streams")),
            _ => Ok(asked),
        }
    }
}

/// The types of a list. Those of runs are a closed list, so a misspelt one is not one that never comes; those of the CLI
/// are its own.
fn types(list: &str) -> Result<Types, String> {
    let known = || {
        let states = RunState::ALL.into_iter().map(RunState::event);
        states.chain([event::STATE, event::WARNING]).filter(|kind| kind.starts_with("run."))
    };
    let types = Types::parse(list)?;
    let unknown = |name: &&str| name.starts_with("run.") && *name != "run.*" && !known().any(|kind| kind == *name);
    match list.split(',').map(str::trim).find(unknown) {
        Some(name) => {
            let known: Vec<_> = known().collect();
            Err(format!("has {name}; the types of runs are {}", known.join(", ")))
        }
        None => Ok(types),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::header;

    use super::*;

    fn asked(query: &str, accept: &str, last: Option<&str>) -> Result<Asked, ApiError> {
        let mut request = Request::builder().uri(format!("/v1/runs/x/events?{query}")).header(header::ACCEPT, accept);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        Asked::of(&request.body(Body::empty()).unwrap())
    }

    #[test]
    fn the_place_is_the_headers_or_the_querys() {
        for (query, last, after) in
            [("", None, 0), ("after=3", None, 3), ("page=3", None, 3), ("after=3", Some("7"), 7)]
        {
            assert_eq!(asked(query, "", last).unwrap().after, after, "{query} {last:?}");
        }
    }

    #[test]
    fn the_place_is_named_as_the_client_named_it() {
        for (query, last, place) in
            [("after=3", None, "after"), ("page=3", None, "page"), ("after=3", Some("7"), "Last-Event-ID")]
        {
            assert_eq!(asked(query, "", last).unwrap().place, place, "{query} {last:?}");
        }
    }

    #[test]
    fn types_of_runs_are_a_closed_list() {
        let known =
            "run.queued,run.state,run.started,run.warning,run.completed,run.failed,run.incomplete,run.cancelled";
        for list in [known, "run.lost", "run.*", "agent.of_tomorrow"] {
            assert!(types(list).is_ok(), "{list}");
        }
        for list in ["run.finished", "agent.result, run.don", "run.completed.*"] {
            assert!(types(list).unwrap_err().contains("run.queued"), "{list}");
        }
    }

    #[test]
    fn what_is_wrong_names_the_parameter() {
        let sse = "text/event-stream";
        for (query, accept, last, param) in [
            ("after=-1", "", None, "after"),
            ("after=1&page=1", "", None, "page"),
            ("", "", Some("x"), "Last-Event-ID"),
            ("", "", Some(""), "Last-Event-ID"),
            ("types=,", "", None, "types"),
            ("types=agent.result,run.finished", sse, None, "types"),
            ("deltas=true", "", None, "deltas"),
            ("deltas=perhaps", sse, None, "deltas"),
            ("limit=5", sse, None, "limit"),
            ("form=sse", sse, None, "form"),
            ("", "text/html", None, "Accept"),
        ] {
            let error = asked(query, accept, last).map(|_| ()).unwrap_err();
            assert_eq!(error.at_fault(), Some(param), "{query} {accept} {last:?}");
        }
    }
}
