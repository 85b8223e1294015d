//! What a run may use up. Each run that takes more is ended alone, and its neighbour goes on.
//!
//! Nothing isolates these runs but what is always there: the server's own look at what they use.

use askd::settings::groups::RunLimits;
use serde_json::{Value, json};

use crate::harness::{Folders, Program, TestServer, TestServerBuilder, eventually};

/// Runs a script whose run is to be ended with this type of error; the neighbour completes.
async fn expect_end(script: &str, kind: &str, setting: &str, set: impl FnOnce(&mut RunLimits)) -> Value {
    let server = TestServerBuilder::fake().set(|settings| set(&mut settings.run_limits)).start().await;
    let neighbour = server.submit(json!({"prompt": "!touch there\n!await go\n!result fine"})).await;
    server.reached("there").await;
    let run = server.run(json!({"prompt": script})).await;
    assert_eq!((&run["state"], &run["error"]["type"]), (&json!("failed"), &json!(kind)), "{run}");
    assert!(run["error"]["message"].as_str().unwrap().contains(setting), "{run}");
    server.busy_with(1, 0).await;
    server.release("go");
    let neighbour = server.ended(&neighbour).await;
    assert_eq!((&neighbour["state"], &neighbour["result"]), (&json!("completed"), &json!("fine")), "{neighbour}");
    server.at_rest().await;
    server.stop().await;
    run
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_takes_too_much_memory_is_ended() {
    let run = expect_end("!attack memory 300 20", "memory_limit", "ASKD_MAX_MEMORY", |limits| {
        limits.memory = 128 << 20;
    })
    .await;
    assert!(run["error"]["message"].as_str().unwrap().contains("128MiB"), "{run}");
}

/// Forks of one process that have changed nothing are seen by every quick look as if each had all of it.
#[tokio::test(flavor = "multi_thread")]
async fn memory_that_forks_share_is_no_breach() {
    let server = TestServerBuilder::fake().set(|settings| settings.run_limits.memory = 192 << 20).start().await;
    let run = server.run(json!({"prompt": "!attack forks 12 32 2"})).await;
    assert_eq!(run["state"], "completed", "{run}");
    assert!(run["result"].as_str().unwrap().contains("12 forks"), "{run}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn less_than_the_limits_is_no_breach() {
    let server = TestServerBuilder::fake()
        .set(|settings| {
            let limits = &mut settings.run_limits;
            (limits.memory, limits.processes, limits.open_files, limits.home) = (256 << 20, 100, 200, 64 << 20);
        })
        .start()
        .await;
    let script = "!open 100\n!attack memory 100 1\n!attack threads 50 1\n!attack fill ~/x 16 2\n!result fine";
    let run = server.run(json!({"prompt": script})).await;
    assert_eq!((&run["state"], &run["result"]), (&json!("completed"), &json!("fine")), "{run}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_too_many_processes_is_ended() {
    expect_end("!attack bomb 6 20", "process_limit", "ASKD_MAX_PROCESSES", |limits| limits.processes = 64).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn threads_count_as_processes() {
    expect_end("!attack threads 200 20", "process_limit", "ASKD_MAX_PROCESSES", |limits| limits.processes = 100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_too_many_open_files_is_ended() {
    expect_end("!open 1000\n!hang", "open_files_limit", "ASKD_MAX_OPEN_FILES", |limits| limits.open_files = 100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fills_its_home_is_ended() {
    expect_end("!attack fill ~/x 24 20", "disk_limit", "ASKD_MAX_HOME", |limits| limits.home = 10 << 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn temporary_files_count_as_its_home() {
    expect_end("!attack fill ~/tmp/x 24 20", "disk_limit", "ASKD_MAX_HOME", |limits| limits.home = 10 << 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_deeper_than_paths_reach_are_no_place_to_hide_and_go_with_the_home() {
    expect_end("!dig 3000\n!hang", "disk_limit", "folders too deep", |_| {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_single_file_may_be_larger_than_a_home_wherever_it_is() {
    let server = TestServerBuilder::fake().set(|settings| settings.run_limits.home = 1 << 20).start().await;
    let run = server.run(json!({"prompt": "!attack fill large 8 0"})).await;
    let said = run["result"].as_str().unwrap();
    assert!(run["state"] == "completed" && !said.contains(r#""worked":true"#) && said.contains("signal: 25"), "{run}");
    server.stop().await;
}

/// The codes of `/ask`, which has fewer.
#[tokio::test(flavor = "multi_thread")]
async fn on_ask_a_limit_is_a_run_that_failed() {
    let server = TestServerBuilder::fake().set(|settings| settings.run_limits.open_files = 100).start().await;
    let answer = server.ask(json!({"prompt": "!open 1000\n!hang"})).await;
    assert_eq!((answer.status, answer.code()), (500, "RUN_FAILED"), "{answer:?}");
    assert!(answer.message().contains("ASKD_MAX_OPEN_FILES"), "{answer:?}");
    server.at_rest().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_how_much_memory_a_run_took() {
    let folders = Folders::new();
    let program = Program::start(&folders, &[("ASKD_ISOLATION", "off")]);
    let answer = program.ask(&json!({"prompt": "!attack memory 100 3\n!result fine"})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let line = || program.log().lines().find(|line| line.contains("run ended")).map(str::to_owned);
    let ended: Value = serde_json::from_str(&eventually("the line of its end", line).await).unwrap();
    assert!(ended["max_memory_bytes"].as_u64().is_some_and(|most| most > 100 << 20), "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_that_ignores_sigterm_is_killed_at_once() {
    let grace = std::time::Duration::from_mins(1);
    let server = TestServerBuilder::fake()
        .set(|settings| {
            settings.run_limits.open_files = 100;
            (settings.stopping.soft, settings.stopping.eof, settings.stopping.term) = (grace, grace, grace);
        })
        .start()
        .await;
    let run = server.run(json!({"prompt": "!stubborn\n!spawn stubborn\n!spawn setsid\n!open 1000\n!hang"})).await;
    assert_eq!(run["error"]["type"], "open_files_limit", "{run}");
    // Much sooner than the graces.
    server.at_rest().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_bound_has_an_error_type_of_its_own() {
    // Each is short of one thing only: on a slow machine another bound would be met first.
    async fn kind(server: &TestServer, body: Value) -> Value {
        server.run(body).await["error"]["type"].clone()
    }
    let server = TestServerBuilder::fake()
        .set(|settings| (settings.output.max_line, settings.output.max_output) = (64 << 10, 128 << 10))
        .start()
        .await;
    assert_eq!(kind(&server, json!({"prompt": "!big 65k\n!result fine"})).await, "line_limit");
    assert_eq!(kind(&server, json!({"prompt": "!flood 200k"})).await, "output_limit");
    let silent = json!({"prompt": "!say half\n!hang", "idle_timeout_seconds": 1});
    assert_eq!(kind(&server, silent).await, "idle_timeout");
    assert_eq!(kind(&server, json!({"prompt": "!drip 1000 20", "timeout_seconds": 1})).await, "timeout");
    server.stop().await;
    let short = std::time::Duration::from_millis(300);
    let silent = TestServerBuilder::fake_that("no-reply").set(|settings| settings.deadlines.first_output = short);
    let silent = silent.start().await;
    assert_eq!(kind(&silent, json!({"prompt": "x"})).await, "first_output_timeout");
    silent.stop().await;
}
