//! A session goes on in another process, with another home.

use std::fs;

use serde_json::json;

use crate::harness::{TestServer, TestServerBuilder};

async fn session_of(server: &TestServer, prompt: &str) -> String {
    let answer = server.ask(json!({"prompt": prompt})).await;
    answer.body["session_id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resumed_session_knows_what_was_said() {
    let server = TestServerBuilder::fake().file("workspace/other/x", "").start().await;
    let session = session_of(&server, "one").await;
    let second = server.ask(json!({"prompt": "two", "resume": session, "cwd": "other"})).await;
    assert_eq!((second.result(), second.body["session_id"].as_str()), ("echo: two", Some(&*session)));
    assert_eq!(server.ask(json!({"prompt": "!recall", "resume": session})).await.result(), "one / two");
    server.at_rest().await;
    assert_eq!(server.folders.list("data/sessions"), [session]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_new_run_has_a_session_of_its_own() {
    let server = TestServerBuilder::fake().start().await;
    let (first, second) = (session_of(&server, "one").await, session_of(&server, "two").await);
    assert_ne!(first, second);
    assert_eq!(server.ask(json!({"prompt": "!recall", "resume": first})).await.result(), "one");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_failed_keeps_its_transcript() {
    let server = TestServerBuilder::fake().start().await;
    let session = session_of(&server, "one").await;
    for prompt in ["!die", "!result {\"is_error\":true}"] {
        assert_eq!(server.ask(json!({"prompt": prompt, "resume": session})).await.status, 500);
    }
    let answer = server.ask(json!({"prompt": "!recall", "resume": session})).await;
    assert_eq!(answer.result(), "one / !result {\"is_error\":true}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_resumes_follow_each_other() {
    let server = TestServerBuilder::fake().start().await;
    let session = session_of(&server, "first").await;
    let resumes: Vec<_> =
        (0..5).map(|number| server.ask_beside(&json!({"prompt": format!("p{number}"), "resume": session}))).collect();
    for resume in resumes {
        assert_eq!(resume.await.unwrap().status, 200);
    }
    let all = server.ask(json!({"prompt": "!recall", "resume": session})).await.result().to_owned();
    let mut prompts: Vec<_> = all.split(" / ").collect();
    prompts.sort_unstable();
    assert_eq!(prompts, ["first", "p0", "p1", "p2", "p3", "p4"], "none overwrote what another had written");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_the_cli_made_by_itself_is_taken_in() {
    let session = "11111111-2222-4333-8444-555555555555";
    let entry = json!({"type": "user", "message": {"role": "user", "content": "long ago"}});
    let path = format!("config/projects/-some-folder/{session}.jsonl");
    let server = TestServerBuilder::fake().file(&path, &format!("{entry}\n")).start().await;
    assert_eq!(server.ask(json!({"prompt": "!recall", "resume": session})).await.result(), "long ago");
    server.at_rest().await;
    let foreign = fs::read_to_string(server.folders.root().join(path)).unwrap();
    assert_eq!(foreign, format!("{entry}\n"), "the CLI's own copy is left alone");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resume_that_cannot_begin_leaves_the_transcript_as_it_was() {
    let server = TestServerBuilder::fake().set(|settings| settings.paths.max_session = 4096).start().await;
    let session = session_of(&server, "one").await;
    server.at_rest().await;
    let transcript = format!("data/sessions/{session}/{session}.jsonl");
    let extras = format!("data/sessions/{session}/{session}/tool-results/large");
    server.folders.write(&extras, &"x".repeat(5000));
    let before = fs::read_to_string(server.folders.root().join(&transcript)).unwrap();
    let refused = server.ask(json!({"prompt": "two", "resume": session})).await;
    assert_eq!((refused.status, refused.code()), (500, "RUN_FAILED"));
    assert!(!refused.message().contains('/'), "no path of the server: {}", refused.message());
    server.at_rest().await;
    assert_eq!(fs::read_to_string(server.folders.root().join(&transcript)).unwrap(), before);
    assert_eq!(fs::read_to_string(server.folders.root().join(&extras)).unwrap().len(), 5000);
    server.stop().await;
}
