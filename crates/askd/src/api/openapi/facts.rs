//! Bounds, words and forms that the types do not say: from the very constants that requests are checked with, where there are
//! such. Words that stand here are held by the suite, which asks servers for each (`fake/openapi.rs`) and compares what they
//! answer.

use claude::effort::Effort;
use claude::permission_mode::PermissionMode;
use claude::profile::Profile;
use serde_json::{Value, json};

use super::super::error::code::ErrorCode;
use super::super::error::kind::ErrorType;
use super::super::idempotency::MAX_LENGTH;
use super::super::options::{
    MAX_ADDITIONAL, MAX_AGENTS, MAX_ATTACHED, MAX_BLOCKS, MAX_DESCRIPTION, MAX_FALLBACKS, MAX_RULE, MAX_RULES,
    MAX_SERVERS, MAX_SKILLS, MAX_TEXT, MAX_TITLE, MAX_TOOLS, MAX_TURNS, MAX_VARIABLES,
};
use super::super::v1::{create, keys, list, page, uploads, usage};
use super::{each_operation, merge, schemas};
use crate::audit::Action;
use crate::config::kind::Kind;
use crate::config::limits::MAX_CHARACTERS;
use crate::isolation::Layer;
use crate::isolation::protection::Protection;
use crate::keys::Scope;
use crate::keys::priority::Priority;
use crate::runs::content::MAX_DOCUMENT;
use crate::runs::content::media::MediaType;
use crate::runs::live;
use crate::runs::request::OnDisconnect;
use crate::runs::warning::WarningCode;
use crate::runs::{RunErrorKind, RunState};
use crate::store::audit::CONFIG_CHANGED;
use crate::store::usage::sums::UsageBy;

/// Layers of isolation.
const LAYERS: [&str; 3] = [Layer::Bubblewrap.as_str(), Layer::Landlock.as_str(), Layer::None.as_str()];
const UUID: &str = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
/// Tags, as they stand in bodies.
const TAG: &str = "^[0-9a-f]{64}$";

/// Tells all of them to the file.
pub(super) fn tell(document: &mut Value) {
    for (place, fact) in facts() {
        for place in place.split_whitespace() {
            if let Some(there) = find(&mut document["components"]["schemas"], place) {
                put(there, &fact);
            }
        }
    }
    let parameters = parameters();
    each_operation(document, |path, _, operation| {
        if let Some(contents) = operation.get_mut("requestBody").and_then(|body| body["content"].as_object_mut()) {
            // What need not be sent may be nothing, and not `null`.
            contents.values_mut().for_each(|content| schemas::without_null(&mut content["schema"]));
        }
        let is_of_config = path.starts_with("/v1/config");
        let id = operation.get("operationId").and_then(Value::as_str).unwrap_or_default().to_owned();
        for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap_or_default().to_owned();
            let schema = &mut parameter["schema"];
            without_null(schema);
            // What is said of one operation wins over what is said of all.
            for (place, fact) in &parameters {
                let is_here = *place == name || *place == format!("{id}?{name}");
                if is_here || is_of_config && *place == format!("/v1/config?{name}") {
                    merge(schema, fact.clone());
                }
            }
        }
    });
}

/// A parameter that is not given is not there.
fn without_null(schema: &mut Value) {
    if let Some([kind, null]) = schema["type"].as_array().map(Vec::as_slice)
        && null == "null"
    {
        schema["type"] = kind.clone();
    }
    for unknown in ["format"] {
        if matches!(schema[unknown].as_str(), Some("int32" | "int64")) {
            schema.as_object_mut().map(|schema| schema.remove(unknown));
        }
    }
}

