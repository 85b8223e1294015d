//! A run of `/v1/runs` is its own: it outlives its client and, while it waits, its server.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{
    Engine, Folders, Program, Stream, TestServerBuilder, V1, eventually, eventually_async, marked_processes, types,
};

/// Makes its mark, and ends.
fn short(name: &str) -> Value {
    json!({"prompt": format!("!mark marks {name}\n!result {name}")})
}

/// The words of the file of marks: which runs had their prompt, in order.
fn marks(folders: &Folders) -> Vec<String> {
    let text = std::fs::read_to_string(folders.workspace().join("marks")).unwrap_or_default();
    text.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

fn start(folders: &Folders, engine: &Engine) -> Program {
    Program::start(folders, &[("MAX_CONCURRENT", "1"), ("ASKD_DATABASE_URL", &engine.url())])
}

async fn client_of(program: &Program) -> V1 {
    V1::at(program.address().await)
}

/// Starts a run that stays at work after its mark, and lets others wait behind it. Their ids, the first one's first.
async fn one_at_work_and_three_waiting(client: &V1, folders: &Folders) -> Vec<String> {
    let first = client.submit(&json!({"prompt": "!mark marks a\n!touch there\n!await go\n!result a"})).await;
    eventually("the first run", || folders.workspace().join("there").exists().then_some(())).await;
    let mut ids = vec![first];
    for name in ["b", "c", "d"] {
        ids.push(client.submit(&short(name)).await);
    }
    ids
}

/// The three that waited run in their order, each once, under the numbers that they had.
async fn those_that_waited_run_in_order(client: &V1, folders: &Folders, waiting: &[String]) {
    for (id, name) in waiting.iter().zip(["b", "c", "d"]) {
        let run = client.ended(id).await;
        assert_eq!((&run["state"], &run["result"]), (&json!("completed"), &json!(name)));
        let events = client.events(id).await;
        for once in ["run.queued", "run.started", "run.completed"] {
            assert_eq!(types(&events).iter().filter(|kind| **kind == once).count(), 1, "{once}: {events:?}");
        }
    }
    assert_eq!(marks(folders), ["a", "b", "c", "d"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_outlives_its_client() {
    let server = TestServerBuilder::fake().start().await;
    let client = V1::at(server.address);
    let body = json!({"prompt": "!touch there\n!await go\n!result fine"});
    let response = client.post("/runs", &body).header("accept", "text/event-stream").send().await.unwrap();
    let id = response.headers()["x-askd-run-id"].to_str().unwrap().to_owned();
    let mut stream = Stream::of(response);
    while stream.next().await.unwrap().event.as_deref() != Some("run.started") {}
    server.reached("there").await;
    drop(stream);
    // The server has noticed that the client is gone when a later connection is served; the run does not mind.
    assert_eq!(client.run(&id).await["state"], "running");
    server.release("go");
    let run = client.ended(&id).await;
    assert_eq!((&run["state"], &run["result"]), (&json!("completed"), &json!("fine")));
    assert_eq!(types(&client.events(&id).await).last(), Some(&"run.completed"));
    server.at_rest().await;
    server.stop().await;
}

async fn a_place_in_the_queue_is_kept_over_a_restart(engine: Engine) {
    let folders = Folders::new();
    let mut program = start(&folders, &engine);
    let ids = one_at_work_and_three_waiting(&client_of(&program).await, &folders).await;
    program.signal(Signal::TERM);
    eventually("the drain", || program.log().contains("draining").then_some(())).await;
    folders.write("workspace/go", "");
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.log());
    assert_eq!(marks(&folders), ["a"], "a server that drains begins nothing");

    let program = start(&folders, &engine);
    let client = client_of(&program).await;
    those_that_waited_run_in_order(&client, &folders, &ids[1..]).await;
    assert_eq!(client.run(&ids[0]).await["state"], "completed", "what was at work was let end");
}

async fn a_place_in_the_queue_is_kept_over_kill_9(engine: Engine) {
    let folders = Folders::new();
    let mut program = start(&folders, &engine);
    let ids = one_at_work_and_three_waiting(&client_of(&program).await, &folders).await;
    program.signal(Signal::KILL);
    program.ended().await;
    eventually("the end of every process", || marked_processes(&folders.data()).is_empty().then_some(())).await;

    let program = start(&folders, &engine);
    let client = client_of(&program).await;
    assert_eq!(client.run(&ids[0]).await["state"], "lost", "what was at work is settled before the first request");
    those_that_waited_run_in_order(&client, &folders, &ids[1..]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_in_the_queue_is_kept_over_a_restart_on_sqlite() {
    a_place_in_the_queue_is_kept_over_a_restart(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_in_the_queue_is_kept_over_a_restart_on_postgresql() {
    a_place_in_the_queue_is_kept_over_a_restart(Engine::postgres().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_in_the_queue_is_kept_over_kill_9_on_sqlite() {
    a_place_in_the_queue_is_kept_over_kill_9(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_in_the_queue_is_kept_over_kill_9_on_postgresql() {
    a_place_in_the_queue_is_kept_over_kill_9(Engine::postgres().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_ask_is_cancelled_when_its_server_was_killed() {
    let folders = Folders::new();
    let mut program = start(&folders, &Engine::Sqlite);
    let client = client_of(&program).await;
    client.submit(&json!({"prompt": "!touch there\n!hang"})).await;
    eventually("the first run", || folders.workspace().join("there").exists().then_some(())).await;
    let request = program.request(&short("b")).await;
    let ask = crate::harness::beside(async move { drop(request.send().await) });
    let queued = eventually_async("the queued run", async || {
        let list = client.get("/v1/runs?state=queued").await.body;
        list["data"][0]["id"].as_str().map(str::to_owned)
    })
    .await;
    program.signal(Signal::KILL);
    program.ended().await;
    ask.await.unwrap();

    let program = start(&folders, &Engine::Sqlite);
    let client = client_of(&program).await;
    let run = client.run(&queued).await;
    assert_eq!(run["state"], "cancelled", "{run}");
    assert_eq!(types(&client.events(&queued).await), ["run.queued", "run.cancelled"]);
    assert_eq!(marks(&folders), [""; 0], "nobody waited for it, so it was not begun");
}
