//! The schema of `settings.json` that askd has is the one that the CLI prints.
//!
//! `scripts/settings-schema` writes it anew.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::World;

/// Set to anything, the file is written instead of compared.
const UPDATE: &str = "ASKD_UPDATE_SETTINGS_SCHEMA";

/// What is a fact about the interface. Everything else is the vendor's prose, or a hint for editors.
const KEPT: [&str; 20] = [
    "type",
    "const",
    "enum",
    "format",
    "pattern",
    "required",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "properties",
    "items",
    "additionalProperties",
    "propertyNames",
    "anyOf",
    "not",
];
const LEFT_OUT: [&str; 5] = ["description", "default", "title", "examples", "$schema"];

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_of_settings_is_the_one_that_the_cli_prints() {
    let world = World::new().await;
    let told = world.told(json!({"prompt": "/update-config [[text:x]]"})).await;
    let version = told.init()["claude_code_version"].as_str().unwrap().to_owned();
    let printed = printed(&world.sent()).expect("the CLI's skill /update-config prints the schema of its settings");
    world.stop().await;

    let mut schema = Map::from_iter([
        (
            "$comment".to_owned(),
            Value::from(format!(
                "Keys, types and bounds of settings.json as Claude Code {version} prints them in its skill /update-config. \
                 Written by scripts/settings-schema; not edited by hand."
            )),
        ),
        ("$schema".to_owned(), printed["$schema"].clone()),
    ]);
    schema.extend(facts(printed));
    let now = format!("{:#}\n", Value::Object(schema));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/settings.schema.json");
    if std::env::vars_os().any(|(name, value)| name == UPDATE && !value.is_empty()) {
        fs::write(&path, &now).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    if !kept.contains(&format!("Claude Code {version} ")) {
        println!(
            "NOT RUN: the tests have CLI {version}, and the schema is another version's; see scripts/settings-schema"
        );
        return;
    }
    let line = kept.lines().zip(now.lines()).position(|(kept, now)| kept != now);
    assert!(
        kept == now,
        "settings.schema.json differs from what the CLI prints, first in line {line:?}; run scripts/settings-schema"
    );
}

/// The object that holds the first `$schema`, in whichever text of a request it stands.
fn printed(sent: &str) -> Option<Map<String, Value>> {
    let mut requests = serde_json::Deserializer::from_str(sent).into_iter::<Value>().map_while(Result::ok);
    requests.find_map(|request| {
        let mut texts = Vec::new();
        collect(&request["messages"], &mut texts);
        texts.into_iter().find_map(|text| {
            let at = text.find("\"$schema\": \"https://json-schema.org")?;
            let begin = text[..at].rfind('{')?;
            let mut values = serde_json::Deserializer::from_str(&text[begin..]).into_iter::<Map<String, Value>>();
            values.next()?.ok().filter(|schema| schema.contains_key("properties"))
        })
    })
}

fn collect<'v>(value: &'v Value, texts: &mut Vec<&'v str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Value::Object(members) => members.values().for_each(|member| collect(member, texts)),
        _ => {}
    }
}

/// A schema without its prose.
fn facts(schema: Map<String, Value>) -> Map<String, Value> {
    let kept = schema.into_iter().filter(|(keyword, _)| {
        assert!(
            KEPT.contains(&&**keyword) || LEFT_OUT.contains(&&**keyword),
            "the CLI's schema has a keyword that nobody has judged: {keyword}"
        );
        KEPT.contains(&&**keyword)
    });
    let within = |value: Value| match value {
        Value::Object(schema) => Value::Object(facts(schema)),
        value => value,
    };
    kept.map(|(keyword, value)| {
        let value = match (keyword.as_str(), value) {
            ("properties", Value::Object(members)) => {
                members.into_iter().map(|(name, schema)| (name, within(schema))).collect()
            }
            ("items" | "additionalProperties" | "propertyNames" | "not", schema) => within(schema),
            ("anyOf", Value::Array(branches)) => branches.into_iter().map(within).collect(),
            (_, value) => value,
        };
        (keyword, value)
    })
    .collect()
}
