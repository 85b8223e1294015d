//! The server is killed again and again while the real CLI works and its tools do what they can to stay alive.
//!
//! `scripts/soak` runs this with many rounds; without `ASKD_SOAK_ROUNDS` there are a few.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use scripted_model::{ScriptedModel, prompt};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

const ROUNDS_VARIABLE: &str = "ASKD_SOAK_ROUNDS";
const DEFAULT_ROUNDS: u32 = 3;
const KEY: &str = "a-key-for-the-soak-test";

/// Runs at a time. Each leaves two processes of its own behind.
const RUNS: usize = 4;
/// How long after the new server listens the old one's processes may live.
const PATIENCE: Duration = Duration::from_secs(2);
/// No server takes longer to start, and no run to reach its tools, unless something is broken.
const LIMIT: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn nothing_survives_the_death_of_the_server() {
    let model = ScriptedModel::start().await.expect("a scripted model");
    let place = Place::new(&model.base_url());
    let (mut survivors, mut alive_at_the_kill) = (Vec::new(), 0);
    let mut server = Server::start(&place).await;
    for round in 0..rounds() {
        // The processes of this round are known by the time that they sleep, whatever becomes of their environment.
        let sleep = format!("{}.{round:04}", 600_000 + random(100_000));
        let mut clients = begin_runs(server.address, &sleep);
        // The attack works: every run has both processes. Or else it is caught in the middle of its start.
        let wanted = if round % 3 == 2 { 1 + random(RUNS as u64) } else { 2 * RUNS as u64 };
        wait_for_processes(&sleep, wanted, &server, &mut clients).await;
        tokio::time::sleep(Duration::from_millis(random(400))).await;
        alive_at_the_kill += sleepers(&sleep).len();

        drop(server);
        clients.abort_all();
        server = Server::start(&place).await;
        let left = left_after(PATIENCE, || [sleepers(&sleep), place.marked()].concat()).await;
        for pid in left {
            survivors.push(format!("round {round}: {pid} {}", command_line(pid).join(" ")));
            kill_9(pid);
        }
        assert_eq!(place.list("homes"), [""; 0], "homes of the dead server are left");
        assert_eq!(place.list("records"), [""; 0], "records of the dead server are left");
    }
    assert!(alive_at_the_kill > 0, "there was nothing to kill");
    assert_eq!(survivors, [""; 0], "processes that outlived their server");
    model.shutdown().await;
}

fn rounds() -> u32 {
    let text = std::env::vars().find(|(name, _)| name == ROUNDS_VARIABLE).map(|(_, value)| value);
    text.map_or(DEFAULT_ROUNDS, |text| text.parse().expect("ASKD_SOAK_ROUNDS is a number"))
}

/// A number below `bound`; the kill is to come at another moment each time.
fn random(bound: u64) -> u64 {
    Uuid::new_v4().as_u64_pair().0 % bound
}

/// Starts runs that call tools one after the other, and does not wait for their ends.
fn begin_runs(address: SocketAddr, sleep: &str) -> JoinSet<()> {
    let bash = |command: String| prompt::tool("Bash", &json!({ "command": command }));
    let mut turns = vec![
        // A session of its own, no environment, no signal but KILL, no pipe to anybody.
        bash(format!("env -i setsid nohup sh -c 'trap \"\" TERM HUP INT; sleep {sleep}' </dev/null >/dev/null 2>&1 &")),
        bash(format!("(setsid nohup sleep {sleep} </dev/null >/dev/null 2>&1 &)")),
    ];
    turns.extend((0..50).map(|turn| bash(format!("echo {turn}"))));
    turns.push("[[hang]]".to_owned());
    let body = json!({ "prompt": prompt::turns(turns), "stream": true, "allowedTools": ["Bash"] });
    let mut clients = JoinSet::new();
    for _ in 0..RUNS {
        let request = reqwest::Client::new().post(format!("http://{address}/ask")).header("x-api-key", KEY).json(&body);
        clients.spawn(async move {
            // The server dies, and with it the answer.
            if let Ok(response) = request.send().await {
                drop(response.bytes().await);
            }
        });
    }
    clients
}

