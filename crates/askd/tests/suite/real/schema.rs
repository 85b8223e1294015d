//! The field `jsonSchema`: an answer in a given form.

use futures_util::future::join_all;
use scripted_model::prompt::{text, tool, turns};
use serde_json::{Map, Value, json};

use super::World;

fn schema() -> Value {
    json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": false})
}

/// The model gives `answer` through the tool that the CLI offers for it, then ends.
fn giving(answer: &Value) -> String {
    turns([tool("StructuredOutput", answer), text("end")])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_comes_in_the_given_form() {
    let world = World::new().await;
    let body = json!({"prompt": giving(&json!({"city": "Zürich"})), "jsonSchema": schema()});
    let (answer, told) = world.ask_both_ways(body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body["structured_output"], json!({"city": "Zürich"}));
    assert_eq!((told.code(), told.result()["structured_output"].clone()), (0, json!({"city": "Zürich"})));
    assert!(world.model.messages()[0].tool_names().contains(&"StructuredOutput"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_schema_there_is_no_such_tool() {
    let world = World::new().await;
    world.ask(json!({"prompt": "[[text:x]]"})).await.result();
    assert!(!world.last_message().tool_names().contains(&"StructuredOutput"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_never_gives_it_has_failed() {
    let world = World::new().await;
    let body = json!({"prompt": "[[text:It is Zürich.]]", "jsonSchema": schema()});
    let (answer, told) = world.ask_both_ways(body).await;
    assert_eq!((answer.status, answer.code()), (500, "SCHEMA_FAILED"), "{answer:?}");
    assert_eq!(answer.body["result"]["type"], "result");
    assert_eq!(told.code(), 1);
    assert!(told.error().is_some());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_another_form_has_failed() {
    let world = World::new().await;
    let wrong = tool("StructuredOutput", &json!({"city": 7, "extra": true}));
    let script = turns([
        wrong.as_str(),
        wrong.as_str(),
        wrong.as_str(),
        wrong.as_str(),
        wrong.as_str(),
        wrong.as_str(),
        "[[text:end]]",
    ]);
    let answer = world.ask(json!({"prompt": script, "jsonSchema": schema()})).await;
    assert_eq!((answer.status, answer.code()), (500, "SCHEMA_FAILED"), "{answer:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_is_none_is_refused_and_nothing_starts() {
    let world = World::new().await;
    for bad in [json!({"type": "nonsense"}), json!({"properties": {"a": {"minimum": "x"}}}), json!([]), json!("{}")] {
        let answer = world.ask(json!({"prompt": "[[text:no]]", "jsonSchema": bad})).await;
        assert_eq!((answer.status, answer.code()), (400, "REQUEST_ERROR"), "{bad}: {answer:?}");
        assert!(answer.message().contains("jsonSchema"), "{answer:?}");
    }
    assert!(world.model.recorded().is_empty());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_too_long_for_a_command_line_works() {
    let mut large = schema();
    let properties: Map<String, Value> =
        (0..1400).map(|n| (format!("p{n}"), json!({"type": "string", "description": "d".repeat(80)}))).collect();
    large["properties"].as_object_mut().unwrap().extend(properties);
    assert!(large.to_string().len() > 140 * 1024);
    let world = World::new().await;
    let body = json!({"prompt": giving(&json!({"city": "Bern"})), "jsonSchema": large});
    let answer = world.ask(body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body["structured_output"], json!({"city": "Bern"}));
    assert!(world.sent().contains("p1399"), "the schema reached the model whole");
    world.stop().await;
}

/// Answers of the model, one after the other; what it says last it says to the end.
fn answers(parts: &[&str]) -> String {
    turns(parts.iter().copied())
}

fn output(value: &Value) -> String {
    tool("StructuredOutput", value)
}

async fn run(world: &World, prompt: String, schema: Value) -> Value {
    world.server.run(json!({"prompt": prompt, "output_schema": schema})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_only_writes_text_is_asked_again_and_told_what_is_missing() {
    let world = World::new().await;
    // The second text answers the CLI's own reminder.
    let prompt = answers(&["[[text:It is Zürich.]]", "[[text:As I said.]]", &output(&json!({"city": "Zürich"}))]);
    let run = run(&world, prompt, schema()).await;
    assert_eq!((&run["state"], &run["structured_output"]), (&json!("completed"), &json!({"city": "Zürich"})), "{run}");
    assert_eq!(world.model.messages().len(), 3);
    assert!(world.sent().contains("- there is no structured output"), "the model is told");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_whose_answers_the_cli_gave_up_on_is_asked_again() {
    let world = World::new().await;
    let wrong = output(&json!({"city": 7, "extra": true}));
    let prompt = answers(&[&wrong, &wrong, &wrong, &wrong, &wrong, &output(&json!({"city": "Bern"}))]);
    let run = run(&world, prompt, schema()).await;
    assert_eq!((&run["state"], &run["structured_output"]), (&json!("completed"), &json!({"city": "Bern"})), "{run}");
    assert_eq!(world.model.messages().len(), 6);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_cli_accepts_and_the_schema_does_not_is_asked_for_again_or_named() {
    let world = World::new().await;
    let schema =
        json!({"type": "object", "properties": {"day": {"type": "string", "format": "date"}}, "required": ["day"]});
    let (wrong, right) = (output(&json!({"day": "today"})), output(&json!({"day": "2026-11-23"})));
    let repaired = run(&world, answers(&[&wrong, &right]), schema.clone()).await;
    assert_eq!(
        (&repaired["state"], &repaired["structured_output"]["day"]),
        (&json!("completed"), &json!("2026-11-23")),
        "{repaired}"
    );
    let unfit = run(&world, answers(&[&wrong, &wrong]), schema).await;
    assert_eq!((&unfit["state"], &unfit["error"]["type"]), (&json!("incomplete"), &json!("schema")), "{unfit}");
    assert_eq!(unfit["error"]["details"][0]["path"], "/day", "{unfit}");
    assert_eq!(unfit["structured_output"], Value::Null);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_tools_or_with_an_agent_of_few_gives_its_answer_all_the_same() {
    let agent = "---\nname: reader\ndescription: Reads\ntools: Read\n---\nYou read.\n";
    let world = World::with(|server| server.file("config/agents/reader.md", agent)).await;
    for more in [json!({"tools": []}), json!({"agent": "reader"})] {
        let mut body = json!({"prompt": giving(&json!({"city": "Bern"})), "output_schema": schema()});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let run = world.server.run(body).await;
        assert_eq!(
            (&run["state"], &run["structured_output"]["city"]),
            (&json!("completed"), &json!("Bern")),
            "{more}: {run}"
        );
        let path = format!("/v1/runs/{}/events?types=agent.system", run["id"].as_str().unwrap());
        let events = world.server.get(&path).await.body;
        let init = events["data"].as_array().unwrap().iter().find(|event| event["data"]["subtype"] == "init").unwrap();
        assert!(init["data"]["tools"].as_array().unwrap().contains(&"StructuredOutput".into()), "{more}: {init}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_is_used_up_leaves_nothing_for_another_try() {
    let world = World::new().await;
    let prompt =
        answers(&["[[usage:input=1000000]][[text:It is Zürich.]]", "[[text:no]]", &output(&json!({"city": "Bern"}))]);
    let body = json!({"prompt": prompt, "output_schema": schema(), "max_budget_usd": 0.01});
    let run = world.server.run(body).await;
    assert_eq!(run["state"], "incomplete", "{run}");
    assert!(world.model.messages().len() <= 2, "it was not asked again");
    world.stop().await;
}

/// Each of them, as it was sent, would make the CLI do without it, or the provider refuse it.
#[tokio::test(flavor = "multi_thread")]
async fn a_schema_of_any_draft_reaches_the_model_and_the_answer_fits_it() {
    let with = |part: Value| json!({"type": "object", "properties": {"a": part}, "required": ["a"]});
    let drafts = [
        "https://json-schema.org/draft/2020-12/schema",
        "https://json-schema.org/draft/2019-09/schema",
        "http://json-schema.org/draft-07/schema#",
        "http://json-schema.org/draft-06/schema#",
        "http://json-schema.org/draft-04/schema#",
    ];
    let mut schemas: Vec<Value> = drafts
        .iter()
        .map(|draft| {
            let mut schema = with(json!({"type": "integer"}));
            schema["$schema"] = (*draft).into();
            schema
        })
        .collect();
    schemas.extend([
        json!({
            "type": "object", "x-vendor": {"a": 1}, "required": ["t", "c", "p", "r", "s", "d", "w"], "unevaluatedProperties": false,
            "properties": {
                "t": {"type": "array", "prefixItems": [{"type": "integer"}, {"const": "x"}], "items": false, "example": [1, "x"]},
                "c": {"type": "array", "contains": {"type": "null"}, "minContains": 0, "maxContains": 2},
                "p": {"type": "object", "properties": {"x": true}, "patternProperties": {"^x": {}, "(?i)y": {}}, "additionalProperties": false},
                "r": {"$ref": "#here"}, "s": {"type": "string", "nullable": true, "deprecated": true, "discriminator": {}},
                "d": {"type": "object", "dependentRequired": {"x": ["y"]}, "dependentSchemas": {"x": {"minProperties": 2}}},
                "w": {"type": "string", "pattern": "(?i)scripted", "format": "my-own", "minLength": 1},
            },
            "$defs": {"here": {"$anchor": "here", "type": "boolean"}, "unused": {"$id": "https://example.com/x", "type": "null"}},
        }),
        json!({"$ref": "#/$defs/r", "$defs": {"r": with(json!({"type": "null"}))}}),
        json!({"anyOf": [with(json!({"enum": ["x"]})), with(json!({"type": "null"}))]}),
        json!({"oneOf": [with(json!({"format": "date", "type": "string"})), {"required": ["b"]}], "then": {}, "else": false}),
        json!({"allOf": [with(json!({"minimum": 3, "type": "number"})), {"$dynamicRef": "#top"}], "$dynamicAnchor": "top2",
            "$defs": {"t": {"$dynamicAnchor": "top", "minProperties": 1}}}),
        json!({"$schema": drafts[4], "id": "http://example.com/s", "type": "object", "required": ["a"],
            "properties": {"a": {"type": "number", "minimum": 0, "exclusiveMinimum": true}}}),
        json!({}),
    ]);
    let world = World::new().await;
    for schemas in schemas.chunks(3) {
        let asked = schemas.iter().map(|schema| world.told(json!({"prompt": "Make one up.", "jsonSchema": schema})));
        for (told, schema) in join_all(asked).await.iter().zip(schemas) {
            let tools = told.init()["tools"].clone();
            assert!(tools.as_array().unwrap().contains(&"StructuredOutput".into()), "{schema}: {tools}");
            assert_eq!(told.code(), 0, "{schema}: {:?}", told.error());
        }
    }
    for request in world.model.messages() {
        let request = request.body();
        let tools = request["tools"].as_array().unwrap();
        let tool = tools.iter().find(|tool| tool["name"] == "StructuredOutput").expect("it is offered");
        let top = tool["input_schema"].as_object().unwrap();
        assert_eq!(top["type"], "object");
        assert!(["anyOf", "oneOf", "allOf"].iter().all(|name| !top.contains_key(*name)), "{top:?}");
    }
    world.stop().await;
}
