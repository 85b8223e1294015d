//! Documents and changes as clients see them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

use crate::config::change::{Change, Document, Entry, Outcome, Written};
use crate::config::document::{Content, Skill, SkillFile};
use crate::config::kind::Kind;
use crate::config::name::DocumentId;
use crate::config::scope::Scope;
use crate::config::validate;
use crate::encode::time::rfc3339;

/// How much is shown of a skill's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Files {
    /// Names, sizes and tags.
    Listed,
    /// Also what is in them.
    Contained,
}

/// A document with its content.
pub(super) fn document(scope: &Scope, document: &Document, files: Files) -> Value {
    let mut shown = named("config_document", scope, &document.id);
    shown.insert("description".into(), json!(validate::description(&document.id, &document.content)));
    shown.insert("etag".into(), json!(document.etag.to_string()));
    shown.insert("size".into(), json!(document.content.size()));
    shown.insert("modified_at".into(), json!(rfc3339(document.modified.as_millisecond())));
    shown.insert("valid".into(), json!(document.report.is_valid()));
    shown.insert("executes".into(), json!(document.report.executes));
    shown.insert("errors".into(), json!(document.report.errors));
    shown.insert("warnings".into(), json!(document.report.warnings));
    if document.id.kind() == Kind::Policy {
        shown.insert("default".into(), json!(false));
    }
    shown.extend(content(&document.content, files));
    Value::Object(shown)
}

/// The policy that runs have where there is no file of one. It cannot be removed, and `PUT` replaces it as a whole.
pub(super) fn default_policy(id: &DocumentId, text: &str) -> Value {
    let content = Content::Text(text.to_owned());
    let report = validate::check(id, &content);
    let mut shown = named("config_document", &Scope::User, id);
    shown.insert("default".into(), json!(true));
    shown.insert("description".into(), Value::Null);
    shown.insert("etag".into(), json!(content.etag().to_string()));
    shown.insert("size".into(), json!(text.len()));
    shown.insert("modified_at".into(), Value::Null);
    shown.insert("valid".into(), json!(report.is_valid()));
    shown.insert("executes".into(), json!(report.executes));
    shown.insert("errors".into(), json!(report.errors));
    shown.insert("warnings".into(), json!(report.warnings));
    shown.extend(self::content(&content, Files::Listed));
    Value::Object(shown)
}

/// The fields of a content.
pub(super) fn content(content: &Content, files: Files) -> Map<String, Value> {
    let mut shown = Map::from_iter([("content".to_owned(), json!(content.text()))]);
    if let Content::Skill(Skill { files: all }) = content {
        let all: Vec<_> = all.iter().map(|(path, one)| file(path, one, files)).collect();
        shown.insert("files".to_owned(), json!(all));
    }
    shown
}

fn file(path: &str, file: &SkillFile, files: Files) -> Value {
    let mut shown = json!({
        "path": path,
        "size": file.bytes.len(),
        "etag": file.etag().to_string(),
        "executable": file.executable,
    });
    if files == Files::Contained {
        match std::str::from_utf8(&file.bytes) {
            Ok(text) => shown["content"] = json!(text),
            Err(_) => shown["content_base64"] = json!(BASE64.encode(&file.bytes)),
        }
    }
    shown
}

/// A document in a list.
pub(super) fn entry(scope: &Scope, entry: &Entry) -> Value {
    let mut shown = named("config_entry", scope, &entry.id);
    shown.insert("description".into(), json!(entry.description));
    shown.insert("etag".into(), json!(entry.etag.to_string()));
    shown.insert("size".into(), json!(entry.size));
    shown.insert("modified_at".into(), json!(rfc3339(entry.modified.as_millisecond())));
    shown.insert("valid".into(), json!(entry.is_valid));
    // Whether, and not why: a list is read at a glance.
    shown.insert("executable".into(), json!(entry.executes));
    Value::Object(shown)
}

/// What became of a document.
pub(super) fn written(scope: &Scope, id: &DocumentId, written: &Written) -> Value {
    let mut shown = named("config_written", scope, id);
    let (outcome, etag) = match written.outcome {
        Outcome::Created(etag) => ("created", Some(etag)),
        Outcome::Updated(etag) => ("updated", Some(etag)),
        Outcome::Unchanged(etag) => ("unchanged", Some(etag)),
        Outcome::Removed => ("removed", None),
    };
    shown.insert("outcome".into(), json!(outcome));
    shown.insert("etag".into(), json!(etag.map(|etag| etag.to_string())));
    shown.insert("change".into(), json!(written.change.map(|change| change.to_string())));
    shown.insert("warnings".into(), json!(written.warnings));
    Value::Object(shown)
}

/// A change of the history.
pub(super) fn change(change: &Change) -> Map<String, Value> {
    let mut shown = named("config_change", &change.scope, &change.document);
    shown.insert("id".into(), json!(change.id.to_string()));
    shown.insert("action".into(), json!(change.action.as_str()));
    shown.insert("state".into(), json!(change.state.as_str()));
    shown.insert("before".into(), json!(change.before.map(|etag| etag.to_string())));
    shown.insert("after".into(), json!(change.after.map(|etag| etag.to_string())));
    shown.insert("key_id".into(), json!(change.key_id));
    shown.insert("address".into(), json!(change.address));
    shown.insert("request_id".into(), json!(change.request_id));
    shown.insert("at".into(), json!(rfc3339(change.at.as_millisecond())));
    shown
}

fn named(what: &str, scope: &Scope, id: &DocumentId) -> Map<String, Value> {
    Map::from_iter([
        ("type".to_owned(), json!(what)),
        ("kind".to_owned(), json!(id.kind().as_str())),
        ("name".to_owned(), json!(id.name())),
        ("workspace".to_owned(), json!(scope.workspace())),
    ])
}
