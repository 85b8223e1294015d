//! Commands in documents work as printed.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use askd::settings::Settings;
use rustix::process::Signal;
use scripted_model::ScriptedModel;

use crate::harness::{Folders, Program, TestServer, TestServerBuilder, launcher};

/// What stands between the fences of blocks of shell commands, in a part of a page.
fn commands(page: &str, from: &str, to: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(page);
    let text = std::fs::read_to_string(path).unwrap();
    let part = text.split_once(from).unwrap_or_else(|| panic!("{page} has no {from}")).1;
    let part = if to.is_empty() { part } else { part.split_once(to).unwrap_or_else(|| panic!("{page} has no {to}")).0 };
    let blocks = part.split("\n```sh\n").skip(1).map(|rest| rest.split_once("\n```").unwrap().0);
    blocks.map(str::to_owned).collect()
}

/// Runs them one after the other in one shell, as they are but for the server's address. A status of 400 and more is a
/// failure; each must have said something, or it was a `DELETE`. What they have said.
async fn all_work(server: &TestServer, commands: Vec<String>) -> String {
    assert!(!commands.is_empty());
    let place = server.folders.root().join("shell");
    std::fs::create_dir(&place).unwrap();
    std::fs::write(place.join(".curlrc"), "fail-with-body\nsilent\nshow-error\n").unwrap();
    let script = format!("set -eu -o pipefail\n{}\n", commands.join("\n"));
    let script = script.replace("http://127.0.0.1:3000", &server.url(""));
    #[expect(clippy::disallowed_methods, reason = "a shell, as a reader of the document has it")]
    let mut shell = Command::new("bash");
    shell.args(["-xc", &script]).current_dir(&place).env("CURL_HOME", &place).env("API_KEY", Settings::TEST_API_KEY);
    let output = tokio::task::spawn_blocking(move || shell.output().unwrap()).await.unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{errors}");
    said.into_owned()
}

/// Whether a test can run; says so where it cannot.
fn can_run(test: &str) -> bool {
    ["bash", "curl", "jq", "tar"].into_iter().all(|program| has(test, program, "--version"))
}

/// Whether there is a program that a test needs.
fn has(test: &str, program: &str, try_with: &str) -> bool {
    #[expect(clippy::disallowed_methods, reason = "the programs that a reader of the documents has")]
    let tried = Command::new(program).arg(try_with).stdout(Stdio::null()).status();
    let is_there = tried.is_ok_and(|status| status.success());
    if !is_there {
        // Past the harness, which shows nothing of a test that passes.
        let line = format!("NOT RUN: {test}: there is no {program} here\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    is_there
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readmes_commands_for_keys_work_as_printed() {
    if !can_run("the_readmes_commands_for_keys_work_as_printed") {
        return;
    }
    let server = TestServerBuilder::fake().start().await;
    server.folders.write("workspace/shop/a.txt", "a");
    all_work(&server, commands("README.md", "### Keys for others", "### Configuration")).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readmes_commands_for_configuration_work_as_printed() {
    if !can_run("the_readmes_commands_for_configuration_work_as_printed") {
        return;
    }
    let server = TestServerBuilder::fake().start().await;
    let commands = commands("README.md", "### Configuration", "## What differs");
    for route in ["agents", "skills", "rules"] {
        for (what, with) in [("-X PUT ", "/"), ("", ""), ("", "/"), ("-X DELETE ", "/")] {
            let line = format!("{what}http://127.0.0.1:3000/config/{route}{with}");
            let quoted = line.replacen("http", "\"http", 1);
            let there =
                commands.iter().flat_map(|block| block.lines()).any(|it| it.contains(&line) || it.contains(&quoted));
            assert!(there, "the README does not show {line}");
        }
    }
    all_work(&server, commands).await;
    assert_eq!(server.folders.list("config"), ["CLAUDE.md", "agents", "rules", "skills"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_page_on_configuration_work_as_printed() {
    if !can_run("the_commands_of_the_page_on_configuration_work_as_printed") {
        return;
    }
    let server = TestServerBuilder::fake().start().await;
    all_work(&server, commands("docs/config.md", "# Configuration", "")).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_of_schemas_are_answered_as_printed() {
    if !can_run("the_examples_of_schemas_are_answered_as_printed") {
        return;
    }
    // The real CLI: it makes of a schema what the model is offered.
    let model = ScriptedModel::start().await.unwrap();
    for (page, from, to) in [
        ("README.md", "**Dictate the form.**", "**Leave.**"),
        ("docs/structured-output.md", "# An answer", "## What happens"),
    ] {
        let server = TestServerBuilder::real(&model.base_url()).start().await;
        server.folders.write("workspace/shop/haiku.txt", "one\ntwo\nthree\n");
        let said = all_work(&server, commands(page, from, to)).await;
        assert!(said.contains(r#""structured_output":{"lines":0}"#), "{page}: {said}");
        server.stop().await;
    }
    model.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_page_on_usage_work_as_printed() {
    if !can_run("the_commands_of_the_page_on_usage_work_as_printed") {
        return;
    }
    let server = TestServerBuilder::fake().start().await;
    all_work(&server, commands("docs/usage.md", "# Usage and cost", "")).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_page_on_the_options_of_runs_work_as_printed() {
    if !can_run("the_commands_of_the_page_on_the_options_of_runs_work_as_printed") {
        return;
    }
    let server = TestServerBuilder::fake().start().await;
    all_work(&server, commands("docs/run-options.md", "# The options of a run", "")).await;
    let runs = server.get("/v1/runs").await.body;
    let ends: Vec<_> = runs["data"].as_array().unwrap().iter().map(|run| &run["state"]).collect();
    assert_eq!(ends, ["completed"; 4]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_page_on_the_network_work_as_printed() {
    if !can_run("the_commands_of_the_page_on_the_network_work_as_printed") {
        return;
    }
    let server = TestServerBuilder::fake().start().await;
    all_work(&server, commands("docs/network.md", "## Requests a minute", "")).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_that_change_the_policy_work_as_printed() {
    if !can_run("the_commands_that_change_the_policy_work_as_printed") {
        return;
    }
    let server = TestServerBuilder::fake().start().await;
    all_work(&server, commands("docs/guard.md", "## See, change, try and switch off", "")).await;
    assert_eq!(server.folders.list("config"), [""; 0], "the default is back");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_page_on_keys_work_as_printed() {
    if !can_run("the_commands_of_the_page_on_keys_work_as_printed") {
        return;
    }
    let server = TestServerBuilder::fake().start().await;
    all_work(&server, commands("docs/keys.md", "# Keys", "")).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_page_on_what_a_server_can_do_work_as_printed() {
    if !can_run("the_commands_of_the_page_on_what_a_server_can_do_work_as_printed") {
        return;
    }
    let server = TestServerBuilder::fake().start().await;
    all_work(&server, commands("docs/info.md", "# What a server is", "")).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_page_on_uploads_work_as_printed() {
    if !can_run("the_commands_of_the_page_on_uploads_work_as_printed") {
        return;
    }
    let server = TestServerBuilder::fake().start().await;
    all_work(&server, commands("docs/uploads.md", "# Uploads", "")).await;
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
    let blocks: Vec<_> =
        ["To try it with", "An authority for"].iter().flat_map(|from| commands("docs/tls.md", from, "\n## ")).collect();
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
