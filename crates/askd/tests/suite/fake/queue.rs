//! Who runs when: so many at once, so many waiting, so long, in order, and each session once.

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Answer, Folders, Program, TestServer, TestServerBuilder, V1, eventually, launcher};

async fn server(running: usize, waiting: usize) -> TestServer {
    let builder = TestServerBuilder::fake().set(|settings| {
        (settings.limits.max_concurrent, settings.limits.queue_length) = (running, waiting);
    });
    builder.start().await
}

/// Runs until it is released by the file `go`.
fn held(name: &str) -> Value {
    json!({"prompt": format!("!touch {name}\n!await go\n!result {name}")})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_at_once_and_says_so() {
    let server = server(1, 1).await;
    let running = server.ask_beside(&held("a"));
    server.reached("a").await;
    let waiting = server.ask_beside(&held("b"));
    server.busy_with(1, 1).await;
    assert_eq!(server.occupancy().await, (1, 1), "/health");
    for stream in [false, true] {
        let request = server.request(&json!({"prompt": "c", "stream": stream}));
        let refused = Answer::by(request).await;
        assert_eq!((refused.status, refused.code()), (429, "SERVER_BUSY"), "{refused:?}");
        assert!(refused.header("retry-after").is_some() && refused.message().contains("ASKD_QUEUE_LENGTH"));
    }
    server.release("go");
    assert_eq!((running.await.unwrap().result(), waiting.await.unwrap().result()), ("a", "b"));
    server.at_rest().await;
    assert_eq!(server.occupancy().await, (0, 0));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_too_long_is_refused_without_having_begun() {
    let builder = TestServerBuilder::fake().set(|settings| {
        settings.limits.max_concurrent = 1;
        settings.limits.queue_timeout = Duration::from_millis(200);
    });
    let server = builder.start().await;
    let running = server.ask_beside(&held("a"));
    server.reached("a").await;
    for stream in [false, true] {
        let request = server.request(&json!({"prompt": "!touch never", "stream": stream}));
        let refused = Answer::by(request).await;
        assert_eq!((refused.status, refused.code()), (429, "SERVER_BUSY"), "{refused:?}");
        assert!(refused.message().contains("QUEUE_TIMEOUT"), "{refused:?}");
        assert!(refused.body.get("result").is_none(), "it never began: {refused:?}");
    }
    server.release("go");
    assert_eq!(running.await.unwrap().result(), "a");
    server.at_rest().await;
    assert!(!server.folders.workspace().join("never").exists());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_go_in_the_order_of_arrival() {
    let server = server(1, 10).await;
    let first = server.ask_beside(&held("a"));
    server.reached("a").await;
    let mut others = Vec::new();
    for number in 0..4 {
        others.push(server.ask_beside(&json!({"prompt": format!("!await go\n!spawn plain\n!touch {number}")})));
        server.busy_with(1, number + 1).await;
    }
    server.release("go");
    first.await.unwrap();
    for other in others {
        other.await.unwrap();
    }
    let made = |number: usize| fs::metadata(server.folders.workspace().join(number.to_string())).unwrap().modified();
    assert!((0..3).all(|number| made(number).unwrap() < made(number + 1).unwrap()));
    server.at_rest().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_run_at_once_as_may() {
    let server = server(3, 10).await;
    let all: Vec<_> = ["a", "b", "c", "d"].into_iter().map(|name| server.ask_beside(&held(name))).collect();
    server.busy_with(3, 1).await;
    server.release("go");
    for run in all {
        assert_eq!(run.await.unwrap().status, 200);
    }
    server.at_rest().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_one_session_follow_each_other_and_hold_up_nobody() {
    let server = server(3, 10).await;
    let first = server.ask(json!({"prompt": "one"})).await;
    let session = first.body["session_id"].as_str().unwrap();
    let resumed = |prompt: &str| server.ask_beside(&json!({"prompt": prompt, "resume": session}));
    let second = resumed("!touch two\n!await go");
    server.reached("two").await;
    let third = resumed("!recall");
    server.busy_with(1, 1).await;
    assert_eq!(server.ask(json!({"prompt": "other"})).await.result(), "echo: other");
    assert!(!third.is_finished());
    server.release("go");
    second.await.unwrap();
    assert_eq!(third.await.unwrap().result(), "one / !touch two\n!await go", "the third saw what the second wrote");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_wait_hold_nothing_open() {
    let folders = Folders::new();
    #[expect(clippy::disallowed_methods, reason = "the program under test, with few descriptors")]
    let mut command = Command::new("sh");
    command.args(["-c", r#"ulimit -n 200 && exec "$0" "$@""#]).arg(launcher());
    let program = Program::start_by(command, &folders, &[("MAX_CONCURRENT", "2"), ("ASKD_QUEUE_LENGTH", "100")]);
    let client = V1::at(program.address().await);
    for number in 0..2 {
        client.submit(&json!({"prompt": format!("!touch there-{number}\n!await go\n!result first")})).await;
    }
    eventually("two runs at work", || folders.workspace().join("there-1").exists().then_some(())).await;
    let mut waiting = Vec::new();
    for _ in 0..80 {
        waiting.push(client.submit(&json!({"prompt": "!result fine", "cwd": "."})).await);
    }
    folders.write("workspace/go", "");
    for id in waiting {
        let run = client.ended(&id).await;
        assert_eq!(run["result"], "fine", "{run}\n{}", program.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_was_replaced_while_the_run_waited_is_not_entered() {
    let server = server(1, 10).await;
    server.folders.write("workspace/shop/file", "");
    let first = server.submit(held("first")).await;
    server.reached("first").await;
    let waits = server.submit(json!({"prompt": "!touch entered", "cwd": "shop"})).await;
    let shop = server.folders.workspace().join("shop");
    fs::rename(&shop, shop.with_file_name("moved")).unwrap();
    fs::create_dir(&shop).unwrap();
    server.release("go");
    let run = server.ended(&waits).await;
    assert_eq!(run["state"], "failed", "{run}");
    let message = run["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("cwd is no longer the folder that it was"), "{run}");
    assert!(!shop.join("entered").exists() && !shop.with_file_name("moved").join("entered").exists());
    assert_eq!(server.ended(&first).await["result"], "first");
    server.stop().await;
}
