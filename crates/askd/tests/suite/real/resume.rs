//! The field `resume`: a conversation goes on.

use serde_json::{Value, json};

use super::World;
use crate::harness::{Answer, eventually};

fn session(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["session_id"].clone()
}

const FIRST: &str = "The word is kingfisher. [[text:noted]]";

#[tokio::test(flavor = "multi_thread")]
async fn earlier_turns_reach_the_model_again_in_both_forms() {
    let world = World::new().await;
    let id = session(&world.ask(json!({"prompt": FIRST})).await);
    let answer = world.ask(json!({"prompt": "[[text:second]]", "resume": id})).await;
    assert_eq!((answer.result(), session(&answer)), ("second", id.clone()));
    let told = world.told(json!({"prompt": "[[text:third]]", "resume": id})).await;
    assert_eq!((told.text(), told.result()["session_id"].clone()), ("third".to_owned(), id));
    let texts = world.last_message().user_texts();
    assert_eq!(texts, [FIRST, "[[text:second]]", "[[text:third]]"]);
    assert!(world.last_message().body()["messages"].to_string().contains("noted"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_that_streamed_goes_on() {
    let world = World::new().await;
    let told = world.told(json!({"prompt": FIRST})).await;
    let id = told.result()["session_id"].clone();
    assert_eq!(world.ask(json!({"prompt": "[[text:second]]", "resume": id})).await.result(), "second");
    assert_eq!(world.last_message().user_texts()[0], FIRST);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_on_one_session_follow_each_other() {
    let world = World::new().await;
    let id = session(&world.ask(json!({"prompt": FIRST})).await);
    let ask = |text: &str| world.ask(json!({"prompt": format!("[[text:{text}]]"), "resume": id}));
    let (a, b) = tokio::join!(ask("a"), ask("b"));
    assert_eq!((a.result(), b.result()), ("a", "b"));
    assert_eq!(world.last_message().user_texts().len(), 3, "the later one saw the earlier one");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_system_prompt_takes_effect() {
    let world = World::new().await;
    let id = session(&world.ask(json!({"prompt": FIRST, "systemPrompt": "You are a lighthouse."})).await);
    let body = json!({"prompt": "[[text:x]]", "resume": id, "systemPrompt": "You are a harbour."});
    assert_eq!(world.ask(body).await.result(), "x");
    let system = world.last_message().system_text();
    assert!(system.contains("You are a harbour.") && !system.contains("lighthouse"), "{system}");
    assert_eq!(world.last_message().user_texts()[0], FIRST);

    // Without one, the CLI's own is back.
    assert_eq!(world.ask(json!({"prompt": "[[text:y]]", "resume": id})).await.result(), "y");
    let system = world.last_message().system_text();
    assert!(!system.contains("harbour") && !system.contains("lighthouse"), "{system}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_goes_on_in_another_folder() {
    let world = World::with(|server| server.file("workspace/one/a", "").file("workspace/two/b", "")).await;
    let id = session(&world.ask(json!({"prompt": FIRST, "cwd": "one"})).await);
    let told = world.told(json!({"prompt": "[[text:x]]", "resume": id, "cwd": "two"})).await;
    assert_eq!(told.text(), "x");
    assert!(told.init()["cwd"].as_str().unwrap().ends_with("/workspace/two"), "{}", told.init());
    assert_eq!(world.last_message().user_texts()[0], FIRST);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_failed_can_be_taken_up() {
    let world = World::new().await;
    let failed = world.told(json!({"prompt": "Remember heron. [[error:500]]"})).await;
    assert_eq!(failed.code(), 1);
    let id = failed.result()["session_id"].clone();
    assert_eq!(world.ask(json!({"prompt": "[[text:again]]", "resume": id})).await.result(), "again");
    assert!(world.last_message().user_texts().iter().any(|text| text.contains("heron")));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_session_is_not_found_and_nothing_starts() {
    let world = World::new().await;
    for stream in [false, true] {
        let body = json!({"prompt": "x", "resume": "00000000-0000-4000-8000-000000000000", "stream": stream});
        let answer = world.ask(body).await;
        assert_eq!((answer.status, answer.code()), (404, "NOT_FOUND"), "{answer:?}");
    }
    for bad in ["--help", "../../etc", ""] {
        let answer = world.ask(json!({"prompt": "x", "resume": bad})).await;
        assert_eq!((answer.status, answer.code()), (400, "REQUEST_ERROR"), "{bad}");
    }
    assert!(world.model.recorded().is_empty());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_the_cli_itself_is_found_in_config_dir() {
    // Made by a server, so that it is a transcript of this CLI, then put where the CLI alone would have put it.
    let world = World::new().await;
    let id = session(&world.ask(json!({"prompt": FIRST})).await);
    let id = id.as_str().unwrap().to_owned();
    // The answer is given at once, the transcript is kept when the process is gone.
    let kept = world.server.folders.data().join(format!("sessions/{id}/{id}.jsonl"));
    let transcript = eventually("a transcript", || std::fs::read_to_string(&kept).ok()).await;
    let other =
        World::with(|server| server.file(&format!("config/projects/-some-folder/{id}.jsonl"), &transcript)).await;
    world.stop().await;

    for text in ["second", "third"] {
        let prompt = format!("[[text:{text}]]");
        assert_eq!(other.ask(json!({"prompt": prompt, "resume": id})).await.result(), text);
    }
    assert_eq!(other.last_message().user_texts(), [FIRST, "[[text:second]]", "[[text:third]]"]);
    let untouched = other.server.folders.config().join(format!("projects/-some-folder/{id}.jsonl"));
    assert_eq!(std::fs::read_to_string(untouched).unwrap(), transcript, "the CLI's own copy stays as it was");
    other.stop().await;
}
