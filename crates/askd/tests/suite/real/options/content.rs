//! Messages in blocks.

use serde_json::{Value, json};

use super::super::World;
use super::{bash, blocks};

/// One red point.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";

/// `%PDF-1.4` and no more: nobody on the way looks into it.
const PDF: &str = "JVBERi0xLjQKJSVFT0YK";

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn picture() -> Value {
    json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}})
}

fn document() -> Value {
    json!({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
        "title": "A title", "context": "Where it comes from."})
}

fn plain() -> Value {
    json!({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Grüße\n世界\u{2028}"}})
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_pictures_and_documents_arrive_byte_for_byte_and_again_when_the_session_goes_on() {
    let world = World::new().await;
    let sent = [text("--first @secret.txt"), picture(), document(), plain(), text("/context [[text:seen]]")];
    let run = world.completed(json!({"content": sent})).await;
    assert_eq!(run["result"], "seen");
    // Beside a picture the CLI adds a line end to the last text.
    let mut expected = sent.clone();
    expected[4] = text("/context [[text:seen]]\n");
    let places = |heard: Vec<Value>| -> Vec<usize> {
        let place = |block: &Value| heard.iter().position(|heard| heard == block);
        expected.iter().map(|block| place(block).unwrap_or_else(|| panic!("{block} is not in {heard:?}"))).collect()
    };
    assert!(places(blocks(&world.last_message())).is_sorted());
    assert!(!run.to_string().contains(PNG), "{run}");

    world.completed(json!({"prompt": "[[text:again]]", "session_id": run["session_id"]})).await;
    assert!(places(blocks(&world.last_message())).is_sorted());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_arrives_as_if_it_stood_in_the_message() {
    let world = World::new().await;
    let (png, pdf) = (decoded(PNG), decoded(PDF));
    let mut content = vec![text("[[text:seen]]")];
    for (kind, media_type, bytes) in [
        ("image", "image/png", png),
        ("document", "application/pdf", pdf),
        ("document", "text/plain", b"a text".to_vec()),
    ] {
        let request = world.server.posting("/v1/uploads").header("content-type", media_type).body(bytes);
        let upload: Value = request.send().await.unwrap().json().await.unwrap();
        content.push(json!({"type": kind, "source": {"type": "upload", "upload_id": upload["id"]}}));
    }
    world.completed(json!({"content": content})).await;
    let heard = blocks(&world.last_message());
    let plain = json!({"type": "text", "media_type": "text/plain", "data": "a text"});
    let pdf = json!({"type": "base64", "media_type": "application/pdf", "data": PDF});
    for block in [picture(), json!({"type": "document", "source": pdf}), json!({"type": "document", "source": plain})] {
        assert!(heard.contains(&block), "{block} is not in {heard:?}");
    }
    world.stop().await;
}

fn decoded(base64: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(base64).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_last_block_is_expanded_and_only_if_it_is_a_text() {
    let world = World::with(|server| server.file("workspace/notes.txt", "the note says 4711")).await;
    let answer = text("[[text:read]]");
    let mention = text("@notes.txt");
    for (content, is_read) in [(json!([answer, mention]), true), (json!([mention, answer]), false)] {
        world.completed(json!({"content": content, "expand": true})).await;
        assert_eq!(world.sent().contains("the note says 4711"), is_read, "{content}");
    }
    let picture_last = json!({"content": [answer, mention, picture()], "expand": true});
    let refused = world.server.post("/v1/runs", &picture_last).await;
    assert_eq!((refused.status, refused.param()), (400, "expand"), "{refused:?}");
    world.completed(json!({"content": [answer, mention]})).await;
    assert!(!world.sent().contains("the note says 4711"), "not without being asked to");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_further_message_may_have_a_picture() {
    let world = World::new().await;
    // As long as the file is not there, the first turn is under way.
    let first = bash("until test -e go; do sleep 0.05; done");
    let run = world.server.submit(json!({"prompt": first, "allowed_tools": ["Bash"]})).await;
    world.model_is_asked().await;
    let input = json!({"content": [picture(), text("[[text:second]]")], "priority": "later"});
    let taken = world.server.post(&format!("/v1/runs/{run}/input"), &input).await;
    assert_eq!(taken.status, 202, "{taken:?}");
    world.server.release("go");
    let ended = world.server.ended(&run).await;
    assert_eq!((&ended["state"], &ended["result"]), (&json!("completed"), &json!("second")), "{ended}");
    assert!(blocks(&world.last_message()).contains(&picture()));
    world.stop().await;
}
