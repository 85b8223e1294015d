//! What a run must not read, whoever asks for it: the model through `Read`, the client through `@path`. Nothing but the CLI's
//! own rules is in the way here: no layer of isolation helps.

use std::path::{Path, PathBuf};

use askd::settings::IsolationPolicy;
use scripted_model::prompt::{text, tool, turns};
use serde_json::json;

use super::World;
use crate::harness::{TestServerBuilder, eventually};

const SECRET: &str = "the-secret-of-another";

/// A world where the CLI's rules have to hold alone.
async fn open_world(change: impl FnOnce(TestServerBuilder) -> TestServerBuilder) -> World {
    World::with(|server| change(server).set(|settings| settings.isolation.policy = IsolationPolicy::Off)).await
}

/// Whether a run gets at the content of a file, by the tool or by a mention; both are tried.
async fn gets_at(world: &World, file: &Path) -> [bool; 2] {
    world.model.clear();
    // Allowed as widely as a client can.
    let allowed = json!(["Read", "Read(//**)"]);
    let script = turns([tool("Read", &json!({"file_path": file})), text("end")]);
    assert_eq!(world.ask(json!({"prompt": script, "allowedTools": allowed})).await.result(), "end");
    assert_eq!(world.last_message().tool_results().len(), 1);
    let by_tool = world.sent().contains(SECRET);

    world.model.clear();
    let prompt = format!("@{} [[text:end]]", file.display());
    assert_eq!(world.ask(json!({"prompt": prompt, "allowedTools": allowed})).await.result(), "end");
    [by_tool, world.sent().contains(SECRET)]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_private_is_read_in_both_ways() {
    // Else the tests below would prove nothing.
    let world = open_world(|server| server.file("elsewhere/file.txt", SECRET)).await;
    let file = world.server.folders.root().join("elsewhere/file.txt");
    assert_eq!(gets_at(&world, &file).await, [true, true]);
    let link = world.server.folders.workspace().join("link");
    std::os::unix::fs::symlink(file.parent().unwrap(), &link).unwrap();
    for way in ["link/file.txt", "../elsewhere/file.txt"] {
        let way = world.server.folders.workspace().join(way);
        assert_eq!(gets_at(&world, &way).await, [true, true], "{}", way.display());
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_configuration_is_private() {
    let world = open_world(|server| server.file("config/.credentials-of-somebody.json", SECRET)).await;
    let file = world.server.folders.config().join(".credentials-of-somebody.json");
    assert_eq!(gets_at(&world, &file).await, [false, false]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_transcript_of_another_session_is_private() {
    let world = open_world(|server| server).await;
    let answer = world.ask(json!({"prompt": format!("{SECRET} [[text:x]]")})).await;
    let id = answer.body["session_id"].as_str().unwrap();
    let transcript = world.server.folders.data().join(format!("sessions/{id}/{id}.jsonl"));
    eventually("a transcript", || transcript.is_file().then_some(())).await;
    assert_eq!(gets_at(&world, &transcript).await, [false, false]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_home_of_another_run_is_private() {
    let world = open_world(|server| server).await;
    let other = world.server.stream(json!({"prompt": "[[hang]]"})).await;
    world.model_is_asked().await;
    let homes = world.server.folders.list("data/homes");
    assert_eq!(homes.len(), 1);
    let home = world.server.folders.data().join("homes").join(&homes[0]);
    for place in ["secret.txt", ".claude/secret.txt", "tmp/secret.txt", ".claude/skills/s/secret.txt"] {
        let file = home.join(place);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, SECRET).unwrap();
        assert_eq!(gets_at(&world, &file).await, [false, false], "{place}");
    }
    drop(other);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_around_by_a_link_or_by_dots_leads_nowhere() {
    let world = open_world(|server| server.file("config/private.txt", SECRET)).await;
    let workspace = world.server.folders.workspace();
    std::os::unix::fs::symlink(world.server.folders.config(), workspace.join("link")).unwrap();
    let ways = ["link/private.txt", "../config/private.txt", "x/../../config/./private.txt"];
    for way in ways.map(PathBuf::from) {
        assert_eq!(gets_at(&world, &workspace.join(&way)).await, [false, false], "{}", way.display());
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_file_system_is_private() {
    let world = open_world(|server| server).await;
    for file in ["/proc/self/environ", "/proc/self/cmdline"] {
        world.model.clear();
        let script = turns([tool("Read", &json!({"file_path": file})), text("end")]);
        let answer = world.ask(json!({"prompt": format!("@{file} {script}"), "allowedTools": ["Read"]})).await;
        assert_eq!(answer.header("x-askd-permission-denials"), Some("1"), "{answer:?}");
        for part in ["ASKD_RUN_MARKER", "--permission-mode="] {
            assert!(!world.sent().contains(part), "{file}");
        }
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_reads_the_files_of_its_own_skills() {
    let world = open_world(|server| {
        server
            .file("config/skills/lookup/SKILL.md", "---\nname: lookup\ndescription: Looks up.\n---\nRead table.txt")
            .file("config/skills/lookup/table.txt", "row 4711")
    })
    .await;
    let file = "~/.claude/skills/lookup/table.txt";
    let script =
        turns([tool("Skill", &json!({"skill": "lookup"})), tool("Read", &json!({"file_path": file})), text("end")]);
    let answer = world.ask(json!({"prompt": script, "permissionMode": "acceptEdits"})).await;
    assert_eq!((answer.result(), answer.header("x-askd-permission-denials")), ("end", None));
    let results = world.last_message().tool_results();
    assert!(world.sent().contains("row 4711"), "{results:?}");
    world.stop().await;
}