/// The schema at a place: `Schema.field.field`, `[]` for the items of a list, `|word` for the choice with this type. A test
/// looks that each place is there.
pub(super) fn find<'a>(schemas: &'a mut Value, place: &str) -> Option<&'a mut Value> {
    let mut parts = place.split('.');
    let mut there = schemas.get_mut(parts.next()?)?;
    for part in parts {
        there = if part == "[]" {
            there.get_mut("items")?
        } else if let Some(word) = part.strip_prefix('|') {
            let is_it = |choice: &&mut Value| choice["properties"]["type"]["enum"][0] == word;
            there.get_mut("oneOf")?.as_array_mut()?.iter_mut().find(is_it)?
        } else {
            there.get_mut("properties")?.get_mut(part)?
        };
    }
    Some(there)
}

/// Puts a fact there. Where `null` may be instead, it is among the words as well.
fn put(there: &mut Value, fact: &Value) {
    let mut fact = fact.clone();
    if there["type"].as_array().is_some_and(|types| types.iter().any(|kind| kind == "null"))
        && let Some(words) = fact["enum"].as_array_mut()
    {
        words.push(Value::Null);
    }
    merge(there, fact);
}

fn words<T: Copy>(all: impl AsRef<[T]>, word: impl Fn(T) -> &'static str) -> Value {
    json!({"enum": all.as_ref().iter().map(|one| word(*one)).collect::<Vec<_>>()})
}

/// An id of askd's own making.
fn id(prefix: &str) -> Value {
    json!({"pattern": format!("^{prefix}{UUID}$")})
}

/// Rules in a list, or in one string.
fn rules() -> Value {
    json!({"oneOf": [
        {"type": "array", "maxItems": MAX_RULES, "items": {"type": "string", "minLength": 1, "maxLength": MAX_RULE}},
        {"type": "string"},
    ]})
}

/// Notes of a run.
fn notes() -> Value {
    json!({
        "maxProperties": create::MAX_METADATA,
        "propertyNames": {"pattern": format!("^[A-Za-z0-9_.-]{{1,{}}}$", create::MAX_METADATA_NAME)},
        "additionalProperties": {"maxLength": create::MAX_METADATA_VALUE},
    })
}

/// Paths, or objects with one.
fn folders() -> Value {
    json!({"maxItems": MAX_ADDITIONAL, "items": {"oneOf": [
        {"type": "string", "minLength": 1},
        {
            "type": "object",
            "required": ["path"],
            "properties": {
                "path": {"type": "string", "minLength": 1, "description": "Relative to the workspace root."},
                "writable": {"type": "boolean", "description": "Whether it may be changed."},
            },
            "additionalProperties": false,
        },
    ]}})
}

/// What `type` says of an answer.
const TYPES: [(&str, &str); 19] = [
    ("Run", "run"),
    ("Error", "error"),
    ("StreamToken", "stream_token"),
    ("Interrupt", "interrupt"),
    ("Input", "input"),
    ("CliResult", "result"),
    ("Upload", "upload"),
    ("Key", "key"),
    ("Usage", "usage"),
    ("AuditEntry", "audit_entry"),
    ("Info", "info"),
    ("ConfigOverview", "config"),
    ("ConfigEntry", "config_entry"),
    ("ConfigDocument", "config_document"),
    ("ConfigMcpServer", "config_mcp_server"),
    ("ConfigChange", "config_change"),
    ("ConfigDiff", "config_diff"),
    ("ConfigValidation", "config_validation"),
    ("ConfigValidationEntry", "config_validation_entry"),
];

/// Places, with blanks between them, and what is to be said there.
pub(super) fn facts() -> Vec<(String, Value)> {
    let mut all: Vec<_> = TYPES.iter().map(|(name, word)| (format!("{name}.type"), json!({"const": word}))).collect();
    all.extend(of_requests().into_iter().chain(of_answers()).map(|(place, fact)| (place.to_owned(), fact)));
    all
}

