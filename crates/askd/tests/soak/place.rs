//! A server as a process, and the folders that it shares with those before and after it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::campaign::LIMIT;
use crate::processes;

/// The key of every server here.
pub(crate) const KEY: &str = "a-key-for-the-soak-test";

/// `nobody`: a user without rights.
const UNPRIVILEGED: u32 = 65534;

/// The folders of a server, and the variables that all servers on them have.
pub(crate) struct Place {
    root: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

impl Place {
    /// Empty folders, and variables beside the usual ones.
    pub(crate) fn new(variables: &[(&str, &str)]) -> Self {
        let root = tempfile::Builder::new().prefix("askd-soak-").tempdir().expect("a temporary folder");
        for folder in ["config", "workspace", "data"] {
            fs::create_dir(root.path().join(folder)).expect("a folder");
        }
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { root, variables }
    }

    /// Where servers here are started as root, they become another user, if that one can come to the programs.
    pub(crate) fn drop_root(mut self) -> Self {
        let is_open = |folder: &Path| fs::metadata(folder).is_ok_and(|folder| folder.mode() & 0o1 != 0);
        let reachable = |program: &str| Path::new(program).ancestors().all(is_open);
        if rustix::process::geteuid().is_root() && reachable(env!("CARGO_BIN_EXE_askd")) && reachable(&real_cli()) {
            fs::set_permissions(self.root.path(), fs::Permissions::from_mode(0o755)).expect("a folder for others");
            for folder in ["config", "workspace", "data"] {
                chown(self.folder(folder), Some(UNPRIVILEGED), Some(UNPRIVILEGED)).expect("a folder for another user");
            }
            let user = format!("{UNPRIVILEGED}:{UNPRIVILEGED}");
            self.variables.extend([("ASKD_RUN_AS".to_owned(), user), ("ASKD_ALLOW_ROOT".to_owned(), String::new())]);
        }
        self
    }

    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Names in a folder below the data folder.
    pub(crate) fn list(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.folder("data").join(folder)).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// Mounts in or of these folders, as this process sees them.
    pub(crate) fn mounts(&self) -> Vec<String> {
        let (all, root) = (fs::read_to_string("/proc/self/mountinfo").expect("mounts"), self.root.path());
        all.lines().filter(|line| line.contains(&*root.to_string_lossy())).map(str::to_owned).collect()
    }

    /// Processes of one run, or of all for an empty id.
    pub(crate) fn processes_of(&self, run: &str) -> Vec<u32> {
        let id = fs::read_to_string(self.folder("data").join("instance-id")).expect("the data folder's id");
        processes::marked(&format!("{}/{run}", id.lines().next().expect("an id")))
    }
}

/// Dropped, it is killed with SIGKILL.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    log: Log,
}

/// What a server has written so far, line by line. Not a file: its folder may be gone before its last line.
type Log = Arc<Mutex<String>>;

impl Server {
    /// Starts one, and waits until it has said its address.
    pub(crate) async fn start(place: &Place, variables: &[(&str, &str)]) -> Self {
        let mut child = spawn(place, variables);
        let stderr = child.stderr.take().expect("a piped stderr");
        let log = Log::default();
        let (said, address) = tokio::sync::oneshot::channel();
        std::thread::spawn({
            let log = Arc::clone(&log);
            move || keep_log(stderr, &log, said)
        });
        let address = tokio::time::timeout(LIMIT, address).await.expect("a server that listens in time");
        let address = address.unwrap_or_else(|_| panic!("the server ended: {}", read(&log)));
        Self { child, address, log }
    }

    /// Starts one and kills it after a while, wherever it is then.
    pub(crate) async fn start_and_kill(place: &Place, variables: &[(&str, &str)], after: std::time::Duration) {
        let mut child = spawn(place, variables);
        // Nobody reads what it says; it says little so early.
        tokio::time::sleep(after).await;
        child.kill().expect("it can be killed");
        child.wait().expect("it has ended");
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn log(&self) -> String {
        read(&self.log)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn spawn(place: &Place, variables: &[(&str, &str)]) -> Child {
    #[expect(clippy::disallowed_methods, reason = "the program under test")]
    let mut command = Command::new(env!("CARGO_BIN_EXE_askd"));
    command.arg("serve").env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.envs([
        ("PATH", "/usr/local/bin:/usr/bin:/bin"),
        ("API_KEY", KEY),
        ("ASKD_LISTEN", "127.0.0.1:0"),
        ("ASKD_ALLOW_ROOT", "1"),
        ("ASKD_RATE_ASK", "0"),
        ("ASKD_RATE_CONFIG", "0"),
        ("ASKD_RATE_RUNS", "0"),
        ("ASKD_RATE_V1", "0"),
    ]);
    for (variable, folder) in [("CONFIG_DIR", "config"), ("WORKSPACE_DIR", "workspace"), ("ASKD_DATA_DIR", "data")] {
        command.env(variable, place.folder(folder));
    }
    for (name, value) in &place.variables {
        // An empty value takes one away.
        if value.is_empty() {
            command.env_remove(name)
        } else {
            command.env(name, value)
        };
    }
    command.envs(variables.iter().copied());
    command.spawn().expect("the server starts")
}

/// Keeps the server's log and says its address as soon as a line tells it.
fn keep_log(stderr: ChildStderr, log: &Log, said: tokio::sync::oneshot::Sender<SocketAddr>) {
    let mut said = Some(said);
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        log.lock().expect("a log").extend([&*line, "\n"]);
        let entry: Value = serde_json::from_str(&line).unwrap_or_default();
        if let Some(address) = entry["address"].as_str().and_then(|address| address.parse().ok())
            && let Some(said) = said.take()
        {
            let _ = said.send(address);
        }
    }
}

fn read(log: &Log) -> String {
    log.lock().expect("a log").clone()
}

/// The scripted CLI of `examples/fake-claude`; `cargo test` builds it.
pub(crate) fn fake_cli() -> String {
    let path = Path::new(env!("CARGO_BIN_EXE_askd")).with_file_name("examples").join("fake-claude");
    assert!(path.is_file(), "{} is missing; run cargo build --examples", path.display());
    path.to_string_lossy().into_owned()
}

/// The CLI that `scripts/install-cli` installs, or the one that `ASKD_TEST_CLAUDE` names.
pub(crate) fn real_cli() -> String {
    let named = std::env::vars_os().find(|(name, _)| name == "ASKD_TEST_CLAUDE").map(|(_, value)| PathBuf::from(value));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let version = include_str!("../../../../scripts/cli-version").trim();
    let path = named.unwrap_or_else(|| root.join("target/cli").join(version).join("claude"));
    assert!(path.is_file(), "the real CLI is missing at {}; run scripts/install-cli", path.display());
    path.to_string_lossy().into_owned()
}
