//! What ends a run: turns, money, time.

use scripted_model::prompt::{text, tool, turns};
use serde_json::{Value, json};

use super::super::World;

#[tokio::test(flavor = "multi_thread")]
async fn turns_money_and_time_end_a_run() {
    let world = World::with(|server| server.file("workspace/a.txt", "a")).await;
    let read = tool("Read", &json!({"file_path": world.server.folders.workspace().join("a.txt")}));
    let costly = format!("[[usage:input=1000000,output=1000]]{read}");
    for (field, value, prompt, kind) in [
        ("max_turns", json!(1), turns([read.clone(), read.clone(), text("end")]), "turn_limit"),
        ("max_budget_usd", json!(0.5), turns([costly.clone(), costly, text("end")]), "budget"),
        ("timeout_seconds", json!(4), "[[text:a word]] [[hang]]".to_owned(), "timeout"),
    ] {
        let mut body = json!({"prompt": prompt});
        body[field] = value;
        let run = world.server.run(body).await;
        assert_eq!(kind_of(&run), kind, "{field}: {run}");
        assert_ne!(run["state"], "completed", "{field}: {run}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_says_nothing_ends_a_run() {
    let world = World::new().await;
    let run = world.server.run(json!({"prompt": "[[hang]]", "idle_timeout_seconds": 3})).await;
    assert_eq!(kind_of(&run), "idle_timeout", "{run}");
    world.stop().await;
}

fn kind_of(run: &Value) -> &str {
    run["error"]["type"].as_str().unwrap_or_default()
}
