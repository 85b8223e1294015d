//! Many clients at once.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use super::World;

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
    let watch = async {
        loop {
            // Each run has a home as long as anything of it is left.
            most = most.max(world.server.folders.list("data/homes").len());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let answers = tokio::select! {
        answers = join_all(answers) => answers,
        () = watch => unreachable!(),
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
