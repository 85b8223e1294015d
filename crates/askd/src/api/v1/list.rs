//! `GET /v1/runs`: the newest first, page by page.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;

use super::super::caller::Caller;
use super::super::error::ApiError;
use super::super::query::Query;
use super::create::{MAX_METADATA, metadata_name_fits};
use super::{json, place};
use crate::api::openapi::{parameters, told};
use crate::app::App;
use crate::encode::run::Run;
use crate::encode::run::{Detail, encode};
use crate::encode::time::milliseconds;
use crate::runs::{RunId, RunState};
use crate::store::runs::{Filter, RunRow};

/// Runs on a page, and things of other lists.
pub(in crate::api) const DEFAULT_LIMIT: u64 = 50;
/// As many at most.
pub(in crate::api) const MAX_LIMIT: u64 = 200;
/// Rows that are read at once: each holds its whole request, of up to `ASKD_MAX_BODY`.
const AT_ONCE: u64 = 20;

const PARAMETERS: [&str; 9] =
    ["state", "session_id", "key", "workspace", "created_after", "created_before", "metadata.NAME", "limit", "page"];

#[utoipa::path(
    get, path = "/v1/runs", operation_id = "list_runs", tag = "runs",
    summary = "List runs",
    description = "The newest first. A key sees its own, an administrator's sees all.",
    params(parameters::RunFilter, parameters::Paging),
    responses((status = 200, description = "A part of the list.", body = told::Page<Run<'static>>)),
)]
pub(super) async fn list(State(app): State<Arc<App>>, caller: Caller, uri: Uri) -> Result<Response, ApiError> {
    let mut filter = filter(&uri)?;
    if !caller.key().sees_all() {
        if filter.key.as_ref().is_some_and(|key| !caller.key().sees(key)) {
            // As if that key had none: it says nothing of whether there is such a key.
            return Ok(json(StatusCode::OK, r#"{"data":[],"next_page":null}"#));
        }
        filter.key = Some(caller.key_id().to_owned());
    }
    let wanted = filter.limit;
    let store = &app.runs().shared().store;
    let mut body = br#"{"data":["#.to_vec();
    let (mut shown, mut next) = (0, None);
    loop {
        // One more than is shown tells whether there is a next page.
        filter.limit = (wanted - shown).min(AT_ONCE) + 1;
        let mut rows = store.runs(&filter).await?;
        let more = rows.len() as u64 >= filter.limit;
        rows.truncate(usize::try_from(filter.limit - 1).unwrap_or(usize::MAX));
        let ids: Vec<_> = rows.iter().map(|row| row.id.clone()).collect();
        let metadata = store.metadata(&ids).await?;
        for row in &rows {
            if shown > 0 {
                body.push(b',');
            }
            let metadata = metadata.get(&row.id).map_or(&[][..], Vec::as_slice);
            body.extend(encode(row, metadata, Detail::Listed));
            shown += 1;
        }
        let last = rows.last().filter(|_| more);
        next = last.and_then(token).or(next.filter(|_| more));
        match last {
            Some(last) if shown < wanted => filter.before = Some((last.created_at, last.id.clone())),
            _ => break,
        }
    }
    let next = next.map_or("null".to_owned(), |token| format!("\"{token}\""));
    body.extend_from_slice(format!(r#"],"next_page":{next}}}"#).as_bytes());
    Ok(json(StatusCode::OK, body))
}

fn filter(uri: &Uri) -> Result<Filter, ApiError> {
    let mut query = Query::of(uri)?;
    let filter = Filter {
        states: query.take("state")?.map(|list| states(&list)).transpose()?.unwrap_or_default(),
        session: query.take("session_id")?,
        key: query.take("key")?,
        workspace: query.take("workspace")?,
        created_after: time(&mut query, "created_after")?,
        created_before: time(&mut query, "created_before")?,
        metadata: metadata(&mut query)?,
        before: query.take("page")?.map(|page| place(&page)).transpose()?,
        limit: query.limit("limit", DEFAULT_LIMIT, MAX_LIMIT)?,
    };
    query.finish(&PARAMETERS)?;
    Ok(filter)
}

fn states(list: &str) -> Result<Vec<String>, ApiError> {
    let words = list.split(',').map(|word| RunState::from_word(word.trim()));
    let states: Option<Vec<_>> = words.map(|state| state.map(|state| state.as_str().to_owned())).collect();
    states.ok_or_else(|| {
        let all = RunState::ALL.map(RunState::as_str).join(", ");
        ApiError::param("state", format_args!("must be a list of {all}"))
    })
}

pub(super) fn time(query: &mut Query, name: &str) -> Result<Option<i64>, ApiError> {
    let Some(text) = query.take(name)? else { return Ok(None) };
    let wrong = || ApiError::param(name, "must be a time such as 2026-11-22T09:30:00Z");
    let time = milliseconds(&text).or_else(|| milliseconds(&with_plus(&text)?));
    time.map(Some).ok_or_else(wrong)
}

/// A `+` that was written as it is has become a blank on the way: `2026-11-22T09:30:00 00:00`.
fn with_plus(text: &str) -> Option<String> {
    let (time, offset) = text.rsplit_once(' ')?;
    time.contains(':').then(|| format!("{time}+{offset}"))
}

fn metadata(query: &mut Query) -> Result<Vec<(String, String)>, ApiError> {
    let wanted = query.take_all("metadata.");
    if wanted.len() > MAX_METADATA {
        return Err(ApiError::param("metadata", format_args!("is asked for more than {MAX_METADATA} times")));
    }
    match wanted.iter().find(|(name, _)| !metadata_name_fits(name)) {
        Some((name, _)) => Err(ApiError::param(&format!("metadata.{name}"), "is no name that metadata can have")),
        None => Ok(wanted),
    }
}

/// The place behind a run, for the next page.
fn token(last: &RunRow) -> Option<String> {
    Some(place::token_of(last.created_at, RunId::parse(&last.id)?.0))
}

fn place(token: &str) -> Result<(i64, String), ApiError> {
    place::read_of(token).map(|(time, id)| (time, RunId(id).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> Result<Filter, ApiError> {
        filter(&format!("/v1/runs?{query}").parse().unwrap())
    }

    #[test]
    fn filters_are_read() {
        let filter = of("state=queued,running&metadata.a.b=1&created_after=2026-11-18T11:06:40Z&limit=200").unwrap();
        assert_eq!(filter.states, ["queued", "running"]);
        assert_eq!(filter.metadata, [("a.b".to_owned(), "1".to_owned())]);
        assert_eq!((filter.created_after, filter.limit), (Some(1_795_000_000_000), 200));
        assert_eq!(of("").unwrap().limit, DEFAULT_LIMIT);
        for time in ["2026-11-18T12:06:40+01:00", "2026-11-18T12:06:40%2B01:00", "2026-11-18%2012:06:40+01:00"] {
            let filter = of(&format!("created_before={time}")).unwrap();
            assert_eq!(filter.created_before, Some(1_795_000_000_000), "{time}");
        }
    }

    #[test]
    fn what_is_wrong_names_the_parameter() {
        for (query, param) in [
            ("state=done", "state"),
            ("state=", "state"),
            ("created_after=today", "created_after"),
            ("created_after=2026-11-18 12:06", "created_after"),
            ("limit=0", "limit"),
            ("limit=201", "limit"),
            ("page=2", "page"),
            ("page=FF-00000000000000000000000000000007", "page"),
            ("metadata.=1", "metadata."),
            ("metadata.a b=1", "metadata.a b"),
            ("states=queued", "states"),
        ] {
            let query = query.replace(' ', "%20");
            assert_eq!(of(&query).unwrap_err().at_fault(), Some(param), "{query}");
        }
    }

    #[test]
    fn a_page_goes_on_where_the_last_one_ended() {
        let id = RunId(uuid::Uuid::from_u128(7));
        let token = format!("{:x}-{}", 1_795_000_000_000_i64, id.0.simple());
        assert_eq!(place(&token).unwrap(), (1_795_000_000_000, id.to_string()));
    }
}
