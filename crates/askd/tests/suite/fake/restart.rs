//! Runs that wait over a restart: nothing of them is begun by a server that does not serve, and each is run once or says
//! why not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use askd::ambient::Ambient;
use askd::serve;
use rustix::process::Signal;
use serde_json::json;

use crate::harness::{
    Engine, Folders, Outside, Program, TestServerBuilder, V1, beside, eventually, eventually_async, launcher,
    marked_processes, types,
};

/// Which runs had their prompt, in order.
fn marks(folders: &Folders) -> Vec<String> {
    let text = std::fs::read_to_string(folders.workspace().join("marks")).unwrap_or_default();
    text.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

fn start(folders: &Folders, engine: &Engine) -> Program {
    Program::start(folders, &[("MAX_CONCURRENT", "1"), ("ASKD_DATABASE_URL", &engine.url())])
}

/// Starts a run that holds the one place until the file `go` is there.
async fn one_at_work(client: &V1, folders: &Folders) -> String {
    let run = client.submit(&json!({"prompt": "!touch there\n!await go"})).await;
    eventually("the run at work", || folders.workspace().join("there").exists().then_some(())).await;
    run
}

/// A server that was killed with runs of these names waiting; their ids.
async fn killed_with_waiting(folders: &Folders, engine: &Engine, names: &[&str]) -> Vec<String> {
    let mut program = start(folders, engine);
    let client = V1::at(program.address().await);
    one_at_work(&client, folders).await;
    let mut ids = Vec::new();
    for name in names {
        ids.push(client.submit(&json!({"prompt": format!("!mark marks {name}\n!result {name}")})).await);
    }
    kill(folders, &mut program).await;
    ids
}

async fn kill(folders: &Folders, program: &mut Program) {
    program.signal(Signal::KILL);
    program.ended().await;
    eventually("the end of every process", || marked_processes(&folders.data()).is_empty().then_some(())).await;
}

/// The next server runs them, each once and in this order.
async fn they_are_run(folders: &Folders, engine: &Engine, ids: &[String], names: &[&str]) {
    let program = start(folders, engine);
    let client = V1::at(program.address().await);
    for (id, name) in ids.iter().zip(names) {
        let run = client.ended(id).await;
        assert_eq!((&run["state"], &run["result"]), (&json!("completed"), &json!(name)), "{run}");
        assert_eq!(types(&client.events(id).await).iter().filter(|kind| **kind == "run.started").count(), 1);
    }
    assert_eq!(marks(folders), names);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_serves_begins_nothing() {
    let folders = Folders::new();
    let ids = killed_with_waiting(&folders, &Engine::Sqlite, &["a", "b"]).await;
    let TestServerBuilder { mut settings, .. } = TestServerBuilder::fake();
    let data = folders.data();
    (settings.paths.data_dir, settings.paths.workspace_dir) = (data.clone(), folders.workspace());
    settings.paths.config_dir = folders.config();
    let server = serve::prepare(settings, Ambient::system(), launcher()).await.unwrap();
    let app = Arc::clone(server.app());
    let occupancy = app.runs().occupancy();
    assert_eq!((occupancy.active, occupancy.queued), (0, 2), "they have their places again");
    drop(server);
    for id in &ids {
        let row = app.runs().shared().store.run(id).await.unwrap().unwrap();
        assert_eq!((row.state.as_str(), row.last_seq), ("queued", 1));
    }
    assert_eq!((marked_processes(&data), folders.list("data/homes")), (vec![], vec![]));
    // What waits for its turn goes with the server.
    app.lifecycle().drain();
    app.lifecycle().finished().await;
    app.runs().shared().store.close().await;
    assert_eq!(marks(&folders), [""; 0]);
    they_are_run(&folders, &Engine::Sqlite, &ids, &["a", "b"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_in_the_middle_of_the_recovery_begins_nothing() {
    let engine = Engine::postgres().await;
    let folders = Folders::new();
    let names = ["a", "b", "c"];
    let ids = killed_with_waiting(&folders, &engine, &names).await;
    // The last one cannot be taken up, so the start stands still with two that have been.
    let holder = Outside::of(&engine.url()).await;
    holder.execute(&format!("BEGIN; SELECT 1 FROM runs WHERE id = '{}' FOR UPDATE", ids[2])).await;
    let outside = Outside::of(&engine.url()).await;
    for signal in [Signal::TERM, Signal::INT] {
        let taken_up = "SELECT MIN(epoch) FROM runs WHERE state = 'queued' AND id <> ";
        let taken_up = format!("{taken_up}'{}'", ids[2]);
        let before = outside.number(&taken_up).await;
        let mut program = start(&folders, &engine);
        eventually_async("two that are taken up", async || (outside.number(&taken_up).await > before).then_some(()))
            .await;
        let begin = Instant::now();
        program.signal(signal);
        assert_eq!(program.ended().await.code(), Some(0), "{}", program.log());
        assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
        assert!(!program.log().contains("listens on"), "it never served: {}", program.log());
    }
    assert_eq!(outside.number("SELECT COUNT(*) FROM runs WHERE state = 'queued' AND last_seq = 1").await, 3);
    assert_eq!((marks(&folders), folders.list("data/homes")), (vec![], vec![]));
    holder.execute("ROLLBACK").await;
    holder.close().await;
    outside.close().await;
    they_are_run(&folders, &engine, &ids, &names).await;
}

async fn an_ask_that_goes_on_alone_waits_for_the_next_server(engine: Engine) {
    let folders = Folders::new();
    let mut program = start(&folders, &engine);
    let client = V1::at(program.address().await);
    one_at_work(&client, &folders).await;
    let mut asked = Vec::new();
    for stream in [false, true] {
        let body = json!({"prompt": format!("!mark marks {stream}\n!result {stream}"), "stream": stream});
        let request = program.request(&body).await.header("x-askd-on-disconnect", "continue");
        asked.push(beside(async move { crate::harness::Answer::by(request).await }));
        eventually_async("its place", async || {
            let waiting = client.get("/v1/runs?state=queued").await.body;
            (waiting["data"].as_array().unwrap().len() == asked.len()).then_some(())
        })
        .await;
    }
    program.signal(Signal::TERM);
    let mut ids = Vec::new();
    for asked in asked {
        let answer = asked.await.unwrap();
        assert_eq!((answer.status, answer.code()), (503, "SHUTTING_DOWN"), "{answer:?}");
        let id = answer.run_id().to_owned();
        assert!(answer.message().contains("kept"), "{answer:?}");
        assert!(answer.message().contains(&format!("/v1/runs/{id}/events")), "{answer:?}");
        ids.push(id);
    }
    folders.write("workspace/go", "");
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.log());
    assert_eq!(marks(&folders), [""; 0], "a server that drains begins nothing");
    they_are_run(&folders, &engine, &ids, &["false", "true"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ask_that_goes_on_alone_waits_for_the_next_server_on_sqlite() {
    an_ask_that_goes_on_alone_waits_for_the_next_server(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ask_that_goes_on_alone_waits_for_the_next_server_on_postgresql() {
    an_ask_that_goes_on_alone_waits_for_the_next_server(Engine::postgres().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_folder_is_gone_says_so_and_holds_up_no_other() {
    let folders = Folders::new();
    folders.write("workspace/project/file", "");
    let mut program = start(&folders, &Engine::Sqlite);
    let client = V1::at(program.address().await);
    one_at_work(&client, &folders).await;
    let homeless = client.submit(&json!({"prompt": "!touch never", "cwd": "project"})).await;
    let other = client.submit(&json!({"prompt": "!mark marks other\n!result other"})).await;
    kill(&folders, &mut program).await;
    std::fs::remove_dir_all(folders.workspace().join("project")).unwrap();

    they_are_run(&folders, &Engine::Sqlite, &[other], &["other"]).await;
    let program = start(&folders, &Engine::Sqlite);
    let client = V1::at(program.address().await);
    let run = client.run(&homeless).await;
    assert_eq!((&run["state"], &run["error"]["type"]), (&json!("failed"), &json!("invalid")), "{run}");
    let message = run["error"]["message"].as_str().unwrap();
    assert!(message.contains("restart") && message.contains("cwd does not exist in the workspace root"), "{run}");
    assert_eq!(types(&client.events(&homeless).await), ["run.queued", "run.failed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_has_waited_for_as_long_as_it_asked_for_is_not_begun_by_the_next_server() {
    let folders = Folders::new();
    let mut program = start(&folders, &Engine::Sqlite);
    let client = V1::at(program.address().await);
    one_at_work(&client, &folders).await;
    let late = client.submit(&json!({"prompt": "!touch never", "queue_timeout_seconds": 3})).await;
    // By the server's clock it has waited for longer.
    let submitted = Instant::now();
    kill(&folders, &mut program).await;
    eventually("the end of its patience", || (submitted.elapsed() > Duration::from_secs(3)).then_some(())).await;
    let program = start(&folders, &Engine::Sqlite);
    let client = V1::at(program.address().await);
    let run = client.run(&late).await;
    assert_eq!(
        (&run["state"], &run["error"]["type"]),
        (&json!("failed"), &json!("busy")),
        "it is settled at the start"
    );
    assert_eq!(run["error"]["message"], "the run waited for 3s and got no turn (queue_timeout_seconds)");
    assert!(!folders.workspace().join("never").exists());
}
