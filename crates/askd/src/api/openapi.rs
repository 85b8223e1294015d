//! The OpenAPI file: made of the handlers' own annotations and of the types that are serialised, and completed with what
//! is known in one place for all of them.
//!
//! ```text
//! handlers (utoipa::path), routes, sent, told, parameters > document > schemas, facts, answers, examples > page
//! ```
//!
//! The suite validates every answer of its servers against it.

use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

mod answers;
mod examples;
mod facts;
pub mod page;
pub(in crate::api) mod parameters;
pub(in crate::api) mod routes;
mod schemas;
pub(in crate::api) mod sent;
#[cfg(test)]
mod tests;
pub(in crate::api) mod told;

const DESCRIPTION: &str = "\
askd runs the Claude Code CLI and answers over HTTP. `/ask` asks and waits; `/v1/runs` submits a run that outlives its \
client, whose events can be followed and taken up again.

Every answer carries the request's id. Below `/v1` an error is `{\"type\": \"error\", \"error\": {\"type\", \"message\"}, \
\"request_id\"}`, elsewhere `{\"error\": {\"code\", \"message\", \"requestId\"}}`. New fields, types of events and words may \
come with any version: a client passes over what it does not know. What a key needs for a call is said by `x-askd-scope`; \
a key may be bound further by its policy.";

/// Tags in the order in which they are shown, and what is behind each.
const TAGS: [(&str, &str); 9] = [
    ("ask", "One question, one answer."),
    ("runs", "Work that outlives its client."),
    ("events", "What happens in a run, as it happens or later."),
    ("uploads", "Pictures and documents for runs."),
    ("configuration", "Agents, skills, rules, settings and the like, for all runs or for a workspace."),
    ("legacy configuration", "Agents, skills and rules as the Node server had them."),
    ("keys and usage", "Who may do what, who did what, and what it cost."),
    ("system", "The server itself."),
    ("health", "For probes: needs no key, asks nobody."),
];

/// The whole file.
pub fn document() -> Value {
    let routes = super::open_routes().merge(super::keyed_routes()).merge(page::routes());
    let mut made = serde_json::to_value(routes.tell()).unwrap_or_default();
    let mut schemas = made["components"]["schemas"].take();
    for (name, schema) in besides() {
        schemas[name] = serde_json::to_value(schema).unwrap_or_default();
    }
    let paths = paths(made["paths"].take());
    let schemas = schemas::tidy(schemas, &paths);
    let tags: Vec<_> =
        TAGS.iter().map(|(name, description)| json!({"name": name, "description": description})).collect();
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "askd",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "The server that has answered with this file." }],
        "tags": tags,
        "paths": paths,
        "components": { "schemas": schemas, "securitySchemes": security_schemes() },
    });
    facts::tell(&mut document);
    answers::complete(&mut document);
    examples::show(&mut document);
    schemas::name_pages(&mut document);
    document
}

/// Schemas that no handler names: of errors, which are added to all operations further down, and of what a page has within it.
fn besides() -> Vec<(String, RefOr<Schema>)> {
    fn with_parts<T: ToSchema>(all: &mut Vec<(String, RefOr<Schema>)>) {
        all.push((T::name().into_owned(), T::schema()));
        T::schemas(all);
    }
    let mut all = Vec::new();
    with_parts::<told::legacy::LegacyError>(&mut all);
    with_parts::<told::Error>(&mut all);
    with_parts::<told::config::ConfigEntry>(&mut all);
    all
}

/// The file as it is printed and checked in.
pub fn text() -> String {
    let mut text = serde_json::to_string_pretty(&document()).unwrap_or_default();
    text.push('\n');
    text
}

/// The routes' own marks for the rest of a path mean nothing there.
fn paths(made: Value) -> Value {
    let Value::Object(made) = made else { return Value::Null };
    Value::Object(made.into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect::<Map<_, _>>())
}

fn security_schemes() -> Value {
    json!({
        "api_key": { "type": "apiKey", "in": "header", "name": "x-api-key", "description": "A key." },
        "bearer": { "type": "http", "scheme": "bearer", "description": "The same key." },
        "stream_token": {
            "type": "apiKey",
            "in": "query",
            "name": "token",
            "description": "A token of `POST /v1/runs/{id}/stream-token`, for the events of that run.",
        },
    })
}

/// Does something with each operation: its path, its method, itself.
fn each_operation(document: &mut Value, mut act: impl FnMut(&str, &str, &mut Map<String, Value>)) {
    const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];
    for (path, item) in document["paths"].as_object_mut().into_iter().flatten() {
        for method in METHODS {
            if let Some(operation) = item.get_mut(method).and_then(Value::as_object_mut) {
                act(path, method, operation);
            }
        }
    }
}

/// Puts what is new into what is there, object by object; anything else takes the place of what was.
fn merge(there: &mut Value, new: Value) {
    match (there, new) {
        (Value::Object(there), Value::Object(new)) => {
            for (name, value) in new {
                merge(there.entry(name).or_insert(Value::Null), value);
            }
        }
        (there, new) => *there = new,
    }
}
