//! Content as clients send it: `{"content"}`, for a skill also `{"files"}`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value};

use crate::api::config::check_length;
use crate::api::dialect::{CONTENT, DOCUMENT, SKILL_FILE_FIELDS};
use crate::api::error::ApiError;
use crate::api::fields::Fields;
use crate::config::change::Edit;
use crate::config::document::{Content, SKILL_FILE, Skill, SkillFile};
use crate::config::kind::Kind;
use crate::config::validate::skill_path_flaw;

/// What a body says is to be done with a document of this kind.
pub(super) fn edit(kind: Kind, fields: &mut Fields) -> Result<Edit, ApiError> {
    let text = text(kind, fields)?;
    let files = fields.objects("files")?;
    match (kind, text, files) {
        (Kind::Skill, Some(text), None) => Ok(Edit::PutSkillText(text)),
        (Kind::Skill, text, Some(files)) => Ok(Edit::Put(skill(text, files)?)),
        (_, _, Some(_)) => Err(fields.wrong("files", "are only for skills")),
        (_, Some(text), None) => Ok(Edit::Put(Content::Text(text))),
        (_, None, None) => Err(fields.wrong("content", "is missing")),
    }
}

/// The fields of a body. Whoever puts the document itself is told of the envelope.
pub(super) fn fields(kind: Kind, object: Map<String, Value>) -> Result<Fields, ApiError> {
    let is_bare = !object.contains_key("content") && !object.contains_key("files");
    let dialect = if kind == Kind::Skill || object.contains_key("files") { &DOCUMENT } else { &CONTENT };
    Fields::new(object, dialect, false).map_err(|error| if is_bare { error.with_hint(ENVELOPE) } else { error })
}

/// What a document stands in.
const ENVELOPE: &str = "put it into `content`: {\"content\": ...}";

/// A text; where it is JSON, an object does as well.
fn text(kind: Kind, fields: &mut Fields) -> Result<Option<String>, ApiError> {
    let is_json = matches!(kind, Kind::Settings | Kind::McpServers | Kind::Policy);
    let text = match fields.any("content")? {
        None => return Ok(None),
        Some(Value::String(text)) => text,
        Some(object @ Value::Object(_)) if is_json => pretty(&object),
        Some(_) if is_json => return Err(fields.wrong("content", "must be an object, or a string that holds one")),
        Some(_) => return Err(fields.wrong("content", "must be a string")),
    };
    check_length(&text)?;
    Ok(Some(text))
}

/// As a person would write it.
pub(super) fn pretty(value: &Value) -> String {
    // A value always serialises.
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}

fn skill(text: Option<String>, files: Vec<Map<String, Value>>) -> Result<Content, ApiError> {
    let mut all = BTreeMap::new();
    if let Some(text) = text {
        all.insert(SKILL_FILE.to_owned(), SkillFile { bytes: text.into_bytes(), executable: false });
    }
    for (index, object) in files.into_iter().enumerate() {
        let wrong =
            |error: ApiError| ApiError::request(format!("files[{index}]: {}", error.message())).with_param("files");
        let (path, file) = file(object).map_err(wrong)?;
        if all.contains_key(&path) {
            return Err(wrong(ApiError::param("path", format_args!("`{path}` is given twice"))));
        }
        all.insert(path, file);
    }
    if !all.contains_key(SKILL_FILE) {
        return Err(ApiError::param("content", format_args!("is missing: the text of {SKILL_FILE}")));
    }
    Ok(Content::Skill(Skill { files: all }))
}

