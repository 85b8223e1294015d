//! `/v1/config`: everything of the CLI's configuration, for all runs or for a workspace.
//!
//! The files are the truth. What is read is what lies on the disk; what is changed is written there at once, and the
//! next run has it.

use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::super::conditions;
use super::super::editor::Editor;
use super::super::error::{ApiError, no_such_route};
use super::super::query::Query;
use crate::api::openapi::routes::{Routes, routes};
use crate::api::openapi::{parameters, told};
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
pub(super) fn routes() -> Routes {
    Routes::default()
        .routes(routes!(overview))
        .routes(routes!(validate::validate))
        .routes(routes!(history::list))
        .routes(routes!(history::one))
        .routes(routes!(diff::diff))
        .routes(routes!(history::restore))
        .routes(routes!(export::export))
        .routes(routes!(import::import))
        .routes(routes!(mcp_server::get, mcp_server::put, mcp_server::delete))
        .routes(routes!(skill_files::get, skill_files::put, skill_files::delete))
        .routes(routes!(document::get_kind, document::put_single, document::delete_single))
        .routes(routes!(document::get, document::put, document::delete))
}

/// How many documents there are, and the tag of the whole.
#[utoipa::path(
    get, path = "/v1/config", operation_id = "get_config", tag = "configuration",
    summary = "Read how much configuration there is",
    description = "Read how much configuration there is.",
    params(parameters::Workspace, parameters::IfNoneMatch),
    responses((status = 200, description = "The whole in numbers.", body = told::config::ConfigOverview)),
)]
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