async fn wait_for_processes(sleep: &str, wanted: u64, server: &Server, clients: &mut JoinSet<()>) {
    let start = Instant::now();
    while (sleepers(sleep).len() as u64) < wanted {
        assert!(start.elapsed() < LIMIT, "the runs' processes did not appear; the server's log: {}", server.log());
        assert!(clients.try_join_next().is_none(), "a run ended early; the server's log: {}", server.log());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What `look` still finds when it has found something for so long.
async fn left_after(patience: Duration, look: impl Fn() -> Vec<u32>) -> Vec<u32> {
    let start = Instant::now();
    loop {
        let left = look();
        if left.is_empty() || start.elapsed() > patience {
            return left;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Processes named `sleep` that sleep for just this long.
fn sleepers(sleep: &str) -> Vec<u32> {
    processes()
        .filter(|pid| matches!(&command_line(*pid)[..], [name, time, ..] if name == "sleep" && time == sleep))
        .collect()
}

fn processes() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc").expect("/proc").flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Empty for a process that has ended.
fn command_line(pid: u32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    bytes.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

fn kill_9(pid: u32) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid.cast_signed()) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// The folders of the server, the same in every round.
struct Place {
    root: tempfile::TempDir,
    model: String,
}

impl Place {
    fn new(model: &str) -> Self {
        let root = tempfile::Builder::new().prefix("askd-soak-").tempdir().expect("a temporary folder");
        for folder in ["config", "workspace", "data"] {
            fs::create_dir(root.path().join(folder)).expect("a folder");
        }
        Self { root, model: model.to_owned() }
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn list(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.folder("data").join(folder)).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// Processes that carry the marker of this data folder in their environment.
    fn marked(&self) -> Vec<u32> {
        let id = fs::read_to_string(self.folder("data").join("instance-id")).expect("the data folder's id");
        let marker = format!("ASKD_RUN_MARKER={}", id.lines().next().expect("an id")).into_bytes();
        let is_marked = |pid: &u32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|entry| entry.starts_with(&marker))
        };
        processes().filter(is_marked).collect()
    }
}

/// A server as a process. Dropped, it is killed with SIGKILL.
struct Server {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Server {
    async fn start(place: &Place) -> Self {
        #[expect(clippy::disallowed_methods, reason = "the program under test")]
        let mut command = Command::new(env!("CARGO_BIN_EXE_askd"));
        command.arg("serve").env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.envs([
            ("PATH", "/usr/local/bin:/usr/bin:/bin"),
            ("API_KEY", KEY),
            ("ASKD_LISTEN", "127.0.0.1:0"),
            ("ASKD_ALLOW_ROOT", "1"),
            ("ANTHROPIC_API_KEY", "sk-test-key"),
            ("ANTHROPIC_BASE_URL", &place.model),
        ]);
        command.env("MAX_CONCURRENT", RUNS.to_string()).env("ASKD_CLAUDE_BIN", real_cli());
        for (variable, folder) in [("CONFIG_DIR", "config"), ("WORKSPACE_DIR", "workspace"), ("ASKD_DATA_DIR", "data")]
        {
            command.env(variable, place.folder(folder));
        }
        let mut child = command.spawn().expect("the server starts");
        let stderr = child.stderr.take().expect("a piped stderr");
        let log = place.folder("log");
        let (said, address) = tokio::sync::oneshot::channel();
        std::thread::spawn({
            let log = log.clone();
            move || keep_log(stderr, &log, said)
        });
        let address = tokio::time::timeout(LIMIT, address).await.expect("a server that listens in time");
        let address = address.unwrap_or_else(|_| panic!("the server ended: {}", read(&log)));
        Self { child, address, log }
    }

    fn log(&self) -> String {
        read(&self.log)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Writes the server's log to a file and says its address as soon as a line tells it.
fn keep_log(stderr: ChildStderr, log: &Path, said: tokio::sync::oneshot::Sender<SocketAddr>) {
    let (mut lines, mut said) = (String::new(), Some(said));
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        lines.push_str(&line);
        lines.push('\n');
        // The folder goes with the test, the last lines may come later.
        drop(fs::write(log, &lines));
        let entry: Value = serde_json::from_str(&line).unwrap_or_default();
        if let Some(address) = entry["address"].as_str().and_then(|address| address.parse().ok())
            && let Some(said) = said.take()
        {
            let _ = said.send(address);
        }
    }
}

fn read(log: &Path) -> String {
    fs::read_to_string(log).unwrap_or_default()
}

/// The CLI that `scripts/install-cli` installs, or the one that `ASKD_TEST_CLAUDE` names.
fn real_cli() -> PathBuf {
    let named = std::env::vars_os().find(|(name, _)| name == "ASKD_TEST_CLAUDE").map(|(_, value)| PathBuf::from(value));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let version = include_str!("../../../scripts/cli-version").trim();
    let path = named.unwrap_or_else(|| root.join("target/cli").join(version).join("claude"));
    assert!(path.is_file(), "the real CLI is missing at {}; run scripts/install-cli", path.display());
    path
}