fn of_requests() -> Vec<(&'static str, Value)> {
    let text = json!({"minLength": 1, "maxLength": MAX_TEXT});
    let turns = json!({"minimum": 1, "maximum": MAX_TURNS});
    let uploads =
        MediaType::ALL.into_iter().filter(|media| media.is_image()).map(MediaType::as_str).collect::<Vec<_>>();
    let content = json!({"minItems": 1, "maxItems": MAX_BLOCKS});
    let config_text = json!({"minLength": 1, "maxLength": MAX_CHARACTERS});
    let text_or_object =
        json!({"oneOf": [{"type": "string", "minLength": 1, "maxLength": MAX_CHARACTERS}, {"type": "object"}]});
    vec![
        ("AskRequest.prompt RunRequest.prompt InputRequest.message", text.clone()),
        (
            "AskRequest.systemPrompt RunRequest.system_prompt RunRequest.append_system_prompt",
            json!({"maxLength": MAX_TEXT}),
        ),
        ("AskRequest.maxTurns RunRequest.max_turns AgentOfRequest.max_turns", turns),
        (
            "AskRequest.permissionMode RunRequest.permission_mode AgentOfRequest.permission_mode",
            json!({"enum": PermissionMode::WORDS}),
        ),
        ("AskRequest.allowedTools RunRequest.allowed_tools RunRequest.disallowed_tools", rules()),
        ("RunRequest", json!({"oneOf": [{"required": ["prompt"]}, {"required": ["content"]}]})),
        ("InputRequest", json!({"oneOf": [{"required": ["message"]}, {"required": ["content"]}]})),
        (
            "RunRequest.content",
            json!({"description": format!("What to ask, with at most {MAX_ATTACHED} pictures and documents, instead of `prompt`.")}),
        ),
        ("RunRequest.content InputRequest.content", content),
        (
            "RunRequest.timeout_seconds RunRequest.idle_timeout_seconds RunRequest.queue_timeout_seconds",
            json!({"minimum": 1}),
        ),
        ("RunRequest.metadata RunRequest.labels", notes()),
        ("RunRequest.additional_folders RunRequest.add_dirs", folders()),
        ("RunRequest.write_root", json!({"minLength": 1})),
        ("RunRequest.on_disconnect", json!({"enum": OnDisconnect::WORDS})),
        ("RunRequest.max_budget_usd", json!({"minimum": 0.000_001, "maximum": 1_000_000_000})),
        ("RunRequest.priority Policy.max_priority", json!({"enum": Priority::WORDS})),
        ("RunRequest.tools", json!({"maxItems": MAX_TOOLS})),
        ("RunRequest.effort AgentOfRequest.effort", json!({"enum": Effort::WORDS})),
        (
            "RunRequest.fallback_model",
            json!({"oneOf": [
                {"type": "string"},
                {"type": "array", "minItems": 1, "maxItems": MAX_FALLBACKS, "uniqueItems": true, "items": {"type": "string"}},
            ]}),
        ),
        ("RunRequest.agents", json!({"maxProperties": MAX_AGENTS})),
        ("RunRequest.mcp_servers", json!({"maxProperties": MAX_SERVERS})),
        ("RunRequest.env", json!({"maxProperties": MAX_VARIABLES})),
        ("RunRequest.profile", json!({"enum": Profile::WORDS})),
        ("AgentOfRequest.description", json!({"minLength": 1, "maxLength": MAX_DESCRIPTION})),
        ("AgentOfRequest.prompt", text.clone()),
        ("AgentOfRequest.tools", json!({"maxItems": MAX_TOOLS, "items": {"minLength": 1}})),
        ("AgentOfRequest.disallowed_tools", json!({"maxItems": MAX_RULES, "items": {"minLength": 1}})),
        ("AgentOfRequest.skills", json!({"maxItems": MAX_SKILLS, "items": {"minLength": 1}})),
        ("PromptBlock.|text.text InputBlock.|text.text", text),
        ("PromptBlock.|document.title", json!({"minLength": 1, "maxLength": MAX_TITLE})),
        ("PromptBlock.|document.context", json!({"minLength": 1, "maxLength": MAX_TEXT})),
        ("ImageSource.|base64.media_type InputSource.media_type", json!({"enum": uploads})),
        ("DocumentSource.|base64.media_type", json!({"enum": [MediaType::Pdf.as_str()]})),
        ("DocumentSource.|text.media_type", json!({"enum": [MediaType::PlainText.as_str()]})),
        ("DocumentSource.|text.data", json!({"minLength": 1, "maxLength": MAX_DOCUMENT})),
        ("InputRequest.priority", json!({"enum": live::Priority::WORDS})),
        ("NewKey.scopes.[] KeyPatch.scopes.[] Key.scopes.[]", words(Scope::ALL, Scope::as_str)),
        ("NewKey.expires_at KeyPatch.expires_at", json!({"type": ["string", "null"]})),
        ("KeyPatch", json!({"minProperties": 1})),
        ("RotateRequest.overlap_seconds", json!({"minimum": 0, "maximum": keys::MAX_OVERLAP})),
        ("RevokeRequest.runs", json!({"enum": ["cancel", "keep"]})),
        ("Policy.permission_modes.[]", json!({"enum": PermissionMode::WORDS})),
        ("Policy.profiles.[]", json!({"enum": Profile::WORDS})),
        ("Policy.max_usd_per_run Policy.max_usd_per_day", json!({"minimum": 0, "maximum": 1_000_000_000})),
        ("ContentRequest.content", config_text),
        ("DocumentRequest.content SingleRequest.content ValidateRequest.content", text_or_object),
        ("ValidateRequest.kind", words(Kind::ALL, Kind::as_str)),
    ]
}

