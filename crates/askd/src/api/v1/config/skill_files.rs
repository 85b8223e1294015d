//! `/v1/config/skills/{name}/files/{path}`: one file of a skill, as its bytes.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};

use super::taken::check_path;
use super::{scope, shown};
use crate::api::body::config_bytes;
use crate::api::conditions;
use crate::api::editor::Editor;
use crate::api::error::ApiError;
use crate::api::error::code::ErrorCode;
use crate::api::openapi::{parameters, told};
use crate::api::path::PathOf;
use crate::api::query::Query;
use crate::api::v1::json;
use crate::config::change::{Condition, Edit, Outcome, Written};
use crate::config::document::{Content, SkillFile};
use crate::config::error::ConfigError;
use crate::config::kind::Kind;
use crate::config::name::DocumentId;
use crate::config::scope::Scope;

/// Whether the file may be started as a program, in both directions.
const EXECUTABLE_HEADER: HeaderName = HeaderName::from_static("x-askd-executable");

/// Which file of which skill.
struct Target {
    scope: Scope,
    id: DocumentId,
    path: String,
}

impl Target {
    fn of(editor: &Editor, (name, path): (String, String), uri: &Uri) -> Result<Self, ApiError> {
        let mut query = Query::of(uri)?;
        let scope = scope(editor, &mut query)?;
        query.finish(&["workspace"])?;
        let id =
            DocumentId::new(Kind::Skill, Some(&name)).map_err(|error| ApiError::of_name(Kind::Skill, &name, &error))?;
        Ok(Self { scope, id, path })
    }

    /// The file, as it is now.
    async fn read(&self, editor: &Editor) -> Result<SkillFile, ApiError> {
        let skill =
            editor.config().read(&self.scope, &self.id).await?.ok_or_else(|| ApiError::no_document(&self.id))?;
        editor.must_see(&self.scope, Kind::Skill, &skill.content)?;
        let file = match skill.content {
            Content::Skill(mut skill) => skill.files.remove(&self.path),
            Content::Text(_) => None,
        };
        file.ok_or_else(|| self.missing())
    }

    /// Whether there is such a file that can be started. What else is wrong, the change itself says.
    async fn is_executable_now(&self, editor: &Editor) -> bool {
        let skill = editor.config().read(&self.scope, &self.id).await.ok().flatten();
        match skill.map(|skill| skill.content) {
            Some(Content::Skill(skill)) => skill.files.get(&self.path).is_some_and(|file| file.executable),
            _ => false,
        }
    }

    fn missing(&self) -> ApiError {
        ApiError::new(
            ErrorCode::NotFound,
            format!("there is no file `{}` in the skill `{}`", self.path, self.id.name().unwrap_or_default()),
        )
    }

    async fn change(&self, editor: &Editor, edit: Edit) -> Result<Written, ConfigError> {
        editor.config().edit(&self.scope, &self.id, edit, &Condition::None, &editor.author()).await
    }
}

#[utoipa::path(
    get, path = "/v1/config/skills/{name}/files/{*path}", operation_id = "get_skill_file", tag = "configuration",
    summary = "Read a file of a skill",
    description = "Read a file of a skill.",
    params(("name" = String, Path, description = "The skill."), ("path" = String, Path, description = "Where the file lies in the skill, with `/` between the parts."), parameters::Workspace, parameters::IfNoneMatch),
    responses(
        (status = 200, description = "The file.", body = Vec<u8>, content_type = "application/octet-stream", headers(("x-askd-executable" = bool, description = "Whether it may be started as a program."))),
    ),
)]
pub(super) async fn get(
    editor: Editor,
    PathOf(path): PathOf<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let target = Target::of(&editor, path, &uri)?;
    let file = target.read(&editor).await?;
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

#[utoipa::path(
    put, path = "/v1/config/skills/{name}/files/{*path}", operation_id = "put_skill_file", tag = "configuration",
    summary = "Write a file of a skill",
    description = "Write a file of a skill.",
    params(("name" = String, Path, description = "The skill."), ("path" = String, Path, description = "Where the file lies in the skill, with `/` between the parts."), parameters::Workspace, parameters::Executable, parameters::ChangeCondition),
    request_body(content = Vec<u8>, description = "The bytes themselves, of whatever type.", content_type = "*/*"),
    responses(
        (status = 200, description = "It was written over what was there.", body = told::config::ConfigWritten),
        (status = 201, description = "It is new.", body = told::config::ConfigWritten),
    ),
)]
pub(super) async fn put(
    editor: Editor,
    PathOf(path): PathOf<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let target = Target::of(&editor, path, request.uri())?;
    check_path(&target.path)?;
    editor.must_write(&target.scope)?;
    let condition = conditions::of_change(request.headers())?;
    let executable = match is_executable(request.headers())? {
        Some(executable) => executable,
        None => target.is_executable_now(&editor).await,
    };
    let (bytes, _place) = config_bytes(request, editor.server()).await?;
    let most = editor.config().limits().skill_file_bytes;
    if bytes.len() > most {
        let message = format!("the file has {} bytes; at most {most} are allowed", bytes.len());
        return Err(ApiError::request(message).with_status(StatusCode::PAYLOAD_TOO_LARGE));
    }
    let file = SkillFile { bytes: bytes.to_vec(), executable };
    let etag = file.etag();
    let written = target.change(&editor, Edit::PutSkillFile { path: target.path.clone(), file, condition }).await;
    let mut written = written.map_err(|error| match error {
        ConfigError::NotFound => ApiError::no_document(&target.id),
        error => error.into(),
    })?;
    written.warnings.extend(editor.kept_out(&target.scope).await);
    let is_new = matches!(written.part, Some(Outcome::Created(_)));
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    let mut answer = shown::written(&target.scope, &target.id, &written);
    answer["path"] = target.path.into();
    // As in the header: the tag of what was put.
    answer["document_etag"] = answer["etag"].take();
    answer["etag"] = etag.to_string().into();
    if is_new {
        answer["outcome"] = "created".into();
    }
    let mut response = json(status, answer.to_string());
    conditions::tag(&mut response, &etag);
    Ok(response)
}

#[utoipa::path(
    delete, path = "/v1/config/skills/{name}/files/{*path}", operation_id = "delete_skill_file", tag = "configuration",
    summary = "Remove a file of a skill",
    description = "Remove a file of a skill.",
    params(("name" = String, Path, description = "The skill."), ("path" = String, Path, description = "Where the file lies in the skill, with `/` between the parts."), parameters::Workspace, parameters::ChangeCondition),
    responses((status = 204, description = "It is gone.")),
)]
pub(super) async fn delete(
    editor: Editor,
    PathOf(path): PathOf<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let target = Target::of(&editor, path, &uri)?;
    editor.must_write(&target.scope)?;
    let condition = conditions::of_change(&headers)?;
    let removed = target.change(&editor, Edit::RemoveSkillFile { path: target.path.clone(), condition }).await;
    removed.map_err(|error| match error {
        ConfigError::NotFound => target.missing(),
        error => error.into(),
    })?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `None`: as it is.
fn is_executable(headers: &HeaderMap) -> Result<Option<bool>, ApiError> {
    match headers.get(EXECUTABLE_HEADER).map(HeaderValue::as_bytes) {
        None => Ok(None),
        Some(b"false") => Ok(Some(false)),
        Some(b"true") => Ok(Some(true)),
        Some(_) => Err(ApiError::param(EXECUTABLE_HEADER.as_str(), "must be true or false")),
    }
}

fn flag(on: bool) -> HeaderValue {
    HeaderValue::from_static(if on { "true" } else { "false" })
}
