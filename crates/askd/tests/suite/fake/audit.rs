//! `GET /v1/audit`: who did what.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, TestServer, TestServerBuilder, eventually_async};

async fn entries(server: &TestServer, query: &str) -> Vec<Value> {
    let answer = server.get(&format!("/v1/audit?{query}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["data"].as_array().unwrap().clone()
}

/// The one entry of an action, as soon as it is there: refusals are noted in the background.
async fn entry(server: &TestServer, query: &str) -> Value {
    eventually_async(&format!("an entry of {query}"), async || {
        let mut found = entries(server, query).await;
        assert!(found.len() < 2, "{found:?}");
        found.pop()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_to_keys_runs_and_configuration_is_noted_with_who_did_it() {
    let server = TestServerBuilder::fake().start().await;
    let admin = server.holder(&json!({"name": "second", "scopes": ["admin"]})).await;
    let made = entry(&server, "action=key.created").await;
    assert_eq!(
        (&made["key"], &made["subject"], &made["address"]),
        (&json!("admin"), &json!(admin.id), &json!("127.0.0.1"))
    );
    assert_eq!((&made["outcome"], &made["detail"]["name"]), (&json!("done"), &json!("second")), "{made}");

    let id = "req-1";
    let put =
        admin.sending(Method::PUT, "/v1/config/rules/a").header("x-request-id", id).json(&json!({"content": "x"}));
    assert_eq!(put.send().await.unwrap().status(), 201);
    let changed = entry(&server, "action=config.changed").await;
    assert_eq!((&changed["key"], &changed["subject"]), (&json!(admin.id), &json!("rules/a")), "{changed}");
    assert_eq!(changed["request_id"], id);

    let mut run = String::new();
    // A run of its own for each: an interrupt may end it.
    for (what, action) in [("input", "run.input"), ("interrupt", "run.interrupted"), ("cancel", "run.cancelled")] {
        run = server.submit(json!({"prompt": format!("!touch {what}\n!hang")})).await;
        server.reached(what).await;
        let body = if what == "input" { json!({"message": "and this"}) } else { json!({}) };
        assert_eq!(admin.post(&format!("/v1/runs/{run}/{what}"), &body).await.status, 202, "{what}");
        let noted = entry(&server, &format!("action={action}&key={}", admin.id)).await;
        assert_eq!((&noted["key"], &noted["subject"]), (&json!(admin.id), &json!(run)), "{noted}");
        if what != "input" {
            server.ended(&run).await;
        }
    }
    // What has ended is not ended again.
    assert_eq!(admin.post(&format!("/v1/runs/{run}/cancel"), &json!({})).await.status, 200);
    assert_eq!(entries(&server, "action=run.cancelled").await.len(), 1);

    for (method, path, action) in
        [("POST", "/rotate", "key.rotated"), ("PATCH", "", "key.updated"), ("POST", "/revoke", "key.revoked")]
    {
        let request =
            server.sending(Method::from_bytes(method.as_bytes()).unwrap(), &format!("/v1/keys/{}{path}", admin.id));
        let body = if method == "PATCH" { json!({"name": "new"}) } else { json!({}) };
        assert_eq!(request.json(&body).send().await.unwrap().status(), 200, "{action}");
        let noted = entry(&server, &format!("action={action}")).await;
        assert_eq!((&noted["key"], &noted["subject"]), (&json!("admin"), &json!(admin.id)), "{noted}");
    }
    let of_one = entries(&server, &format!("key={}", admin.id)).await;
    assert_eq!(of_one.len(), 4, "what it did, and not what was done to it: {of_one:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_requests_are_noted_without_what_was_shown() {
    let server = TestServerBuilder::fake().start().await;
    let wrong = server.client.get(server.url("/v1/runs")).header("x-api-key", "a-wrong-key").send().await.unwrap();
    assert_eq!(wrong.status(), 401);
    let noted = entry(&server, "action=request.refused").await;
    assert_eq!(
        (&noted["key"], &noted["subject"], &noted["outcome"]),
        (&json!(null), &json!("GET /v1/runs"), &json!("denied"))
    );
    assert_eq!((&noted["address"], &noted["detail"]["status"]), (&json!("127.0.0.1"), &json!(401)), "{noted}");
    assert!(!noted.to_string().contains("a-wrong-key"), "{noted}");
    // Whoever shows nothing has tried nothing.
    assert_eq!(server.client.get(server.url("/v1/runs")).send().await.unwrap().status(), 401);

    let user = server.holder(&json!({"name": "u", "scopes": ["runs:read"]})).await;
    assert_eq!(user.post("/v1/runs", &json!({"prompt": "x"})).await.status, 403);
    let noted = entry(&server, &format!("action=request.refused&key={}", user.id)).await;
    assert_eq!(noted["subject"], "POST /v1/runs");
    assert!(noted["detail"]["message"].as_str().unwrap().contains("runs:write"), "{noted}");

    server.post(&format!("/v1/keys/{}/revoke", user.id), &json!({})).await;
    assert_eq!(user.get("/v1/runs").await.status, 401);
    let noted = eventually_async("the revoked key", async || {
        let refused = entries(&server, &format!("action=request.refused&key={}", user.id)).await;
        refused.into_iter().find(|entry| entry["detail"]["key"] == user.id)
    })
    .await;
    assert_eq!((&noted["key"], &noted["detail"]["status"]), (&json!(user.id), &json!(401)), "{noted}");
    assert_eq!(entries(&server, "action=request.refused").await.len(), 3);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_tries_what_belongs_to_another_key_is_noted_and_not_told() {
    let server = TestServerBuilder::fake().start().await;
    let (owner, other) = (server.user(json!({})).await, server.user(json!({})).await);
    let run = owner.run(json!({"prompt": "x"})).await;
    let (id, session) = (run["id"].as_str().unwrap(), run["session_id"].as_str().unwrap());
    let nobodys = "run_00000000-0000-7000-8000-000000000000";
    let (real, none) =
        (other.get(&format!("/v1/runs/{id}/events")).await, other.get(&format!("/v1/runs/{nobodys}/events")).await);
    assert_eq!((real.status, real.message()), (404, &*format!("there is no run {id}")), "{real:?}");
    assert_eq!((none.status, none.message().replace(nobodys, id)), (404, real.message().to_owned()));
    let noted = entry(&server, &format!("key={}&outcome=denied&subject={id}", other.id)).await;
    assert_eq!((&noted["subject"], &noted["detail"]["run"]), (&json!(format!("GET /v1/runs/{id}/events")), &json!(id)));
    assert_eq!(noted["detail"]["status"], 404, "{noted}");

    let taken = other.post("/v1/runs", &json!({"prompt": "x", "session_id": session})).await;
    assert_eq!((taken.status, taken.param()), (404, "session_id"), "{taken:?}");
    assert!(taken.message().ends_with(&format!("there is no session {session}")), "{taken:?}");
    let noted = eventually_async("the session", async || {
        let denied = entries(&server, &format!("key={}&outcome=denied", other.id)).await;
        denied.into_iter().find(|entry| entry["detail"]["session"] == session)
    })
    .await;
    assert_eq!(noted["subject"], "POST /v1/runs", "{noted}");
    // What is nobody's is no attempt on anybody, and what is one's own is none either.
    assert_eq!(owner.get(&format!("/v1/runs/{id}")).await.status, 200);
    assert_eq!(entries(&server, "outcome=denied").await.len(), 2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_to_one_thing_is_found_by_it_and_so_is_what_was_refused() {
    let server = TestServerBuilder::fake().start().await;
    let user = server.holder(&json!({"name": "u", "scopes": ["runs:read", "runs:write"]})).await;
    assert_eq!(server.put("/v1/config/rules/a", &json!({"content": "x"})).await.status, 201);
    assert_eq!(user.get(&format!("/v1/keys/{}", user.id)).await.status, 403);
    let run = user.submit(json!({"prompt": "!touch there\n!hang"})).await;
    server.reached("there").await;
    assert_eq!(server.post(&format!("/v1/keys/{}/revoke", user.id), &json!({})).await.body["runs_ended"], 1);
    server.ended(&run).await;
    let of_key = format!("subject={}", user.id);
    entry(&server, &format!("{of_key}&outcome=denied")).await;
    let actions = async |query: &str| {
        let found = entries(&server, query).await;
        found.iter().map(|entry| entry["action"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(actions(&of_key).await, ["key.runs_ended", "key.revoked", "request.refused", "key.created"]);
    assert_eq!(actions("subject=rules/a&outcome=done").await, ["config.changed"]);
    assert_eq!(actions("subject=rules/a&action=config.changed").await, ["config.changed"]);
    for nothing in ["subject=rules/a&outcome=denied", "subject=%25", "subject=ke_s", "subject=rules/b"] {
        assert_eq!(actions(nothing).await, [""; 0], "{nothing}");
    }
    let ended = entry(&server, "action=key.runs_ended").await;
    assert_eq!(ended["detail"], json!({"ended": 1, "elsewhere": 0, "runs": [run]}), "{ended}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_with_wrong_keys_and_tokens_do_not_hide_that_a_revoked_key_is_still_used() {
    let server = TestServerBuilder::fake().set(|settings| settings.network.rates.failures = None).start().await;
    let user = server.holder(&json!({"name": "u", "scopes": ["runs:read"]})).await;
    server.post(&format!("/v1/keys/{}/revoke", user.id), &json!({})).await;
    let run = "run_00000000-0000-7000-8000-000000000000";
    for _ in 0..25 {
        let wrong = server.client.get(server.url("/v1/runs")).header("x-api-key", "wrong").send().await.unwrap();
        assert_eq!(wrong.status(), 401);
    }
    let token = server.url(&format!("/v1/runs/{run}/events?token={:064x}", 1));
    assert_eq!(server.client.get(token).send().await.unwrap().status(), 401);
    assert_eq!(user.get("/v1/runs").await.status, 401);
    for what in [json!({"shown": "a stream token"}), json!({"shown": "a key", "key": user.id})] {
        eventually_async("the entry", async || {
            let refused = entries(&server, "action=request.refused&limit=200").await;
            let is_it =
                |entry: &&Value| what.as_object().unwrap().iter().all(|(name, is)| entry["detail"][name] == *is);
            refused.iter().find(is_it).map(drop)
        })
        .await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_field_that_a_policy_does_not_allow_is_noted() {
    let server = TestServerBuilder::fake().file("workspace/a/.keep", "").start().await;
    let user = server.user(json!({"workspaces": ["a"]})).await;
    assert_eq!(user.get("/v1/config?workspace=b").await.status, 403);
    let noted = entry(&server, &format!("action=request.refused&key={}", user.id)).await;
    assert_eq!(
        (&noted["detail"]["field"], &noted["subject"]),
        (&json!("workspace"), &json!("GET /v1/config")),
        "{noted}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_is_read_page_by_page_and_by_time_and_nothing_changes_it() {
    let server = TestServerBuilder::fake().start().await;
    for number in 0..5 {
        server.holder(&json!({"name": format!("k{number}"), "scopes": ["ask"]})).await;
        server.put(&format!("/v1/config/rules/r{number}"), &json!({"content": "x"})).await;
    }
    let all = entries(&server, "").await;
    assert_eq!(all.len(), 10);
    let (mut seen, mut query) = (Vec::new(), "limit=3".to_owned());
    loop {
        let page = server.get(&format!("/v1/audit?{query}")).await.body;
        seen.extend(page["data"].as_array().unwrap().clone());
        let Some(next) = page["next_page"].as_str() else { break };
        query = format!("limit=3&page={next}");
    }
    assert_eq!(seen, all);
    let newest = all[0]["created_at"].as_str().unwrap();
    assert!(entries(&server, &format!("created_after={newest}")).await.is_empty());
    assert!(entries(&server, &format!("created_before={newest}")).await.len() < 10);
    for (query, param) in [("action=key", "action"), ("limit=201", "limit"), ("page=x", "page"), ("actor=x", "actor")] {
        let refused = server.get(&format!("/v1/audit?{query}")).await;
        assert_eq!((refused.status, refused.param()), (400, param), "{refused:?}");
    }
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        let answer = Answer::by(server.sending(method.clone(), "/v1/audit").json(&json!({}))).await;
        assert_eq!(answer.status, 405, "{method}");
    }
    server.stop().await;
}
