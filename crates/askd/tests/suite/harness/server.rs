//! The server under test.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use askd::ambient::Ambient;
use askd::app::App;
use askd::serve::{self, StartError};
use askd::settings::{IsolationPolicy, Settings};
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::Value;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::client::{Answer, Stream};
use super::folders::Folders;
use super::wait::{beside, eventually};

/// The real CLI, which `scripts/test` installs.
pub(crate) fn real_cli() -> PathBuf {
    let path = chosen_cli().unwrap_or_else(|| installed_cli(include_str!("../../../../../scripts/cli-version").trim()));
    assert!(path.is_file(), "the real CLI is missing at {}; run scripts/install-cli", path.display());
    path
}

/// The CLI that somebody wants to be tested instead of the pinned one.
fn chosen_cli() -> Option<PathBuf> {
    std::env::vars_os().find(|(name, _)| name == "ASKD_TEST_CLAUDE").map(|(_, value)| PathBuf::from(value))
}

fn installed_cli(version: &str) -> PathBuf {
    format!("{}/../../target/cli/{version}/claude", env!("CARGO_MANIFEST_DIR")).into()
}

/// The real CLI of another version, one of `scripts/older-clis`; `None`, said aloud, where a single CLI is to be tested.
pub(crate) fn older_cli(version: &str) -> Option<PathBuf> {
    let path = installed_cli(version);
    if !path.is_file() && chosen_cli().is_some() {
        // Past the harness, which shows nothing of a test that passes.
        let line = format!("NOT RUN: Claude Code CLI {version} is not there, and ASKD_TEST_CLAUDE names another one\n");
        drop(std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()));
        return None;
    }
    assert!(path.is_file(), "the real CLI is missing at {}; run scripts/install-cli {version}", path.display());
    Some(path)
}

/// The scripted CLI of `examples/fake-claude`; `cargo test` builds it.
pub(crate) fn fake_cli() -> PathBuf {
    let path = launcher().with_file_name("examples").join("fake-claude");
    assert!(path.is_file(), "{} is missing; run cargo test without --test, or cargo build --examples", path.display());
    path
}

/// The server's own executable.
pub(crate) fn launcher() -> PathBuf {
    env!("CARGO_BIN_EXE_askd").into()
}

/// A server to be.
pub(crate) struct TestServerBuilder {
    pub(crate) folders: Folders,
    pub(crate) settings: Settings,
    ambient: Ambient,
}

impl TestServerBuilder {
    /// With the scripted CLI. Its ladder is steep: most tests do not care which rung ends a process.
    pub(crate) fn fake() -> Self {
        let grace = Duration::from_millis(500);
        Self::new(fake_cli()).set(|settings| {
            let stopping = &mut settings.stopping;
            (stopping.soft, stopping.eof, stopping.term) = (grace, grace, grace);
        })
    }

    /// What the scripted CLI does before its prompt: see `examples/fake-claude`.
    pub(crate) fn fake_that(options: &str) -> Self {
        Self::fake().child_variable("FAKE_CLAUDE", options)
    }

    /// With the real CLI, which asks the model at `base_url`. Its runs are isolated as they would be without a setting.
    pub(crate) fn real(base_url: &str) -> Self {
        Self::real_of(real_cli(), base_url)
    }

    /// The same with this CLI, e.g. an older one.
    pub(crate) fn real_of(cli: PathBuf, base_url: &str) -> Self {
        let mut builder = Self::new(cli);
        builder.settings.isolation.policy = IsolationPolicy::BestEffort;
        builder.settings.credentials.anthropic_api_key = Some("sk-test-key".to_owned().into());
        builder.child_variable("ANTHROPIC_BASE_URL", base_url)
    }

    fn new(cli: PathBuf) -> Self {
        let folders = Folders::new();
        let mut settings = Settings::for_testing(folders.root());
        settings.paths.claude_bin = cli;
        settings.permissions.allow_root = true;
        // A link to the CLI, as other tests make them, counts as another CLI, and the server would start that by itself.
        settings.health.cli_check_every = Duration::from_hours(1);
        Self { folders, settings, ambient: Ambient::system() }
    }

    /// With a clock of its own.
    pub(crate) fn clock(mut self, now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        self.ambient = Ambient::new(now, Uuid::new_v4);
        self
    }

