//! `POST /v1/config/validate`: what the CLI would make of a document, and whether this caller could put it. Changes nothing.

use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::export::unfinished;
use super::{check_scope, scope, taken, tell_loading};
use crate::api::body::config_object;
use crate::api::dialect::VALIDATE;
use crate::api::editor::Editor;
use crate::api::error::ApiError;
use crate::api::fields::Fields;
use crate::api::openapi::{parameters, sent, told};
use crate::api::query::Query;
use crate::api::v1::json as answer;
use crate::aside::Gate;
use crate::config::change::Edit;
use crate::config::document::{Content, SKILL_FILE, Skill, SkillFile};
use crate::config::error::ConfigError;
use crate::config::kind::Kind;
use crate::config::name::DocumentId;
use crate::config::problem::Problem;
use crate::config::scope::Scope;
use crate::config::validate as checks;

/// Checks take a processor a while, and are not for the threads that serve.
static CHECKING: Gate = Gate::new(2, Duration::from_secs(30), 8 << 20);

/// The most documents that an answer names, and the most problems of each.
const MAX_DOCUMENTS: usize = 500;
const MAX_PROBLEMS: usize = 20;

/// The name of a document that has none yet.
const NO_NAME: &str = "unnamed";

#[utoipa::path(
    post, path = "/v1/config/validate", operation_id = "validate_config", tag = "configuration",
    summary = "Look at a document without writing it",
    description = "What the CLI would make of it, and whether this key could write it. An empty object: of all that lie on the disk.",
    params(parameters::Workspace),
    request_body = sent::ValidateRequest,
    responses((status = 200, description = "What was found.", body = told::config::ConfigValidation)),
)]
pub(super) async fn validate(editor: Editor, request: Request) -> Result<Response, ApiError> {
    let mut query = Query::of(request.uri())?;
    let scope = scope(&editor, &mut query)?;
    query.finish(&["workspace"])?;
    let asked = config_object(request, editor.server(), |object| {
        if object.is_empty() {
            return Ok(None);
        }
        let mut fields = Fields::new(object, &VALIDATE, false)?;
        let kind = fields.string("kind")?.ok_or_else(|| fields.wrong("kind", "is missing"))?;
        let kind = Kind::parse(&kind).ok_or_else(|| {
            let all = Kind::ALL.map(Kind::as_str).join(", ");
            fields.wrong("kind", format_args!("must be one of {all}"))
        })?;
        let name = fields.string("name")?;
        // Without a name there is no place that it could be put to.
        let has_place = name.is_some() || kind.is_single();
        let name = name.as_deref().or((!kind.is_single()).then_some(NO_NAME));
        let id = DocumentId::new(kind, name).map_err(|error| fields.wrong("name", error))?;
        Ok(Some((id, taken::edit(kind, &mut fields)?, has_place)))
    });
    match asked.await? {
        None => everything(&editor, &scope).await,
        Some((id, edit, has_place)) => {
            check_scope(&scope, id.kind())?;
            let (checked, content) = (id.clone(), content(edit.clone()));
            let mut report = CHECKING.run(move || checks::check(&checked, &content)).await.map_err(unfinished)?;
            // Of what is there now. What a document would change about it, its `PUT` tells.
            report.warnings.extend(editor.kept_out(&scope).await);
            let refused =
                if has_place && report.is_valid() { refusal(&editor, &scope, &id, edit).await? } else { None };
            let shown = json!({"type": "config_validation", "valid": report.is_valid(), "errors": report.errors,
                "warnings": report.warnings, "executes": report.executes, "refused": refused});
            Ok(answer(StatusCode::OK, shown.to_string()))
        }
    }
}

/// Why a `PUT` of this caller would be refused now, though the CLI would take the document: permissions, secrets, keys that
/// nobody sets over HTTP, another document with the same name, links, bounds.
async fn refusal(editor: &Editor, scope: &Scope, id: &DocumentId, edit: Edit) -> Result<Option<String>, ApiError> {
    if let Err(error) = editor.must_write(scope) {
        return Ok(Some(error.message().to_owned()));
    }
    match editor.config().try_edit(scope, id, edit, &editor.author()).await {
        Ok(()) => Ok(None),
        // That it cannot be told now is no answer.
        Err(error @ (ConfigError::Busy | ConfigError::Store(_) | ConfigError::Io(_) | ConfigError::NoWorkspace(_))) => {
            Err(error.into())
        }
        Err(error) => Ok(Some(error.to_string())),
    }
}

fn content(edit: Edit) -> Content {
    match edit {
        Edit::Put(content) => content,
        Edit::PutSkillText(text) => {
            let file = SkillFile { bytes: text.into_bytes(), executable: false };
            Content::Skill(Skill { files: [(SKILL_FILE.to_owned(), file)].into() })
        }
        // A body says nothing else.
        Edit::PutSkillFile { .. }
        | Edit::RemoveSkillFile { .. }
        | Edit::PutMcpServer { .. }
        | Edit::RemoveMcpServer { .. }
        | Edit::Remove => Content::Text(String::new()),
    }
}

/// What lies on the disk.
async fn everything(editor: &Editor, scope: &Scope) -> Result<Response, ApiError> {
    let mut problems = editor.config().problems(scope).await?;
    if editor.must_execute(scope).is_err() {
        // A problem may quote what only others may see.
        problems.retain(|(id, _)| !id.as_ref().is_some_and(|id| checks::all_may_hold_secrets(id.kind())));
    }
    let valid = problems.iter().all(|(_, report)| report.is_valid());
    let more = problems.len().saturating_sub(MAX_DOCUMENTS);
    let documents: Vec<_> = problems
        .into_iter()
        .take(MAX_DOCUMENTS)
        .map(|(id, report)| {
            let (kind, name) = (id.as_ref().map(|id| id.kind().as_str()), id.as_ref().and_then(DocumentId::name));
            json!({"type": "config_validation_entry", "kind": kind, "name": name, "valid": report.is_valid(), "errors": first(&report.errors),
                "warnings": first(&report.warnings)})
        })
        .collect();
    let mut shown = json!({"type": "config_validation", "valid": valid, "documents": documents, "more": more});
    tell_loading(editor, scope, &mut shown).await;
    Ok(answer(StatusCode::OK, shown.to_string()))
}

fn first(problems: &[Problem]) -> &[Problem] {
    problems.get(..MAX_PROBLEMS).unwrap_or(problems)
}
