//! Every answer that a test gets is compared with the OpenAPI file, so that the whole suite holds the file to the server.
//!
//! A path or a method that the file does not have is let be: tests send nonsense as well.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use jsonschema::Validator;
use reqwest::header::{HeaderMap, HeaderName};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// How many lines of a stream are compared.
const MOST_COMPARED: usize = 50;

/// Schemas whose values are the CLI's own, which has fields of its own.
const OPEN: [&str; 1] = ["CliResult"];

/// Headers that any server answers with, or none: of the connection, of caches and browsers. All others are askd's, and the
/// file names them where they come.
const USUAL: [&str; 20] = [
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "access-control-max-age",
    "cache-control",
    "connection",
    "content-length",
    "content-security-policy",
    "content-type",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    "date",
    "referrer-policy",
    "strict-transport-security",
    "transfer-encoding",
    "vary",
    "x-accel-buffering",
    "x-content-type-options",
    "x-frame-options",
];

/// The file, and what was made of it so far.
pub(crate) struct Contract {
    /// The file, with schemas that allow no field which they do not name.
    document: Value,
    validators: Mutex<BTreeMap<String, Arc<Validator>>>,
}

/// An answer, as far as the file says something of it.
pub(crate) struct Seen<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) status: u16,
    pub(crate) headers: &'a HeaderMap,
    /// `None`: a stream that was not read yet.
    pub(crate) body: Option<&'a str>,
}

