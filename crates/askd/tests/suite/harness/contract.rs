//! Every answer that a test gets is compared with the OpenAPI file, so that the whole suite holds the file to the server.
//!
//! A path that the file does not have is let be: tests send nonsense as well.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use jsonschema::Validator;
use reqwest::header::HeaderMap;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// Schemas whose values are the CLI's own, which has fields of its own.
const OPEN: [&str; 1] = ["CliResult"];

/// The file, and what was made of it so far.
pub(crate) struct Contract {
    /// The file, with schemas that allow no field which they do not name.
    document: Value,
    validators: Mutex<BTreeMap<String, Arc<Validator>>>,
}

/// An answer, as far as the file says something of it.
pub(crate) struct Seen<'a> {
    /// `None`: nobody knows; then any operation of the path will do.
    pub(crate) method: Option<&'a str>,
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
        let operations = self.operations(seen.method, seen.path);
        if operations.is_empty() || seen.status == 405 {
            return;
        }
        let found: Vec<_> = operations.iter().map(|(name, operation)| self.compare(seen, name, operation)).collect();
        if found.iter().all(Result::is_err) {
            let Seen { path, status, body, .. } = seen;
            let body: String = body.unwrap_or_default().chars().take(2_000).collect();
            let why = found.into_iter().filter_map(Result::err).collect::<Vec<_>>().join("\n  ");
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

    /// The operations of a path; those of its most exact form.
    fn operations(&self, method: Option<&str>, path: &str) -> Vec<(String, &Value)> {
        let paths = self.document["paths"].as_object().unwrap();
        let fitting = paths.iter().filter_map(|(template, item)| Some((fit(template, path)?, template, item)));
        // Fewer parameters, and these further to the right, are more exact.
        let Some((_, template, item)) = fitting.min_by(|one, other| one.0.cmp(&other.0)) else { return Vec::new() };
        let methods =
            item.as_object().unwrap().iter().filter(|(name, value)| {
                value.is_object() && method.is_none_or(|method| method.eq_ignore_ascii_case(name))
            });
        methods.map(|(name, operation)| (format!("{name} {template}"), operation)).collect()
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
        let kind = seen.headers.get("content-type").map(|kind| kind.to_str().unwrap_or_default());
        let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
        let none = Map::new();
        let contents = response["content"].as_object().unwrap_or(&none);
        let Some(kind) = kind else {
            return if contents.is_empty() { Ok(()) } else { Err(format!("{name}: {status} without a type")) };
        };
        let Some(content) = contents.get(kind) else { return Err(format!("{name}: {status} of type {kind}")) };
        let Some(body) = seen.body.filter(|_| kind == "application/json") else { return Ok(()) };
        // Of a HEAD there is none.
        if body.is_empty() && seen.method.is_none_or(|method| method == "HEAD") {
            return Ok(());
        }
        // The CLI may say what is JSON and no value here, such as 1e400.
        if serde_json::from_str::<Box<RawValue>>(body).is_ok() && serde_json::from_str::<Value>(body).is_err() {
            return Ok(());
        }
        let body: Value =
            serde_json::from_str(body).map_err(|error| format!("{name}: {status} is no JSON: {error}"))?;
        let validator = self.validator(&format!("{name} {status}"), &content["schema"]);
        let errors = validator.iter_errors(&body).take(5);
        let errors: Vec<_> = errors.map(|error| format!("{}: {error}", error.instance_path())).collect();
        if errors.is_empty() { Ok(()) } else { Err(format!("{name}: {status}: {}", errors.join("; "))) }
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
