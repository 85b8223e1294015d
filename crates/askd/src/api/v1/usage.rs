//! `GET /v1/usage`: what runs have used and cost, by the CLI's estimates, and what is left of a key's budget of the day.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use jiff::civil::Date;
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::caller::Caller;
use super::super::error::ApiError;
use super::super::query::Query;
use super::list::DEFAULT_LIMIT;
use super::{json as answer, place};
use crate::api::openapi::{parameters, told};
use crate::app::App;
use crate::encode::time::rfc3339;
use crate::encode::usage::ShownUse;
use crate::keys::Key;
use crate::runs::budget::resets_at;
use crate::store::budget::{beginning_of, day_of};
use crate::store::usage::sums::{UsageBy, UsageFilter, UsageRow};
use crate::usd::Usd;

/// Rows on a page at most: the days of a year, and then some.
pub(in crate::api) const MAX_LIMIT: u64 = 400;

/// The days that are shown if none are named, today included.
const DEFAULT_DAYS: i64 = 30;

const PARAMETERS: [&str; 9] = ["group_by", "key", "workspace", "model", "session_id", "from", "to", "limit", "page"];

/// What usage can be summed up by.
pub(in crate::api) const GROUPS: [UsageBy; 5] =
    [UsageBy::Day, UsageBy::Key, UsageBy::Workspace, UsageBy::Model, UsageBy::Session];

#[utoipa::path(
    get, path = "/v1/usage", operation_id = "list_usage", tag = "keys and usage",
    summary = "Sum up what runs have used",
    description = "By the CLI's estimates: no bill.",
    params(parameters::UsageFilter, parameters::Paging),
    responses((status = 200, description = "The sums.", body = told::Usage)),
)]
pub(super) async fn usage(State(app): State<Arc<App>>, caller: Caller, uri: Uri) -> Result<Response, ApiError> {
    let shared = app.runs().shared();
    let today = day_of(shared.ambient.now().as_millisecond());
    let mut filter = filter(&uri, today)?;
    let (by, wanted) = (filter.by, filter.limit);
    let sees_none = filter.key.as_ref().is_some_and(|key| !caller.key().sees(key));
    if !caller.key().sees_all() {
        filter.key.get_or_insert_with(|| caller.key_id().to_owned());
    }
    // One more than is shown tells whether there is a next page. Of another's key there is nothing to see, as if it had none.
    filter.limit += 1;
    let mut rows = if sees_none { Vec::new() } else { shared.store.usage(&filter).await? };
    let more = rows.len() as u64 > wanted;
    rows.truncate(usize::try_from(wanted).unwrap_or(usize::MAX));
    let next = rows.last().filter(|_| more).map(|last| token(&last.name));
    let key = match filter.key.as_deref() {
        _ if sees_none => None,
        Some(id) if id != caller.key_id() => shared.keys.look(id).await?.and_then(|entry| entry.key().cloned()),
        _ => Some(Arc::clone(caller.key())),
    };
    let budget = match key {
        Some(key) => budget(&app, &key).await?,
        None => Value::Null,
    };
    let body = json!({
        "type": "usage",
        "group_by": word(by),
        "from": date(filter.first_day),
        "to": date(filter.last_day),
        "estimate": true,
        "data": rows.iter().map(|row| shown(row, by)).collect::<Vec<_>>(),
        "next_page": next,
        "budget": budget,
    });
    Ok(answer(StatusCode::OK, body.to_string()))
}

/// What is left of what a key may spend today; `null` if nothing bounds it.
pub(super) async fn budget(app: &App, key: &Key) -> Result<Value, ApiError> {
    let Some(limit) = key.policy.max_usd_per_day else { return Ok(Value::Null) };
    let shared = app.runs().shared();
    let now = shared.ambient.now();
    let day = shared.store.budget_day(key.id.as_str(), day_of(now.as_millisecond())).await?.unwrap_or_default();
    let (spent, reserved) = (Usd::from_micros(day.spent), Usd::from_micros(day.reserved));
    Ok(json!({
        "limit_usd": limit,
        "spent_usd": spent,
        "reserved_usd": reserved,
        "left_usd": limit.minus(spent).minus(reserved),
        "resets_at": rfc3339(resets_at(now).as_millisecond()),
    }))
}

fn filter(uri: &Uri, today: i64) -> Result<UsageFilter, ApiError> {
    let mut query = Query::of(uri)?;
    let by = query.take("group_by")?.map_or(Ok(UsageBy::Day), |text| {
        let by = GROUPS.into_iter().find(|by| word(*by) == text);
        by.ok_or_else(|| ApiError::param("group_by", "must be day, key, workspace, model or session"))
    })?;
    let last_day = day(&mut query, "to")?.unwrap_or(today);
    let first_day = day(&mut query, "from")?.unwrap_or(last_day - DEFAULT_DAYS + 1);
    if first_day > last_day {
        return Err(ApiError::param("from", "must not be later than `to`"));
    }
    let filter = UsageFilter {
        key: query.take("key")?,
        workspace: query.take("workspace")?,
        model: query.take("model")?,
        session: session(&mut query)?,
        first_day,
        last_day,
        by,
        after: query.take("page")?.map(|page| name(&page, by)).transpose()?,
        limit: query.limit("limit", DEFAULT_LIMIT, MAX_LIMIT)?,
    };
    query.finish(&PARAMETERS)?;
    Ok(filter)
}

