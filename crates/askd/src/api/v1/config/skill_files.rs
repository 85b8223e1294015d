//! `/v1/config/skills/{name}/files/{path}`: one file of a skill, as its bytes.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};

use super::super::super::body::config_bytes;
use super::super::super::conditions;
use super::super::super::editor::Editor;
use super::super::super::error::ApiError;
use super::super::super::error::code::ErrorCode;
use super::super::super::path::PathOf;
use super::super::super::query::Query;
use super::super::json;
use super::taken::check_path;
use super::{scope, shown};
use crate::config::change::{Condition, Edit, Outcome, Written};
use crate::config::document::{Content, Etag, SkillFile};
use crate::config::error::ConfigError;
use crate::config::kind::Kind;
use crate::config::name::DocumentId;
use crate::config::scope::Scope;

/// Whether the file may be started as a program, in both directions.
const EXECUTABLE_HEADER: HeaderName = HeaderName::from_static("x-askd-executable");

/// How often a change is tried again when the skill is changed by somebody else meanwhile.
const TRIES: usize = 20;

/// Which file of which skill.
struct Target {
    scope: Scope,
    id: DocumentId,
    path: String,
}

impl Target {
    fn of((name, path): (String, String), uri: &Uri) -> Result<Self, ApiError> {
        let mut query = Query::of(uri)?;
        let scope = scope(&mut query)?;
        query.finish(&["workspace"])?;
        let id = DocumentId::new(Kind::Skill, Some(&name)).map_err(|error| ApiError::param("name", error))?;
        check_path(&path)?;
        Ok(Self { scope, id, path })
    }

    /// The file, and the tag of its whole skill, as they are now.
    async fn read(&self, editor: &Editor) -> Result<(Option<SkillFile>, Etag), ApiError> {
        let skill =
            editor.config().read(&self.scope, &self.id).await?.ok_or_else(|| ApiError::no_document(&self.id))?;
        let file = match skill.content {
            Content::Skill(mut skill) => skill.files.remove(&self.path),
            Content::Text(_) => None,
        };
        Ok((file, skill.etag))
    }

    fn missing(&self) -> ApiError {
        ApiError::new(ErrorCode::NotFound, format!("{} has no such file", self.id))
    }

    /// Changes the file under a condition on the file itself. The configuration knows conditions on documents, so the
    /// file is looked at, and the skill must still be the same when the change happens. The second value says whether
    /// the file was there.
    async fn change(&self, editor: &Editor, condition: &Condition, edit: Edit) -> Result<(Written, bool), ApiError> {
        let author = editor.author();
        for _ in 0..TRIES {
            let (file, skill) = self.read(editor).await?;
            let current = file.as_ref().map(SkillFile::etag);
            if !condition.holds(current) {
                return Err(ConfigError::Precondition { current }.into());
            }
            if file.is_none() && matches!(edit, Edit::RemoveSkillFile { .. }) {
                return Err(self.missing());
            }
            let same = Condition::IfMatch(vec![skill]);
            match editor.config().edit(&self.scope, &self.id, edit.clone(), &same, &author).await {
                Err(ConfigError::Precondition { .. }) => {}
                written => return Ok((written?, file.is_some())),
            }
        }
        Err(ConfigError::Busy.into())
    }
}

pub(super) async fn get(
    editor: Editor,
    PathOf(path): PathOf<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let target = Target::of(path, &uri)?;
    let file = target.read(&editor).await?.0.ok_or_else(|| target.missing())?;
    let (etag, executable) = (file.etag(), flag(file.executable));
    let mut response = file.bytes.into_response();
    // Whatever it is, a browser must not show it as a page of this server.
    let answer = response.headers_mut();
    answer.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    answer.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    let mut response = conditions::tagged(&headers, &etag, response)?;
    response.headers_mut().insert(EXECUTABLE_HEADER, executable);
    Ok(response)
}

pub(super) async fn put(
    editor: Editor,
    PathOf(path): PathOf<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let target = Target::of(path, request.uri())?;
    editor.must_write()?;
    let condition = conditions::of_change(request.headers())?;
    let executable = is_executable(request.headers())?;
    let (bytes, _place) = config_bytes(request, editor.server()).await?;
    let most = editor.config().limits().skill_file_bytes;
    if bytes.len() > most {
        let message = format!("the file has {} bytes; at most {most} are allowed", bytes.len());
        return Err(ApiError::request(message).with_status(StatusCode::PAYLOAD_TOO_LARGE));
    }
    let file = SkillFile { bytes: bytes.to_vec(), executable };
    let etag = file.etag();
    let edit = Edit::PutSkillFile { path: target.path.clone(), file };
    let (written, was_there) = target.change(&editor, &condition, edit).await?;
    let status = if was_there { StatusCode::OK } else { StatusCode::CREATED };
    let mut answer = shown::written(&target.scope, &target.id, &written);
    answer["path"] = target.path.into();
    answer["file_etag"] = etag.to_string().into();
    if !was_there && !matches!(written.outcome, Outcome::Unchanged(_)) {
        answer["outcome"] = "created".into();
    }
    let mut response = json(status, answer.to_string());
    conditions::tag(&mut response, &etag);
    Ok(response)
}

pub(super) async fn delete(
    editor: Editor,
    PathOf(path): PathOf<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let target = Target::of(path, &uri)?;
    editor.must_write()?;
    let condition = conditions::of_change(&headers)?;
    target.change(&editor, &condition, Edit::RemoveSkillFile { path: target.path.clone() }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn is_executable(headers: &HeaderMap) -> Result<bool, ApiError> {
    match headers.get(EXECUTABLE_HEADER).map(HeaderValue::as_bytes) {
        None | Some(b"false") => Ok(false),
        Some(b"true") => Ok(true),
        Some(_) => Err(ApiError::param(EXECUTABLE_HEADER.as_str(), "must be true or false")),
    }
}

fn flag(on: bool) -> HeaderValue {
    HeaderValue::from_static(if on { "true" } else { "false" })
}
