//! What becomes of runs whose server died in the middle of them.

use rustix::process::Signal;
use serde_json::json;

use crate::harness::{Engine, Folders, Program, V1, eventually, eventually_async, marked_processes, types};

async fn killed(folders: &Folders, mut program: Program) {
    program.signal(Signal::KILL);
    program.ended().await;
    eventually("the end of every process", || marked_processes(&folders.data()).is_empty().then_some(())).await;
}

async fn reached(folders: &Folders, file: &str) {
    eventually(&format!("the file {file}"), || folders.workspace().join(file).exists().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_run_says_how_to_go_on_and_its_session_does() {
    let folders = Folders::new();
    let program = Program::start(&folders, &[]);
    let client = V1::at(program.address().await);
    let first = client.submit(&json!({"prompt": "one"})).await;
    let session = client.ended(&first).await["session_id"].as_str().unwrap().to_owned();
    let lost = client.submit(&json!({"prompt": "!say two\n!touch there\n!hang", "session_id": session})).await;
    reached(&folders, "there").await;
    // What is seen is stored.
    client.follow(&lost, 0).await.until_event("agent.assistant").await;
    killed(&folders, program).await;

    let program = Program::start(&folders, &[]);
    let client = V1::at(program.address().await);
    assert_eq!(client.get("/readyz").await.status, 200);
    let run = client.run(&lost).await;
    assert_eq!((&run["state"], &run["session_id"]), (&json!("lost"), &json!(session)));
    assert!(run["error"]["message"].as_str().unwrap().contains("died"), "{run}");
    assert!(run["error"]["hint"].as_str().unwrap().contains(&session), "{run}");
    assert!(run["finished_at"].is_string() && run["result"].is_null(), "{run}");
    assert_eq!(run["partial_result"], "two", "{run}");
    let next = client.submit(&json!({"prompt": "!recall", "session_id": session})).await;
    assert_eq!(client.ended(&next).await["result"], "one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_lost_before_its_session_began_says_so() {
    let folders = Folders::new();
    let program = Program::start(&folders, &[]);
    let client = V1::at(program.address().await);
    // The scripted CLI writes its transcript at the end of a turn.
    let lost = client.submit(&json!({"prompt": "!touch there\n!hang"})).await;
    reached(&folders, "there").await;
    killed(&folders, program).await;

    let program = Program::start(&folders, &[]);
    let run = V1::at(program.address().await).run(&lost).await;
    assert_eq!(run["state"], "lost");
    assert!(run["error"]["hint"].as_str().unwrap().contains("submit the request again"), "{run}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_comes_back_to_the_next_server_and_misses_only_what_is_new() {
    let folders = Folders::new();
    let program = Program::start(&folders, &[]);
    let client = V1::at(program.address().await);
    let run = client.submit(&json!({"prompt": "!say one\n!say two\n!touch there\n!hang"})).await;
    reached(&folders, "there").await;
    // What a client has received is what the store has.
    let seen = eventually_async("both messages", async || {
        let page = client.get(&format!("/v1/runs/{run}/events?types=agent.assistant")).await.body;
        page["data"].as_array().unwrap().get(1).and_then(|second| second["seq"].as_u64())
    })
    .await;
    killed(&folders, program).await;

    let program = Program::start(&folders, &[]);
    let client = V1::at(program.address().await);
    assert_eq!(types(&client.events_after(&run, seen).await), ["run.lost"]);
    let all = client.events(&run).await;
    assert_eq!(all.iter().filter(|event| event["type"] == "agent.assistant").count(), 2);
    assert_eq!(all.len() as u64, seen + 1);
}

/// The prompt may be with the CLI although the store does not know of it yet. Then nobody may give it once more.
async fn a_run_whose_start_was_not_stored_is_not_run_twice(engine: Engine) {
    let folders = Folders::new();
    let url = engine.url();
    let variables = [("MAX_CONCURRENT", "1"), ("ASKD_DATABASE_URL", &*url)];
    let program = Program::start(&folders, &variables);
    let client = V1::at(program.address().await);
    client.submit(&json!({"prompt": "!touch there\n!await go"})).await;
    reached(&folders, "there").await;
    let first_home = folders.data().join("homes").join(&folders.list("data/homes")[0]);
    let waiting = client.submit(&json!({"prompt": "!mark marks waiting\n!touch begun\n!hang"})).await;
    let stall = engine.stall(&folders.data()).await;
    folders.write("workspace/go", "");
    // Its turn has come: the home that there is now is its own. A server that begins it before the store has taken the
    // news has had time for that when the store is said to be stalled.
    eventually_async("its turn, and a store that is said to be stalled", async || {
        let turn = !std::fs::exists(&first_home).unwrap() && folders.list("data/homes").len() == 1;
        (turn && client.get("/readyz").await.status == 503).then_some(())
    })
    .await;
    killed(&folders, program).await;
    stall.end().await;

    let program = Program::start(&folders, &variables);
    let client = V1::at(program.address().await);
    // It was lost, or it is begun now.
    eventually_async("an end or a beginning", async || {
        let settled = client.run(&waiting).await["finished_at"].is_string();
        (settled || folders.workspace().join("begun").exists()).then_some(())
    })
    .await;
    if client.run(&waiting).await["state"] == "queued" {
        eventually_async("its beginning", async || (client.run(&waiting).await["state"] != "queued").then_some(()))
            .await;
    }
    let marks = std::fs::read_to_string(folders.workspace().join("marks")).unwrap_or_default();
    assert!(marks.lines().count() <= 1, "the prompt was given twice: {marks}; {}", client.run(&waiting).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_start_was_not_stored_is_not_run_twice_on_sqlite() {
    a_run_whose_start_was_not_stored_is_not_run_twice(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_start_was_not_stored_is_not_run_twice_on_postgresql() {
    a_run_whose_start_was_not_stored_is_not_run_twice(Engine::postgres().await).await;
}
