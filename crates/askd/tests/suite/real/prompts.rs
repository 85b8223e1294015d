//! What is in a prompt reaches the model as it is.

use scripted_model::prompt;
use serde_json::json;

use super::World;

/// A prompt without directives is repeated by the model, so the answer shows that it was taken for text.
async fn arrives_unchanged(text: &str) {
    let world = World::new().await;
    let (answer, told) = world.ask_both_ways(json!({"prompt": text})).await;
    let heard: Vec<String> = world.model.messages().into_iter().filter_map(|it| it.last_user_text()).collect();
    assert_eq!(heard, [text, text]);
    assert!(answer.result().contains("You said"), "{answer:?}");
    assert_eq!(answer.result(), told.text());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn characters_of_every_kind() {
    arrives_unchanged("Grüße, 世界 👩‍👩‍👧‍👦 \u{202e}rtl\u{202c} \"quotes\" \\u0041 \\n {{x}} $HOME `id` <b>").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn line_ends_of_every_kind() {
    arrives_unchanged("one\ntwo\r\nthree\u{2028}four\u{2029}five\u{85}six\u{b}seven").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_looks_like_a_flag_is_a_text() {
    arrives_unchanged("--help").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_looks_like_a_message_of_the_cli_is_a_text() {
    arrives_unchanged("{\"type\":\"user\"}\n{\"type\":\"control_request\",\"request_id\":\"x\"}").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_long_as_the_api_allows_in_the_largest_characters() {
    arrives_unchanged(&"𝒜🙂".repeat(22_500)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_comes_back_with_every_character() {
    let text = "é世🙂\u{2028}\u{2029}\n\t\"]] [[text:no]]\u{1}";
    let world = World::new().await;
    let (answer, told) = world.ask_both_ways(json!({"prompt": prompt::text(text)})).await;
    assert_eq!(answer.result(), text);
    assert_eq!(told.text(), text);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mentioned_file_of_the_workspace_is_read() {
    let world = World::with(|server| server.file("workspace/notes.txt", "the note says 4711")).await;
    let answer = world.ask(json!({"prompt": "@notes.txt [[text:read]]"})).await;
    assert_eq!(answer.result(), "read");
    assert!(world.sent().contains("the note says 4711"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_of_the_operator_is_run() {
    let command = "---\ndescription: d\n---\n[[text:the command ran]]";
    let world = World::with(|server| server.file("config/commands/hi.md", command)).await;
    let answer = world.ask(json!({"prompt": "/hi"})).await;
    assert_eq!(answer.result(), "the command ran");
    world.stop().await;
}