fn of_answers() -> Vec<(&'static str, Value)> {
    let actions: Vec<_> = Action::ALL.map(Action::as_str).into_iter().chain([CONFIG_CHANGED]).collect();
    let kind = words(Kind::ALL, Kind::as_str);
    let outcomes = ["created", "updated", "unchanged", "removed"];
    vec![
        ("LegacyErrorBody.code", words(ErrorCode::ALL, |code| code.describe().0)),
        ("ErrorBody.type", words(ErrorType::ALL, ErrorType::as_str)),
        ("Run.id Event.run_id Interrupt.run_id Input.run_id", id("run_")),
        ("Run.state", words(RunState::ALL, RunState::as_str)),
        ("Run.on_disconnect", json!({"enum": OnDisconnect::WORDS})),
        ("Run.options", json!({"type": ["object", "null"]})),
        ("RunError.type", words(RunErrorKind::ALL, RunErrorKind::as_str)),
        ("Warning.code", words(WarningCode::ALL, WarningCode::as_str)),
        ("RunIsolation.layer IsolationReport.layer LayerReport.name IsolationInfo.layer", json!({"enum": LAYERS})),
        (
            "RunIsolation.in_force.[] IsolationReport.in_force.[] LayerReport.confirmed.[] LayerReport.not_confirmed.[] \
             CgroupReport.confirmed.[]",
            words(Protection::ALL, Protection::as_str),
        ),
        ("StreamBlock.data", json!({"contentMediaType": "application/json"})),
        (
            "EventBlock.data",
            json!({"contentMediaType": "application/json", "contentSchema": {"$ref": "#/components/schemas/Event"}}),
        ),
        ("Upload.id", id("upl_")),
        ("Upload.media_type", words(MediaType::ALL, MediaType::as_str)),
        ("Upload.sha256", json!({"pattern": TAG})),
        ("Input.priority", json!({"enum": live::Priority::WORDS})),
        ("AuditEntry.action", json!({"enum": actions})),
        ("AuditEntry.outcome", json!({"enum": ["done", "denied"]})),
        ("Usage.group_by", words(usage::GROUPS, usage::word)),
        ("Usage.estimate RunUsage.estimate LegacyUpdated.updated", json!({"const": true})),
        ("CliInfo.status", json!({"enum": ["tested", "older", "newer"]})),
        ("ConfigEntry.kind ConfigDocument.kind ConfigWritten.kind ConfigChange.kind ConfigValidationEntry.kind", kind),
        ("ConfigWritten.type", json!({"const": "config_written"})),
        ("ConfigImport.type", json!({"const": "config_import"})),
        ("ConfigWritten.outcome", json!({"enum": outcomes})),
        (
            "ConfigEntry.etag ConfigDocument.etag ConfigOverview.etag ConfigMcpServer.etag SkillFile.etag",
            json!({"pattern": TAG}),
        ),
        ("ConfigChange.action", json!({"enum": ["created", "updated", "removed", "restored", "imported", "outside"]})),
        ("ConfigChange.state", json!({"enum": ["done", "pending", "abandoned"]})),
    ]
}

