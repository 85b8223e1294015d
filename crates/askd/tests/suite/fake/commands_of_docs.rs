//! Commands in documents work as printed.

use std::process::Command;

use askd::settings::Settings;
use rustix::process::Signal;
use scripted_model::ScriptedModel;
use serde_json::{Value, json};

use crate::docs::{can_run, commands, has, requests};
use crate::harness::{Folders, Program, TestServer, TestServerBuilder, fake_cli, launcher};

/// Runs them one after the other in one shell, as they are but for the server's address, in a folder with the server's
/// `workspace` and `config`, and with `askd` on the path. A status of 400 and more is a failure. What they have said.
async fn all_work(server: &TestServer, commands: Vec<String>) -> String {
    assert!(!commands.is_empty());
    let place = server.folders.root().join("shell");
    std::fs::create_dir(&place).unwrap();
    for folder in ["workspace", "config"] {
        std::os::unix::fs::symlink(server.folders.root().join(folder), place.join(folder)).unwrap();
    }
    std::fs::create_dir(place.join("bin")).unwrap();
    std::os::unix::fs::symlink(launcher(), place.join("bin/askd")).unwrap();
    std::fs::write(place.join(".curlrc"), "fail-with-body\nsilent\nshow-error\n").unwrap();
    let script = format!("PATH=$PWD/bin:$PATH\nset -eu -o pipefail\n{}\n", commands.join("\n"));
    let script = script.replace("http://127.0.0.1:3000", &server.url(""));
    #[expect(clippy::disallowed_methods, reason = "a shell, as a reader of the document has it")]
    let (mut shell, path) = (Command::new("bash"), std::env::var_os("PATH").unwrap_or_default());
    shell.args(["-xc", &script]).current_dir(&place).env_clear().env("PATH", path);
    shell.env("HOME", &place).env("CURL_HOME", &place).env("API_KEY", Settings::TEST_API_KEY);
    let output = tokio::task::spawn_blocking(move || shell.output().unwrap()).await.unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{errors}");
    said.into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_tour_for_keys_work_as_printed() {
    let test = "the_commands_of_the_tour_for_keys_work_as_printed";
    if !can_run(test) {
        return;
    }
    let server = TestServerBuilder::fake().start().await;
    server.folders.write("workspace/shop/a.txt", "a");
    all_work(&server, commands(test)).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_tour_for_configuration_work_as_printed() {
    let test = "the_commands_of_the_tour_for_configuration_work_as_printed";
    if !can_run(test) {
        return;
    }
    let server = TestServerBuilder::fake().start().await;
    let commands = commands(test);
    for route in ["agents", "skills", "rules"] {
        for (what, with) in [("-X PUT ", "/"), ("", ""), ("", "/"), ("-X DELETE ", "/")] {
            let line = format!("{what}http://127.0.0.1:3000/config/{route}{with}");
            let quoted = line.replacen("http", "\"http", 1);
            let there =
                commands.iter().flat_map(|block| block.lines()).any(|it| it.contains(&line) || it.contains(&quoted));
            assert!(there, "the tour does not show {line}");
        }
    }
    all_work(&server, commands).await;
    assert_eq!(server.folders.list("config"), ["CLAUDE.md", "agents", "rules", "skills"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_page_on_configuration_work_as_printed() {
    let test = "the_commands_of_the_page_on_configuration_work_as_printed";
    if !can_run(test) {
        return;
    }
    let server = TestServerBuilder::fake().start().await;
    all_work(&server, commands(test)).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_of_schemas_are_answered_as_printed() {
    let test = "the_examples_of_schemas_are_answered_as_printed";
    if !can_run(test) {
        return;
    }
    // The real CLI: it makes of a schema what the model is offered.
    let model = ScriptedModel::start().await.unwrap();
    let server = TestServerBuilder::real(&model.base_url()).start().await;
    server.folders.write("workspace/shop/haiku.txt", "one\ntwo\nthree\n");
    let said = all_work(&server, commands(test)).await;
    assert!(said.contains(r#""structured_output":{"lines":0}"#), "{said}");
    server.stop().await;
    model.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_part_of_the_tour_works_as_printed() {
    let test = "the_first_part_of_the_tour_works_as_printed";
    if !can_run(test) {
        return;
    }
    let model = ScriptedModel::start().await.unwrap();
    let server = TestServerBuilder::real(&model.base_url()).start().await;
    let said = all_work(&server, commands(test)).await;
    assert!(said.contains(r#""structured_output":{"lines":0}"#), "{said}");
    server.stop().await;
    model.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_page_on_runs_work_as_printed() {
    let test = "the_commands_of_the_page_on_runs_work_as_printed";
    if !can_run(test) {
        return;
    }
    let server = TestServerBuilder::fake().start().await;
    all_work(&server, commands(test)).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_page_on_security_work_as_printed() {
    let test = "the_commands_of_the_page_on_security_work_as_printed";
    if !can_run(test) {
        return;
    }
    let server = TestServerBuilder::fake().start().await;
    server.folders.write("workspace/shop/a.txt", "a");
    let run = server.submit(json!({"prompt": "hello"})).await;
    let cli = fake_cli().display().to_string();
    // Of another server than the one at work: that one has its folders.
    let variables = format!(
        "export RUN={run} ASKD_CLAUDE_BIN='{cli}' ASKD_ALLOW_ROOT=1 WORKSPACE_DIR=workspace CONFIG_DIR=config ASKD_DATA_DIR=data"
    );
    let mut commands = commands(test);
    commands.insert(0, format!("mkdir data; {variables}"));
    all_work(&server, commands).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_page_on_metrics_work_as_printed() {
    let test = "the_commands_of_the_page_on_metrics_work_as_printed";
    if !can_run(test) {
        return;
    }
    let server = TestServerBuilder::fake().start().await;
    let said = all_work(&server, commands(test)).await;
    assert!(said.contains("askd_queue_") && said.contains(r#""metrics:read""#), "{said}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_page_on_usage_work_as_printed() {
    let test = "the_commands_of_the_page_on_usage_work_as_printed";
    if !can_run(test) {
        return;
    }
    let server = TestServerBuilder::fake().start().await;
    all_work(&server, commands(test)).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_page_on_the_options_of_runs_work_as_printed() {
    let test = "the_commands_of_the_page_on_the_options_of_runs_work_as_printed";
    if !can_run(test) {
        return;
    }
    let server = TestServerBuilder::fake().start().await;
    all_work(&server, commands(test)).await;
    let runs = server.get("/v1/runs").await.body;
    let ends: Vec<_> = runs["data"].as_array().unwrap().iter().map(|run| &run["state"]).collect();
    assert_eq!(ends, ["completed"; 4]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_page_on_health_work_as_printed() {
    let test = "the_commands_of_the_page_on_health_work_as_printed";
    if !can_run(test) {
        return;
    }
    let server = TestServerBuilder::fake().start().await;
    let cli = fake_cli().display().to_string();
    // Of another server than the one at work: that one has its folders.
    let variables = format!(
        "export ASKD_CLAUDE_BIN='{cli}' ASKD_ALLOW_ROOT=1 WORKSPACE_DIR=workspace CONFIG_DIR=config ASKD_DATA_DIR=data \
         ASKD_LISTEN=127.0.0.1:0"
    );
    let mut commands = commands(test);
    commands.insert(0, format!("mkdir data; {variables}"));
    let said = all_work(&server, commands).await;
    assert!(said.contains("[+]cli ok\n") && said.contains("ok    store "), "{said}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_page_on_the_network_work_as_printed() {
    let test = "the_commands_of_the_page_on_the_network_work_as_printed";
    if !can_run(test) {
        return;
    }
    let server = TestServerBuilder::fake().start().await;
    all_work(&server, commands(test)).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_that_change_the_policy_work_as_printed() {
    let test = "the_commands_that_change_the_policy_work_as_printed";
    if !can_run(test) {
        return;
    }
    let server = TestServerBuilder::fake().start().await;
    all_work(&server, commands(test)).await;
    assert_eq!(server.folders.list("config"), [""; 0], "the default is back");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_page_on_keys_work_as_printed() {
    let test = "the_commands_of_the_page_on_keys_work_as_printed";
    if !can_run(test) {
        return;
    }
    let server = TestServerBuilder::fake().start().await;
    all_work(&server, commands(test)).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_page_on_what_a_server_can_do_work_as_printed() {
    let test = "the_commands_of_the_page_on_what_a_server_can_do_work_as_printed";
    if !can_run(test) {
        return;
    }
    let server = TestServerBuilder::fake().start().await;
    all_work(&server, commands(test)).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_page_on_uploads_work_as_printed() {
    let test = "the_commands_of_the_page_on_uploads_work_as_printed";
    if !can_run(test) {
        return;
    }
    let server = TestServerBuilder::fake().start().await;
    all_work(&server, commands(test)).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_documents_show_as_parts_of_requests_is_taken() {
    let server = TestServerBuilder::fake().start().await;
    server.folders.write("workspace/shop/web/a.txt", "a");
    for block in requests() {
        let mut shown: Value = serde_json::from_str(&block.text).unwrap();
        let (kind, place) = (block.mark("request").unwrap(), block.place());
        let answer = match kind {
            "policy" => server.post("/v1/keys", &json!({"name": "a", "scopes": ["runs:write"], "policy": shown})).await,
            "guard" => server.put("/v1/config/policy", &json!({"content": shown})).await,
            "run" => {
                shown["prompt"] = "hello".into();
                // What waits without its client may have no secrets, without a setting of their own.
                shown["on_disconnect"] = "cancel".into();
                server.post("/v1/runs?wait=60", &shown).await
            }
            _ => panic!("{place}: no request is a {kind}"),
        };
        assert!(matches!(answer.status, 200 | 201), "{place}: {answer:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificates_of_the_page_on_tls_are_made_and_used_as_printed() {
    let test = "the_certificates_of_the_page_on_tls_are_made_and_used_as_printed";
    if !can_run(test) || !has(test, "openssl", "version") {
        return;
    }
    let folders = Folders::new();
    let place = folders.root().join("shell");
    std::fs::create_dir_all(place.join("bin")).unwrap();
    std::os::unix::fs::symlink(launcher(), place.join("bin/askd")).unwrap();
    let blocks = commands(test);
    let [of_server, use_server, of_client, use_client] = &blocks[..] else { panic!("other blocks: {blocks:#?}") };
    let shell = async |script: &str, url: &str| {
        let script = script.replace("https://localhost:8443", url);
        let path = format!("{}:/usr/bin:/bin", place.join("bin").display());
        #[expect(clippy::disallowed_methods, reason = "a shell, as a reader of the document has it")]
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-xc", &script]).current_dir(&place).env_clear();
        shell.env("PATH", path).env("HOME", &place).env("API_KEY", Settings::TEST_API_KEY);
        let output = tokio::task::spawn_blocking(move || shell.output().unwrap()).await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
        said
    };
    let at = |name: &str| place.join(name).display().to_string();
    shell(of_server, "").await;
    shell(of_client, "").await;
    let (cert, key, ca) = (at("cert.pem"), at("key.pem"), at("client-ca.pem"));
    let files = [("ASKD_TLS_CERT", cert.as_str()), ("ASKD_TLS_KEY", &key), ("ASKD_TLS_CLIENT_CA", &ca)];
    for (variables, commands) in [(&files[..2], use_server), (&files[..], use_client)] {
        let mut program = Program::start(&folders, variables);
        let url = format!("https://localhost:{}", program.address().await.port());
        let said = shell(commands, &url).await;
        assert!(said.contains("\"ok\"") && said.contains("ID "), "{said}");
        program.signal(Signal::TERM);
        assert!(program.ended().await.success());
    }
}
