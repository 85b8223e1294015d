//! Older CLIs: the main path holds with each of `scripts/older-clis`, and what one of them cannot do is refused, and said.
//!
//! One server for each CLI, and one question after the other: what is looked at is the CLI, not the server.

mod path;

use std::panic::AssertUnwindSafe;

use claude::version::capabilities::{CHECKED, Capabilities, Feature};
use claude::version::{TESTED, Version};
use futures_util::FutureExt as _;
use serde_json::{Value, json};

use super::World;
use super::mcp::{SERVER, entry, has_node, servers};
use crate::harness::older_cli;

const PINNED: &str = include_str!("../../../../../scripts/cli-version");
const OLDER: &str = include_str!("../../../../../scripts/older-clis");

/// A world whose CLI is this one; `None` where it is not to be tested.
async fn world_of(version: Version) -> Option<World> {
    let cli = older_cli(&version.to_string())?;
    let agent = "---\nname: known-as\ndescription: An agent of a test.\n---\nSpeak like a pirate.\n";
    let entries = if has_node() { json!({"own": entry(SERVER, "the-operator")}) } else { json!({}) };
    let world = World::of(cli, |server| {
        server.file("config/agents/file-name.md", agent).file("config/.mcp.json", &servers(&entries))
    });
    Some(world.await)
}

/// Asks everything of [`path::PATH`], and says which question was answered wrongly.
async fn main_path(version: Version) {
    let Some(world) = world_of(version).await else { return };
    for (name, question) in path::PATH {
        world.model.clear();
        let asked = AssertUnwindSafe(question(&world)).catch_unwind().await;
        assert!(asked.is_ok(), "{name}, with {version}");
    }
    world.stop().await;
}

#[test]
fn the_clis_that_are_installed_for_the_tests_are_those_that_the_capabilities_are_about() {
    let listed: Vec<_> = OLDER.lines().rev().chain([PINNED]).map(|line| Version::parse(line).unwrap()).collect();
    assert_eq!((listed.as_slice(), Version::parse(PINNED)), (CHECKED.as_slice(), Some(TESTED)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_main_path_holds_with_the_oldest_cli() {
    main_path(CHECKED[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_main_path_holds_with_the_cli_in_between() {
    main_path(CHECKED[1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_policy_an_older_cli_cannot_be_held_to_is_refused_and_the_info_says_what_is_lacking() {
    for version in &CHECKED[..2] {
        let Some(world) = world_of(*version).await else { return };
        let held = world.server.user(json!({"tools": ["Read"]})).await;
        let answer = held.post("/v1/runs?wait=60", &json!({"prompt": "[[text:must not be sent]]"})).await;
        assert_eq!((answer.status, answer.kind()), (403, "permission_error"), "{answer:?}");
        let message = answer.message();
        assert!(message.contains("2.1.330 or newer") && message.contains(&format!("has {version}")), "{message}");
        assert!(world.model.messages().is_empty());

        let bounded = world.server.user(json!({"max_usd_per_run": 5})).await;
        let run = bounded.run(json!({"prompt": "[[text:fine]]"})).await;
        assert_eq!(
            (&run["state"], &run["result"]),
            (&json!("completed"), &json!("fine")),
            "what askd itself counts holds"
        );

        let info = world.server.get("/v1/info").await.body;
        assert_eq!((&info["cli"]["version"], &info["cli"]["status"]), (&json!(version.to_string()), &json!("older")));
        for feature in Feature::ALL {
            let has = Capabilities::of(*version).has(feature);
            assert_eq!(info["cli"]["capabilities"][feature.as_str()], has, "{version} {feature:?}");
        }
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_the_request_never_answers_by_the_words_of_one_of_the_configuration() {
    let asked = |name: &str, profile: &str| {
        json!({"prompt": "[[text:x]]", "agent": name, "profile": profile,
            "agents": {name: {"description": "d", "prompt": "Speak like a heron."}}})
    };
    for version in CHECKED {
        let Some(world) = world_of(version).await else { continue };
        let lacks = !Capabilities::of(version).has(Feature::InlineAgentAnswers);
        for (name, profile, is_twice) in
            [("known-as", "default", true), ("known-as", "bare", false), ("another", "default", false)]
        {
            let answer = world.server.post("/v1/runs?wait=60", &asked(name, profile)).await;
            if is_twice && lacks {
                assert_eq!((answer.status, answer.param()), (400, "agent"), "{version} {name} {profile}: {answer:?}");
                assert!(answer.message().contains("2.1.330 or newer; this server has"), "{answer:?}");
                continue;
            }
            assert_eq!((answer.status, &answer.body["state"]), (200, &json!("completed")), "{version}: {answer:?}");
            let system = world.last_message().system_text();
            assert!(system.contains("like a heron") && !system.contains("pirate"), "{version} {name} {profile}");
        }
        world.stop().await;
    }
}

/// Codes of a run's warnings.
fn codes(run: &Value) -> Vec<&str> {
    run["warnings"].as_array().unwrap().iter().map(|warning| warning["code"].as_str().unwrap()).collect()
}
