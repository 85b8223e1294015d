//! Configuration in a workspace whose agent means harm.

use std::fs::{File, create_dir_all};
use std::path::Path;

use askd::settings::Settings;
use serde_json::json;

use crate::harness::{Folders, Program};

fn sparse(path: &Path, size: u64) {
    File::create(path).unwrap().set_len(size).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn to_look_at_a_workspace_takes_no_memory_for_what_it_holds() {
    let folders = Folders::new();
    let rules = folders.root().join("workspace/shop/.claude/rules");
    create_dir_all(&rules).unwrap();
    for number in 0..100 {
        sparse(&rules.join(format!("too-large-{number}.md")), 16 << 20);
    }
    for number in 0..40 {
        sparse(&rules.join(format!("large-{number}.md")), 1_000_000);
    }
    let program = Program::start(&folders, &[]);
    let url = format!("http://{}/v1/config", program.address().await);
    let before = program.most_resident();
    let client = reqwest::Client::new();
    let import = client
        .post(format!("{url}/import?workspace=shop&dry_run=true"))
        .body(tar::Builder::new(Vec::new()).into_inner().unwrap());
    let overview = client.get(format!("{url}?workspace=shop"));
    let list = client.get(format!("{url}/rules?workspace=shop&limit=200"));
    let validate = client.post(format!("{url}/validate?workspace=shop")).json(&json!({}));
    for (request, kind) in [(import, "application/x-tar"), (overview, ""), (list, ""), (validate, "")] {
        let request = request.header("x-api-key", Settings::TEST_API_KEY);
        let request = if kind.is_empty() { request } else { request.header("content-type", kind) };
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    }
    let growth = program.most_resident().saturating_sub(before);
    assert!(growth < 24 << 20, "{growth} bytes for looks at 40 MB, and at 1.6 GB that are too large");
}
