//! The fields of `/ask` that choose folder, model, system prompt and length.

use std::os::unix::fs::symlink;

use scripted_model::prompt::{self, turns};
use serde_json::{Value, json};

use super::World;

fn in_project() -> impl FnOnce(crate::harness::TestServerBuilder) -> crate::harness::TestServerBuilder {
    |server| server.file("workspace/project/src/main.rs", "fn main() {}")
}

#[tokio::test(flavor = "multi_thread")]
async fn cwd_is_where_the_cli_works() {
    let world = World::with(in_project()).await;
    let root = world.server.folders.workspace().canonicalize().unwrap();
    for (cwd, folder) in [("project/src", root.join("project/src")), ("", root.clone())] {
        let (answer, told) = world.ask_both_ways(json!({"prompt": "[[text:here]]", "cwd": cwd})).await;
        assert_eq!((answer.result(), told.text().as_str()), ("here", "here"));
        assert_eq!(told.init()["cwd"], json!(folder), "{cwd:?}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_inside_the_root_is_followed() {
    let world = World::with(in_project()).await;
    let root = world.server.folders.workspace().canonicalize().unwrap();
    symlink("project/src", root.join("link")).unwrap();
    let told = world.told(json!({"prompt": "[[text:here]]", "cwd": "link"})).await;
    assert_eq!(told.text(), "here");
    assert_eq!(told.init()["cwd"], json!(root.join("project/src")));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_outside_the_root_is_refused_and_nothing_starts() {
    let world = World::new().await;
    symlink(world.server.folders.config(), world.server.folders.workspace().join("way-out")).unwrap();
    for cwd in ["..", "/etc", "way-out", "missing"] {
        for stream in [false, true] {
            let answer = world.ask(json!({"prompt": "[[text:no]]", "cwd": cwd, "stream": stream})).await;
            assert_eq!((answer.status, answer.code()), (400, "INVALID_CWD"), "{cwd}: {answer:?}");
        }
    }
    assert!(world.model.recorded().is_empty());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_result_is_the_clis_own_and_the_same_in_both_forms() {
    let world = World::new().await;
    let (answer, told) = world.ask_both_ways(json!({"prompt": "[[text:same]]"})).await;
    for result in [&answer.body, &told.result()] {
        assert_eq!((&result["type"], &result["subtype"]), (&json!("result"), &json!("success")));
        assert_eq!((&result["is_error"], &result["result"]), (&json!(false), &json!("same")));
        assert!(
            result["session_id"].is_string() && result["usage"].is_object() && result["total_cost_usd"].is_number()
        );
    }
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&answer.body), keys(&told.result()));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_shows_messages_and_nothing_of_the_machinery() {
    let world = World::new().await;
    let told = world.told(json!({"prompt": "[[text:shown]]"})).await;
    assert_eq!(told.code(), 0);
    let kinds: Vec<String> = told.messages().map(|message| message["type"].as_str().unwrap().to_owned()).collect();
    for hidden in ["stream_event", "control_request", "control_response", "keep_alive", "command_lifecycle"] {
        assert!(!kinds.iter().any(|kind| kind == hidden), "{kinds:?}");
    }
    assert_eq!(kinds.first().map(String::as_str), Some("system"));
    assert!(told.messages().any(|message| message["message"]["content"][0]["text"] == "shown"));
    assert!(!told.messages().any(|message| message["subtype"] == "session_state_changed"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn max_turns_ends_a_run_that_goes_on() {
    let world = World::with(|server| server.file("workspace/a.txt", "a")).await;
    let read = prompt::tool("Read", &json!({"file_path": world.server.folders.workspace().join("a.txt")}));
    let script = turns([read.clone(), read, "[[text:end]]".to_owned()]);
    let (answer, told) = world.ask_both_ways(json!({"prompt": script, "maxTurns": 1})).await;
    assert_eq!((answer.status, answer.code()), (500, "TURN_LIMIT"));
    assert_eq!(answer.body["result"]["subtype"], "error_max_turns");
    assert_eq!((told.code(), told.result()["subtype"].clone()), (1, json!("error_max_turns")));
    assert!(told.error().is_some());

    let enough = world.ask(json!({"prompt": script, "maxTurns": 3})).await;
    assert_eq!(enough.result(), "end");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_prompt_replaces_the_clis_own() {
    const OWN: &str = "You are an agent working with the user";
    let world = World::new().await;
    let answer = world.ask(json!({"prompt": "[[text:x]]"})).await;
    assert_eq!((answer.result(), answer.header("x-askd-warning")), ("x", None));
    assert!(world.last_message().system_text().contains(OWN));
    let given = "--You are a lighthouse.\n\"Grüße\" 🗼\u{2028}";
    let (answer, told) = world.ask_both_ways(json!({"prompt": "[[text:x]]", "systemPrompt": given})).await;
    assert_eq!((answer.result(), told.text().as_str()), ("x", "x"));
    for request in &world.model.messages()[1..] {
        assert!(request.system_text().contains(given), "{}", request.system_text());
        assert!(!request.system_text().contains(OWN), "the CLI's own prompt is still there");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_system_prompt_arrives_whole() {
    let world = World::new().await;
    let given = "🗼".repeat(50_000);
    assert_eq!(world.ask(json!({"prompt": "[[text:x]]", "systemPrompt": given})).await.result(), "x");
    assert!(world.last_message().system_text().contains(&given));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_and_an_allowed_id_choose_the_model() {
    let id = "claude-test-model-1";
    let world = World::with(|server| server.set(|settings| settings.models.allowed.push(id.to_owned()))).await;
    for (model, part) in [("haiku", "haiku"), ("opus", "opus"), (id, id)] {
        let (answer, told) = world.ask_both_ways(json!({"prompt": "[[text:x]]", "model": model})).await;
        assert_eq!((answer.result(), told.text().as_str()), ("x", "x"));
        let asked = world.last_message();
        assert!(asked.model().unwrap().contains(part), "{model}: {:?}", asked.model());
        assert!(told.init()["model"].as_str().unwrap().contains(part), "{}", told.init()["model"]);
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_models_are_refused_and_nothing_starts() {
    let world = World::new().await;
    for model in ["claude-test-model-1", "nonsense", "--resume", ""] {
        let answer = world.ask(json!({"prompt": "[[text:no]]", "model": model})).await;
        assert_eq!((answer.status, answer.code()), (400, "REQUEST_ERROR"), "{model}: {answer:?}");
    }
    assert!(world.model.recorded().is_empty());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_default_model_is_used_when_none_is_asked_for() {
    let world = World::with(|server| server.set(|settings| settings.models.default = Some("haiku".into()))).await;
    world.ask(json!({"prompt": "[[text:x]]"})).await.result();
    assert!(world.last_message().model().unwrap().contains("haiku"));
    world.stop().await;
}
