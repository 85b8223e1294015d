//! Many clients at once.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use scripted_model::ScriptedModel;
use scripted_model::prompt::{text, tool, turns};
use serde_json::json;
use uuid::Uuid;

use super::World;
use super::outside::Outside;
use crate::harness::{Folders, eventually};

const CLIENTS: usize = 50;
const SLOTS: usize = 3;

/// Every file below a folder, with its content.
fn contents(folder: &Path, into: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            contents(&path, into);
        } else {
            into.insert(path.display().to_string(), fs::read(&path).unwrap());
        }
    }
}

/// The most homes that are there at the same time, for ever. One list of a folder that changes may hold both a home that has
/// gone meanwhile and the one that came in its place; what is in two lists was there from the end of the first one to the
/// beginning of the second.
async fn count_homes(folders: &Folders, most: &mut usize) {
    let mut before = Vec::new();
    loop {
        let now = folders.list("data/homes");
        *most = (*most).max(now.iter().filter(|home| before.contains(*home)).count());
        before = now;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_clients_share_three_slots() {
    let world = World::with(|server| {
        server
            .set(|settings| {
                settings.limits.max_concurrent = SLOTS;
                settings.limits.queue_length = CLIENTS;
                settings.limits.queue_timeout = Duration::from_mins(10);
            })
            .file("config/CLAUDE.md", "Remember the heron.")
            .file("config/skills/s/SKILL.md", "---\nname: s\ndescription: d\n---\nx")
            .file("config/agents/a.md", "---\nname: a\ndescription: d\n---\nx")
            .file("config/settings.json", r#"{"permissions": {"deny": ["WebFetch"]}}"#)
    })
    .await;
    let config = || {
        let mut all = BTreeMap::new();
        contents(&world.server.folders.config(), &mut all);
        all
    };
    let before = config();

    let answers = (0..CLIENTS).map(|number| ask(&world, number));
    let mut most = 0;
    // Each run has a home as long as anything of it is left.
    let answers = tokio::select! {
        answers = join_all(answers) => answers,
        () = count_homes(&world.server.folders, &mut most) => unreachable!(),
    };

    for (number, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer, format!("answer {number}"));
    }
    assert_eq!(most, SLOTS, "never more, and all of them used");
    assert_eq!(world.model.messages().len(), CLIENTS);
    assert_eq!(config(), before, "the configuration is as it was");
    world.server.at_rest().await;
    assert_eq!(world.server.folders.list("data/sessions").len(), CLIENTS, "each has its transcript");
    world.stop().await;
}

async fn ask(world: &World, number: usize) -> String {
    let prompt = format!("[[text:answer {number}]]");
    // Both forms, and some with further work for the server.
    if number.is_multiple_of(2) {
        world.ask(json!({"prompt": prompt, "agent": "a"})).await.result().to_owned()
    } else {
        world.told(json!({"prompt": prompt})).await.text()
    }
}

/// Runs that are there at the same time.
const TOGETHER: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn twenty_isolated_runs_at_once_know_nothing_of_each_other() {
    let model = ScriptedModel::start().await.unwrap();
    let folders = Folders::new();
    folders.write("config/CLAUDE.md", "Remember the heron.");
    folders.write("config/skills/s/SKILL.md", "---\nname: s\ndescription: d\n---\nx");
    folders.write("config/settings.json", r#"{"permissions": {"deny": ["WebFetch"]}}"#);
    // The guard refuses what it cannot read in time, which twenty at once on a busy machine may be.
    folders.write("config/askd-policy.json", r#"{"version": 1}"#);
    let canaries: Vec<String> = (0..TOGETHER).map(|number| format!("canary-{number:02}-{}", Uuid::new_v4())).collect();
    for (number, canary) in canaries.iter().enumerate() {
        folders.write(&format!("workspace/w{number}/canary.txt"), canary);
    }
    // Isolated as it comes: nothing is said about it.
    let together = TOGETHER.to_string();
    let server = Outside::unprivileged(&folders, &model, &[("MAX_CONCURRENT", &together)]).await;
    let layer = server.get("/v1/isolation").await.body["layer"].clone();
    let config = || {
        let mut all = BTreeMap::new();
        contents(&folders.config(), &mut all);
        all
    };
    let before = config();

    let asked = canaries.iter().enumerate().map(async |(number, canary)| {
        let leave = format!(
            "until test -e go; do sleep 0.05; done; sh -c 'echo {canary} > ~/canary; echo {canary} > ${{TMPDIR:-/tmp}}/canary'"
        );
        let look = "sh -c 'cat ~/canary ${TMPDIR:-/tmp}/canary* canary.txt ../*/canary.txt; ls ~/..'";
        let script = turns([
            tool("Bash", &json!({"command": leave, "description": "d"})),
            tool("Bash", &json!({"command": look, "description": "d"})),
            text(canary),
        ]);
        let body = json!({"prompt": script, "cwd": format!("w{number}"), "allowedTools": ["Bash"]});
        server.ask(body).await.result().to_owned()
    });
    let all_at_once = async {
        let all = || (folders.list("data/homes").len() == TOGETHER).then_some(());
        eventually("runs that are all there at the same time", all).await;
        for number in 0..TOGETHER {
            folders.write(&format!("workspace/w{number}/go"), "");
        }
    };
    let mut most = 0;
    let answers = tokio::select! {
        (answers, ()) = async { tokio::join!(join_all(asked), all_at_once) } => answers,
        () = count_homes(&folders, &mut most) => unreachable!(),
    };

    assert_eq!(answers, canaries);
    assert_eq!(most, TOGETHER, "all were there at the same time");
    assert_eq!(config(), before, "the configuration is as it was");
    let mut looked = 0;
    for request in model.messages() {
        let body = String::from_utf8_lossy(request.raw_body());
        let met: Vec<&String> = canaries.iter().filter(|canary| body.contains(canary.as_str())).collect();
        assert_eq!(met.len(), 1, "a run has met others: {met:?} in {:?}", request.tool_results());
        if let [_, result] = &request.tool_results()[..] {
            looked += 1;
            let own = result.matches(met[0].as_str()).count();
            assert!(own >= 3, "in home, temporary folder and workspace ({layer}): {result}");
        }
    }
    assert_eq!(looked, TOGETHER, "each has looked around");
    server.stop(&folders).await;
    model.shutdown().await;
}
