//! What a key has made is its own: for every other key it is not there. Each attempt is made by the owner and by an admin
//! first, who can.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Holder, TestServer, TestServerBuilder, eventually_async};

const UNKNOWN: &str = "run_00000000-0000-7000-8000-000000000000";

struct World {
    server: TestServer,
    owner: Holder,
    other: Holder,
}

impl World {
    async fn new() -> Self {
        let server = TestServerBuilder::fake().file("workspace/shop/.keep", "").start().await;
        let (owner, other) = (server.user(json!({})).await, server.user(json!({})).await);
        Self { server, owner, other }
    }

    /// A run of the owner that waits for the file `go`.
    async fn run_at_work(&self) -> String {
        let run = self
            .owner
            .submit(json!({"prompt": "!touch there\n!await go\n!result done", "cwd": "",
            "metadata": {"team": "a"}}))
            .await;
        self.server.reached("there").await;
        run
    }

    async fn ids(&self, holder: &Holder, query: &str) -> Vec<String> {
        let answer = holder.get(&format!("/v1/runs?{query}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["data"].as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap().to_owned()).collect()
    }
}

/// Requests about a run.
const ABOUT_A_RUN: [(&str, &str, &str); 9] = [
    ("GET", "", "application/json"),
    ("GET", "/events", "application/json"),
    ("GET", "/events", "text/event-stream"),
    ("GET", "/events?after=1&types=run.*", "application/x-ndjson"),
    ("GET", "/events?after=99999", "text/event-stream"),
    ("POST", "/stream-token", "application/json"),
    ("POST", "/input", "application/json"),
    ("POST", "/interrupt", "application/json"),
    ("POST", "/cancel", "application/json"),
];

async fn send(holder: &Holder, run: &str, (method, path, accept): (&str, &str, &str)) -> Answer {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let request = holder.sending(method, &format!("/v1/runs/{run}{path}")).header("accept", accept);
    Answer::by(request.json(&json!({"message": "x"}))).await
}

/// An error without what differs between two runs.
fn without_id(answer: &Answer, run: &str) -> (u16, String) {
    let mut body = answer.body.clone();
    body["request_id"] = Value::Null;
    (answer.status, body.to_string().replace(run, "RUN"))
}

#[tokio::test(flavor = "multi_thread")]
async fn another_keys_run_is_one_that_there_is_not() {
    let world = World::new().await;
    let run = world.run_at_work().await;
    for request in ABOUT_A_RUN {
        let there = send(&world.other, &run, request).await;
        let nowhere = send(&world.other, UNKNOWN, request).await;
        assert_eq!(there.status, 404, "{request:?} {there:?}");
        assert_eq!(without_id(&there, &run), without_id(&nowhere, UNKNOWN), "{request:?}");
        let headers = |answer: &Answer| answer.headers.keys().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(headers(&there), headers(&nowhere), "{request:?}");
    }
    // Nothing of it has changed: the run goes on, and its owner and an admin see it.
    let seen = world.owner.get(&format!("/v1/runs/{run}")).await;
    assert_eq!((seen.status, &seen.body["state"]), (200, &json!("running")), "{seen:?}");
    assert_eq!(world.server.get(&format!("/v1/runs/{run}")).await.status, 200);
    world.server.release("go");
    let end = world.server.ended(&run).await;
    assert_eq!((&end["state"], &end["result"]), (&json!("completed"), &json!("done")), "{end}");
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_and_an_admin_can_do_all_that() {
    for is_owner in [true, false] {
        let world = World::new().await;
        let admin = world.server.holder(&json!({"name": "admin", "scopes": ["admin"]})).await;
        let who = if is_owner { &world.owner } else { &admin };
        let run = world.run_at_work().await;
        for request in
            ABOUT_A_RUN.into_iter().filter(|(_, path, accept)| !path.contains("event") || *accept == "application/json")
        {
            let answer = send(who, &run, request).await;
            assert!((200..300).contains(&answer.status), "{request:?} {answer:?}");
        }
        world.server.release("go");
        world.server.ended(&run).await;
        world.server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_hold_only_the_own_whatever_is_filtered_by() {
    let world = World::new().await;
    let mine = world.owner.run(json!({"prompt": "x", "cwd": "shop", "metadata": {"team": "a"}})).await;
    let theirs = world.other.run(json!({"prompt": "x", "metadata": {"team": "b"}})).await;
    let id = |run: &Value| run["id"].as_str().unwrap().to_owned();
    let session = mine["session_id"].as_str().unwrap();
    let queries = [
        String::new(),
        format!("key={}", world.owner.id),
        "metadata.team=a".into(),
        "workspace=shop".into(),
        format!("session_id={session}"),
        format!("key={}&state=completed&limit=1", world.owner.id),
    ];
    for query in &queries {
        assert_eq!(world.ids(&world.owner, query).await, [id(&mine)], "{query}");
        let others = world.ids(&world.other, query).await;
        let expected: &[String] = if query.is_empty() { &[id(&theirs)] } else { &[] };
        assert_eq!(others, expected, "{query}");
    }
    assert_eq!(world.ids(&world.other, "key=admin").await, [""; 0]);
    let all = world.server.get("/v1/runs").await.body;
    assert_eq!(all["data"].as_array().unwrap().len(), 2, "an admin sees all: {all}");
    let of_one = world.server.get(&format!("/v1/runs?key={}", world.owner.id)).await.body;
    assert_eq!(of_one["data"][0]["id"], id(&mine), "and may ask for those of one");
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_keys_session_is_one_that_there_is_not() {
    let world = World::new().await;
    let first = world.owner.run(json!({"prompt": "secret of mine"})).await;
    let session = first["session_id"].as_str().unwrap();
    let nowhere = "00000000-0000-4000-8000-000000000000";
    for (path, field) in [("/v1/runs", "session_id"), ("/ask", "resume")] {
        let resume = |session: &str| {
            let mut body = json!({"prompt": "!recall"});
            body[field] = session.into();
            body
        };
        let (there, unknown) =
            (world.other.post(path, &resume(session)).await, world.other.post(path, &resume(nowhere)).await);
        assert_eq!(there.status, 404, "{there:?}");
        assert_eq!(there.message().replace(session, nowhere), unknown.message(), "{path}");
        assert_eq!(world.owner.post(path, &resume(session)).await.status / 100, 2, "{path}");
        assert_eq!(world.server.post(path, &resume(session)).await.status / 100, 2, "{path}");
    }
    world.server.at_rest().await;
    // That an admin has gone on with it changes nothing about whose it is.
    let again = world.owner.run(json!({"prompt": "!recall", "session_id": session})).await;
    assert!(again["result"].as_str().unwrap().contains("secret of mine"), "{again}");
    assert_eq!(world.ids(&world.other, "").await, [""; 0], "nothing was taken in");
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_in_use_right_now_is_no_more_visible() {
    let world = World::new().await;
    let run = world.run_at_work().await;
    let session = world.owner.get(&format!("/v1/runs/{run}")).await.body["session_id"].clone();
    let refused = world.other.post("/v1/runs", &json!({"prompt": "x", "session_id": session})).await;
    assert_eq!((refused.status, refused.param()), (404, "session_id"), "{refused:?}");
    let waits = world.owner.submit(json!({"prompt": "x", "session_id": session})).await;
    world.server.release("go");
    world.server.ended(&waits).await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_nobody_are_for_admins() {
    let session = "11111111-1111-4111-8111-111111111111";
    let server =
        TestServerBuilder::fake().file(&format!("config/projects/-somewhere/{session}.jsonl"), "").start().await;
    let user = server.user(json!({})).await;
    let body = json!({"prompt": "x", "session_id": session});
    let refused = user.post("/v1/runs", &body).await;
    assert_eq!((refused.status, refused.param()), (404, "session_id"), "{refused:?}");
    let taken = server.post("/v1/runs", &body).await;
    assert_eq!(taken.status, 202, "{taken:?}");
    server.ended(taken.run_id()).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_is_each_keys_own() {
    let world = World::new().await;
    let submit = async |holder: &Holder, prompt: &str| {
        let request = holder.sending(Method::POST, "/v1/runs").header("idempotency-key", "one");
        Answer::by(request.json(&json!({"prompt": prompt}))).await
    };
    let (mine, again) = (submit(&world.owner, "x").await, submit(&world.owner, "x").await);
    assert_eq!((again.run_id(), again.header("idempotency-replayed")), (mine.run_id(), Some("true")));
    let theirs = submit(&world.other, "y").await;
    assert_eq!((theirs.status, theirs.header("idempotency-replayed")), (202, None), "{theirs:?}");
    assert_ne!(theirs.run_id(), mine.run_id());
    for run in [mine.run_id(), theirs.run_id()] {
        world.server.ended(run).await;
    }
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_token_opens_what_its_maker_sees_and_nothing_else() {
    let world = World::new().await;
    let mine = world.owner.run(json!({"prompt": "x"})).await["id"].as_str().unwrap().to_owned();
    let theirs = world.other.run(json!({"prompt": "x"})).await["id"].as_str().unwrap().to_owned();
    let made = world.owner.post(&format!("/v1/runs/{mine}/stream-token"), &json!({})).await.body;
    let token = made["token"].as_str().unwrap();
    for (run, status) in [(&mine, 200), (&theirs, 401)] {
        let url = world.server.url(&format!("/v1/runs/{run}/events?token={token}"));
        assert_eq!(world.server.client.get(url).send().await.unwrap().status(), status);
    }
    // A token of an admin for somebody's run.
    let made = world.server.post(&format!("/v1/runs/{theirs}/stream-token"), &json!({})).await.body;
    let url = world.server.url(made["url"].as_str().unwrap());
    assert_eq!(world.server.client.get(url).send().await.unwrap().status(), 200);
    // The scope counts when the token is shown, too.
    let patch = world.server.sending(Method::PATCH, &format!("/v1/keys/{}", world.owner.id));
    patch.json(&json!({"scopes": ["runs:write"]})).send().await.unwrap();
    let url = world.server.url(&format!("/v1/runs/{mine}/events?token={token}"));
    assert_eq!(world.server.client.get(url).send().await.unwrap().status(), 403);
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_keys_key_is_not_for_users_at_all() {
    let world = World::new().await;
    for path in ["/v1/keys".to_owned(), format!("/v1/keys/{}", world.owner.id), "/v1/audit".into()] {
        assert_eq!(world.other.get(&path).await.status, 403, "{path}");
    }
    let own = world.other.get("/v1/keys/self").await.body;
    assert_eq!((&own["id"], &own["budget"]), (&json!(world.other.id), &json!(null)));
    let bounded = world.server.user(json!({"max_usd_per_run": 0.5, "max_usd_per_day": 2})).await;
    let budget = bounded.get("/v1/keys/self").await.body["budget"].clone();
    assert_eq!((&budget["limit_usd"], &budget["left_usd"]), (&json!(2.0), &json!(2.0)), "{budget}");
    assert!(!own.to_string().contains(&world.owner.id), "{own}");
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_ends_its_own_run_only() {
    let world = World::new().await;
    let run = world.run_at_work().await;
    let body = json!({"prompt": "!touch second\n!hang"});
    let request = world.other.sending(Method::POST, "/ask").json(&body);
    let asking = crate::harness::beside(async move { request.send().await });
    world.server.reached("second").await;
    asking.abort();
    eventually_async("the end of the run whose client left", async || {
        let runs = world.server.get(&format!("/v1/runs?key={}&state=cancelled", world.other.id)).await.body;
        (runs["data"].as_array().unwrap().len() == 1).then_some(())
    })
    .await;
    assert_eq!(world.owner.get(&format!("/v1/runs/{run}")).await.body["state"], "running");
    world.server.release("go");
    world.server.ended(&run).await;
    world.server.stop().await;
}
