//! `/config/{kind}`: names and descriptions, page by page.

use axum::Json;
use axum::http::{Method, Uri};
use serde_json::{Value, json};

use super::kind;
use crate::api::editor::Editor;
use crate::api::error::ApiError;
use crate::api::openapi::{parameters, told};
use crate::api::path::PathOf;
use crate::api::query::{Query, digits};
use crate::api::v1::list::{DEFAULT_LIMIT, MAX_LIMIT};
use crate::config::change::{self, Listed};
use crate::config::scope::Scope;

#[utoipa::path(
    get, path = "/config/{kind}", operation_id = "list_legacy_documents", tag = "legacy configuration",
    summary = "List agents, skills or rules",
    description = "By name, part by part.",
    params(("kind" = String, Path, description = "The kind of document."), parameters::Offset),
    responses((status = 200, description = "A part of the list.", body = told::legacy::LegacyList)),
)]
pub(super) async fn list(
    editor: Editor,
    PathOf(word): PathOf<String>,
    method: Method,
    uri: Uri,
) -> Result<Json<Value>, ApiError> {
    let kind = kind(&word, &method, &uri).await?;
    let Page { limit, offset } = Page::of(&uri, editor.server().legacy_lenient)?;
    // Rules in folders cannot be asked for here.
    let page = change::Page { after: None, offset: as_index(offset), limit: as_index(limit), nested: false };
    let Listed { entries, total, .. } = editor.config().list(&Scope::User, kind, page).await?;
    let named = entries.iter().filter_map(|entry| Some((entry.id.name()?, entry)));
    let items: Vec<_> = named
        .map(|(name, entry)| json!({"name": name, "description": entry.description.as_deref().unwrap_or_default()}))
        .collect();
    let count = items.len();
    Ok(Json(json!({"items": items, "count": count, "total": total, "limit": limit, "offset": offset})))
}

/// Which part of a list is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Page {
    limit: u64,
    offset: u64,
}

impl Page {
    fn of(uri: &Uri, lenient: bool) -> Result<Self, ApiError> {
        let mut query = Query::of(uri)?;
        if lenient {
            let limit = query.take("limit")?.as_deref().and_then(digits).unwrap_or(DEFAULT_LIMIT);
            let offset = query.take("offset")?.as_deref().and_then(digits).unwrap_or(0);
            return Ok(Self { limit: limit.clamp(1, MAX_LIMIT), offset });
        }
        let limit = query.limit("limit", DEFAULT_LIMIT, MAX_LIMIT)?;
        let offset = query.number("offset")?.unwrap_or(0);
        query.finish(&["limit", "offset"])?;
        Ok(Self { limit, offset })
    }
}

fn as_index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: &str, lenient: bool) -> Result<(u64, u64), ApiError> {
        Page::of(&format!("/config/agents?{query}").parse().unwrap(), lenient).map(|page| (page.limit, page.offset))
    }

    #[test]
    fn a_page_has_bounds_and_the_old_way_keeps_to_them_by_itself() {
        assert_eq!(page("", false).unwrap(), (50, 0));
        assert_eq!(page("limit=200&offset=7", false).unwrap(), (200, 7));
        for (query, param) in
            [("limit=0", "limit"), ("limit=201", "limit"), ("offset=-1", "offset"), ("page=2", "page")]
        {
            assert_eq!(page(query, false).unwrap_err().at_fault(), Some(param), "{query}");
        }
        for (query, expected) in [
            ("limit=0", (1, 0)),
            ("limit=500&offset=x", (200, 0)),
            ("limit=many", (50, 0)),
            ("page=2&offset=3", (50, 3)),
        ] {
            assert_eq!(page(query, true).unwrap(), expected, "{query}");
        }
    }
}
