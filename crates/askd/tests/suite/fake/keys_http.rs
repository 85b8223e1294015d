//! `/v1/keys`: made, shown once, changed, rotated.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use askd::settings::Settings;
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Holder, RawClient, TestServer, TestServerBuilder};

async fn server() -> TestServer {
    TestServerBuilder::fake().start().await
}

/// A server whose clock the test moves, in seconds.
async fn with_clock() -> (TestServer, Arc<AtomicI64>) {
    let ahead = Arc::new(AtomicI64::new(0));
    let clock = Arc::clone(&ahead);
    let now = move || Timestamp::from_second(1_795_000_000 + clock.load(Ordering::Relaxed)).unwrap();
    (TestServerBuilder::fake().clock(now).start().await, ahead)
}

async fn patch(server: &TestServer, id: &str, body: Value) -> Answer {
    let request = server.sending(Method::PATCH, &format!("/v1/keys/{id}")).json(&body);
    Answer::by(request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_shown_once_works_at_once_and_its_secret_is_kept_nowhere() {
    let server = server().await;
    let body = json!({"name": "ci", "scopes": ["runs:read", "runs:write"], "policy": {"models": ["haiku"]}});
    let made = server.post("/v1/keys", &body).await;
    assert_eq!(made.status, 201, "{made:?}");
    let (id, token) = (made.body["id"].as_str().unwrap(), made.body["key"].as_str().unwrap());
    assert_eq!(made.header("location"), Some(&*format!("/v1/keys/{id}")));
    assert_eq!(
        (&made.body["type"], &made.body["name"], &made.body["created_by"]),
        (&json!("key"), &json!("ci"), &json!("admin"))
    );
    assert_eq!((&made.body["scopes"], &made.body["policy"]), (&body["scopes"], &body["policy"]));
    assert!(token.starts_with("askd_") && id.starts_with("key_"), "{made:?}");
    for (header, value) in [("x-api-key", token.to_owned()), ("authorization", format!("Bearer {token}"))] {
        let own = server.client.get(server.url("/v1/keys/self")).header(header, value);
        assert_eq!(Answer::by(own).await.body["id"], id);
    }
    let mut shown = made.body.clone();
    shown.as_object_mut().unwrap().remove("key");
    server.app.runs().shared().keys.keep_uses().await;
    let secret = token.rsplit('_').next().unwrap();
    for path in [format!("/v1/keys/{id}"), "/v1/keys".into(), "/v1/audit".into()] {
        let answer = server.get(&path).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(!answer.body.to_string().contains(secret), "{answer:?}");
    }
    let one = server.get(&format!("/v1/keys/{id}")).await.body;
    for field in ["id", "name", "scopes", "policy", "created_at", "created_by", "expires_at", "revoked_at", "valid"] {
        assert_eq!(one[field], shown[field], "{field}");
    }
    assert_eq!(one["last_used_address"], "127.0.0.1");
    assert!(one["last_used_at"].is_string(), "{one}");
    for file in server.folders.list("data").iter().filter(|file| file.starts_with("askd.db")) {
        let bytes = std::fs::read(server.folders.data().join(file)).unwrap();
        assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "{file}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_key_names_the_field_and_makes_none() {
    let server = server().await;
    for (field, value, param) in [
        ("name", json!(""), "name"),
        ("name", json!("a\nb"), "name"),
        ("name", json!("payments\u{202e}"), "name"),
        ("name", json!("ad\u{200b}min"), "name"),
        ("scopes", json!([]), "scopes"),
        ("scopes", json!(["everything"]), "scopes"),
        ("expires_at", json!("2020-01-01T00:00:00Z"), "expires_at"),
        ("expires_at", json!("soon"), "expires_at"),
        ("policy", json!({"model": ["haiku"]}), "policy.model"),
        ("policy", json!({"models": []}), "policy.models"),
        ("policy", json!({"models": ["gpt"]}), "policy.models"),
        ("policy", json!({"workspaces": ["../x"]}), "policy.workspaces"),
        ("policy", json!({"write_root": "/etc"}), "policy.write_root"),
        ("policy", json!({"tools": ["Bash(*)"]}), "policy.tools"),
        ("policy", json!({"weight": 0}), "policy.weight"),
        ("policy", json!({"max_usd_per_day": 5}), "policy.max_usd_per_day"),
        ("policy", json!({"permission_modes": ["yolo"]}), "policy.permission_modes"),
        ("policy", json!({"profiles": ["safe"]}), "policy.profiles"),
        ("policy", json!({"profiles": []}), "policy.profiles"),
        ("owner", json!("me"), "owner"),
    ] {
        let mut body = json!({"name": "x", "scopes": ["ask"]});
        body[field] = value;
        let answer = server.post("/v1/keys", &body).await;
        assert_eq!((answer.status, answer.kind(), answer.param()), (400, "invalid_request_error", param), "{answer:?}");
    }
    for (body, param) in [(json!({"name": "x"}), "scopes"), (json!({"scopes": ["ask"]}), "name")] {
        assert_eq!(server.post("/v1/keys", &body).await.param(), param);
    }
    assert_eq!(server.get("/v1/keys").await.body, json!({"data": [], "next_page": null}));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_a_mistake_in_a_policy_is_told_and_the_key_is_made() {
    let server = TestServerBuilder::fake().file("workspace/shop/.keep", "").start().await;
    let policy = json!({"workspaces": ["shop", "shpo"], "write_root": "shop", "tools": ["Read", "bash", "mcp__x"],
        "permission_modes": ["default", "bypassPermissions"]});
    let told = json!([
        "policy.tools: no tool of the CLI is known to be called `bash`; did you mean `Bash`?",
        "policy.permission_modes: bypassPermissions is not allowed on this server, whatever a policy says \
         (ASKD_ALLOW_BYPASS)",
        "policy.workspaces: `shpo` does not exist in the workspace root",
    ]);
    let made = server.post("/v1/keys", &json!({"name": "x", "scopes": ["ask"], "policy": policy})).await;
    assert_eq!((made.status, &made.body["warnings"]), (201, &told), "{made:?}");
    let id = made.body["id"].as_str().unwrap();
    assert_eq!(patch(&server, id, json!({"name": "y"})).await.body["warnings"], told);
    let mended = patch(&server, id, json!({"policy": {"workspaces": ["shop"], "tools": ["Read", "Write"]}})).await;
    assert_eq!((mended.status, &mended.body["warnings"]), (200, &json!([])), "{mended:?}");
    let crippled = patch(&server, id, json!({"policy": {"tools": ["Write"]}})).await;
    let told = "policy.tools: `Write` changes no file that is there without `Read`, which is not in the list";
    assert_eq!((crippled.status, &crippled.body["warnings"]), (200, &json!([told])), "{crippled:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_word_is_named_with_the_one_that_is_meant() {
    let server = server().await;
    for (body, texts) in [
        (json!({"scopes": ["ask", "run:read"]}), ["`run:read` is none of them", "did you mean `runs:read`?"]),
        (
            json!({"scopes": ["ask"], "policy": {"permission_modes": ["plan", "acceptedits"]}}),
            ["`acceptedits` is none of them", "did you mean `acceptEdits`?"],
        ),
        (json!({"scopes": ["ask"], "policy": {"tools": ["*"]}}), ["`*` stands for nothing", "leave the field out"]),
    ] {
        let mut body = body;
        body["name"] = json!("x");
        let refused = server.post("/v1/keys", &body).await;
        assert_eq!(refused.status, 400, "{refused:?}");
        assert!(texts.iter().all(|text| refused.message().contains(text)), "{refused:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_counts_from_the_next_request_on() {
    let server = server().await;
    let holder = server.holder(&json!({"name": "a", "scopes": ["runs:read"]})).await;
    assert_eq!(holder.get("/v1/runs").await.status, 200);
    let changed = patch(&server, &holder.id, json!({"name": "b", "scopes": ["ask"]})).await;
    assert_eq!((changed.status, &changed.body["name"], &changed.body["scopes"]), (200, &json!("b"), &json!(["ask"])));
    assert!(changed.body.get("key").is_none(), "{changed:?}");
    let refused = holder.get("/v1/runs").await;
    assert_eq!((refused.status, refused.kind()), (403, "permission_error"), "{refused:?}");
    assert!(refused.message().contains("runs:read"), "{refused:?}");
    for (body, param) in [(json!({}), ""), (json!({"scopes": []}), "scopes"), (json!({"id": "x"}), "id")] {
        let refused = patch(&server, &holder.id, body).await;
        assert_eq!((refused.status, refused.param()), (400, param), "{refused:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_under_another_secret_is_refused_and_never_a_second_run() {
    let server = TestServerBuilder::fake().start().await;
    let old = server.user(json!({})).await;
    let submit = async |holder: &Holder| {
        let request = holder.sending(Method::POST, "/v1/runs?wait=60").header("idempotency-key", "once");
        Answer::by(request.json(&json!({"prompt": "x"}))).await
    };
    let first = submit(&old).await;
    let rotated = server.post(&format!("/v1/keys/{}/rotate", old.id), &json!({"overlap_seconds": 60})).await;
    let mut new = old.clone();
    new.token = rotated.body["key"].as_str().unwrap().to_owned();
    assert_eq!(submit(&old).await.run_id(), first.run_id(), "the old secret counts still");
    let again = submit(&new).await;
    assert_eq!((again.status, again.param()), (422, "Idempotency-Key"), "{again:?}");
    let cancel = format!("/v1/runs/{}/cancel", first.run_id());
    let cancelled = new.sending(Method::POST, &cancel).header("idempotency-key", "end").send().await.unwrap();
    assert_eq!(cancelled.status(), 200, "what has no body is the same under both");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_takes_both_secrets_for_as_long_as_was_asked_for() {
    let (server, clock) = with_clock().await;
    let old = server.holder(&json!({"name": "a", "scopes": ["runs:read"]})).await;
    let path = format!("/v1/keys/{}/rotate", old.id);
    let rotated = server.post(&path, &json!({"overlap_seconds": 60})).await;
    assert_eq!((rotated.status, &rotated.body["id"]), (200, &json!(old.id)), "{rotated:?}");
    let overlap = Timestamp::from_second(1_795_000_060).unwrap();
    let shown = async || {
        let one = server.get(&format!("/v1/keys/{}", old.id)).await.body;
        let listed = server.get("/v1/keys").await.body["data"][0]["previous_secret_expires_at"].clone();
        assert_eq!(one["previous_secret_expires_at"], listed, "{one}");
        listed.as_str().map(|text| text.parse::<Timestamp>().unwrap())
    };
    assert_eq!(shown().await, Some(overlap));
    let mut new = old.clone();
    new.token = rotated.body["key"].as_str().unwrap().to_owned();
    assert_ne!(new.token, old.token);
    for (seconds, before, after) in [(0, 200, 200), (59, 200, 200), (60, 401, 200)] {
        clock.store(seconds, Ordering::Relaxed);
        assert_eq!((old.get("/v1/runs").await.status, new.get("/v1/runs").await.status), (before, after), "{seconds}");
    }
    assert_eq!(shown().await, None, "it counts no more");
    // Without a body there is no overlap.
    let again = Answer::by(server.posting(&path)).await;
    assert_eq!(again.status, 200, "{again:?}");
    assert_eq!(new.get("/v1/runs").await.status, 401);
    assert_eq!(server.post(&path, &json!({"overlap_seconds": -1})).await.param(), "overlap_seconds");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_key_says_so_to_its_holder_only_and_can_be_given_more_time() {
    let (server, clock) = with_clock().await;
    let end = Timestamp::from_second(1_795_000_100).unwrap().to_string();
    let holder = server.holder(&json!({"name": "a", "scopes": ["runs:read"], "expires_at": end})).await;
    clock.store(99, Ordering::Relaxed);
    assert_eq!(holder.get("/v1/runs").await.status, 200);
    clock.store(100, Ordering::Relaxed);
    let refused = holder.get("/v1/runs").await;
    assert_eq!((refused.status, refused.kind()), (401, "authentication_error"), "{refused:?}");
    assert_eq!(refused.message(), format!("the key {} has expired", holder.id));
    let mut guess = holder.clone();
    guess.token.replace_range(guess.token.len() - 4.., "0000");
    assert_eq!(guess.get("/v1/runs").await.message(), "the key in x-api-key is not valid");
    assert_eq!(patch(&server, &holder.id, json!({"expires_at": null})).await.status, 200);
    assert_eq!(holder.get("/v1/runs").await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_listed_page_by_page_the_newest_first() {
    let server = server().await;
    let mut all = Vec::new();
    for number in 0..7 {
        all.insert(0, server.holder(&json!({"name": format!("k{number}"), "scopes": ["ask"]})).await.id);
    }
    let (mut seen, mut query) = (Vec::new(), "limit=3".to_owned());
    loop {
        let page = server.get(&format!("/v1/keys?{query}")).await.body;
        seen.extend(page["data"].as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_page"].as_str() else { break };
        query = format!("limit=3&page={next}");
    }
    assert_eq!(seen, all);
    for (query, param) in [("limit=0", "limit"), ("page=1", "page"), ("name=x", "name")] {
        assert_eq!(server.get(&format!("/v1/keys?{query}")).await.param(), param);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_the_settings_is_shown_and_not_changed() {
    let server = server().await;
    for path in ["/v1/keys/admin", "/v1/keys/self"] {
        let shown = server.get(path).await.body;
        assert_eq!((&shown["id"], &shown["created_at"]), (&json!("admin"), &json!(null)), "{shown}");
    }
    assert_eq!(patch(&server, "admin", json!({"scopes": ["ask"]})).await.status, 409);
    for what in ["rotate", "revoke"] {
        let refused = server.post(&format!("/v1/keys/admin/{what}"), &json!({})).await;
        assert_eq!((refused.status, refused.kind()), (409, "conflict_error"), "{refused:?}");
        assert!(refused.message().contains("API_KEY"), "{refused:?}");
    }
    let nobody = "key_00000000-0000-7000-8000-000000000000";
    for id in [nobody, "key_x", "x"] {
        for answer in [
            server.get(&format!("/v1/keys/{id}")).await,
            patch(&server, id, json!({"name": "x"})).await,
            server.post(&format!("/v1/keys/{id}/rotate"), &json!({})).await,
            server.post(&format!("/v1/keys/{id}/revoke"), &json!({})).await,
        ] {
            assert_eq!((answer.status, answer.message()), (404, &*format!("there is no key {id}")), "{answer:?}");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_store_no_made_key_counts_and_the_one_of_the_settings_does() {
    let server = server().await;
    let holder = server.holder(&json!({"name": "a", "scopes": ["runs:read"]})).await;
    assert_eq!(holder.get("/v1/isolation").await.status, 200);
    server.app.runs().shared().store.close().await;
    let refused = holder.get("/v1/isolation").await;
    assert_eq!((refused.status, refused.kind()), (503, "overloaded_error"), "{refused:?}");
    assert_eq!(server.get("/v1/isolation").await.status, 200);
    let mut wrong = holder.clone();
    wrong.token = "wrong".into();
    assert_eq!(wrong.get("/v1/isolation").await.status, 401, "nothing is asked of the store for what is no key");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_keys_in_one_request_none_counts_and_the_own_header_comes_first() {
    let server = server().await;
    let right = Settings::TEST_API_KEY;
    for (headers, status) in [
        (format!("x-api-key: {right}\r\nx-api-key: {right}\r\n"), 401),
        (format!("x-api-key: wrong\r\nx-api-key: {right}\r\n"), 401),
        (format!("authorization: Bearer {right}\r\nauthorization: Bearer wrong\r\n"), 401),
        (format!("x-api-key: {right}\r\nauthorization: Bearer wrong\r\n"), 200),
        (format!("x-api-key: wrong\r\nauthorization: Bearer {right}\r\n"), 401),
    ] {
        let mut client = RawClient::connect(server.address).await;
        let host = server.address;
        client.send(&format!("GET /v1/isolation HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{headers}\r\n")).await;
        let answer = client.rest().await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{headers} {answer}");
        let twice = headers.matches("x-api-key").count() > 1 || headers.matches("authorization").count() > 1;
        assert_eq!(answer.contains("more than once"), twice, "{headers} {answer}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_change_a_key_at_once_one_is_told_to_read_it_again() {
    let server = server().await;
    let body = json!({"name": "a", "scopes": ["runs:read"], "policy": {"models": ["haiku"]}});
    let made = server.post("/v1/keys", &body).await;
    let (id, tag) = (made.body["id"].as_str().unwrap(), made.header("etag").unwrap().to_owned());
    let path = format!("/v1/keys/{id}");
    // Its use is no change.
    let token = made.body["key"].as_str().unwrap();
    server.client.get(server.url("/v1/keys/self")).header("x-api-key", token).send().await.unwrap();
    server.app.runs().shared().keys.keep_uses().await;
    assert_eq!(server.get(&path).await.header("etag"), Some(&*tag));
    let change = async |tag: &str, policy: Value| {
        let request = server.sending(Method::PATCH, &path).header("if-match", tag).json(&json!({"policy": policy}));
        Answer::by(request).await
    };
    let first = change(&tag, json!({"models": ["haiku"], "max_concurrent": 1})).await;
    assert_eq!(first.status, 200, "{first:?}");
    let second = change(&tag, json!({"models": ["sonnet"]})).await;
    assert_eq!((second.status, second.param()), (412, "If-Match"), "{second:?}");
    let now = server.get(&path).await;
    assert_eq!(now.body["policy"], json!({"models": ["haiku"], "max_concurrent": 1}));
    assert_eq!(now.header("etag"), first.header("etag"));
    assert_eq!(change(now.header("etag").unwrap(), json!({"models": ["sonnet"]})).await.status, 200);
    assert_eq!(change("*", json!({})).await.status, 200);
    assert_eq!(change("tag", json!({})).await.param(), "If-Match");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_secret_is_made_no_repetition_is_promised() {
    let server = server().await;
    let holder = server.user(json!({})).await;
    let of_one = format!("/v1/keys/{}", holder.id);
    for (path, body) in
        [("/v1/keys".to_owned(), json!({"name": "x", "scopes": ["ask"]})), (format!("{of_one}/rotate"), json!({}))]
    {
        let refused = server.posting(&path).header("idempotency-key", "once").json(&body);
        let refused = Answer::by(refused).await;
        assert_eq!((refused.status, refused.param()), (400, "Idempotency-Key"), "{refused:?}");
        assert!(refused.message().contains("secret"), "{refused:?}");
    }
    assert_eq!(server.get("/v1/keys").await.body["data"].as_array().unwrap().len(), 1);
    assert_eq!(holder.get("/v1/keys/self").await.status, 200, "its secret is as it was");
    let revoke = format!("{of_one}/revoke");
    for _ in 0..2 {
        let revoked = server.posting(&revoke).header("idempotency-key", "once").send().await.unwrap();
        assert_eq!(revoked.status(), 200, "it is the same however often it is done");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_without_a_body_may_say_of_which_type_it_would_be() {
    let server = server().await;
    let holder = server.user(json!({})).await;
    for kind in ["application/json", "application/x-www-form-urlencoded"] {
        let request = server.posting(&format!("/v1/keys/{}/rotate", holder.id)).header("content-type", kind);
        let rotated = Answer::by(request.body("")).await;
        assert_eq!(rotated.status, 200, "{kind}: {rotated:?}");
    }
    server.stop().await;
}