/// Its word.
pub(in crate::api) fn word(by: UsageBy) -> &'static str {
    match by {
        UsageBy::Day => "day",
        UsageBy::Key => "key",
        UsageBy::Workspace => "workspace",
        UsageBy::Model => "model",
        UsageBy::Session => "session",
    }
}

/// In the one form in which the store has it.
fn session(query: &mut Query) -> Result<Option<String>, ApiError> {
    let Some(text) = query.take("session_id")? else { return Ok(None) };
    let session = text.parse::<Uuid>().map_err(|_| ApiError::param("session_id", "must be a UUID"))?;
    Ok(Some(session.to_string()))
}

/// The name of what is summed up, in a row.
fn field(by: UsageBy) -> &'static str {
    if by == UsageBy::Session { "session_id" } else { word(by) }
}

fn day(query: &mut Query, parameter: &str) -> Result<Option<i64>, ApiError> {
    let Some(text) = query.take(parameter)? else { return Ok(None) };
    let read = || {
        let time = text.parse::<Date>().ok().filter(|date| date.to_string() == text)?;
        Some(day_of(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond()))
    };
    read().map(Some).ok_or_else(|| ApiError::param(parameter, "must be a day such as 2026-11-23"))
}

fn date(day: i64) -> String {
    rfc3339(beginning_of(day)).chars().take(10).collect()
}

fn shown(row: &UsageRow, by: UsageBy) -> Value {
    let name = match by {
        UsageBy::Day => row.name.parse().map_or(Value::Null, |day| date(day).into()),
        UsageBy::Workspace | UsageBy::Model if row.name.is_empty() => Value::Null,
        UsageBy::Key | UsageBy::Workspace | UsageBy::Model | UsageBy::Session => row.name.as_str().into(),
    };
    let mut shown = json!(ShownUse::from(row.used));
    shown[field(by)] = name;
    shown["runs"] = row.runs.into();
    shown
}

/// The place behind a row, for the next page. Clients are not to read it.
fn token(name: &str) -> String {
    name.bytes().fold("x".to_owned(), |token, byte| format!("{token}{byte:02x}"))
}

fn name(page: &str, by: UsageBy) -> Result<String, ApiError> {
    let read = || {
        let digits = page.strip_prefix('x').filter(|digits| digits.is_ascii() && digits.len().is_multiple_of(2))?;
        let bytes = (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16));
        let name = String::from_utf8(bytes.collect::<Result<_, _>>().ok()?).ok()?;
        let fits = by != UsageBy::Day || name.parse::<i64>().is_ok();
        (fits && token(&name) == page).then_some(name)
    };
    read().ok_or_else(place::wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> Result<UsageFilter, ApiError> {
        filter(&format!("/v1/usage?{query}").parse().unwrap(), 20_000)
    }

    #[test]
    fn the_last_thirty_days_are_shown_if_none_are_named() {
        let filter = of("").unwrap();
        assert_eq!((filter.first_day, filter.last_day, filter.by), (19_971, 20_000, UsageBy::Day));
        let filter = of("from=2024-02-01&to=2024-02-29&group_by=workspace").unwrap();
        assert_eq!((date(filter.first_day), date(filter.last_day)), ("2024-02-01".into(), "2024-02-29".into()));
        assert_eq!(filter.by, UsageBy::Workspace);
    }

    #[test]
    fn runs_of_no_workspace_and_what_belongs_to_no_model_can_be_asked_for() {
        let filter = of("workspace=&model=&session_id=00000000-0000-0000-0000-00000000000A&group_by=session").unwrap();
        assert_eq!((filter.workspace.as_deref(), filter.model.as_deref()), (Some(""), Some("")));
        assert_eq!(filter.session.as_deref(), Some("00000000-0000-0000-0000-00000000000a"));
    }

    #[test]
    fn what_is_wrong_names_the_parameter() {
        for (query, param) in [
            ("group_by=month", "group_by"),
            ("session_id=x", "session_id"),
            ("from=yesterday", "from"),
            ("from=2024-02-30", "from"),
            ("to=2024-02-01T00:00:00Z", "to"),
            ("from=2024-02-02&to=2024-02-01", "from"),
            ("limit=0", "limit"),
            ("page=zz", "page"),
            ("page=x6", "page"),
            ("page=xff", "page"),
            ("page=x61", "page"),
            ("days=3", "days"),
        ] {
            assert_eq!(of(query).unwrap_err().at_fault(), Some(param), "{query}");
        }
    }

    #[test]
    fn a_page_goes_on_where_the_last_one_ended() {
        for workspace in ["", "shop", "Überblick & co"] {
            assert_eq!(name(&token(workspace), UsageBy::Workspace).unwrap(), workspace);
        }
        assert_eq!(name(&token("20000"), UsageBy::Day).unwrap(), "20000");
    }
}
