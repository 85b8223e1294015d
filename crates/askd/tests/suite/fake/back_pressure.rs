//! Who is slow costs time and not memory: a reader its own, a store that of the CLI.

use serde_json::{Value, json};

use crate::harness::{
    Answer, Engine, Folders, Program, RawClient, TestServerBuilder, V1, eventually, eventually_async, types,
};

/// What one run may cost in memory, whoever does not read it.
const MOST_GROWTH: u64 = 32 << 20;

/// The scripted CLI of the only run: it notes the process that it has spawned.
fn cli_process(folders: &Folders) -> u32 {
    let noted = std::fs::read_to_string(folders.workspace().join("pids")).unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", noted.trim())).unwrap();
    stat.rsplit(") ").next().unwrap().split(' ').nth(1).unwrap().parse().unwrap()
}

/// How much it has written.
fn written(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("wchar: ")?.parse().ok()).unwrap_or(0)
}

/// Waits until it writes no more, and says how much it has written.
async fn paused(pid: u32) -> u64 {
    let mut last = (0, 0);
    eventually("the pause of the CLI", || {
        let now = written(pid);
        last = if now == last.0 { (now, last.1 + 1) } else { (now, 0) };
        (last.1 > 50).then_some(now)
    })
    .await
}

/// Numbers of the scripted CLI's messages, in the order of the events.
fn numbers(events: &[Value]) -> Vec<usize> {
    let messages = events.iter().filter(|event| event["type"] == "agent.assistant");
    let text = |event: &Value| event["data"]["message"]["content"][0]["text"].as_str().unwrap()[..8].to_owned();
    messages.map(|event| text(event).parse().unwrap()).collect()
}

