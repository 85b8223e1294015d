//! What the real CLI has used stands in the metrics as it does in `GET /v1/usage`.

use scripted_model::prompt::{text, turns};
use serde_json::json;

use super::World;

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_cost_are_those_of_the_usage() {
    let world = World::new().await;
    let server = &world.server;
    let call = |what: &str| format!("[[usage:input=3000,output=200,cache_read=2000,cache_write=1000]]{}", text(what));
    let first = server.run(json!({"prompt": turns([call("one")])})).await;
    assert_eq!(first["state"], "completed", "{first}");
    let again = json!({"prompt": turns([call("two")]), "session_id": first["session_id"]});
    assert_eq!(server.run(again).await["state"], "completed");

    let told = server.scrape().await;
    let usage = server.get("/v1/usage?group_by=model").await.body;
    let rows = usage["data"].as_array().unwrap();
    assert!(!rows.is_empty(), "{usage}");
    for row in rows {
        let model = row["model"].as_str().unwrap();
        let of = |kind: &str| told.count("askd_tokens_total", &[("model", model), ("key", "admin"), ("kind", kind)]);
        assert_eq!(of("input"), row["input_tokens"].as_u64().unwrap(), "{row}");
        assert_eq!(of("output"), row["output_tokens"].as_u64().unwrap(), "{row}");
        assert_eq!(of("cache_read"), row["cache_read_input_tokens"].as_u64().unwrap(), "{row}");
        assert_eq!(of("cache_write"), row["cache_creation_input_tokens"].as_u64().unwrap(), "{row}");
        let cost = told.sum("askd_cost_usd_total", &[("model", model)]);
        assert!(cost > 0.0 && (cost - row["cost_usd"].as_f64().unwrap()).abs() < 1e-9, "{row} {cost}");
    }
    assert!(told.sum("askd_run_first_event_seconds_sum", &[]) > 0.0);
    assert_eq!(told.count("askd_run_first_event_seconds_count", &[]), 2);
    assert_eq!(told.values("version").len(), 2, "askd's and the CLI's");
    world.stop().await;
}
