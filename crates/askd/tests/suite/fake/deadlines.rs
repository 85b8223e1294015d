//! How long each part of a run may take.

use std::time::{Duration, Instant};

use askd::settings::Settings;
use serde_json::json;

use crate::harness::{Answer, TestServer, TestServerBuilder};

const SHORT: Duration = Duration::from_millis(300);

/// Asks, and expects `TIMEOUT` with a text that names the setting; the tree is gone afterwards.
async fn expect_timeout(options: &str, prompt: &str, setting: &str, set: impl FnOnce(&mut Settings)) -> Answer {
    let server = TestServerBuilder::fake_that(options).set(set).start().await;
    let answer = server.ask(json!({"prompt": prompt})).await;
    assert_eq!((answer.status, answer.code()), (504, "TIMEOUT"), "{answer:?}");
    assert!(answer.message().contains(setting), "{answer:?}");
    server.at_rest().await;
    server.stop().await;
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cli_that_never_replies_to_initialize() {
    expect_timeout("no-reply", "x", "ASKD_FIRST_OUTPUT_TIMEOUT", |settings| settings.deadlines.first_output = SHORT)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cli_that_stalls_in_the_middle() {
    expect_timeout("", "!say half\n!hang", "ASKD_IDLE_TIMEOUT", |settings| settings.deadlines.idle = SHORT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cli_that_goes_on_for_ever() {
    let answer = expect_timeout("", "!drip 100000 20", "PROCESS_TIMEOUT", |settings| {
        settings.deadlines.process_timeout = Duration::from_secs(1);
    })
    .await;
    assert!(answer.body["result"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stubborn_cli_is_ended_all_the_same() {
    expect_timeout("", "!stubborn\n!spawn stubborn\n!hang", "ASKD_IDLE_TIMEOUT", |settings| {
        settings.deadlines.idle = SHORT;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_output_is_not_silence() {
    // Less than all of the output takes, and far more than lies between two lines, also on a slow machine.
    let idle = Duration::from_secs(4);
    let server = TestServerBuilder::fake().set(|settings| settings.deadlines.idle = idle).start().await;
    let answer = server.ask(json!({"prompt": "!drip 45 100\n!result slow"})).await;
    assert_eq!(answer.result(), "slow");
    server.stop().await;
}

async fn with_result_grace(grace: Duration) -> TestServer {
    TestServerBuilder::fake().set(|settings| settings.deadlines.result_grace = grace).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cli_that_gives_its_result_and_hangs_has_answered() {
    let server = with_result_grace(SHORT).await;
    let answer = server.ask(json!({"prompt": "!result fine\n!hang"})).await;
    assert_eq!(answer.result(), "fine");
    server.at_rest().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_before_the_input_was_seen_is_not_the_end() {
    let server = with_result_grace(Duration::from_mins(1)).await;
    let prompt = "!bare\n!state idle\n!lifecycle started\n!state running\n!sleep 50\n!result later";
    assert_eq!(server.ask(json!({"prompt": prompt})).await.result(), "later");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_background_agent_brings_the_answer_in_a_second_result() {
    let server = with_result_grace(SHORT).await;
    let prompt = "!background local_agent research\n!result first\n!lifecycle completed\n!sleep 600\n!background\n\
                  !say now I know\n!result second";
    assert_eq!(server.ask(json!({"prompt": prompt})).await.result(), "second");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_turn_after_a_background_agent_may_take_its_time() {
    let server = with_result_grace(SHORT).await;
    let prompt = "!background local_agent research\n!result first\n!lifecycle completed\n!background\n!sleep 900\n\
                  !result second";
    assert_eq!(server.ask(json!({"prompt": prompt})).await.result(), "second");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_background_agent_that_dies_with_the_cli_leaves_no_answer() {
    let server = with_result_grace(SHORT).await;
    let answer = server.ask(json!({"prompt": "!background local_agent research\n!result first\n!exit 0"})).await;
    assert_eq!((answer.status, answer.code()), (500, "RUN_FAILED"), "{answer:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_background_command_does_not_hold_up_the_answer_and_is_named() {
    let server = with_result_grace(Duration::from_mins(1)).await;
    let begin = Instant::now();
    let answer = server.ask(json!({"prompt": "!spawn setsid\n!background local_bash sleep 1000\n!result fine"})).await;
    assert_eq!(answer.result(), "fine");
    assert!(begin.elapsed() < Duration::from_secs(30));
    assert!(answer.header("x-askd-warning").unwrap().contains("sleep 1000"), "{answer:?}");
    server.at_rest().await;
    server.stop().await;
}