/// `*`, or tags with commas between them; one alone also without its quotes.
const TAGS: &str = r#"^(\*|[0-9a-f]{64}|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)$"#;

/// Parameters by name, by operation and name, or by the beginning of a path and name.
fn parameters() -> Vec<(&'static str, Value)> {
    let list = json!({"minimum": 1, "maximum": list::MAX_LIMIT, "default": list::DEFAULT_LIMIT});
    let mut groups = words(usage::GROUPS, usage::word);
    groups["default"] = json!(usage::word(UsageBy::Day));
    let single: Vec<_> = Kind::ALL.into_iter().filter(|kind| kind.is_single()).map(Kind::as_str).collect();
    let named: Vec<_> = Kind::ALL.into_iter().filter(|kind| !kind.is_single()).map(Kind::as_str).collect();
    let legacy = json!({"enum": ["agents", "skills", "rules"]});
    let kinds = words(Kind::ALL, Kind::as_str);
    let mut actions: Vec<_> = Action::ALL.map(Action::as_str).to_vec();
    actions.push(CONFIG_CHANGED);
    vec![
        ("limit", list),
        ("list_events?limit", json!({"maximum": page::MAX_LIMIT, "default": page::DEFAULT_LIMIT})),
        ("list_usage?limit", json!({"maximum": usage::MAX_LIMIT})),
        ("offset", json!({"minimum": 0, "default": 0})),
        ("wait", json!({"minimum": 0})),
        ("after", json!({"minimum": 0})),
        ("Last-Event-ID", json!({"minimum": 0})),
        ("list_events?page", json!({"minimum": 0})),
        ("Idempotency-Key", json!({"minLength": 1, "maxLength": MAX_LENGTH, "pattern": "^[!-~]+$"})),
        ("x-askd-on-disconnect", json!({"enum": OnDisconnect::WORDS, "default": "cancel"})),
        ("/v1/config?workspace", json!({"minLength": 1, "maxLength": 255})),
        ("If-Match", json!({"pattern": TAGS})),
        ("If-None-Match", json!({"pattern": TAGS})),
        ("kind", kinds),
        ("list_legacy_documents?kind", legacy.clone()),
        ("get_legacy_document?kind", legacy.clone()),
        ("put_legacy_document?kind", legacy.clone()),
        ("delete_legacy_document?kind", legacy),
        ("put_single_document?kind", json!({"enum": single})),
        ("delete_single_document?kind", json!({"enum": single})),
        ("get_document?kind", json!({"enum": named})),
        ("put_document?kind", json!({"enum": named})),
        ("delete_document?kind", json!({"enum": named})),
        ("format", json!({"enum": ["tar", "zip"], "default": "tar"})),
        ("mode", json!({"enum": ["merge", "replace"], "default": "merge"})),
        ("group_by", groups),
        ("action", json!({"enum": actions})),
        ("outcome", json!({"enum": ["done", "denied"]})),
        ("create_upload?name", json!({"minLength": 1, "maxLength": uploads::MAX_NAME})),
    ]
}
