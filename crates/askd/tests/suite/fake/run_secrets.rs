//! Variables and MCP servers of a run: they reach its programs and nobody else, and outlive a crash only sealed.

use std::path::Path;

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::harness::{
    Answer, Engine, Folders, Outside, Program, TestServerBuilder, V1, eventually, eventually_async, marked_processes,
};

/// Two keys of 32 bytes, in both forms.
const KEY: &str = "mDCn5sWfUOeCkWlFJOHv3YIcZBb2TBbzYBdqTfXbhyQ=";
const OTHER_KEY: &str = "1f0e9d8c7b6a59483726150493a2b1c0d9e8f7061524334251607f8e9dacbb0a";

/// What must never be seen, each in a place of its own.
const VALUES: [&str; 4] = ["sesame-of-a-variable", "sesame of a header", "sesame-of-a-server", "sesame-in-its-url"];

/// A request with all of them.
fn secret(prompt: &str) -> Value {
    json!({
        "prompt": prompt,
        "env": {"DEPLOY_TOKEN": VALUES[0]},
        "mcp_servers": {
            "web": {
                "type": "http",
                "url": format!("https://user:{}@127.0.0.1:1/mcp", VALUES[3]),
                "headers": {"X-Tracker": VALUES[1]},
            },
            "local": {"command": "true", "env": {"SERVER_TOKEN": VALUES[2]}},
        },
    })
}

fn start(folders: &Folders, engine: &Engine, key: &str) -> Program {
    let url = engine.url();
    let variables =
        [("MAX_CONCURRENT", "1"), ("ASKD_DATABASE_URL", &url), ("ASKD_SECRET_KEY", key), ("ASKD_LOG", "trace")];
    Program::start(folders, &variables)
}

/// Starts a run that holds the one place until the file `go` is there.
async fn one_at_work(client: &V1, folders: &Folders) {
    client.submit(&json!({"prompt": "!touch there\n!await go"})).await;
    eventually("the run at work", || folders.workspace().join("there").exists().then_some(())).await;
}

async fn killed(folders: &Folders, program: &mut Program) {
    program.signal(Signal::KILL);
    program.ended().await;
    eventually("the end of every process", || marked_processes(&folders.data()).is_empty().then_some(())).await;
}

/// Looks for the values in a text.
fn holds_none(what: &str, text: &[u8]) {
    for value in VALUES {
        let found = memchr::memmem::find(text, value.as_bytes());
        assert_eq!(found, None, "{what} holds {value}: {:.3000}", String::from_utf8_lossy(text));
    }
}

/// Looks for the values in every file of a folder; how many there were.
fn files_hold_none(folder: &Path) -> usize {
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files += files_hold_none(&path);
        } else if let Ok(bytes) = std::fs::read(&path) {
            holds_none(&path.display().to_string(), &bytes);
            files += 1;
        }
    }
    files
}

