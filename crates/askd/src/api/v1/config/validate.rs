//! `POST /v1/config/validate`: what the CLI would make of a document, without changing anything.

use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::super::super::body::config_object;
use super::super::super::dialect::VALIDATE;
use super::super::super::editor::Editor;
use super::super::super::error::ApiError;
use super::super::super::fields::Fields;
use super::super::super::query::Query;
use super::super::json as answer;
use super::export::unfinished;
use super::{check_scope, scope, taken};
use crate::aside::Gate;
use crate::config::change::Edit;
use crate::config::document::{Content, SKILL_FILE, Skill, SkillFile};
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

pub(super) async fn validate(editor: Editor, request: Request) -> Result<Response, ApiError> {
    let mut query = Query::of(request.uri())?;
    let scope = scope(&mut query)?;
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
        let name = name.as_deref().or((!kind.is_single()).then_some(NO_NAME));
        let id = DocumentId::new(kind, name).map_err(|error| fields.wrong("name", error))?;
        Ok(Some((id, content(taken::edit(kind, &mut fields)?))))
    });
    match asked.await? {
        None => everything(&editor, &scope).await,
        Some((id, content)) => {
            check_scope(&scope, id.kind())?;
            let report = CHECKING.run(move || checks::check(&id, &content)).await.map_err(unfinished)?;
            let shown = json!({"type": "config_validation", "valid": report.is_valid(), "errors": report.errors,
                "warnings": report.warnings, "executes": report.executes});
            Ok(answer(StatusCode::OK, shown.to_string()))
        }
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
        Edit::PutSkillFile { .. } | Edit::RemoveSkillFile { .. } | Edit::Remove => Content::Text(String::new()),
    }
}

/// What lies on the disk.
async fn everything(editor: &Editor, scope: &Scope) -> Result<Response, ApiError> {
    let problems = editor.config().problems(scope).await?;
    let valid = problems.iter().all(|(_, report)| report.is_valid());
    let more = problems.len().saturating_sub(MAX_DOCUMENTS);
    let documents: Vec<_> = problems
        .into_iter()
        .take(MAX_DOCUMENTS)
        .map(|(id, report)| {
            let (kind, name) = (id.as_ref().map(|id| id.kind().as_str()), id.as_ref().and_then(DocumentId::name));
            json!({"kind": kind, "name": name, "valid": report.is_valid(), "errors": first(&report.errors),
                "warnings": first(&report.warnings)})
        })
        .collect();
    let shown = json!({"type": "config_validation", "valid": valid, "documents": documents, "more": more});
    Ok(answer(StatusCode::OK, shown.to_string()))
}

fn first(problems: &[Problem]) -> &[Problem] {
    problems.get(..MAX_PROBLEMS).unwrap_or(problems)
}