/// What a reader that reads again still gets of a run that completes.
async fn to_the_end(reader: &mut RawClient) -> String {
    let mut all = Vec::new();
    // The last chunk of the body, of length 0.
    while !all.ends_with(b"\r\n0\r\n\r\n") {
        let bytes = reader.read(64 * 1024).await;
        assert!(!bytes.is_empty(), "the connection was cut");
        all.extend(bytes);
    }
    String::from_utf8(all).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_at_any_pace_sees_everything_and_the_run_does_not_wait_for_it() {
    // The log is larger than what is kept in memory, and than what fits into a connection.
    let server = TestServerBuilder::fake().set(|settings| settings.output.ring_bytes = 256 << 10).start().await;
    let client = V1::at(server.address);
    let run = client.submit(&json!({"prompt": "!touch there\n!await go\n!flood 12m 4k"})).await;
    server.reached("there").await;
    let mut reader = client.raw_events(&run).await;
    let mut all = Vec::new();
    for _ in 0..100 {
        all.extend(reader.read(1).await);
    }
    server.release("go");
    // A byte now and then is all that it reads until the run has ended.
    let ended = eventually_async("the end of the run", async || {
        all.extend(reader.read(1).await);
        let run = client.run(&run).await;
        run["finished_at"].is_string().then_some(run)
    })
    .await;
    assert_eq!(ended["state"], "completed");
    assert!(all.len() < 64 << 10, "{} bytes were read", all.len());
    all.extend(to_the_end(&mut reader).await.into_bytes());
    let text = String::from_utf8(all).unwrap();
    let ids: Vec<u64> = text.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect();
    assert_eq!(ids, (1..=ended["last_seq"].as_u64().unwrap()).collect::<Vec<_>>());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_reads_nothing_costs_little_memory_and_the_run_ends_without_it() {
    let folders = Folders::new();
    let program = Program::start(&folders, &[("ASKD_WRITE_TIMEOUT", "60s")]);
    let client = V1::at(program.address().await);
    // What the first run of all costs is not what is asked here.
    client.ended(&client.submit(&json!({"prompt": "!flood 1m"})).await).await;
    let before = program.resident();
    let run = client.submit(&json!({"prompt": "!touch there\n!await go\n!flood 64m"})).await;
    let mut reader = client.raw_events(&run).await;
    reader.until("run.started").await;
    folders.write("workspace/go", "");
    let mut most = 0;
    let ended = eventually_async("the end of the run", async || {
        most = most.max(program.resident());
        let run = client.run(&run).await;
        run["finished_at"].is_string().then_some(run)
    })
    .await;
    assert_eq!(ended["state"], "completed");
    assert!(most.saturating_sub(before) <= MOST_GROWTH, "{} bytes for a reader that reads nothing", most - before);
    let rest = to_the_end(&mut reader).await;
    assert!(rest.contains("event: agent.result") && rest.contains(&format!("id: {}\n", ended["last_seq"])));
}

async fn a_store_that_stalls_pauses_the_cli_and_nothing_is_lost(engine: Engine) {
    let folders = Folders::new();
    let program = Program::start(&folders, &[("ASKD_DATABASE_URL", &*engine.url())]);
    let client = V1::at(program.address().await);
    client.ended(&client.submit(&json!({"prompt": "!flood 1m"})).await).await;
    let run = client.submit(&json!({"prompt": "!spawn plain\n!touch there\n!await go\n!flood 24m 4k"})).await;
    eventually("the run", || folders.workspace().join("there").exists().then_some(())).await;
    let (cli, before) = (cli_process(&folders), program.resident());
    let stall = engine.stall(&folders.data()).await;
    let waiting = written(cli);
    folders.write("workspace/go", "");
    // A CLI that has not begun yet is none that pauses.
    eventually("the first of its output", || (written(cli) > waiting).then_some(())).await;
    let amount = paused(cli).await;
    assert!(amount < 16 << 20, "it has written {amount} bytes that nobody could store");
    let growth = program.resident().saturating_sub(before);
    assert!(growth <= MOST_GROWTH, "{growth} bytes while nothing could be stored");
    let not_ready = eventually_async("a server that is not ready", async || {
        let answer = client.get("/readyz").await;
        (answer.status == 503).then_some(answer)
    })
    .await;
    assert_eq!(not_ready.body["checks"]["store"]["ok"], false, "{not_ready:?}");
    assert_eq!(client.get("/livez").await.status, 200, "a restart would not help");
    // What looks like a pause on a slow machine may have been none; there is no more than one that lasts.
    let amount = paused(cli).await;
    assert!(amount < 16 << 20, "it waits, and has written {amount} bytes");

    stall.end().await;
    assert_eq!(client.ended(&run).await["state"], "completed");
    eventually_async("readiness", async || (client.get("/readyz").await.status == 200).then_some(())).await;
    let events = client.events(&run).await;
    assert_eq!(numbers(&events), (0..(24 << 20) / 4097).collect::<Vec<_>>());
    assert_eq!(types(&events).last(), Some(&"run.completed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_stalls_pauses_the_cli_and_nothing_is_lost_on_sqlite() {
    a_store_that_stalls_pauses_the_cli_and_nothing_is_lost(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_stalls_pauses_the_cli_and_nothing_is_lost_on_postgresql() {
    a_store_that_stalls_pauses_the_cli_and_nothing_is_lost(Engine::postgres().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_that_cannot_be_stored_is_refused_in_time_and_starts_nothing() {
    let folders = Folders::new();
    let program = Program::start(&folders, &[("ASKD_STORE_TIMEOUT", "3s")]);
    let client = V1::at(program.address().await);
    let stall = Engine::Sqlite.stall(&folders.data()).await;
    let body = json!({"prompt": "!touch begun"});
    let refused = Answer::by(client.post("/runs", &body)).await;
    assert_eq!((refused.status, &refused.body["error"]["type"]), (503, &json!("overloaded_error")), "{refused:?}");
    assert!(refused.header("retry-after").is_some());
    let refused = program.ask(&body).await;
    assert_eq!((refused.status, refused.code()), (503, "STORE_UNAVAILABLE"), "{refused:?}");
    stall.end().await;
    assert_eq!(client.ended(&client.submit(&json!({"prompt": "hello"})).await).await["result"], "echo: hello");
    assert!(!folders.workspace().join("begun").exists(), "what was refused is not begun later");
    let all = client.get("/v1/runs").await.body;
    assert_eq!(all["data"].as_array().unwrap().len(), 1, "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_says_too_much_is_ended_and_its_log_stays_readable() {
    let server = TestServerBuilder::fake().set(|settings| settings.output.max_output = 4 << 20).start().await;
    let client = V1::at(server.address);
    let run = client.ended(&client.submit(&json!({"prompt": "!flood 64m"})).await).await;
    assert_eq!(run["state"], "failed", "{run}");
    assert!(run["error"]["message"].as_str().unwrap().contains("ASKD_MAX_OUTPUT"), "{run}");
    let events = client.events(run["id"].as_str().unwrap()).await;
    let bytes: usize = events.iter().map(|event| event["data"].to_string().len()).sum();
    assert!((3 << 20..5 << 20).contains(&bytes), "{bytes} bytes");
    assert_eq!(types(&events).last(), Some(&"run.failed"));
    server.at_rest().await;
    server.stop().await;
}
