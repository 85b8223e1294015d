//! What a run may see and change of the workspaces: the write root and further folders, under each layer that keeps them.

use std::fs;

use askd::settings::{IsolationPolicy, WriteRoot};
use serde_json::{Value, json};

use crate::harness::{Folders, Program, TestServer, TestServerBuilder, V1, eventually, fake_cli, place_program};

/// A server whose runs are isolated by bubblewrap, or without it by Landlock; `None`, and a line that says so, where there
/// is no such layer. It has the workspaces `shop` (with `web` and `doc`) and `other`.
async fn isolated(layer: &str, change: impl FnOnce(TestServerBuilder) -> TestServerBuilder) -> Option<TestServer> {
    let server = TestServerBuilder::fake()
        .file("workspace/shop/web/page", "a page\n")
        .file("workspace/shop/doc/text", "a text\n")
        .file("workspace/other/secret", "a secret\n")
        .set(|settings| {
            settings.isolation.policy = IsolationPolicy::BestEffort;
            if layer == "landlock" {
                settings.isolation.bwrap_bin = "/nonexistent/bwrap".into();
            }
        });
    let server = change(server).start().await;
    if server.app.runs().shared().isolation.layer().as_str() == layer {
        return Some(server);
    }
    // Past the harness, which shows nothing of a test that passes.
    drop(std::io::Write::write_all(
        &mut std::io::stderr(),
        format!("NOT RUN: {layer} does not work here\n").as_bytes(),
    ));
    server.stop().await;
    None
}

const LAYERS: [&str; 2] = ["bubblewrap", "landlock"];