    /// A variable that the CLI gets.
    pub(crate) fn child_variable(mut self, name: &str, value: &str) -> Self {
        self.settings.child.environment.push((name.to_owned(), SecretString::from(value.to_owned())));
        self
    }

    /// Changes a setting.
    pub(crate) fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// Writes a file below the folders' root, e.g. `config/agents/a.md`.
    pub(crate) fn file(self, path: &str, text: &str) -> Self {
        self.folders.write(path, text);
        self
    }

    pub(crate) async fn start(self) -> TestServer {
        self.try_start().await.unwrap_or_else(|(error, _)| panic!("the server does not start: {error}"))
    }

    /// The server, or why there is none; the folders stay.
    pub(crate) async fn try_start(self) -> Result<TestServer, (StartError, Folders)> {
        let Self { folders, settings, ambient } = self;
        let cli = settings.paths.claude_bin.clone();
        remembered_probe(&cli, &folders.data());
        let server = match Box::pin(serve::prepare(settings, ambient, launcher())).await {
            Ok(server) => server,
            Err(error) => return Err((error, folders)),
        };
        remember_probe(cli, &folders.data());
        let (address, app) = (server.address().unwrap(), Arc::clone(server.app()));
        let monitoring = server.monitoring_address();
        let running = beside(server.run());
        Ok(TestServer { folders, address, monitoring, app, running: Some(running), client: reqwest::Client::new() })
    }
}

/// What was found out about each real CLI, once for all tests.
static PROBES: Mutex<BTreeMap<PathBuf, String>> = Mutex::new(BTreeMap::new());

fn remembered_probe(cli: &Path, data: &Path) {
    if let Some(probe) = PROBES.lock().unwrap().get(cli) {
        fs::write(data.join("cli.json"), probe).unwrap();
    }
}

fn remember_probe(cli: PathBuf, data: &Path) {
    let probe = fs::read_to_string(data.join("cli.json")).unwrap();
    if !probe.contains("fake-claude") {
        PROBES.lock().unwrap().entry(cli).or_insert(probe);
    }
}

/// A server that runs. Call [`TestServer::stop`] at the end of a test: it checks that nothing is left.
pub(crate) struct TestServer {
    pub(crate) folders: Folders,
    pub(crate) address: SocketAddr,
    /// Where metrics are told without a key.
    pub(crate) monitoring: Option<SocketAddr>,
    pub(crate) app: Arc<App>,
    pub(crate) client: reqwest::Client,
    running: Option<JoinHandle<()>>,
}

impl TestServer {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// `POST /ask` with the right key, not yet sent.
    pub(crate) fn request(&self, body: &Value) -> reqwest::RequestBuilder {
        self.client.post(self.url("/ask")).header("x-api-key", Settings::TEST_API_KEY).json(body)
    }

    /// `POST /ask`, to the end.
    pub(crate) async fn ask(&self, body: Value) -> Answer {
        Answer::by(self.request(&body)).await
    }

    /// `POST /ask` with `"stream": true`; the answer must be a stream.
    pub(crate) async fn stream(&self, mut body: Value) -> Stream {
        body["stream"] = true.into();
        let response = self.request(&body).send().await.unwrap();
        assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
        Stream::of(response)
    }

    /// `POST /ask` in a task of its own. Aborting it closes the connection.
    pub(crate) fn ask_beside(&self, body: &Value) -> JoinHandle<Answer> {
        let request = self.request(body);
        beside(async move { Answer::by(request).await })
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::by(self.getting(path)).await
    }

    /// `GET` with the right key, not yet sent.
    pub(crate) fn getting(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.get(self.url(path)).header("x-api-key", Settings::TEST_API_KEY)
    }

    /// `POST` with the right key, not yet sent.
    pub(crate) fn posting(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.post(self.url(path)).header("x-api-key", Settings::TEST_API_KEY)
    }

