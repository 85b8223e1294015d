//! What the file must say of the parsers, the routes and itself.

use std::collections::BTreeSet;

use super::super::dialect::{self, Dialect};
use super::super::scopes::{Need, ROUTES};
use super::*;

fn names(value: &Value) -> BTreeSet<String> {
    value.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
}

#[test]
fn every_field_of_a_parser_is_a_property_and_no_other() {
    let document = document();
    let table: [(&str, &Dialect); 11] = [
        ("AskRequest", &dialect::ASK),
        ("RunRequest", &dialect::RUNS),
        ("InputRequest", &dialect::INPUT),
        ("NewKey", &dialect::KEY),
        ("KeyPatch", &dialect::KEY),
        ("RotateRequest", &dialect::ROTATE),
        ("RevokeRequest", &dialect::REVOKE),
        ("ContentRequest", &dialect::LEGACY_CONFIG),
        ("DocumentRequest", &dialect::DOCUMENT),
        ("SkillFileRequest", &dialect::SKILL_FILE_FIELDS),
        ("ValidateRequest", &dialect::VALIDATE),
    ];
    for (schema, dialect) in table {
        let schema_of = &document["components"]["schemas"][schema];
        let known: BTreeSet<_> = dialect.all().map(str::to_owned).collect();
        assert_eq!(names(&schema_of["properties"]), known, "{schema}");
        assert_eq!(schema_of["additionalProperties"], false, "{schema} takes what the parser refuses");
    }
}

#[test]
fn the_table_of_scopes_and_the_file_name_the_same_operations_and_needs() {
    let mut document = document();
    let mut found = BTreeSet::new();
    each_operation(&mut document, |path, method, operation| {
        let scope = operation.get("x-askd-scope").and_then(Value::as_str).map(str::to_owned);
        if let Some(scope) = scope {
            found.insert((method.to_uppercase(), path.to_owned(), scope));
        }
    });
    let wanted: BTreeSet<_> = ROUTES
        .iter()
        // Second names of others.
        .filter(|(_, path, _)| !path.ends_with('/'))
        .map(|(method, path, need)| {
            let scope = match need {
                Need::Key => "any",
                Need::Scope(scope) => scope.as_str(),
            };
            ((*method).to_owned(), path.replace("{*", "{"), scope.to_owned())
        })
        .collect();
    assert_eq!(found, wanted);
}

#[test]
fn every_operation_has_a_name_of_its_own_a_tag_and_what_it_can_answer() {
    let mut document = document();
    let tags = TAGS.map(|(name, _)| name);
    let mut ids = BTreeSet::new();
    each_operation(&mut document, |path, method, operation| {
        let text = |name: &str| operation.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let id = text("operationId");
        assert!(id.contains('_') && ids.insert(id.clone()), "{method} {path}: `{id}`");
        assert!(!text("summary").is_empty() && !text("description").is_empty(), "{id}");
        assert!(tags.contains(&operation["tags"][0].as_str().unwrap()), "{id}");
        let answers = names(&operation["responses"]);
        assert!(answers.iter().any(|status| status.starts_with('2')) && answers.contains("400"), "{id}: {answers:?}");
        assert_eq!(answers.contains("401"), operation["security"] != json!([]), "{id}");
    });
    assert!(ids.len() >= 58, "{}", ids.len());
}

#[test]
fn every_fact_and_every_own_status_has_its_place() {
    let mut document = document();
    for (places, _) in facts::facts() {
        for place in places.split_whitespace() {
            assert!(facts::find(&mut document["components"]["schemas"], place).is_some(), "{place}");
        }
    }
    let mut ids = BTreeSet::new();
    each_operation(&mut document, |_, _, operation| {
        ids.insert(operation["operationId"].as_str().unwrap().to_owned());
    });
    for id in answers::ids() {
        assert!(ids.contains(id), "{id}");
    }
}

#[test]
fn every_example_of_an_answer_or_a_request_fits_its_schema() {
    let mut document = document();
    let components = document["components"].clone();
    let mut shown = 0;
    each_operation(&mut document, |_, _, operation| {
        let bodies = operation["responses"].as_object().unwrap().values().chain(operation.get("requestBody"));
        for content in bodies.filter_map(|body| body["content"].get("application/json")) {
            let mut schema = content["schema"].clone();
            schema["components"] = components.clone();
            let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
            for (name, example) in content["examples"].as_object().into_iter().flatten() {
                shown += 1;
                let errors: Vec<_> = validator.iter_errors(&example["value"]).map(|error| error.to_string()).collect();
                assert_eq!(errors, [""; 0], "{name} of {}", operation["operationId"]);
            }
        }
    });
    assert_eq!(shown, examples::count(), "an example has no place");
}

#[test]
fn the_file_names_no_host() {
    let text = text();
    let hosts: Vec<_> = text.match_indices("://").map(|(at, _)| &text[at..(at + 40).min(text.len())]).collect();
    assert!(hosts.iter().all(|host| host.starts_with("://tracker.example.com/")), "{hosts:?}");
}
