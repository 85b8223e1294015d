//! `GET /v1/audit`: who did what, the newest first.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde_json::{Value, json};

use super::super::caller::Caller;
use super::super::error::ApiError;
use super::super::query::Query;
use super::list::{DEFAULT_LIMIT, MAX_LIMIT, time};
use super::{json as answer, place};
use crate::api::openapi::{parameters, told};
use crate::app::App;
use crate::audit::Action;
use crate::encode::time::rfc3339;
use crate::store::audit::{AuditFilter, AuditRow, CONFIG_CHANGED};

const PARAMETERS: [&str; 8] =
    ["key", "action", "subject", "outcome", "created_after", "created_before", "limit", "page"];

#[utoipa::path(
    get, path = "/v1/audit", operation_id = "list_audit_entries", tag = "keys and usage",
    summary = "List who did what",
    description = "The newest first.",
    params(parameters::AuditFilter, parameters::Paging),
    responses((status = 200, description = "A part of the list.", body = told::Page<told::AuditEntry>)),
)]
pub(super) async fn audit(State(app): State<Arc<App>>, _: Caller, uri: Uri) -> Result<Response, ApiError> {
    let mut filter = filter(&uri)?;
    let most = usize::try_from(filter.limit).unwrap_or(usize::MAX);
    // One more than is shown tells whether there is a next page.
    filter.limit += 1;
    let mut rows = app.runs().shared().audit.list(&filter).await?;
    let more = rows.len() > most;
    rows.truncate(most);
    let next = rows.last().filter(|_| more).map(|last| place::token(last.created_at, &last.id));
    let data: Vec<_> = rows.iter().map(shown).collect();
    Ok(answer(StatusCode::OK, json!({"data": data, "next_page": next}).to_string()))
}

fn filter(uri: &Uri) -> Result<AuditFilter, ApiError> {
    let mut query = Query::of(uri)?;
    let filter = AuditFilter {
        key: query.take("key")?,
        action: query.take("action")?.map(action).transpose()?,
        subject: query.take("subject")?,
        outcome: query.take("outcome")?.map(outcome).transpose()?,
        after: time(&mut query, "created_after")?,
        before: time(&mut query, "created_before")?,
        page: query.take("page")?.map(|page| place::read(&page)).transpose()?,
        limit: query.limit("limit", DEFAULT_LIMIT, MAX_LIMIT)?,
    };
    query.finish(&PARAMETERS)?;
    Ok(filter)
}

fn action(word: String) -> Result<String, ApiError> {
    let known = || Action::ALL.map(Action::as_str).into_iter().chain([CONFIG_CHANGED]);
    if known().any(|known| known == word) {
        return Ok(word);
    }
    let known = known().collect::<Vec<_>>().join(", ");
    Err(ApiError::param("action", format_args!("must be one of {known}")))
}

fn outcome(word: String) -> Result<String, ApiError> {
    if matches!(&*word, "done" | "denied") {
        Ok(word)
    } else {
        Err(ApiError::param("outcome", "must be done or denied"))
    }
}

fn shown(row: &AuditRow) -> Value {
    json!({
        "type": "audit_entry",
        "id": row.id,
        "created_at": rfc3339(row.created_at),
        "key": row.key_id,
        "address": row.address,
        "request_id": row.request_id,
        "action": row.action,
        "subject": row.subject,
        "outcome": row.outcome,
        "detail": serde_json::from_str::<Value>(&row.detail).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> Result<AuditFilter, ApiError> {
        filter(&format!("/v1/audit?{query}").parse().unwrap())
    }

    #[test]
    fn filters_are_read_and_what_is_wrong_names_the_parameter() {
        let filter = of("key=admin&action=key.created&created_after=2026-11-18T11:06:40Z&limit=3").unwrap();
        assert_eq!((filter.key.as_deref(), filter.action.as_deref()), (Some("admin"), Some("key.created")));
        assert_eq!((filter.after, filter.limit), (Some(1_795_000_000_000), 3));
        assert!(of("action=config.changed").is_ok());
        let filter = of("subject=key_1&outcome=denied").unwrap();
        assert_eq!((filter.subject.as_deref(), filter.outcome.as_deref()), (Some("key_1"), Some("denied")));
        let page = format!("{:x}-aud_01", 1_795_000_000_000_i64);
        assert_eq!(of(&format!("page={page}")).unwrap().page, Some((1_795_000_000_000, "aud_01".to_owned())));
        for (query, param) in [
            ("action=key.*", "action"),
            ("outcome=failed", "outcome"),
            ("created_before=now", "created_before"),
            ("limit=0", "limit"),
            ("page=7", "page"),
            ("page=FF-aud_1", "page"),
            ("who=me", "who"),
        ] {
            assert_eq!(of(query).unwrap_err().at_fault(), Some(param), "{query}");
        }
    }
}