/// How many runs have secrets in the store.
async fn kept(folders: &Folders) -> i64 {
    let store = Outside::of(&format!("sqlite://{}?mode=ro", folders.data().join("askd.db").display())).await;
    let kept = store.number("SELECT COUNT(*) FROM run_secrets").await;
    store.close().await;
    kept
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_reach_the_runs_programs_and_nobody_else() {
    let folders = Folders::new();
    let mut program = start(&folders, &Engine::Sqlite, KEY);
    let client = V1::at(program.address().await);
    one_at_work(&client, &folders).await;
    let submitted = Answer::by(client.post("/runs", &secret("!report"))).await;
    assert_eq!(submitted.status, 202, "{submitted:?}");
    holds_none("the answer", submitted.body.to_string().as_bytes());
    assert_eq!(kept(&folders).await, 1);
    assert!(files_hold_none(&folders.data()) > 1);
    folders.write("workspace/go", "");
    let id = submitted.body["id"].as_str().unwrap();
    let run = client.ended(id).await;
    assert_eq!(run["state"], "completed", "{run}");
    let report: Value = serde_json::from_str(run["result"].as_str().unwrap()).unwrap();
    assert_eq!(report["environment"]["DEPLOY_TOKEN"], "[redacted]", "it has the value, and whoever reads has not");
    let servers = &report["initialize"]["mcpServers"];
    assert_eq!(servers["web"]["headers"]["X-Tracker"], "[redacted]", "{report}");
    assert_eq!(servers["local"]["env"]["SERVER_TOKEN"], "[redacted]", "{report}");
    assert_eq!(kept(&folders).await, 0);
    let events = serde_json::to_vec(&client.events(id).await).unwrap();
    let list = client.get("/v1/runs").await.body;
    assert!(list.to_string().contains("DEPLOY_TOKEN"), "names are no secret: {list}");
    program.signal(Signal::TERM);
    program.ended().await;
    for (what, text) in [
        ("the run", run.to_string()),
        ("the list", list.to_string()),
        ("the log", program.log()),
        ("the events", String::from_utf8(events).unwrap()),
    ] {
        holds_none(what, text.as_bytes());
    }
    // In all that is left on the disk: the database, its log, transcripts.
    assert!(files_hold_none(&folders.data()) > 1);
}

async fn a_run_that_waits_has_its_secrets_after_a_crash(engine: Engine) {
    let folders = Folders::new();
    let mut program = start(&folders, &engine, KEY);
    let client = V1::at(program.address().await);
    one_at_work(&client, &folders).await;
    let id = client.submit(&secret("!report")).await;
    killed(&folders, &mut program).await;
    files_hold_none(&folders.data());
    let program = start(&folders, &engine, KEY);
    let client = V1::at(program.address().await);
    let run = client.ended(&id).await;
    assert_eq!(run["state"], "completed", "{run}");
    let report: Value = serde_json::from_str(run["result"].as_str().unwrap()).unwrap();
    assert_eq!(report["environment"]["DEPLOY_TOKEN"], "[redacted]");
    assert_eq!(report["initialize"]["mcpServers"]["local"]["env"]["SERVER_TOKEN"], "[redacted]", "{report}");
    holds_none("the run", run.to_string().as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_has_its_secrets_after_a_crash_with_sqlite() {
    a_run_that_waits_has_its_secrets_after_a_crash(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_has_its_secrets_after_a_crash_with_postgres() {
    a_run_that_waits_has_its_secrets_after_a_crash(Engine::postgres().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_secrets_cannot_be_opened_ends_and_says_why() {
    for (key, why) in [(OTHER_KEY, "sealed with another ASKD_SECRET_KEY"), ("", "has no ASKD_SECRET_KEY now")] {
        let folders = Folders::new();
        let mut program = start(&folders, &Engine::Sqlite, KEY);
        let client = V1::at(program.address().await);
        one_at_work(&client, &folders).await;
        let id = client.submit(&secret("!mark marks begun")).await;
        killed(&folders, &mut program).await;
        let mut program = start(&folders, &Engine::Sqlite, key);
        let client = V1::at(program.address().await);
        let run = client.ended(&id).await;
        assert_eq!((&run["state"], &run["error"]["type"]), (&json!("failed"), &json!("invalid")), "{run}");
        assert!(run["error"]["message"].as_str().unwrap().contains(why), "{run}");
        assert_eq!(kept(&folders).await, 0);
        program.signal(Signal::TERM);
        program.ended().await;
        holds_none("the log", program.log().as_bytes());
        assert!(!folders.workspace().join("marks").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_only_runs_that_end_with_their_client_have_secrets() {
    let server = TestServerBuilder::fake().start().await;
    let env = json!({"prompt": "!report", "env": {"DEPLOY_TOKEN": VALUES[0]}});
    let mcp = json!({"prompt": "!report", "mcp_servers": {"web": {"type": "http", "url": "http://127.0.0.1:1/"}}});
    for (body, param) in [(&env, "env"), (&mcp, "mcp_servers")] {
        let refused = server.post("/v1/runs", body).await;
        assert_eq!((refused.status, refused.param()), (400, param), "{refused:?}");
        for way in ["ASKD_SECRET_KEY", "\"on_disconnect\": \"cancel\""] {
            assert!(refused.message().contains(way), "{refused:?}");
        }
    }
    assert_eq!(server.get("/v1/runs").await.body["data"], json!([]));
    let mut held = env.clone();
    held["on_disconnect"] = "cancel".into();
    let run = server.run(held).await;
    let report: Value = serde_json::from_str(run["result"].as_str().unwrap()).unwrap();
    assert_eq!(report["environment"]["DEPLOY_TOKEN"], "[redacted]");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_ends_with_its_client_has_its_secrets_in_memory_only() {
    let folders = Folders::new();
    let program = start(&folders, &Engine::Sqlite, KEY);
    let client = V1::at(program.address().await);
    one_at_work(&client, &folders).await;
    let mut held = secret("!report");
    held["on_disconnect"] = "cancel".into();
    let request = client.post("/runs?wait=60", &held);
    let waiting = crate::harness::beside(async move { Answer::by(request).await });
    eventually_async("a run that waits", async || {
        let queued = client.get("/v1/runs?state=queued").await.body;
        (queued["data"].as_array().unwrap().len() == 1).then_some(())
    })
    .await;
    assert_eq!(kept(&folders).await, 0);
    files_hold_none(&folders.data());
    folders.write("workspace/go", "");
    assert_eq!(waiting.await.unwrap().body["state"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_with_another_value_is_another_request() {
    let server = TestServerBuilder::fake().start().await;
    let send = async |value: &str| {
        let body = json!({"prompt": "!result x", "env": {"A_TOKEN": value}, "on_disconnect": "cancel"});
        let request = server.posting("/v1/runs?wait=60").header("idempotency-key", "once").json(&body);
        Answer::by(request).await
    };
    let first = send(VALUES[0]).await;
    assert_eq!((first.status, send(VALUES[0]).await.run_id()), (200, first.run_id()));
    let other = send("another value").await;
    assert_eq!((other.status, other.param()), (422, "Idempotency-Key"), "{other:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_the_database_is_no_way_to_test_guesses_of_a_secret() {
    let server = TestServerBuilder::fake().start().await;
    let holder = server.user(json!({})).await;
    let body = json!({"prompt": "!result x", "env": {"A_TOKEN": VALUES[0]}, "on_disconnect": "cancel"});
    let mut hashes = Vec::new();
    for request in [server.posting("/v1/runs?wait=60"), holder.sending(Method::POST, "/v1/runs?wait=60")] {
        let answer = Answer::by(request.header("idempotency-key", "once").json(&body)).await;
        assert_eq!(answer.body["state"], "completed", "{answer:?}");
        let guess = Sha256::digest(format!("\n{body}"));
        hashes.push(format!("'{}'", guess.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))));
    }
    let file = server.folders.data().join("askd.db");
    let store = Outside::of(&format!("sqlite://{}?mode=ro", file.display())).await;
    assert_eq!(store.number("SELECT COUNT(DISTINCT body_hash) FROM idempotency").await, 2, "each key has its own");
    let guessed = format!("SELECT COUNT(*) FROM idempotency WHERE body_hash IN ({})", hashes.join(", "));
    assert_eq!(store.number(&guessed).await, 0);
    store.close().await;
    server.stop().await;
}
