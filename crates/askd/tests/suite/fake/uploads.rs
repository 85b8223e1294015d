//! `/v1/uploads`: what is taken and what is not, whose it is, and that what does not come to its end leaves nothing.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::harness::{
    Answer, Folders, Holder, Outside, Program, RawClient, TestServer, TestServerBuilder, eventually_async,
};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR and whatever a picture has";

/// `POST /v1/uploads` with the right key, not yet sent.
fn sending(server: &TestServer, kind: &str, query: &str) -> RequestBuilder {
    server.posting(&format!("/v1/uploads{query}")).header("content-type", kind)
}

async fn sent(request: RequestBuilder, body: impl Into<reqwest::Body>) -> Answer {
    Answer::by(request.body(body)).await
}

/// An upload that is taken; its id.
async fn uploaded(server: &TestServer, kind: &str, body: &[u8]) -> String {
    let answer = sent(sending(server, kind, ""), body.to_vec()).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.body["id"].as_str().unwrap().to_owned()
}

async fn uploaded_by(holder: &Holder, body: &[u8]) -> String {
    let request = holder.sending(Method::POST, "/v1/uploads").header("content-type", "image/png");
    let answer = sent(request, body.to_vec()).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.body["id"].as_str().unwrap().to_owned()
}

async fn deleted(server: &TestServer, id: &str) -> Answer {
    let request = server.sending(Method::DELETE, &format!("/v1/uploads/{id}"));
    Answer::by(request).await
}

/// Waits until neither an upload nor a part of one is in the store.
async fn nothing_is_left(folders: &Folders) {
    let store = Outside::of(&format!("sqlite://{}?mode=ro", folders.data().join("askd.db").display())).await;
    eventually_async("no trace of an upload", async || {
        let left = "SELECT (SELECT COUNT(*) FROM uploads) + (SELECT COUNT(*) FROM upload_parts)";
        (store.number(left).await == 0).then_some(())
    })
    .await;
    store.close().await;
}

