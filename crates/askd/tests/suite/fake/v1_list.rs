//! `GET /v1/runs`: filters and pages.

use serde_json::{Value, json};

use crate::harness::{TestServer, TestServerBuilder};

async fn ids(server: &TestServer, query: &str) -> Vec<String> {
    let answer = server.get(&format!("/v1/runs?{query}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["data"].as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_found_by_what_they_are() {
    let server = TestServerBuilder::fake().file("workspace/shop/web/.keep", "").start().await;
    let id = |run: &Value| run["id"].as_str().unwrap().to_owned();
    let shop = server.run(json!({"prompt": "x", "cwd": "shop/web", "metadata": {"team": "a", "pr": "1"}})).await;
    let root = server.run(json!({"prompt": "x", "metadata": {"team": "a"}})).await;
    let failed = server.run(json!({"prompt": "!die"})).await;
    let all = [id(&failed), id(&root), id(&shop)];
    assert_eq!(ids(&server, "").await, all, "the newest first");
    assert_eq!(shop["workspace"], "shop");
    let created = root["created_at"].as_str().unwrap();
    for (query, expected) in [
        ("state=failed", &all[..1]),
        ("state=failed,completed", &all[..]),
        ("workspace=shop", &all[2..]),
        ("metadata.team=a", &all[1..]),
        ("metadata.team=a&metadata.pr=1", &all[2..]),
        ("metadata.team=b", &[]),
        ("key=admin", &all[..]),
        ("key=nobody", &[]),
        (&format!("session_id={}", root["session_id"].as_str().unwrap()), &all[1..2]),
        (&format!("created_before={created}"), &all[2..]),
        (&format!("created_after={created}"), &all[..1]),
    ] {
        assert_eq!(ids(&server, query).await, expected, "{query}");
    }
    let listed = &server.get("/v1/runs?workspace=shop").await.body["data"][0];
    assert_eq!((&listed["metadata"], &listed["cwd"]), (&json!({"team": "a", "pr": "1"}), &json!("shop/web")));
    assert!(listed.get("result").is_none() && listed["options"].get("prompt").is_none(), "{listed}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_go_through_all_runs_whatever_comes_meanwhile() {
    let server = TestServerBuilder::fake().set(|settings| settings.limits.queue_length = 100).start().await;
    let mut all = Vec::new();
    for _ in 0..25 {
        all.insert(0, server.submit(json!({"prompt": "x", "metadata": {"old": "1"}})).await);
    }
    for (limit, sizes) in [(10, &[10, 10, 5][..]), (25, &[25]), (24, &[24, 1]), (200, &[25])] {
        let (mut seen, mut pages, mut query) = (Vec::new(), Vec::new(), format!("limit={limit}&metadata.old=1"));
        loop {
            let page = server.get(&format!("/v1/runs?{query}")).await.body;
            let data = page["data"].as_array().unwrap();
            pages.push(data.len());
            seen.extend(data.iter().map(|run| run["id"].as_str().unwrap().to_owned()));
            let Some(next) = page["next_page"].as_str() else { break };
            query = format!("limit={limit}&metadata.old=1&page={next}");
        }
        assert_eq!((&seen, pages.as_slice()), (&all, sizes));
    }
    let first = server.get("/v1/runs?limit=5").await.body;
    server.submit(json!({"prompt": "new"})).await;
    let second = server.get(&format!("/v1/runs?limit=5&page={}", first["next_page"].as_str().unwrap())).await.body;
    assert_eq!(second["data"][0]["id"], all[5], "a new run does not shift the next page");
    for run in ids(&server, "limit=200").await {
        server.ended(&run).await;
    }
    server.stop().await;
}
