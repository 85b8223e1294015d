//! `/v1/config`: everything of the CLI's configuration, for all runs or for a workspace.
//!
//! The files are the truth. What is read is what lies on the disk; what is changed is written there at once, and the
//! next run has it.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::{Map, Value, json};

use super::super::conditions;
use super::super::editor::Editor;
use super::super::error::{ApiError, no_such_route};
use super::super::query::Query;
use crate::app::App;
use crate::config::kind::Kind;
use crate::config::scope::Scope;

mod diff;
mod document;
mod export;
mod history;
mod import;
mod list;
mod mcp_server;
mod shown;
mod skill_files;
mod taken;
mod validate;

/// The routes, without what stands before them.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/config", get(overview))
        .route("/v1/config/validate", post(validate::validate))
        .route("/v1/config/history", get(history::list))
        .route("/v1/config/history/{id}", get(history::one))
        .route("/v1/config/history/{id}/diff", get(diff::diff))
        .route("/v1/config/history/{id}/restore", post(history::restore))
        .route("/v1/config/export", get(export::export))
        .route("/v1/config/import", post(import::import))
        .route("/v1/config/mcp-servers/{server}", get(mcp_server::get).put(mcp_server::put).delete(mcp_server::delete))
        .route(
            "/v1/config/skills/{name}/files/{*path}",
            get(skill_files::get).put(skill_files::put).delete(skill_files::delete),
        )
        .route("/v1/config/{kind}", get(document::get_kind).put(document::put_single).delete(document::delete_single))
        .route("/v1/config/{kind}/{*name}", get(document::get).put(document::put).delete(document::delete))
}

/// How many documents there are, and the tag of the whole.
async fn overview(editor: Editor, uri: Uri, headers: HeaderMap) -> Result<Response, ApiError> {
    let mut query = Query::of(&uri)?;
    let scope = scope(&editor, &mut query)?;
    query.finish(&["workspace"])?;
    let overview = editor.config().overview(&scope).await?;
    let counts: Map<String, Value> =
        overview.counts.iter().map(|(kind, count)| (kind.as_str().to_owned(), json!(count))).collect();
    let mut answer = json!({
        "type": "config",
        "workspace": scope.workspace(),
        "documents": counts,
        "size": overview.size,
        "etag": overview.etag.to_string(),
        "writable": overview.read_only.is_none(),
        "read_only_reason": overview.read_only,
    });
    tell_loading(&editor, &scope, &mut answer).await;
    conditions::tagged(&headers, &overview.etag, super::json(StatusCode::OK, answer.to_string()))
}

/// Of a workspace's configuration: whether runs load it, and why not.
async fn tell_loading(editor: &Editor, scope: &Scope, answer: &mut Value) {
    if scope.workspace().is_some() {
        let why_not = editor.kept_out(scope).await;
        answer["loaded_by_runs"] = json!(why_not.is_empty());
        answer["why_not"] = json!(why_not);
    }
}

/// Whose configuration a request is about: that of all runs, unless it names a workspace. Refuses the workspaces that the
/// caller's key is not for.
fn scope(editor: &Editor, query: &mut Query) -> Result<Scope, ApiError> {
    /// As long as the name of a folder can be, in bytes.
    const MAX_NAME: usize = 255;
    let Some(name) = query.take("workspace")? else { return Ok(Scope::User) };
    let fits = (1..=MAX_NAME).contains(&name.len()) && !name.contains('/') && name != "." && name != "..";
    if !fits {
        return Err(ApiError::param("workspace", "must be the name of a folder in the workspace root"));
    }
    let scope = Scope::Workspace(name);
    editor.must_reach(&scope)?;
    Ok(scope)
}

/// The kind of a path.
async fn kind(word: &str, method: &Method, uri: &Uri) -> Result<Kind, ApiError> {
    match Kind::parse(word) {
        Some(kind) => Ok(kind),
        None => Err(no_such_route(method.clone(), uri.clone()).await),
    }
}

/// Refuses a kind that a workspace cannot have.
fn check_scope(scope: &Scope, kind: Kind) -> Result<(), ApiError> {
    if scope.workspace().is_some() && !kind.is_in_workspaces() {
        return Err(ApiError::param("workspace", format_args!("cannot have {}: it holds for all runs", kind.as_str())));
    }
    Ok(())
}
