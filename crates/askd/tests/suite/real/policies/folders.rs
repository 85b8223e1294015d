//! `workspaces`, `write_root` and `project_config`.

use scripted_model::prompt::{text, tool, turns};
use serde_json::{Value, json};

use super::super::World;

/// A world with the workspaces `shop` and `other`; `None`, and a line that says so, where nothing keeps runs to theirs.
async fn world() -> Option<World> {
    let world = World::with(|server| {
        server.file("workspace/shop/web/page.txt", "a page").file("workspace/other/secret.txt", "of the others")
    });
    let world = world.await;
    if world.server.app.runs().shared().isolation.layer().as_str() != "none" {
        return Some(world);
    }
    // Past the harness, which shows nothing of a test that passes.
    drop(std::io::Write::write_all(&mut std::io::stderr(), b"NOT RUN: no layer works here\n"));
    world.stop().await;
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn no_folder_outside_of_the_keys_workspaces_is_given() {
    let Some(world) = world().await else { return };
    let (free, held) = world.free_and_held(json!({"workspaces": ["shop"]})).await;
    let secret = world.server.folders.workspace().join("other/secret.txt");
    let read = turns([tool("Read", &json!({"file_path": secret})), text("end")]);
    let bash = turns([
        tool("Bash", &json!({"command": format!("cat {}", secret.display()), "description": "d"})),
        text("end"),
    ]);
    for (body, field) in [
        (json!({"prompt": read, "cwd": ""}), "cwd"),
        (json!({"prompt": read, "cwd": "other"}), "cwd"),
        (json!({"prompt": read, "cwd": "shop/../other"}), "cwd"),
        (
            json!({"prompt": read, "cwd": "shop", "additional_folders": [{"path": "other"}]}),
            "additional_folders[0].path",
        ),
    ] {
        let control = world.done(&free, &body).await;
        assert!(control.completed().tool_results[0].contains("of the others"), "{control:?}");
        world.refused(&held, &body, field).await;
    }
    let inside: Value = json!({"prompt": bash, "cwd": "shop/web", "allowed_tools": ["Bash"]});
    let done = world.done(&held, &inside).await;
    assert!(!done.completed().tool_results[0].contains("of the others"), "{done:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_outside_of_the_keys_write_root() {
    let Some(world) = world().await else { return };
    let (free, held) = world.free_and_held(json!({"write_root": "shop/web"})).await;
    let (inside, outside) =
        (world.server.folders.workspace().join("shop/web/made"), world.server.folders.workspace().join("shop/made"));
    let bash = |file: &std::path::Path| {
        tool("Bash", &json!({"command": format!("touch {}", file.display()), "description": "d"}))
    };
    let body = json!({
        "prompt": turns([bash(&inside), bash(&outside), text("end")]), "cwd": "shop", "allowed_tools": ["Bash"],
    });
    world.done(&free, &body).await.completed();
    assert!(inside.exists() && outside.exists());
    for file in [&inside, &outside] {
        std::fs::remove_file(file).unwrap();
    }
    let done = world.done(&held, &body).await;
    assert!(inside.exists() && !outside.exists(), "{:?}", done.completed());
    let wider = json!({"prompt": "[[text:x]]", "cwd": "shop", "write_root": "shop"});
    world.done(&free, &wider).await.completed();
    world.refused(&held, &wider, "write_root").await;
    let folder =
        json!({"prompt": "[[text:x]]", "cwd": "shop", "additional_folders": [{"path": "other", "writable": true}]});
    world.done(&free, &folder).await.completed();
    world.refused(&held, &folder, "additional_folders[0].path").await;
    world.refused(&held, &json!({"prompt": "[[text:x]]", "cwd": "other"}), "cwd").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folders_own_configuration_is_left_out_for_a_key_that_is_not_to_have_it() {
    let world =
        World::with(|server| server.file("workspace/repo/CLAUDE.md", "The repository says: prefer tabs.")).await;
    let (free, held) = world.free_and_held(json!({"project_config": false})).await;
    let body = json!({"prompt": "[[text:x]]", "cwd": "repo"});
    world.done(&free, &body).await.completed();
    assert!(world.sent().contains("prefer tabs"));
    let done = world.done(&held, &body).await;
    assert!(!world.sent().contains("prefer tabs"));
    let events = held.follow(done.completed().run["id"].as_str().unwrap()).await.envelopes().await;
    let warnings: Vec<_> = events.iter().filter(|event| event["type"] == "run.warning").collect();
    assert_eq!(warnings.len(), 1, "{events:?}");
    assert!(
        warnings[0]["data"]["message"].as_str().unwrap().ends_with("the policy of the key says so"),
        "{warnings:?}"
    );
    world.stop().await;
}
