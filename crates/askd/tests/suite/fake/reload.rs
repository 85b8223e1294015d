//! SIGHUP: what is written anew counts, or says why not, and what is wrong changes nothing.

use std::net::SocketAddr;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{
    Answer, Folders, Program, RawClient, Scraped, Stream, UNPRIVILEGED, V1, beside, eventually, eventually_async,
    fake_cli, give, launcher, place_program,
};

/// A server whose settings are in a file.
struct Filed {
    folders: Folders,
    program: Program,
    address: SocketAddr,
    reloads: usize,
}

impl Filed {
    async fn start(settings: &str) -> Self {
        let folders = Folders::new();
        folders.write("askd.toml", settings);
        folders.write("key", KEY);
        let file = folders.root().join("askd.toml").display().to_string();
        let mut variables = vec![("ASKD_CONFIG", file.as_str()), ("API_KEY", "")];
        for rate in ["ASKD_RATE_ASK", "ASKD_RATE_CONFIG", "ASKD_RATE_RUNS", "ASKD_RATE_V1", "ASKD_RATE_FAILURES"] {
            variables.push((rate, ""));
        }
        let program = Program::start(&folders, &variables);
        let address = program.address().await;
        Self { folders, program, address, reloads: 0 }
    }

    /// Writes the file anew and waits until it was read; what the log says of it.
    async fn reload(&mut self, settings: &str) -> String {
        self.folders.write("askd.toml", settings);
        let before = self.program.log().len();
        self.program.signal(Signal::HUP);
        self.reloads += 1;
        let (program, reloads) = (&self.program, self.reloads);
        // The certificates are looked at last.
        let is_over = || (program.log().matches("there are no certificates").count() == reloads).then_some(());
        eventually("the end of the reload", is_over).await;
        self.program.log()[before..].to_owned()
    }

    async fn get(&self, path: &str, key: &str) -> Answer {
        let request = reqwest::Client::new().get(format!("http://{}{path}", self.address));
        Answer::by(request.header("x-api-key", key)).await
    }

    async fn ask(&self, body: &Value, key: &str) -> Answer {
        let request = reqwest::Client::new().post(format!("http://{}/ask", self.address)).json(body);
        Answer::by(request.header("x-api-key", key)).await
    }

    async fn stop(mut self) -> String {
        self.program.signal(Signal::TERM);
        assert!(self.program.ended().await.success());
        self.program.log()
    }
}