/// Which of the attempts worked that a run with these fields makes; each is `read FILE`, `write FILE` or the like.
async fn attempts(server: &TestServer, fields: Value, attempts: &[&str]) -> Vec<bool> {
    let script: Vec<String> = attempts.iter().map(|attempt| format!("!attack {attempt}")).collect();
    let mut body = fields;
    body["prompt"] = script.join("\n").into();
    let run = server.run(body).await;
    let text = run["result"].as_str().unwrap_or_else(|| panic!("{run}"));
    let outcomes: Vec<Value> = serde_json::from_str(text).unwrap_or_else(|_| panic!("{run}"));
    outcomes.iter().map(|outcome| outcome["worked"].as_bool().unwrap_or_else(|| panic!("{run}"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn by_itself_a_run_writes_its_workspace_and_sees_no_other() {
    for layer in LAYERS {
        let Some(server) = isolated(layer, |server| server).await else { continue };
        // These folders lie among temporary files, of which a run has its own: there the last one may seem to work.
        let tried = ["write new", "write ../new", "read ../doc/text", "read ../../other/secret", "write ../../new"];
        let worked = attempts(&server, json!({"cwd": "shop/web"}), &tried).await;
        assert_eq!(worked[..4], [true, true, true, false], "{layer}");
        assert!(server.folders.workspace().join("shop/web/new").exists());
        assert_eq!(server.folders.list("workspace"), ["other", "shop"]);
        let worked = attempts(&server, json!({"cwd": ""}), &["write other/new", "read other/secret"]).await;
        assert_eq!(worked, [true, true], "{layer}: the root itself is the workspace of a run in it");
        for (cwd, is_kept) in [("", false), ("shop", true)] {
            let run = server.run(json!({"prompt": "!result fine", "cwd": cwd})).await;
            let in_force = run["isolation"]["in_force"].as_array().unwrap();
            assert!(in_force.contains(&json!("private_files")), "{run}");
            for word in ["private_workspaces", "write_root"] {
                assert_eq!(in_force.contains(&json!(word)), is_kept, "{layer}: {word} of a run in {cwd:?}");
            }
        }
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrower_write_root_leaves_the_rest_of_the_workspace_to_be_read() {
    for layer in LAYERS {
        let Some(server) = isolated(layer, |server| server).await else { continue };
        let tried = ["write web/new", "write new", "read doc/text", "write doc/text", "read ../other/secret"];
        let worked = attempts(&server, json!({"cwd": "shop", "write_root": "shop/web"}), &tried).await;
        assert_eq!(worked, [true, false, true, false, false], "{layer}");
        assert_eq!(server.folders.list("workspace/shop"), ["doc", "web"]);
        let worked = attempts(&server, json!({"cwd": "shop/web", "write_root": "shop"}), &["write ../new"]).await;
        assert_eq!(worked, [true], "{layer}: it may lie above the working folder");
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn further_folders_are_read_only_or_writable_as_the_request_says() {
    for layer in LAYERS {
        let Some(server) = isolated(layer, |server| server).await else { continue };
        let tried = ["read ../../other/secret", "write ../../other/new"];
        for (writable, expected) in [(false, [true, false]), (true, [true, true])] {
            let folders = json!([{"path": "other", "writable": writable}]);
            let fields = json!({"cwd": "shop/web", "additional_folders": folders});
            assert_eq!(attempts(&server, fields, &tried).await, expected, "{layer}");
        }
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_the_write_root_can_be_closed_to_changes_where_the_layer_can_do_that() {
    let fields = json!({"cwd": "shop", "additional_folders": [{"path": "shop/doc"}]});
    if let Some(server) = isolated("bubblewrap", |server| server).await {
        let worked = attempts(&server, fields.clone(), &["write new", "read doc/text", "write doc/text"]).await;
        assert_eq!(worked, [true, true, false]);
        server.stop().await;
    }
    if let Some(server) = isolated("landlock", |server| server).await {
        let mut body = fields;
        body["prompt"] = "x".into();
        let answer = server.post("/v1/runs", &body).await;
        assert_eq!(
            (answer.status, &answer.body["error"]["param"]),
            (400, &json!("additional_folders[0]")),
            "{answer:?}"
        );
        assert!(answer.message().contains("Landlock"), "{answer:?}");
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_may_let_runs_write_all_workspaces_and_a_request_take_that_back() {
    for layer in LAYERS {
        let root = |server: TestServerBuilder| server.set(|settings| settings.isolation.write_root = WriteRoot::Root);
        let Some(server) = isolated(layer, root).await else { continue };
        let tried = ["write new", "write ../other/new", "read ../other/secret"];
        assert_eq!(attempts(&server, json!({"cwd": "shop"}), &tried).await, [true, true, true], "{layer}");
        let fields = json!({"cwd": "shop", "write_root": "shop"});
        assert_eq!(attempts(&server, fields, &tried).await, [true, false, false], "{layer}");
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_s_own_folders_are_let_in_for_every_run() {
    for layer in LAYERS {
        let own = |server: TestServerBuilder| {
            let server = server.file("home/tools/tool", "a tool\n").file("home/cache/x", "").file("home/.ssh/key", "");
            let home = server.folders.root().join("home");
            server.set(|settings| {
                settings.isolation.hidden_folders = vec![home.clone()];
                settings.isolation.readable_folders = vec![home.join("tools")];
                settings.isolation.writable_folders = vec![home.join("cache")];
            })
        };
        let Some(server) = isolated(layer, own).await else { continue };
        let home = server.folders.root().join("home").display().to_string();
        let tried = ["read tools/tool", "write tools/new", "write cache/new", "read .ssh/key", "write new"];
        let tried = tried.map(|attempt| attempt.replacen(' ', &format!(" {home}/"), 1));
        let tried: Vec<&str> = tried.iter().map(String::as_str).collect();
        let worked = attempts(&server, json!({"cwd": "shop"}), &tried).await;
        assert_eq!(worked[..4], [true, false, true, false], "{layer}");
        assert_eq!(server.folders.list("home"), [".ssh", "cache", "tools"], "{layer}");
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cli_is_told_of_them_in_its_own_words() {
    let Some(server) = isolated("bubblewrap", |server| server).await else { return };
    let folders = json!([{"path": "other"}, {"path": "shop/doc", "writable": true}]);
    let run = server.run(json!({
        "prompt": "!report", "cwd": "shop/web", "write_root": "shop/web", "additional_folders": folders,
    }));
    let run = run.await;
    let report: Value = serde_json::from_str(run["result"].as_str().unwrap()).unwrap();
    let permissions = &report["settings"]["permissions"];
    let path = |path: &str| server.folders.workspace().canonicalize().unwrap().join(path).display().to_string();
    let expected = json!([path("shop/web"), path("other"), path("shop/doc")]);
    assert_eq!(permissions["additionalDirectories"], expected);
    let deny: Vec<&str> = permissions["deny"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let rule = |folder: &str| format!("Edit(/{}/**)", path(folder));
    assert!(deny.contains(&rule("other").as_str()), "{deny:?}");
    assert!(!deny.iter().any(|denied| denied.contains("/shop")), "what may be changed is not denied: {deny:?}");
    let options = &run["options"];
    assert_eq!(
        (&options["write_root"], &options["additional_folders"][0]["path"]),
        (&json!("shop/web"), &json!("other"))
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_a_400_that_names_the_field_and_nothing_comes_of_it() {
    let Some(server) = isolated("bubblewrap", |server| server).await else { return };
    std::os::unix::fs::symlink("/etc", server.folders.workspace().join("shop/out")).unwrap();
    for (field, value, part) in [
        ("write_root", json!("other"), "must lie in the workspace of cwd (ASKD_WRITE_ROOT)"),
        ("write_root", json!("/etc"), "write_root must be relative to the workspace root"),
        ("write_root", json!("shop/../other"), "write_root must not contain `..`"),
        ("write_root", json!("shop/out"), "write_root must stay inside the workspace root"),
        ("write_root", json!("shop/absent"), "write_root does not exist in the workspace root"),
        ("write_root", json!(["shop"]), "write_root must be a string"),
        ("additional_folders", json!([{"path": "shop/out"}]), "additional_folders[0].path must stay inside"),
        ("additional_folders", json!([{"path": "other", "rw": true}]), "has no field `rw`"),
        ("additional_folders", json!([{"path": "other", "writable": "yes"}]), ".writable must be true or false"),
    ] {
        let answer = server.post("/v1/runs", &json!({"prompt": "x", "cwd": "shop", field: value})).await;
        assert_eq!(
            (answer.status, &answer.body["error"]["type"]),
            (400, &json!("invalid_request_error")),
            "{answer:?}"
        );
        assert!(answer.param().starts_with(field), "{answer:?}");
        assert!(answer.message().contains(part), "{answer:?}");
    }
    assert_eq!(server.get("/v1/runs").await.body["data"], json!([]));
    let answer = server.ask(json!({"prompt": "x", "write_root": "shop"})).await;
    assert_eq!((answer.status, answer.code()), (400, "REQUEST_ERROR"), "{answer:?}");
    assert!(answer.message().contains("there is no field `write_root`"), "{answer:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_could_keep_it_the_request_is_refused() {
    let server = TestServerBuilder::fake().file("workspace/shop/web/page", "").start().await;
    for (field, value) in [("write_root", json!("shop/web")), ("additional_folders", json!([{"path": "shop/web"}]))] {
        let answer = server.post("/v1/runs", &json!({"prompt": "x", "cwd": "shop", field: value})).await;
        assert_eq!((answer.status, &answer.body["error"]["param"]), (400, &json!(field)), "{answer:?}");
        assert!(answer.message().contains("cannot be kept on this server"), "{answer:?}");
    }
    server.run(json!({"prompt": "x", "cwd": "shop"})).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_login_is_there_and_what_lies_beside_it_is_not() {
    for layer in LAYERS {
        let login = |server: TestServerBuilder| {
            let server = server.file("elsewhere/login.json", "{}").file("config/CLAUDE.md", "");
            let (root, link) = (server.folders.root(), server.folders.config().join(".credentials.json"));
            std::os::unix::fs::symlink(root.join("elsewhere/login.json"), link).unwrap();
            server.set(|settings| settings.child.environment.retain(|(name, _)| !name.starts_with("ANTHROPIC")))
        };
        let Some(server) = isolated(layer, login).await else { continue };
        let config = server.folders.config().display().to_string();
        let elsewhere = server.folders.root().join("elsewhere/login.json").display().to_string();
        let tried = [format!("rewrite {elsewhere}"), format!("read {config}/CLAUDE.md"), format!("list {config}")];
        let tried: Vec<&str> = tried.iter().map(String::as_str).collect();
        let worked = attempts(&server, json!({"cwd": "shop"}), &tried).await;
        assert_eq!(worked[..2], [true, false], "{layer}");
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cli_in_a_hidden_folder_is_found_by_its_links() {
    for layer in LAYERS {
        let folders = Folders::new();
        let bin = folders.root().join("home/lib/node_modules/cli/bin");
        fs::create_dir_all(&bin).unwrap();
        for program in [fake_cli(), fake_cli().with_file_name("attacker")] {
            let there = bin.join(program.file_name().unwrap());
            place_program(&program, &there);
        }
        folders.write("home/lib/node_modules/other/file", "");
        folders.write("home/secret", "");
        fs::create_dir(folders.root().join("home/bin")).unwrap();
        let link = folders.root().join("home/bin/claude");
        std::os::unix::fs::symlink("../lib/node_modules/cli/bin/fake-claude", &link).unwrap();
        let home = folders.root().join("home").display().to_string();
        let hidden = |server: TestServerBuilder| {
            server.set(|settings| {
                settings.paths.claude_bin = link;
                settings.isolation.hidden_folders = vec![home.clone().into()];
            })
        };
        let Some(server) = isolated(layer, hidden).await else { continue };
        let tried = [format!("read {home}/lib/node_modules/other/file"), format!("read {home}/secret")];
        let tried: Vec<&str> = tried.iter().map(String::as_str).collect();
        assert_eq!(attempts(&server, json!({"cwd": "shop"}), &tried).await, [true, false], "{layer}");
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_root_that_is_gone_at_the_run_s_turn_ends_it() {
    let folders = Folders::new();
    folders.write("workspace/shop/web/page", "");
    folders.write("workspace/shop/out/page", "");
    let variables = [("ASKD_ISOLATION", "best_effort"), ("MAX_CONCURRENT", "1")];
    let mut program = Program::start(&folders, &variables);
    let client = V1::at(program.address().await);
    if client.get("/v1/isolation").await.body["layer"] == "none" {
        drop(std::io::Write::write_all(&mut std::io::stderr(), b"NOT RUN: no layer works here\n"));
        return;
    }
    client.submit(&json!({"prompt": "!touch there\n!await go", "cwd": "shop"})).await;
    eventually("a run at work", || folders.workspace().join("shop/there").exists().then_some(())).await;
    let bodies = [
        (json!({"write_root": "shop/web"}), "write_root does not exist"),
        (
            json!({"additional_folders": [{"path": "shop/web", "writable": true}]}),
            "additional_folders[0].path does not exist",
        ),
        (json!({"write_root": "shop/out"}), ""),
    ];
    let mut runs = Vec::new();
    for (mut body, part) in bodies {
        (body["prompt"], body["cwd"]) = ("!result fine".into(), "shop".into());
        runs.push((client.submit(&body).await, part));
    }
    program.signal(rustix::process::Signal::KILL);
    program.ended().await;
    fs::remove_dir_all(folders.workspace().join("shop/web")).unwrap();
    folders.write("workspace/shop/go", "");

    let mut program = Program::start(&folders, &variables);
    let client = V1::at(program.address().await);
    for (run, part) in runs {
        let run = client.ended(&run).await;
        let message = run["error"]["message"].as_str().unwrap_or_default();
        let kind = if part.is_empty() { Value::Null } else { json!("invalid") };
        assert!(run["error"]["type"] == kind && message.contains(part), "{run}");
    }
    program.signal(rustix::process::Signal::TERM);
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.log());
}
