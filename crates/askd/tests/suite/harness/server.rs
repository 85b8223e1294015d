//! The server under test.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use askd::ambient::Ambient;
use askd::app::App;
use askd::serve;
use askd::settings::Settings;
use secrecy::SecretString;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::client::{Answer, Stream};
use super::folders::Folders;

/// The real CLI, which `scripts/test` installs.
pub(crate) fn real_cli() -> PathBuf {
    let found = std::env::vars_os().find(|(name, _)| name == "ASKD_TEST_CLAUDE").map(|(_, value)| PathBuf::from(value));
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/cli/2.1.330/claude");
    let path = found.unwrap_or_else(|| default.into());
    assert!(path.is_file(), "the real CLI is missing at {}; run scripts/install-cli", path.display());
    path
}

/// The scripted CLI of `examples/fake-claude.rs`; `cargo test` builds it.
pub(crate) fn fake_cli() -> PathBuf {
    let path = launcher().with_file_name("examples").join("fake-claude");
    assert!(path.is_file(), "{} is missing; run cargo test without --test, or cargo build --examples", path.display());
    path
}

fn launcher() -> PathBuf {
    env!("CARGO_BIN_EXE_askd").into()
}

/// A server to be.
pub(crate) struct TestServerBuilder {
    pub(crate) folders: Folders,
    pub(crate) settings: Settings,
}

impl TestServerBuilder {
    /// With the scripted CLI.
    pub(crate) fn fake() -> Self {
        Self::new(fake_cli())
    }

    /// With the real CLI, which asks the model at `base_url`.
    pub(crate) fn real(base_url: &str) -> Self {
        let mut builder = Self::new(real_cli());
        builder.settings.credentials.anthropic_api_key = Some("sk-test-key".to_owned().into());
        builder.child_variable("ANTHROPIC_BASE_URL", base_url)
    }

    fn new(cli: PathBuf) -> Self {
        let folders = Folders::new();
        let mut settings = Settings::for_testing(folders.root());
        settings.paths.claude_bin = cli;
        settings.permissions.allow_root = true;
        Self { folders, settings }
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
        let Self { folders, settings } = self;
        remembered_probe(&settings.paths.claude_bin, &folders.data());
        let server = serve::prepare(settings, Ambient::system(), launcher()).await.unwrap();
        remember_probe(&folders.data());
        let (address, app) = (server.address().unwrap(), Arc::clone(server.app()));
        let running = tokio::spawn(server.run());
        TestServer { folders, address, app, running: Some(running), client: reqwest::Client::new() }
    }
}

/// What was found out about the real CLI, once for all tests.
static PROBE: OnceLock<String> = OnceLock::new();

fn remembered_probe(cli: &Path, data: &Path) {
    if let Some(probe) = PROBE.get()
        && probe.contains(&*cli.to_string_lossy())
    {
        fs::write(data.join("cli.json"), probe).unwrap();
    }
}

fn remember_probe(data: &Path) {
    let probe = fs::read_to_string(data.join("cli.json")).unwrap();
    if !probe.contains("fake-claude") {
        PROBE.get_or_init(|| probe);
    }
}

/// A server that runs. Call [`TestServer::stop`] at the end of a test: it checks that nothing is left.
pub(crate) struct TestServer {
    pub(crate) folders: Folders,
    pub(crate) address: SocketAddr,
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
        Answer::of(self.request(&body).send().await.unwrap()).await
    }

    /// `POST /ask` with `"stream": true`; the answer must be a stream.
    pub(crate) async fn stream(&self, mut body: Value) -> Stream {
        body["stream"] = true.into();
        let response = self.request(&body).send().await.unwrap();
        assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
        Stream::of(response)
    }

    /// Stops the server and checks that it leaves nothing: no process, no home, no record.
    pub(crate) async fn stop(mut self) {
        self.app.lifecycle().stop();
        let running = self.running.take().unwrap();
        tokio::time::timeout(Duration::from_secs(30), running).await.expect("a server that ends").unwrap();
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
    let marker = format!("ASKD_RUN_MARKER={}/", id.trim()).into_bytes();
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
