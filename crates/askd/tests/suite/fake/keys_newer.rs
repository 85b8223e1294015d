//! A key that a later version of the server has changed: it opens nothing here, and holds up nobody else.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{
    Answer, Engine, Folders, Outside, Program, TestServer, TestServerBuilder, V1, eventually, eventually_async,
    marked_processes,
};

/// What a later server might write.
const LATER: &str = r#"UPDATE keys SET policy = '{"of_a_later_askd":1}' WHERE name = 'user'"#;

/// Has a later server change the keys of the name `user`.
async fn change(url: &str) {
    let store = Outside::of(url).await;
    store.execute(LATER).await;
    store.close().await;
}

fn sqlite(folders: &Folders) -> String {
    format!("sqlite://{}?mode=rw", folders.data().join("askd.db").display())
}

async fn server() -> TestServer {
    TestServerBuilder::fake().set(|settings| settings.limits.max_concurrent = 1).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_listed_with_the_others_cannot_be_changed_and_is_revoked_with_its_runs() {
    let server = server().await;
    let (holder, other) = (server.user(json!({})).await, server.holder(&json!({"name": "x", "scopes": ["ask"]})).await);
    let working = holder.submit(json!({"prompt": "!touch there\n!hang"})).await;
    server.reached("there").await;
    let waiting = holder.submit(json!({"prompt": "!touch begun"})).await;
    change(&sqlite(&server.folders)).await;
    let listed = server.get("/v1/keys").await.body;
    let ids: Vec<_> = listed["data"].as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap()).collect();
    assert!(ids.contains(&&*holder.id) && ids.contains(&&*other.id), "{listed}");
    let path = format!("/v1/keys/{}", holder.id);
    let one = server.get(&path).await.body;
    assert_eq!(
        (&one["name"], &one["readable"], &one["valid"]),
        (&json!("user"), &json!(false), &json!(false)),
        "{one}"
    );
    assert!(one.get("policy").is_none() && one["created_at"].is_string(), "{one}");
    assert_eq!(holder.get("/v1/runs").await.status, 500);
    let renamed = server.sending(reqwest::Method::PATCH, &path).json(&json!({"name": "x"}));
    for refused in [Answer::by(renamed).await, server.post(&format!("{path}/rotate"), &json!({})).await] {
        assert_eq!((refused.status, refused.kind()), (409, "conflict_error"), "{refused:?}");
        assert!(refused.message().contains("cannot read the key"), "{refused:?}");
    }
    let revoked = server.post(&format!("{path}/revoke"), &json!({})).await;
    assert_eq!((revoked.status, &revoked.body["runs_ended"]), (200, &json!(2)), "{revoked:?}");
    assert!(revoked.body["revoked_at"].is_string(), "{revoked:?}");
    for run in [working, waiting] {
        assert_eq!(server.ended(&run).await["state"], "cancelled");
    }
    assert!(!server.folders.workspace().join("begun").exists());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_it_ends_at_its_turn_and_its_place_is_the_next_ones() {
    let server = server().await;
    let holder = server.user(json!({})).await;
    let working = server.submit(json!({"prompt": "!touch there\n!await go"})).await;
    server.reached("there").await;
    let waiting = holder.submit(json!({"prompt": "!touch begun"})).await;
    change(&sqlite(&server.folders)).await;
    server.release("go");
    assert_eq!(server.ended(&working).await["state"], "completed");
    assert_unreadable(&server.ended(&waiting).await);
    let next = server.submit(json!({"prompt": "x"})).await;
    assert_eq!(server.ended(&next).await["state"], "completed");
    assert!(!server.folders.workspace().join("begun").exists());
    server.stop().await;
}

fn assert_unreadable(run: &Value) {
    assert_eq!((&run["state"], &run["error"]["type"]), (&json!("failed"), &json!("invalid")), "{run}");
    assert_eq!(run["error"]["message"], "its key cannot be read by this version of the server", "{run}");
}

/// The server starts, takes up what it can, and leaves the run to servers that know more, for as long as it may wait.
async fn a_run_of_it_holds_up_no_start(engine: Engine) {
    let folders = Folders::new();
    let url = engine.url();
    let start = |patience: &str| {
        let variables = [("MAX_CONCURRENT", "1"), ("ASKD_DATABASE_URL", &*url), ("ASKD_RUN_QUEUE_TIMEOUT", patience)];
        Program::start(&folders, &variables)
    };
    let mut program = start("24h");
    let client = V1::at(program.address().await);
    client.submit(&json!({"prompt": "!touch there\n!hang"})).await;
    eventually("the run at work", || folders.workspace().join("there").exists().then_some(())).await;
    let body = json!({"name": "user", "scopes": ["runs:write"]});
    let made = Answer::by(client.post("/keys", &body)).await.body;
    let request = reqwest::Client::new().post(format!("http://{}/v1/runs", program.address().await));
    let request = request.header("x-api-key", made["key"].as_str().unwrap());
    let left = Answer::by(request.json(&json!({"prompt": "!touch begun"}))).await;
    assert_eq!(left.status, 202, "{left:?}");
    let usual = client.submit(&json!({"prompt": "!result usual"})).await;
    kill(&folders, &mut program).await;
    change(&if url.is_empty() { sqlite(&folders) } else { url.clone() }).await;

    let mut program = start("24h");
    let client = V1::at(program.address().await);
    assert_eq!(client.ended(&usual).await["result"], "usual");
    assert_eq!(client.get("/readyz").await.status, 200);
    assert_eq!(client.run(left.run_id()).await["state"], "queued");
    kill(&folders, &mut program).await;

    let program = start("1s");
    let client = V1::at(program.address().await);
    // Looked at at the start, and now and then.
    let ended = eventually_async("the end of what waited too long", async || {
        let run = client.run(left.run_id()).await;
        (run["state"] != "queued").then_some(run)
    })
    .await;
    assert_unreadable(&ended);
    assert!(!folders.workspace().join("begun").exists());
}

async fn kill(folders: &Folders, program: &mut Program) {
    program.signal(Signal::KILL);
    program.ended().await;
    eventually("the end of every process", || marked_processes(&folders.data()).is_empty().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_it_holds_up_no_start_on_sqlite() {
    a_run_of_it_holds_up_no_start(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_it_holds_up_no_start_on_postgresql() {
    a_run_of_it_holds_up_no_start(Engine::postgres().await).await;
}