fn file(object: Map<String, Value>) -> Result<(String, SkillFile), ApiError> {
    let mut fields = Fields::new(object, &SKILL_FILE_FIELDS, false)?;
    let path = fields.string("path")?.ok_or_else(|| fields.wrong("path", "is missing"))?;
    check_path(&path)?;
    let bytes = match (fields.string("content")?, fields.string("content_base64")?) {
        (Some(text), None) => text.into_bytes(),
        (None, Some(code)) => BASE64
            .decode(code)
            .map_err(|error| fields.wrong("content_base64", format_args!("is not base64: {error}")))?,
        (None, None) => return Err(fields.wrong("content", "is missing (or content_base64)")),
        (Some(_), Some(_)) => return Err(fields.wrong("content_base64", "is given besides content")),
    };
    let executable = fields.bool("executable")?.unwrap_or(false);
    Ok((path, SkillFile { bytes, executable }))
}

/// Refuses a path that no file of a skill can be put under, before its bytes are read.
pub(super) fn check_path(path: &str) -> Result<(), ApiError> {
    match skill_path_flaw(path) {
        Some(flaw) => Err(ApiError::param("path", flaw)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn taken(kind: Kind, body: Value) -> Result<Edit, ApiError> {
        let Value::Object(object) = body else { panic!("an object") };
        edit(kind, &mut fields(kind, object)?)
    }

    fn fault(kind: Kind, body: Value) -> String {
        taken(kind, body).unwrap_err().message().to_owned()
    }

    #[test]
    fn a_skill_is_put_by_its_text_alone_or_with_all_its_files() {
        let text = taken(Kind::Skill, json!({"content": "x"})).unwrap();
        assert!(matches!(text, Edit::PutSkillText(text) if text == "x"));
        let files =
            json!([{"path": "run.sh", "content": "#!", "executable": true}, {"path": "a/b", "content_base64": "/w=="}]);
        let Edit::Put(Content::Skill(skill)) = taken(Kind::Skill, json!({"content": "x", "files": files})).unwrap()
        else {
            panic!("a whole skill");
        };
        let paths: Vec<_> =
            skill.files.iter().map(|(path, file)| (&**path, file.executable, file.bytes.len())).collect();
        assert_eq!(paths, [(SKILL_FILE, false, 1), ("a/b", false, 1), ("run.sh", true, 2)]);
    }

    #[test]
    fn json_may_be_an_object_or_text() {
        for content in [json!({"a": 1}), json!("{\n  \"a\": 1\n}\n")] {
            let edit = taken(Kind::Settings, json!({"content": content})).unwrap();
            assert!(matches!(edit, Edit::Put(Content::Text(text)) if text == "{\n  \"a\": 1\n}\n"));
        }
    }

    #[test]
    fn a_document_without_its_envelope_is_told_of_it() {
        let Value::Object(object) = json!({"permissions": {}}) else { panic!("an object") };
        let error = fields(Kind::Settings, object).unwrap_err();
        assert_eq!(error.message(), "there is no field `permissions`; the fields are content");
    }

    #[test]
    fn what_is_wrong_names_the_field() {
        for (kind, body, part) in [
            (Kind::Agent, json!({}), "content is missing"),
            (Kind::Agent, json!({"content": ""}), "content must not be empty"),
            (Kind::Agent, json!({"content": {"a": 1}}), "content must be a string"),
            (Kind::Settings, json!({"content": 7}), "content must be an object"),
            (Kind::Agent, json!({"content": "x", "files": []}), "files are only for skills"),
            (Kind::Skill, json!({"files": []}), "content is missing"),
            (Kind::Skill, json!({"content": "x", "files": [{"path": "a"}]}), "files[0]: content is missing"),
            (Kind::Skill, json!({"content": "x", "files": [{"path": "a", "content_base64": "!"}]}), "is not base64"),
            (
                Kind::Skill,
                json!({"content": "x", "files": [{"path": "../a", "content": ""}]}),
                "files[0]: path must be",
            ),
            (Kind::Skill, json!({"content": "x", "files": [{"path": "SKILL.md", "content": ""}]}), "given twice"),
            (
                Kind::Skill,
                json!({"content": "x", "files": [{"path": "a", "mode": 7}]}),
                "files[0]: there is no field `mode`",
            ),
        ] {
            let message = fault(kind, body);
            assert!(message.contains(part), "{message}");
        }
    }
}
