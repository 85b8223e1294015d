//! `/v1/config/mcp-servers/{server}`: one entry of the file, with a tag of its own.

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value, json};

use super::super::super::body::config_object;
use super::super::super::conditions;
use super::super::super::dialect::MCP_SERVER;
use super::super::super::editor::Editor;
use super::super::super::error::ApiError;
use super::super::super::error::code::ErrorCode;
use super::super::super::fields::Fields;
use super::super::super::path::PathOf;
use super::super::super::query::Query;
use super::super::json as answer;
use super::scope;
use super::taken::pretty;
use crate::config::change::{Condition, Edit, Written};
use crate::config::document::{Content, Etag};
use crate::config::error::ConfigError;
use crate::config::kind::Kind;
use crate::config::name::DocumentId;
use crate::config::scope::Scope;

/// The field of the file that holds the entries.
const ENTRIES: &str = "mcpServers";
/// The longest name of a server.
const MAX_NAME: usize = 64;
/// How often a change is tried again when the file is changed by somebody else meanwhile.
const TRIES: usize = 20;

/// Which entry of which file.
struct Target {
    scope: Scope,
    id: DocumentId,
    server: String,
}

/// The file, as it is now.
struct File {
    /// `None`: there is none.
    etag: Option<Etag>,
    object: Map<String, Value>,
}

impl File {
    fn entries(&self) -> Option<&Map<String, Value>> {
        self.object.get(ENTRIES)?.as_object()
    }
}

impl Target {
    fn of(server: String, uri: &Uri) -> Result<Self, ApiError> {
        let mut query = Query::of(uri)?;
        let scope = scope(&mut query)?;
        query.finish(&["workspace"])?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !(1..=MAX_NAME).contains(&server.len()) || !server.bytes().all(plain) {
            let what = format_args!("must be 1 to {MAX_NAME} characters of A-Z, a-z, 0-9, `-` and `_`");
            return Err(ApiError::param("name", what));
        }
        let id = DocumentId::new(Kind::McpServers, None).map_err(|error| ApiError::param("name", error))?;
        Ok(Self { scope, id, server })
    }

    async fn read(&self, editor: &Editor) -> Result<File, ApiError> {
        let Some(document) = editor.config().read(&self.scope, &self.id).await? else {
            return Ok(File { etag: None, object: Map::new() });
        };
        let object = serde_json::from_str(document.content.text().unwrap_or_default());
        let object: Map<String, Value> = object.map_err(|_| whole("is not a JSON object"))?;
        if object.get(ENTRIES).is_some_and(|entries| !entries.is_object()) {
            return Err(whole("has no object mcpServers"));
        }
        Ok(File { etag: Some(document.etag), object })
    }

    fn missing(&self) -> ApiError {
        ApiError::new(ErrorCode::NotFound, format!("there is no MCP server {} in the configuration", self.server))
    }

    /// Puts or removes the entry: reads the file, changes it, and writes it if nobody else has meanwhile. The second
    /// value says whether the entry was there.
    async fn change(
        &self,
        editor: &Editor,
        condition: &Condition,
        entry: Option<&Value>,
    ) -> Result<(Written, bool), ApiError> {
        let author = editor.author();
        for _ in 0..TRIES {
            let mut file = self.read(editor).await?;
            let current = file.entries().and_then(|entries| entries.get(&self.server)).map(etag);
            if !condition.holds(current) {
                return Err(ConfigError::Precondition { current }.into());
            }
            if entry.is_none() && current.is_none() {
                return Err(self.missing());
            }
            let entries = file.object.entry(ENTRIES).or_insert_with(|| json!({}));
            match (entry, entries.as_object_mut()) {
                (Some(entry), Some(entries)) => drop(entries.insert(self.server.clone(), entry.clone())),
                (None, Some(entries)) => drop(entries.remove(&self.server)),
                (_, None) => return Err(whole("has no object mcpServers")),
            }
            let same = file.etag.map_or(Condition::IfAbsent, |etag| Condition::IfMatch(vec![etag]));
            let edit = Edit::Put(Content::Text(pretty(&Value::Object(file.object))));
            match editor.config().edit(&self.scope, &self.id, edit, &same, &author).await {
                Err(ConfigError::Precondition { .. }) => {}
                written => return Ok((written?, current.is_some())),
            }
        }
        Err(ConfigError::Busy.into())
    }
}

pub(super) async fn get(
    editor: Editor,
    PathOf(server): PathOf<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let target = Target::of(server, &uri)?;
    editor.must_see(Kind::McpServers)?;
    let file = target.read(&editor).await?;
    let entry = file.entries().and_then(|entries| entries.get(&target.server)).ok_or_else(|| target.missing())?;
    let etag = etag(entry);
    let shown = json!({"type": "config_mcp_server", "name": target.server, "workspace": target.scope.workspace(),
        "content": entry, "etag": etag.to_string()});
    conditions::tagged(&headers, &etag, answer(StatusCode::OK, shown.to_string()))
}

pub(super) async fn put(
    editor: Editor,
    PathOf(server): PathOf<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let target = Target::of(server, request.uri())?;
    editor.must_execute()?;
    let condition = conditions::of_change(request.headers())?;
    let entry = config_object(request, editor.server(), |object| {
        let mut fields = Fields::new(object, &MCP_SERVER, false)?;
        fields.object("content")?.ok_or_else(|| fields.wrong("content", "is missing"))
    });
    let entry = Value::Object(entry.await?);
    let (written, was_there) = target.change(&editor, &condition, Some(&entry)).await?;
    let etag = etag(&entry);
    let outcome = match (was_there, written.change) {
        (false, _) => "created",
        (true, Some(_)) => "updated",
        (true, None) => "unchanged",
    };
    let shown = json!({"type": "config_written", "kind": target.id.kind().as_str(), "name": target.server,
        "workspace": target.scope.workspace(), "outcome": outcome, "etag": etag.to_string(),
        "change": written.change.map(|change| change.to_string()), "warnings": written.warnings});
    let status = if was_there { StatusCode::OK } else { StatusCode::CREATED };
    let mut response = answer(status, shown.to_string());
    conditions::tag(&mut response, &etag);
    Ok(response)
}

pub(super) async fn delete(
    editor: Editor,
    PathOf(server): PathOf<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let target = Target::of(server, &uri)?;
    editor.must_execute()?;
    let condition = conditions::of_change(&headers)?;
    target.change(&editor, &condition, None).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Of the value and not of the bytes: blanks and the order of fields do not matter.
fn etag(entry: &Value) -> Etag {
    Etag::of_bytes(entry.to_string().as_bytes())
}

/// The file is not what entries can be put into.
fn whole(what: &str) -> ApiError {
    ApiError::conflict(format!("the file of the MCP servers {what}")).with_hint("put the whole: /v1/config/mcp-servers")
}
