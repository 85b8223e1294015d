//! What a run leaves in its own places for the server to fall over later: the server looks through them, moves and removes
//! them with its own rights.

use std::fs;
use std::time::Duration;

use serde_json::json;

use super::server::{Layer, Who, for_servers};
use crate::harness::{eventually, eventually_async};

/// Deeper than a path can name, than a process has descriptors, and than a recursion has stack.
const LEVELS: usize = 8_000;
/// Deeper than a path can name. This one stays until the test's own folder is removed, which takes a descriptor a level.
const LEVELS_THAT_STAY: usize = 700;

#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_is_deeper_than_a_path_can_name_is_removed_all_the_same() {
    let servers = [
        (Who::Unprivileged, Layer::None),
        (Who::RootThatDrops, Layer::Bubblewrap),
        (Who::Unprivileged, Layer::Landlock),
    ];
    for_servers(servers, &[], async |attacked| {
        let script = format!("!attack deep ~/deep {LEVELS}\n!attack deep ~/tmp/deep {LEVELS}\n!touch made\n!hang");
        let run = attacked.client.submit(&json!({"prompt": script, "cwd": "own"})).await;
        let made = attacked.folders.workspace().join("own/made");
        // What watches the home may be the first to say that this is enough.
        let run = eventually_async("the folders, or the end of the run", async || {
            let run = attacked.client.run(&run).await;
            (made.exists() || run["finished_at"].is_string()).then_some(run)
        })
        .await;
        let id = run["id"].as_str().unwrap();
        drop(attacked.client.post(&format!("/runs/{id}/cancel"), &json!({})).send().await);
        let run = attacked.client.ended(id).await;
        assert!(run["state"] == "cancelled" || run["error"]["type"] == "disk_limit", "{attacked}: {run}");
        eventually("the end of the home", || attacked.folders.list("data/homes").is_empty().then_some(())).await;
        assert_eq!(attacked.client.get("/livez").await.status, 200, "{attacked}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_files_are_deeper_than_a_path_can_name_holds_up_itself_alone() {
    let servers = [(Who::Unprivileged, Layer::None), (Who::RootThatDrops, Layer::Bubblewrap)];
    for_servers(servers, &[], async |attacked| {
        let ended = async |body| attacked.client.ended(&attacked.client.submit(&body).await).await;
        let first = ended(json!({"prompt": "one", "cwd": "own"})).await;
        let session = first["session_id"].as_str().unwrap();
        let trap = format!("!attack deep ~/.claude/projects/run/{session}/deep {LEVELS_THAT_STAY}");
        let second = ended(json!({"prompt": trap, "cwd": "own", "session_id": session})).await;
        assert_eq!(second["state"], "completed", "{attacked}: {second}");
        // Whether it can be gone on with is a matter of its own; it ends, and says why.
        let third = ended(json!({"prompt": "!result fine", "cwd": "own", "session_id": session})).await;
        assert!(third["finished_at"].is_string(), "{attacked}: {third}");
        assert!(third["state"] == "completed" || third["error"]["message"].is_string(), "{attacked}: {third}");
        assert_eq!(ended(json!({"prompt": "!result fine", "cwd": "own"})).await["result"], "fine", "{attacked}");
        eventually("the end of the homes", || attacked.folders.list("data/homes").is_empty().then_some(())).await;
        askd::disk::removal::remove(&attacked.folders.data().join("sessions")).unwrap();
    })
    .await;
}

/// The oldest sessions go first when all together are too large: one that never gets old would drive out those of others.
#[tokio::test(flavor = "multi_thread")]
async fn a_transcript_from_the_future_is_as_old_as_its_last_run() {
    let servers = [(Who::Unprivileged, Layer::None), (Who::RootThatDrops, Layer::Bubblewrap)];
    for_servers(servers, &[], async |attacked| {
        let ended = async |body| attacked.client.ended(&attacked.client.submit(&body).await).await;
        let first = ended(json!({"prompt": "one", "cwd": "own"})).await;
        let session = first["session_id"].as_str().unwrap();
        let kept = attacked.folders.data().join(format!("sessions/{session}/{session}.jsonl"));
        let date = || fs::metadata(&kept).and_then(|kept| kept.modified()).ok();
        let before = eventually("the transcript", date).await;
        // It leaves without a further word, which would give the transcript the date of the day.
        let script = format!("!attack date ~/.claude/projects/run/{session}.jsonl\n!touch dated\n!exit 1");
        ended(json!({"prompt": script, "cwd": "own", "session_id": session})).await;
        assert!(attacked.folders.workspace().join("own/dated").exists(), "{attacked}: the attack was made");
        eventually("the end of the home", || attacked.folders.list("data/homes").is_empty().then_some(())).await;
        let after = date().unwrap();
        assert!(after > before && after < before + Duration::from_hours(1), "{attacked}: {before:?}, {after:?}");
    })
    .await;
}
