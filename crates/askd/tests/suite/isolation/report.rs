//! `GET /v1/isolation` and `isolation` of runs.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Folders, Program, TestServerBuilder, V1};

#[tokio::test(flavor = "multi_thread")]
async fn a_run_says_what_confines_it_from_its_turn_on_in_lists_and_after_a_restart() {
    let server = TestServerBuilder::fake().set(|settings| settings.limits.max_concurrent = 1).start().await;
    let first = server.submit(json!({"prompt": "!touch there\n!await go"})).await;
    server.reached("there").await;
    let second = server.submit(json!({"prompt": "hi"})).await;
    let of = async |run: &str| server.get(&format!("/v1/runs/{run}")).await.body["isolation"].clone();
    let report = server.get("/v1/isolation").await.body;
    let expected = json!({
        "layer": report["layer"], "in_force": report["in_force"], "reason": report["reason"],
    });
    assert_eq!((&expected["layer"], &expected["reason"]), (&json!("none"), &json!("ASKD_ISOLATION is off")));
    assert_eq!(of(&first).await, expected);
    assert_eq!(of(&second).await, Value::Null, "it has had no turn");
    server.post(&format!("/v1/runs/{second}/cancel"), &json!({})).await;
    assert_eq!(server.ended(&second).await["isolation"], Value::Null);
    server.release("go");
    assert_eq!(server.ended(&first).await["isolation"], expected);
    let listed = server.get("/v1/runs").await.body;
    let listed: Vec<_> = listed["data"].as_array().unwrap().iter().map(|run| &run["isolation"]).collect();
    assert_eq!(listed, [&Value::Null, &expected]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_is_for_callers_with_a_key_and_names_no_path_of_the_server() {
    let folders = Folders::new();
    let program =
        Program::start(&folders, &[("ASKD_ISOLATION", "best_effort"), ("ASKD_BWRAP_BIN", "/nonexistent/bwrap")]);
    let address = program.address().await;
    let unknown = reqwest::get(format!("http://{address}/v1/isolation")).await.unwrap();
    assert_eq!(unknown.status(), 401);
    let client = V1::at(address);
    assert_eq!(client.get("/v1/isolation?verbose=1").await.status, 400);
    let answer = client.get("/v1/isolation").await;
    assert_eq!(answer.status, 200);
    let report = &answer.body;
    for path in [folders.root(), Path::new("/nonexistent"), Path::new(env!("CARGO_BIN_EXE_askd"))] {
        assert!(!report.to_string().contains(path.to_str().unwrap()), "{report}");
    }
    assert_eq!(report["policy"], "best_effort");
    assert_eq!(report["layers"][0]["name"], "bubblewrap");
    assert_eq!(report["layers"][0]["available"], false);
    assert_eq!(report["layers"][0]["reason"], "bubblewrap is not installed");
    assert_eq!(report["user"]["uid"], rustix::process::geteuid().as_raw());
    assert!(report["limits"]["memory_bytes"].is_u64() && report["cgroup"]["available"].is_boolean(), "{report}");
    assert!(report["not_prevented"].as_array().unwrap().len() > 5);
    assert!(program.log().contains("/nonexistent/bwrap"), "the operator is told: {}", program.log());
    assert_eq!(folders.list("data").iter().filter(|name| name.starts_with("probe-")).count(), 0);
}

/// A folder beside so many others that Landlock would need too many rules to hide it.
fn crowded() -> tempfile::TempDir {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for number in 0..5_000 {
        std::fs::write(folder.path().join(number.to_string()), "").unwrap();
    }
    std::fs::create_dir(folder.path().join("hidden")).unwrap();
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn where_isolation_is_required_a_server_without_it_does_not_start_and_says_why() {
    let (folders, crowded) = (Folders::new(), crowded());
    let hidden = crowded.path().join("hidden");
    let no_layer = [("ASKD_BWRAP_BIN", "/nonexistent/bwrap"), ("ASKD_HIDDEN_FOLDERS", hidden.to_str().unwrap())];
    let with = |policy| [&[("ASKD_ISOLATION", policy)], &no_layer[..]].concat();
    let mut program = Program::start(&folders, &with("required"));
    assert_eq!(program.ended().await.code(), Some(1), "{}", program.log());
    for part in
        ["ASKD_ISOLATION is required", "bubblewrap: ", "/nonexistent/bwrap", "landlock: ", "best_effort", "doctor"]
    {
        assert!(program.log().contains(part), "{part}: {}", program.log());
    }
    assert_eq!(folders.list("data").iter().filter(|name| name.starts_with("probe-")).count(), 0);

    let program = Program::start(&folders, &with("best_effort"));
    let client = V1::at(program.address().await);
    let run = client.ended(&client.submit(&json!({"prompt": "hi"})).await).await;
    assert_eq!(run["isolation"]["layer"], "none");
    let reason = run["isolation"]["reason"].as_str().unwrap();
    assert!(reason.starts_with("bubblewrap: bubblewrap is not installed; landlock: "), "{reason}");
    assert!(program.log().contains("can read and change whatever the server's user can"), "{}", program.log());
}
