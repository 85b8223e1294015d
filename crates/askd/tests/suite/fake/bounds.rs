//! How much a run may say.

use serde_json::json;

use crate::harness::TestServerBuilder;

#[tokio::test(flavor = "multi_thread")]
async fn a_line_over_the_limit_ends_its_run_and_names_the_setting() {
    let server = TestServerBuilder::fake().set(|settings| settings.output.max_line = 1 << 20).start().await;
    let answer = server.ask(json!({"prompt": "!big 1100k\n!result fine"})).await;
    assert_eq!((answer.status, answer.code()), (500, "RUN_FAILED"), "{answer:?}");
    assert!(answer.message().contains("ASKD_MAX_LINE"), "{answer:?}");
    server.at_rest().await;
    assert_eq!(server.ask(json!({"prompt": "!big 1000k\n!result fine"})).await.result(), "fine");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_without_end_is_not_collected_for_ever() {
    let server = TestServerBuilder::fake().set(|settings| settings.output.max_line = 1 << 20).start().await;
    let answer = server.ask(json!({"prompt": format!("!hex {}\n!big 20m", "7b".repeat(10))})).await;
    assert!(answer.message().contains("ASKD_MAX_LINE"), "{answer:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_says_too_much_is_ended() {
    let server = TestServerBuilder::fake().set(|settings| settings.output.max_output = 4 << 20).start().await;
    for prompt in ["!flood 100m", "!line {\"type\":\"keep_alive\"}\n!flood 100m 100k"] {
        let answer = server.ask(json!({"prompt": prompt})).await;
        assert_eq!((answer.status, answer.code()), (500, "RUN_FAILED"), "{answer:?}");
        assert!(answer.message().contains("ASKD_MAX_OUTPUT"), "{answer:?}");
        server.at_rest().await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_are_no_messages_count_as_output_all_the_same() {
    let server = TestServerBuilder::fake().set(|settings| settings.output.max_output = 16 << 10).start().await;
    for junk in [format!("!hex {}0a\n", "ff".repeat(10_000)), format!("!line {}\n", "x".repeat(20_000))] {
        let answer = server.ask(json!({"prompt": format!("{junk}!result fine")})).await;
        assert!(answer.message().contains("ASKD_MAX_OUTPUT"), "{answer:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn warnings_of_junk_do_not_go_on_without_end() {
    let server = TestServerBuilder::fake().start().await;
    let prompt = "!line junk\n".repeat(1000) + "!result fine";
    let blocks = server.stream(json!({"prompt": prompt})).await.rest().await;
    let warnings = blocks.iter().filter(|block| block.comment.is_some()).count();
    assert!((1..=30).contains(&warnings), "{warnings}");
    assert_eq!(server.ask(json!({"prompt": prompt})).await.result(), "fine");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_on_standard_error_hold_nothing_up() {
    let server = TestServerBuilder::fake_that("stderr 20m").start().await;
    assert_eq!(server.ask(json!({"prompt": "!stderr 20m\n!result fine"})).await.result(), "fine");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_cli_writes_on_standard_error_is_not_told_to_the_caller() {
    let server = TestServerBuilder::fake().start().await;
    let answer = server.ask(json!({"prompt": "!stderr 1k\n!exit 3"})).await;
    assert!(answer.message().contains("exit code 3") && !answer.message().contains("eee"), "{answer:?}");
    server.stop().await;
}