    /// `POST` of a JSON body.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::by(self.posting(path).json(body)).await
    }

    /// `POST /v1/runs` that is taken in; the run's id.
    pub(crate) async fn submit(&self, body: Value) -> String {
        let answer = self.post("/v1/runs", &body).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.run_id().to_owned()
    }

    /// `POST /v1/runs?wait=60`: the finished run.
    pub(crate) async fn run(&self, body: Value) -> Value {
        let answer = self.post("/v1/runs?wait=60", &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    /// A run that its deadline ends, but not before it has come far enough: on a slow machine the next one gets more time.
    pub(crate) async fn late(&self, mut body: Value, mut far_enough: impl AsyncFnMut(&Value) -> bool) -> Value {
        for seconds in [4, 15, 45] {
            body["timeout_seconds"] = seconds.into();
            let run = self.run(body.clone()).await;
            assert_eq!((&run["state"], &run["error"]["type"]), (&"failed".into(), &"timeout".into()), "{run}");
            if far_enough(&run).await {
                return run;
            }
        }
        panic!("no run came far enough: {body}");
    }

    /// Follows a run's events from a query such as `after=3`.
    pub(crate) async fn follow(&self, run: &str, query: &str) -> Stream {
        Stream::of(self.following(run, query).await)
    }

    /// The answer to the request of [`Self::follow`], whatever it is.
    pub(crate) async fn following(&self, run: &str, query: &str) -> reqwest::Response {
        let request = self.getting(&format!("/v1/runs/{run}/events?{query}"));
        request.header("accept", "text/event-stream").send().await.unwrap()
    }

    /// Waits until a run has ended; the run.
    pub(crate) async fn ended(&self, run: &str) -> Value {
        drop(self.follow(run, "types=run.*").await.rest().await);
        self.get(&format!("/v1/runs/{run}")).await.body
    }

    /// `active` and `queued` of `/health`.
    pub(crate) async fn occupancy(&self) -> (u64, u64) {
        let health = self.get("/health").await.body;
        let number = |name: &str| health["concurrency"][name].as_u64().unwrap();
        (number("active"), number("queued"))
    }

    /// Waits until so many runs run and wait.
    pub(crate) async fn busy_with(&self, active: usize, queued: usize) {
        let what = format!("{active} active runs and {queued} in the queue");
        eventually(&what, || {
            let now = self.app.runs().occupancy();
            ((now.active, now.queued) == (active, queued)).then_some(())
        })
        .await;
    }

    /// Waits until nothing of any run is left, and checks that the process tree is.
    pub(crate) async fn at_rest(&self) {
        self.busy_with(0, 0).await;
        assert_eq!(self.processes(), [0; 0], "a slot is free before its processes are gone");
        assert_eq!(self.folders.list("data/homes"), [""; 0], "a slot is free before its home is gone");
    }

    /// Waits for a file in the workspace, which a script makes with `!touch`.
    pub(crate) async fn reached(&self, file: &str) {
        let path = self.folders.workspace().join(file);
        eventually(&format!("the file {file}"), || path.exists().then_some(())).await;
    }

    /// Makes a file in the workspace, for which a script waits with `!await`.
    pub(crate) fn release(&self, file: &str) {
        self.folders.write(&format!("workspace/{file}"), "");
    }

    /// Stops the server and checks that it leaves nothing: no process, no home, no record.
    pub(crate) async fn stop(mut self) {
        self.app.lifecycle().stop();
        let running = self.running.take().unwrap();
        tokio::time::timeout(Duration::from_mins(1), running).await.expect("a server that ends").unwrap();
        assert_eq!(self.folders.list("data/homes"), [""; 0], "homes are left");
        assert_eq!(self.folders.list("data/records"), [""; 0], "records are left");
        assert_eq!(self.processes(), [0; 0], "processes are left");
    }

    /// Processes of this server's runs, recognised by the marker in their environment.
    pub(crate) fn processes(&self) -> Vec<u32> {
        marked_processes(&self.folders.data())
    }
}

/// Processes whose environment carries the marker of this data folder.
pub(crate) fn marked_processes(data: &Path) -> Vec<u32> {
    let Ok(id) = fs::read_to_string(data.join("instance-id")) else { return Vec::new() };
    let marker = format!("ASKD_RUN_MARKER={}/", id.lines().next().unwrap_or_default()).into_bytes();
    let is_marked = |pid: &u32| {
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|environment| environment.split(|byte| *byte == 0).any(|entry| entry.starts_with(&marker)))
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_marked).collect()
}

impl Drop for TestServer {
    fn drop(&mut self) {
        // A test that failed: end what it started. `kill` is enough, the guardians do the rest.
        self.app.lifecycle().kill();
        if let Some(running) = self.running.take() {
            running.abort();
        }
    }
}