const KEY: &str = "a-key-for-tests";
const WITH_KEY_FILE: &str = "api_key_file = \"key\"\nheartbeat = \"200ms\"\n";
const BASE: &str = "api_key = \"a-key-for-tests\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_new_api_key_counts_at_once_and_the_old_one_no_more() {
    let mut server = Filed::start(WITH_KEY_FILE).await;
    let client = V1::at(server.address);
    let run = client.submit(&json!({"prompt": "!say begun\n!await go\n!result late"})).await;
    client.reaches(&run, "running").await;
    let mut open: Stream = client.follow(&run, 0).await;
    open.until_event("run.started").await;
    let token = client.post(&format!("/runs/{run}/stream-token"), &json!({})).send().await.unwrap();
    let token: Value = token.json().await.unwrap();
    let (asking, workspace) = (json!({"prompt": "!touch asked\n!await go"}), server.folders.workspace());
    let asked = server.program.ask_beside(&asking).await;
    eventually("the run of /ask", || workspace.join("asked").exists().then_some(())).await;

    server.folders.write("key", "another-key-for-tests\n");
    let log = server.reload(WITH_KEY_FILE).await;
    assert!(log.contains("API_KEY") && !log.contains("another-key"), "{log}");
    assert_eq!(server.get("/v1/runs", KEY).await.status, 401);
    assert_eq!(server.get(&format!("/v1/runs/{run}"), "another-key-for-tests").await.status, 200);
    // Every run could read it there; the old one is still none of theirs.
    for key in ["another-key-for-tests", KEY] {
        let document = json!({"content": format!("The key is {key}.")});
        let put = reqwest::Client::new().put(format!("http://{}/v1/config/claude-md", server.address)).json(&document);
        let refused = Answer::by(put.header("x-api-key", "another-key-for-tests")).await;
        assert!(refused.status == 400 && refused.body.to_string().contains("own secrets"), "{key}: {refused:?}");
    }
    // What the old one has opened ends with the next heartbeat, as for a key that was revoked.
    let rest = open.rest().await;
    assert!(rest.last().unwrap().data.as_ref().unwrap().contains("has another secret now"), "{rest:?}");
    let answer = asked.await.unwrap();
    assert!(answer.status == 401 && answer.body.to_string().contains("has another secret now"), "{answer:?}");
    if let Some(url) = token["token"].as_str() {
        let path = format!("/v1/runs/{run}/events?token={url}");
        let answer = reqwest::get(format!("http://{}{path}", server.address)).await.unwrap();
        assert_eq!(answer.status(), 401);
    }
    // The run goes on: it is the operator's.
    server.folders.write("workspace/go", "");
    eventually_async("the end of the run", async || {
        let run = server.get(&format!("/v1/runs/{run}"), "another-key-for-tests").await.body;
        (run["state"] == "completed").then_some(())
    })
    .await;
    let audit = server.get("/v1/audit?action=settings.reloaded", "another-key-for-tests").await.body;
    assert_eq!(audit["data"][0]["detail"]["applied"], json!(["API_KEY"]), "{audit}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_valid_changes_nothing_and_each_problem_is_told() {
    let mut server = Filed::start(BASE).await;
    let wrong = "api_key = \"another-key\"\nmax_concurrent = 0\nno_such = 1\nqueue_timeout = \"soon\"\n";
    let log = server.reload(wrong).await;
    for problem in ["max_concurrent", "no_such", "queue_timeout", "nothing was changed"] {
        assert!(log.contains(problem), "{problem}: {log}");
    }
    assert!(!log.contains("another-key"), "{log}");
    assert_eq!(server.get("/v1/runs", KEY).await.status, 200);
    let log = server.reload("not toml").await;
    assert!(log.contains("is not TOML") && log.contains("nothing was changed"), "{log}");
    let told = server.get("/metrics", KEY).await.body;
    let told = Scraped::of(told.as_str().unwrap().to_owned());
    let reloads = |result| told.count("askd_reloads_total", &[("result", result)]);
    assert_eq!((reloads("ok"), reloads("invalid")), (0, 2));
    std::fs::remove_file(server.folders.root().join("askd.toml")).unwrap();
    server.program.signal(Signal::HUP);
    server.reloads += 1;
    eventually("the word about it", || server.program.log().contains("cannot be read").then_some(())).await;
    assert_eq!(server.get("/v1/runs", KEY).await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_file_that_has_become_a_pipe_or_is_half_written_changes_nothing_and_the_next_reload_works() {
    let mut server = Filed::start(WITH_KEY_FILE).await;
    let key = server.folders.root().join("key");
    std::fs::remove_file(&key).unwrap();
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &key, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let log = server.reload(WITH_KEY_FILE).await;
    assert!(log.contains("it is not a regular file") && log.contains("nothing was changed"), "{log}");
    std::fs::remove_file(&key).unwrap();
    server.folders.write("key", "anot");
    let log = server.reload(WITH_KEY_FILE).await;
    assert!(log.contains("fewer than 8 characters") && log.contains("nothing was changed"), "{log}");
    assert!(!log.contains("anot\""), "{log}");
    assert_eq!((server.get("/v1/runs", KEY).await.status, server.get("/v1/runs", "anot").await.status), (200, 401));
    server.folders.write("key", "another-key-for-tests");
    server.reload(WITH_KEY_FILE).await;
    assert_eq!(server.get("/v1/runs", "another-key-for-tests").await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_restart_is_named_and_stays_what_it_was() {
    let mut server = Filed::start(BASE).await;
    let changed =
        format!("{BASE}max_connections = 7\nanthropic_api_key = \"sk-secret-value\"\nmax_memory = \"1GiB\"\n");
    let log = server.reload(&changed).await;
    for name in ["ASKD_MAX_CONNECTIONS", "ANTHROPIC_API_KEY", "ASKD_MAX_MEMORY", "only after a restart"] {
        assert!(log.contains(name), "{name}: {log}");
    }
    assert!(!log.contains("sk-secret-value") && !log.contains("the settings are what they were"), "{log}");
    // Said each time, as long as it is so.
    assert!(server.reload(&changed).await.contains("ASKD_MAX_CONNECTIONS"));
    assert!(!server.reload(BASE).await.contains("restart"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_runs_begin_at_once_and_fewer_end_none() {
    let mut server = Filed::start(&format!("{BASE}max_concurrent = 1\nqueue_length = 1\n")).await;
    let client = V1::at(server.address);
    let mut runs = Vec::new();
    for _ in 0..2 {
        runs.push(client.submit(&json!({"prompt": "!await go"})).await);
    }
    client.reaches(&runs[0], "running").await;
    let full = client.post("/runs", &json!({"prompt": "x"})).send().await.unwrap();
    assert_eq!(full.status(), 529, "the queue is full");
    server.reload(&format!("{BASE}max_concurrent = 3\nqueue_length = 5\n")).await;
    client.reaches(&runs[1], "running").await;
    runs.push(client.submit(&json!({"prompt": "!await go"})).await);
    client.reaches(&runs[2], "running").await;
    let health = server.get("/health", KEY).await.body;
    assert_eq!((&health["concurrency"]["max"], &health["concurrency"]["active"]), (&json!(3), &json!(3)));
    server.reload(&format!("{BASE}max_concurrent = 1\nqueue_length = 0\n")).await;
    let health = server.get("/health", KEY).await.body;
    assert_eq!((&health["concurrency"]["max"], &health["concurrency"]["active"]), (&json!(1), &json!(3)));
    let refused = client.post("/runs", &json!({"prompt": "x"})).send().await.unwrap();
    assert_eq!(refused.status(), 529);
    server.folders.write("workspace/go", "");
    for run in &runs {
        assert_eq!(client.ended(run).await["state"], "completed");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_group_of_limits_is_in_force_after_a_reload() {
    let mut server = Filed::start(BASE).await;
    let limits = "max_body = \"2KiB\"\nprocess_timeout = \"8s\"\nmodels = [\"claude-new-1\"]\nmax_output = \"64KiB\"\n\
        rate_v1 = 3\nmax_upload = \"1KiB\"\nlog = \"debug\"\nconfig_changes = \"none\"\n";
    // Begun before: it keeps what it began with.
    let slow = {
        let request = reqwest::Client::new().post(format!("http://{}/ask", server.address));
        let request =
            request.header("x-api-key", KEY).json(&json!({"prompt": "!touch there\n!await go\n!result late"}));
        beside(async move { Answer::by(request).await })
    };
    let there = server.folders.workspace().join("there");
    eventually("the run", || there.exists().then_some(())).await;
    let model = json!({"prompt": "hello", "model": "claude-new-1"});
    assert_eq!(server.ask(&model, KEY).await.status, 400);
    let log = server.reload(&format!("{BASE}{limits}")).await;
    for name in ["ASKD_MAX_BODY", "PROCESS_TIMEOUT", "ASKD_MODELS", "ASKD_MAX_OUTPUT", "ASKD_RATE_V1", "ASKD_LOG"] {
        assert!(log.contains(name), "{name}: {log}");
    }
    assert_eq!(server.ask(&json!({"prompt": "x".repeat(4000)}), KEY).await.status, 413);
    assert_eq!(server.ask(&model, KEY).await.status, 200);
    let late = server.ask(&json!({"prompt": "!hang"}), KEY).await;
    assert_eq!(late.code(), "TIMEOUT", "{late:?}");
    let much = server.ask(&json!({"prompt": "!flood 1m"}), KEY).await;
    assert_ne!(much.status, 200, "{much:?}");
    let upload = reqwest::Client::new().post(format!("http://{}/v1/uploads", server.address)).header("x-api-key", KEY);
    let upload = upload.header("content-type", "text/plain").body(vec![b'x'; 2000]).send().await.unwrap();
    assert!(upload.status().is_client_error(), "{}", upload.status());
    let changed = reqwest::Client::new().put(format!("http://{}/v1/config/claude-md", server.address));
    let changed = changed.header("x-api-key", KEY).json(&json!({"content": "x"})).send().await.unwrap();
    assert!(changed.status().is_client_error());
    let statuses = [0; 5].map(|_| server.get("/v1/runs", KEY));
    let mut refused = 0;
    for status in statuses {
        refused += u32::from(status.await.status == 429);
    }
    assert!(refused >= 2, "{refused}");
    eventually_async("a line of that level", async || {
        // Of a client that leaves in the middle of its request.
        RawClient::connect(server.address).await.send("GET /health").await;
        server.program.log().contains("\"level\":\"DEBUG\"").then_some(())
    })
    .await;
    server.folders.write("workspace/go", "");
    assert_eq!(slow.await.unwrap().result(), "late");
    // And back: less is written, and everything is as it was.
    let log = server.reload(BASE).await;
    assert!(log.contains("ASKD_LOG"), "{log}");
    assert_eq!(server.ask(&json!({"prompt": "x".repeat(4000)}), KEY).await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_server_may_not_read_any_more_stays_and_the_rest_counts() {
    use std::os::unix::fs::PermissionsExt as _;
    if !rustix::process::geteuid().is_root() {
        let line = b"NOT RUN: a_key_that_the_server_may_not_read: only root becomes another user\n";
        drop(std::io::Write::write_all(&mut std::io::stderr(), line));
        return;
    }
    let folders = Folders::new();
    let open = |name: &str, mode| {
        std::fs::set_permissions(folders.root().join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    folders.write("key", KEY);
    folders.write("askd.toml", "api_key_file = \"key\"\n");
    open("", 0o755);
    open("key", 0o600);
    open("askd.toml", 0o644);
    give(&folders.workspace(), UNPRIVILEGED);
    std::fs::remove_dir(folders.data()).unwrap();
    let bin = folders.root().join("bin");
    std::fs::create_dir(&bin).unwrap();
    for program in [launcher(), fake_cli()] {
        place_program(&program, &bin.join(program.file_name().unwrap()));
    }
    let text = |name: &str| folders.root().join(name).display().to_string();
    let (file, cli) = (text("askd.toml"), text("bin/fake-claude"));
    let variables =
        [("ASKD_CONFIG", file.as_str()), ("API_KEY", ""), ("ASKD_CLAUDE_BIN", &cli), ("ASKD_ALLOW_ROOT", "")];
    #[expect(clippy::disallowed_methods, reason = "the program under test")]
    let command = std::process::Command::new(bin.join("askd"));
    let mut program = Program::start_by(command, &folders, &variables);
    let address = program.address().await;
    folders.write("key", "another-key-for-tests");
    open("key", 0o600);
    folders.write("askd.toml", "api_key_file = \"key\"\nmax_concurrent = 7\n");
    program.signal(Signal::HUP);
    eventually("the reload", || program.log().contains("there are no certificates").then_some(())).await;
    let log = program.log();
    assert!(log.contains("may not read the file of API_KEY") && log.contains("MAX_CONCURRENT"), "{log}");
    let client = V1::at(address);
    assert_eq!(client.get("/v1/runs").await.status, 200, "the key of the start counts");
    assert_eq!(client.get("/health").await.body["concurrency"]["max"], 7);
    program.signal(Signal::TERM);
    assert!(program.ended().await.success());
}
