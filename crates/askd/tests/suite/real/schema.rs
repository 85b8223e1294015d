//! The field `jsonSchema`: an answer in a given form.

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