/// A request with this block.
fn with(block: &str, id: &str, script: &str) -> Value {
    let source = json!({"type": "upload", "upload_id": id});
    json!({"content": [{"type": "text", "text": script}, {"type": block, "source": source}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_stored_as_it_was_sent_and_shown_without_its_bytes() {
    let server = TestServerBuilder::fake().start().await;
    // More than one part, and nothing that would fit parts.
    let text = "grüße, 世界 🦀\n".repeat(40_000);
    let made = sent(sending(&server, "text/plain; charset=utf-8", "?name=gr%C3%BC%C3%9Fe.txt"), text.clone()).await;
    assert_eq!(made.status, 201, "{made:?}");
    let id = made.body["id"].as_str().unwrap();
    assert_eq!(made.header("location"), Some(format!("/v1/uploads/{id}").as_str()));
    let hash = {
        use sha2::Digest as _;
        askd::hex::hex(&sha2::Sha256::digest(&text))
    };
    for (field, value) in [
        ("type", json!("upload")),
        ("key", json!("admin")),
        ("media_type", json!("text/plain")),
        ("name", json!("grüße.txt")),
        ("size", json!(text.len())),
        ("sha256", json!(hash)),
    ] {
        assert_eq!(made.body[field], value, "{field}");
    }
    let time = |field: &str| made.body[field].as_str().unwrap().parse::<Timestamp>().unwrap();
    assert_eq!(time("expires_at").duration_since(time("created_at")).as_hours(), 24);
    assert_eq!(server.get(&format!("/v1/uploads/{id}")).await.body, made.body);
    let mut bytes = Vec::new();
    while let Some(part) = server.app.runs().shared().store.upload_part(id, bytes.len() as u64).await.unwrap() {
        assert!(part.len() <= 256 << 10);
        bytes.push(part);
    }
    assert_eq!(bytes.concat(), text.as_bytes());
    let picture = uploaded(&server, "image/png", PNG).await;
    let list = server.get("/v1/uploads?limit=1").await.body;
    assert_eq!(list["data"][0]["id"], json!(picture), "the newest first: {list}");
    let next = list["next_page"].as_str().unwrap();
    let rest = server.get(&format!("/v1/uploads?limit=1&page={next}")).await.body;
    assert_eq!(rest, json!({"data": [made.body], "next_page": null}));
    for id in [id, &picture] {
        assert_eq!(deleted(&server, id).await.status, 204);
        assert_eq!(server.get(&format!("/v1/uploads/{id}")).await.kind(), "not_found_error");
        assert_eq!(deleted(&server, id).await.status, 404);
    }
    nothing_is_left(&server.folders).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_request_is_told_before_its_body_is_read() {
    let server = TestServerBuilder::fake().start().await;
    for (kind, query, header, status, param) in [
        ("", "", None, 415, "content-type"),
        ("image/svg+xml", "", None, 415, "content-type"),
        ("multipart/form-data; boundary=x", "", None, 415, "content-type"),
        ("text/plain; charset=latin1", "", None, 415, "content-type"),
        ("image/png", "?name=", None, 400, "name"),
        ("image/png", "?name=a%0Ab", None, 400, "name"),
        ("image/png", "?name=invoice%E2%80%AEfdp.exe", None, 400, "name"),
        ("image/png", "?nam=a", None, 400, "nam"),
        ("image/png", "", Some(("idempotency-key", "a")), 400, "Idempotency-Key"),
        ("text/plain", "", Some(("content-encoding", "gzip")), 415, "content-encoding"),
    ] {
        let mut client = RawClient::connect(server.address).await;
        let header = header.map_or(String::new(), |(name, value)| format!("{name}: {value}\r\n"));
        let kind = if kind.is_empty() { String::new() } else { format!("content-type: {kind}\r\n") };
        let head = format!(
            "POST /v1/uploads{query} HTTP/1.1\r\nhost: localhost\r\nx-api-key: {}\r\n{kind}{header}\
             expect: 100-continue\r\ncontent-length: 1000\r\nconnection: close\r\n\r\n",
            askd::settings::Settings::TEST_API_KEY
        );
        client.send(&head).await;
        let answer = client.rest().await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{query} {kind}: {answer}");
        assert!(answer.contains(&format!("\"param\":\"{param}\"")), "{query} {kind}: {answer}");
    }
    nothing_is_left(&server.folders).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_what_it_is_said_to_be_is_refused_and_leaves_nothing() {
    let server = TestServerBuilder::fake().start().await;
    let late = [vec![b'x'; 600 << 10], vec![0xff]].concat();
    let damaged = [&PNG[..8], &[0; 100]].concat();
    for (kind, body, why) in [
        ("image/png", &b"GIF89a and so on"[..], "is said to be image/png, and begins like image/gif"),
        ("image/jpeg", PNG, "begins like image/png"),
        ("application/pdf", b"<html></html>", "does not begin like it"),
        ("image/webp", b"", "is empty"),
        ("image/png", &damaged, "does not say how large the picture is"),
        ("text/plain", b"a terminal's \x1b[1mtext", "it holds the control character U+001B"),
        ("text/plain", b"h\0i\0", "NUL"),
        ("text/plain", &late, "is no text in UTF-8"),
    ] {
        let answer = sent(sending(&server, kind, ""), body.to_vec()).await;
        assert_eq!((answer.status, answer.kind()), (400, "invalid_request_error"), "{kind}: {answer:?}");
        assert!(answer.message().contains(why), "{kind}: {answer:?}");
    }
    nothing_is_left(&server.folders).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_too_large_is_refused_by_its_length_and_by_its_bytes() {
    let server = TestServerBuilder::fake().set(|settings| settings.uploads.max_size = 1 << 20).start().await;
    let most = [PNG, &vec![0; (1 << 20) - PNG.len()]].concat();
    assert_eq!(sent(sending(&server, "image/png", ""), most.clone()).await.status, 201);
    let beyond = [most.as_slice(), &[0]].concat();
    let by_length = sent(sending(&server, "image/png", ""), beyond.clone()).await;
    assert_eq!((by_length.status, by_length.kind()), (413, "request_too_large"), "{by_length:?}");
    assert_eq!(by_length.message(), "the upload is larger than 1MiB (ASKD_MAX_UPLOAD)");
    let pieces: Vec<_> = beyond.chunks(100_000).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
    let body = reqwest::Body::wrap_stream(stream::iter(pieces));
    let by_bytes = sent(sending(&server, "image/png", ""), body).await;
    assert_eq!((by_bytes.status, by_bytes.kind()), (413, "request_too_large"), "{by_bytes:?}");
    let list = server.get("/v1/uploads").await.body;
    assert_eq!(list["data"].as_array().unwrap().len(), 1, "{list}");
    let id = list["data"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(deleted(&server, &id).await.status, 204);
    nothing_is_left(&server.folders).await;
    server.stop().await;
}

/// An upload whose head is sent, with the first bytes of a body that would have so many.
async fn half_sent(server: &TestServer, token: &str, length: usize) -> RawClient {
    let mut client = RawClient::connect(server.address).await;
    let head = format!(
        "POST /v1/uploads HTTP/1.1\r\nhost: localhost\r\nx-api-key: {token}\r\ncontent-type: text/plain\r\n\
         content-length: {length}\r\nconnection: close\r\nexpect: 100-continue\r\n\r\n"
    );
    client.send(&head).await;
    client.until("100 Continue").await;
    client.send("half of a text").await;
    client
}

async fn one_is_coming(server: &TestServer) {
    let file = server.folders.data().join("askd.db");
    let store = Outside::of(&format!("sqlite://{}?mode=ro", file.display())).await;
    eventually_async("an upload that comes in", async || {
        (store.number("SELECT COUNT(*) FROM uploads").await == 1).then_some(())
    })
    .await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_cut_off_leaves_nothing() {
    let server = TestServerBuilder::fake().start().await;
    let key = askd::settings::Settings::TEST_API_KEY;
    let client = half_sent(&server, key, 600 << 10).await;
    one_is_coming(&server).await;
    assert_eq!(server.get("/v1/uploads").await.body["data"], json!([]), "it is not there yet");
    drop(client);
    nothing_is_left(&server.folders).await;
    // A client that says that nothing more comes.
    let mut client = half_sent(&server, key, 600 << 10).await;
    client.end().await;
    client.rest().await;
    nothing_is_left(&server.folders).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_does_not_arrive_in_time_is_refused_and_leaves_nothing() {
    let patience = Duration::from_millis(300);
    let server = TestServerBuilder::fake().set(|settings| settings.server.body_timeout = patience).start().await;
    let mut client = half_sent(&server, askd::settings::Settings::TEST_API_KEY, 1000).await;
    let answer = client.rest().await;
    assert!(answer.contains("HTTP/1.1 408 ") && answer.contains("ASKD_BODY_TIMEOUT"), "{answer}");
    nothing_is_left(&server.folders).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_falls_silent_does_not_keep_its_place_for_as_long_as_a_large_upload_may_take() {
    let silence = Duration::from_millis(300);
    let server = TestServerBuilder::fake().set(|settings| settings.server.body_timeout = silence).start().await;
    let five_minutes = 300 * (64 << 10);
    let mut client = half_sent(&server, askd::settings::Settings::TEST_API_KEY, five_minutes).await;
    let answer = client.rest().await;
    assert!(answer.contains("HTTP/1.1 408 ") && answer.contains("nothing of the upload arrived for 300ms"), "{answer}");
    nothing_is_left(&server.folders).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_revoked_while_its_upload_comes_in_has_sent_nothing() {
    let server = TestServerBuilder::fake().start().await;
    let holder = server.user(json!({})).await;
    let mut client = half_sent(&server, &holder.token, "half of a text, and the rest".len()).await;
    one_is_coming(&server).await;
    assert_eq!(server.post(&format!("/v1/keys/{}/revoke", holder.id), &json!({})).await.status, 200);
    client.send(", and the rest").await;
    let answer = client.rest().await;
    assert!(answer.contains("HTTP/1.1 401 ") && answer.contains("was revoked"), "{answer}");
    nothing_is_left(&server.folders).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_and_the_server_have_room_for_so_much() {
    let room = |settings: &mut askd::settings::Settings| {
        settings.uploads.max_of_key = 128 << 10;
        settings.uploads.max_of_all = 192 << 10;
    };
    let server = TestServerBuilder::fake().set(room).start().await;
    let first = uploaded(&server, "image/png", PNG).await;
    uploaded(&server, "image/png", PNG).await;
    let full = sent(sending(&server, "image/png", ""), PNG).await;
    assert_eq!((full.status, full.kind()), (429, "rate_limit_error"), "{full:?}");
    assert!(full.message().contains("ASKD_MAX_UPLOADS_PER_KEY") && full.body["error"]["hint"].is_string());
    let never = sent(sending(&server, "image/png", ""), [PNG, &vec![0; 128 << 10]].concat()).await;
    assert_eq!((never.status, never.kind()), (413, "request_too_large"), "{never:?}");
    let other = server.user(json!({})).await;
    uploaded_by(&other, PNG).await;
    let request = other.sending(Method::POST, "/v1/uploads").header("content-type", "image/png");
    let full = sent(request, PNG).await;
    assert_eq!((full.status, full.kind()), (503, "overloaded_error"), "{full:?}");
    assert!(full.message().contains("ASKD_MAX_UPLOADS") && full.header("retry-after").is_some(), "{full:?}");
    assert_eq!(deleted(&server, &first).await.status, 204);
    uploaded(&server, "image/png", PNG).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_taken_while_the_disk_is_nearly_full() {
    let server = TestServerBuilder::fake().set(|settings| settings.run_limits.min_free_disk = u64::MAX).start().await;
    let answer = sent(sending(&server, "image/png", ""), PNG).await;
    assert_eq!((answer.status, answer.kind()), (503, "overloaded_error"), "{answer:?}");
    assert!(answer.message().contains("ASKD_MIN_FREE_DISK"), "{answer:?}");
    nothing_is_left(&server.folders).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_of_another_key_is_not_there() {
    let server = TestServerBuilder::fake().start().await;
    let (one, other) = (server.user(json!({})).await, server.user(json!({})).await);
    let id = uploaded_by(&one, PNG).await;
    let path = format!("/v1/uploads/{id}");
    assert_eq!(one.get(&path).await.body["key"], json!(one.id));
    for answer in [other.get(&path).await, Answer::by(other.sending(Method::DELETE, &path)).await] {
        assert_eq!((answer.status, answer.message()), (404, format!("there is no upload {id}").as_str()));
    }
    assert_eq!(other.get("/v1/uploads").await.body["data"], json!([]));
    let refused = other.post("/v1/runs", &with("image", &id, "!result x")).await;
    assert_eq!((refused.status, refused.param()), (400, "content[1].source.upload_id"), "{refused:?}");
    let none = format!("upl_{}", uuid::Uuid::now_v7());
    let same = other.post("/v1/runs", &with("image", &none, "!result x")).await;
    assert_eq!(same.message().replace(&none, &id), refused.message(), "nobody learns which ones there are");
    assert_eq!(server.get("/v1/runs").await.body["data"], json!([]), "nothing of them is kept");
    // Whoever administers the server sees all.
    assert_eq!(server.get(&path).await.status, 200);
    assert_eq!(server.run(with("image", &id, "!result x")).await["state"], "completed");
    eventually_async("the refusal in the audit", async || {
        server.get("/v1/audit?action=request.refused").await.body.to_string().contains(&id).then_some(())
    })
    .await;
    assert_eq!(Answer::by(one.sending(Method::DELETE, &path)).await.status, 204);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_takes_only_what_its_blocks_can_hold() {
    let server = TestServerBuilder::fake().set(|settings| settings.uploads.max_content = 1 << 10).start().await;
    let picture = uploaded(&server, "image/png", PNG).await;
    let text = uploaded(&server, "text/plain", &[b'x'; 1 << 10]).await;
    for (block, id) in [("document", &picture), ("image", &text)] {
        let refused = server.post("/v1/runs", &with(block, id, "!result x")).await;
        assert_eq!((refused.status, refused.param()), (400, "content[1].source.upload_id"), "{refused:?}");
        assert!(refused.message().contains("which a block of the type"), "{refused:?}");
    }
    assert_eq!(server.run(with("document", &text, "!result x")).await["state"], "completed");
    let mut both = with("document", &text, "!result x");
    let more = with("image", &picture, "")["content"][1].take();
    both["content"].as_array_mut().unwrap().push(more);
    let refused = server.post("/v1/runs", &both).await;
    assert_eq!((refused.status, refused.kind(), refused.param()), (413, "request_too_large", "content"), "{refused:?}");
    assert!(refused.message().contains("ASKD_MAX_CONTENT"), "{refused:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_and_documents_in_uploads_are_held_to_the_bounds_of_those_in_messages() {
    let server = TestServerBuilder::fake().set(|settings| settings.uploads.max_content = 1 << 30).start().await;
    let of = |beginning: &[u8], len: usize| [beginning, &vec![b' '; len - beginning.len()]].concat();
    let bounds = server.get("/v1/info").await.body["limits"].clone();
    let most = |name: &str| usize::try_from(bounds[name].as_u64().unwrap()).unwrap();
    let (image, pdf, characters) = (most("image_bytes"), most("pdf_bytes"), most("document_characters"));

    let picture = uploaded(&server, "image/png", &of(PNG, image + 1)).await;
    // Two bytes each, the second of which begins another part of the upload.
    let long = uploaded(&server, "text/plain", format!("a{}", "ü".repeat(characters)).as_bytes()).await;
    let very_long = uploaded(&server, "text/plain", &of(b"a", 4 * characters + 1)).await;
    let at = "content[1].source.upload_id";
    for (block, id, bound, what) in [
        ("image", &picture, image, "bytes"),
        ("document", &long, characters, "characters"),
        ("document", &very_long, characters, "characters"),
    ] {
        let refused = server.post("/v1/runs", &with(block, id, "!result x")).await;
        assert_eq!((refused.status, refused.param()), (400, at), "{refused:?}");
        let why = format!("{at} has more than {bound} {what}, the most that are allowed");
        assert_eq!(refused.message(), why);
    }
    let fits = uploaded(&server, "text/plain", "ü".repeat(characters).as_bytes()).await;
    assert_eq!(server.run(with("document", &fits, "!result x")).await["state"], "completed");

    let large = uploaded(&server, "application/pdf", &of(b"%PDF-1.4", pdf - 20)).await;
    let mut both = with("document", &large, "!result x");
    let small = json!({"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQKJSVFT0YKJVBERi0xLjQK"});
    both["content"].as_array_mut().unwrap().push(json!({"type": "document", "source": small}));
    let refused = server.post("/v1/runs", &both).await;
    assert_eq!((refused.status, refused.param()), (400, "content"), "{refused:?}");
    assert_eq!(refused.message(), format!("content has more than {pdf} bytes of PDF, the most that are allowed"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_stays_until_the_last_run_that_needs_it_has_ended() {
    let ahead = std::sync::Arc::new(std::sync::atomic::AtomicI64::new(0));
    let clock = std::sync::Arc::clone(&ahead);
    let now = move || Timestamp::now() + SignedDuration::from_hours(clock.load(std::sync::atomic::Ordering::Relaxed));
    let server = TestServerBuilder::fake().clock(now).set(|settings| settings.limits.max_concurrent = 1).start().await;
    let id = uploaded(&server, "image/png", PNG).await;
    let first = server.submit(json!({"prompt": "!touch there\n!await go"})).await;
    server.reached("there").await;
    let waiting = server.submit(with("image", &id, "!report")).await;
    let in_use = deleted(&server, &id).await;
    assert_eq!((in_use.status, in_use.kind()), (409, "conflict_error"), "{in_use:?}");
    // Its time is over before the run has its turn.
    ahead.store(23, std::sync::atomic::Ordering::Relaxed);
    let store = &server.app.runs().shared().store;
    let later = (Timestamp::now() + SignedDuration::from_hours(48)).as_millisecond();
    store.clear_uploads(later).await.unwrap();
    assert!(store.kept_upload(&id).await.unwrap().is_some());
    server.release("go");
    assert_eq!(server.ended(&first).await["state"], "completed");
    let run = server.ended(&waiting).await;
    assert_eq!(run["state"], "completed", "{run}");
    let report: Value = serde_json::from_str(run["result"].as_str().unwrap()).unwrap();
    assert!(report["message"].to_string().contains("iVBORw0KGgo"), "its bytes, in base64: {report}");
    store.clear_uploads(later).await.unwrap();
    nothing_is_left(&server.folders).await;
    let gone = server.post("/v1/runs", &with("image", &id, "!result x")).await;
    assert_eq!((gone.status, gone.param()), (400, "content[1].source.upload_id"), "{gone:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_upload_is_never_in_memory_as_a_whole() {
    const LARGE: usize = 96 << 20;
    let folders = Folders::new();
    let program = Program::start(&folders, &[("ASKD_MAX_UPLOAD", "100MiB"), ("ASKD_BODY_TIMEOUT", "5m")]);
    let url = format!("http://{}/v1/uploads", program.address().await);
    let before = program.resident();
    let piece = vec![b'x'; 1 << 20];
    let pieces = stream::repeat(piece).take(LARGE >> 20).map(Ok::<_, std::io::Error>);
    let request = reqwest::Client::new()
        .post(url)
        .header("x-api-key", askd::settings::Settings::TEST_API_KEY)
        .header("content-type", "text/plain");
    let answer = sent(request, reqwest::Body::wrap_stream(pieces)).await;
    assert_eq!((answer.status, &answer.body["size"]), (201, &json!(LARGE)), "{answer:?}");
    let grown = program.most_resident().saturating_sub(before);
    assert!(grown < 24 << 20, "it took {grown} bytes more");
}