impl Contract {
    /// That of this version, read once.
    pub(crate) fn get() -> &'static Self {
        static CONTRACT: OnceLock<Contract> = OnceLock::new();
        CONTRACT.get_or_init(|| {
            let mut document = askd::api::openapi::document();
            for (name, schema) in document["components"]["schemas"].as_object_mut().unwrap() {
                if !OPEN.contains(&name.as_str()) {
                    close(schema);
                }
            }
            Self { document, validators: Mutex::default() }
        })
    }

    /// Fails the test if the file says otherwise.
    pub(crate) fn check(&self, seen: &Seen<'_>) {
        let Some((name, operation)) = self.operation(seen.method, seen.path) else { return };
        if let Err(why) = self.compare(seen, &name, operation) {
            let Seen { path, status, body, .. } = seen;
            let body: String = body.unwrap_or_default().chars().take(2_000).collect();
            panic!("the OpenAPI file says otherwise of an answer of {path} with {status}:\n  {why}\n{body}");
        }
    }

    /// Fails the test if this is no event.
    pub(crate) fn check_event(&self, envelope: &Value) {
        let validator = self.validator("event", &json!({"$ref": "#/components/schemas/Event"}));
        let errors: Vec<_> = validator.iter_errors(envelope).map(|error| error.to_string()).collect();
        assert_eq!(errors, [""; 0], "the OpenAPI file says otherwise of an event: {envelope}");
    }

    /// Whether a value is what a schema says.
    pub(crate) fn validator(&self, name: &str, schema: &Value) -> Arc<Validator> {
        let mut validators = self.validators.lock().unwrap();
        let made = validators.entry(name.to_owned()).or_insert_with(|| {
            let mut schema = schema.clone();
            schema["components"] = self.document["components"].clone();
            let made = jsonschema::options().should_validate_formats(true).build(&schema);
            Arc::new(made.unwrap_or_else(|error| panic!("the schema of {name}: {error}")))
        });
        Arc::clone(made)
    }

    /// The operation of a path; that of its most exact form. A `HEAD` is answered like a `GET`.
    fn operation(&self, method: &str, path: &str) -> Option<(String, &Value)> {
        let paths = self.document["paths"].as_object().unwrap();
        let fitting = paths.iter().filter_map(|(template, item)| Some((fit(template, path)?, template, item)));
        // Fewer parameters, and these further to the right, are more exact.
        let (_, template, item) = fitting.min_by(|one, other| one.0.cmp(&other.0))?;
        let method = if method == "HEAD" { "get".to_owned() } else { method.to_lowercase() };
        let operation = item.get(&method)?;
        Some((format!("{method} {template}"), operation))
    }

    fn compare(&self, seen: &Seen<'_>, name: &str, operation: &Value) -> Result<(), String> {
        let status = seen.status.to_string();
        let mut response = &operation["responses"][&status];
        if let Some(target) = response["$ref"].as_str() {
            response = self.document.pointer(target.trim_start_matches('#')).expect("a response that is there");
        }
        if response.is_null() {
            return Err(format!("{name}: no answer with {status}"));
        }
        for (header, told) in response["headers"].as_object().into_iter().flatten() {
            let told = told["$ref"].as_str().and_then(|target| self.document.pointer(target.trim_start_matches('#')));
            if told.is_some_and(|told| told["required"] == true) && !seen.headers.contains_key(header.as_str()) {
                return Err(format!("{name}: {status} without the header {header}"));
            }
        }
        let mut names = seen.headers.keys().map(HeaderName::as_str);
        let beyond = names.find(|name| !USUAL.contains(name) && response["headers"].get(name).is_none());
        if let Some(header) = beyond {
            return Err(format!("{name}: {status} with the header {header}, which it does not name"));
        }
        let kind = seen.headers.get("content-type").map(|kind| kind.to_str().unwrap_or_default());
        let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
        let none = Map::new();
        let contents = response["content"].as_object().unwrap_or(&none);
        let Some(kind) = kind else {
            return if contents.is_empty() { Ok(()) } else { Err(format!("{name}: {status} without a type")) };
        };
        let Some(content) = contents.get(kind) else { return Err(format!("{name}: {status} of type {kind}")) };
        let Some(body) = seen.body.filter(|_| seen.method != "HEAD") else { return Ok(()) };
        if kind == "application/x-ndjson" {
            // Each line is an event, or the error that ends them. A long stream has many of the same kind.
            let parts = ["Event", "Error"].map(|name| json!({"$ref": format!("#/components/schemas/{name}")}));
            let line = json!({"anyOf": parts});
            return body.lines().take(MOST_COMPARED).try_for_each(|text| self.agree("a line of events", &line, text));
        }
        if kind == "application/json" {
            self.agree(&format!("{name} {status}"), &content["schema"], body)
        } else {
            Ok(())
        }
    }

    /// Whether a text is JSON of this schema.
    fn agree(&self, name: &str, schema: &Value, body: &str) -> Result<(), String> {
        // The CLI may say what is JSON and no value here, such as 1e400.
        if serde_json::from_str::<Box<RawValue>>(body).is_ok() && serde_json::from_str::<Value>(body).is_err() {
            return Ok(());
        }
        let body: Value = serde_json::from_str(body).map_err(|error| format!("{name}: no JSON: {error}"))?;
        let validator = self.validator(name, schema);
        let errors = validator.iter_errors(&body).take(5);
        let errors: Vec<_> = errors.map(|error| format!("{}: {error}", error.instance_path())).collect();
        if errors.is_empty() { Ok(()) } else { Err(format!("{name}: {}", errors.join("; "))) }
    }
}

/// Where a template has parameters, if the path fits it. The last one takes the rest of a path where routes do.
fn fit(template: &str, path: &str) -> Option<Vec<usize>> {
    let (wanted, given): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    let rest = template.starts_with("/v1/config/") && template.ends_with("/{name}") || template.ends_with("/{path}");
    let fits = wanted.len() == given.len() || rest && given.len() > wanted.len();
    let same = |(wanted, given): (&&str, &&str)| wanted == given || wanted.starts_with('{') && !given.is_empty();
    if !fits || !wanted.iter().zip(&given).all(same) {
        return None;
    }
    let parameters = wanted.iter().enumerate().filter(|(_, part)| part.starts_with('{'));
    Some(parameters.map(|(index, _)| usize::MAX - index).collect())
}

/// Allows no field that a schema does not name.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.contains_key("properties") && !members.contains_key("additionalProperties") {
                members.insert("additionalProperties".into(), json!(false));
            }
            members.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}
