//! The program itself: the `askd` binary as a process, with an environment built from nothing.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};

use askd::settings::Settings;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::task::JoinHandle;

use super::client::Answer;
use super::folders::Folders;
use super::server::{fake_cli, launcher};
use super::wait::{beside, eventually};

/// `nobody`: a user without rights.
pub(crate) const UNPRIVILEGED: u32 = 65534;

/// Starts the program as a user without rights, where the tests run as root.
pub(crate) fn unprivileged(askd: &Path) -> Command {
    as_user(UNPRIVILEGED, askd)
}

/// Starts the program as this user, where the tests run as root.
#[expect(clippy::disallowed_methods, reason = "the program under test, as another user")]
pub(crate) fn as_user(id: u32, askd: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(askd);
    }
    let mut command = Command::new("setpriv");
    let user = [format!("--reuid={id}"), format!("--regid={id}")];
    command.args(user).args(["--clear-groups", "--"]).arg(askd);
    command
}

/// A running `askd serve`. Killed when dropped.
pub(crate) struct Program {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    reader: std::thread::JoinHandle<()>,
}

impl Program {
    /// Starts `askd serve` with the scripted CLI and further variables; an empty value takes one away.
    pub(crate) fn start(folders: &Folders, variables: &[(&str, &str)]) -> Self {
        #[expect(clippy::disallowed_methods, reason = "the program under test")]
        Self::start_by(Command::new(launcher()), folders, variables)
    }

    /// The same by a command of its own, e.g. one that changes the user.
    pub(crate) fn start_by(mut command: Command, folders: &Folders, variables: &[(&str, &str)]) -> Self {
        let below = |folder: &str| folders.root().join(folder).into_os_string();
        command.arg("serve").env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.envs([
            ("API_KEY", Settings::TEST_API_KEY.into()),
            ("ASKD_LISTEN", "127.0.0.1:0".into()),
            ("CONFIG_DIR", below("config")),
            ("WORKSPACE_DIR", below("workspace")),
            ("ASKD_DATA_DIR", below("data")),
            ("ASKD_CLAUDE_BIN", fake_cli().into_os_string()),
            ("PATH", "/usr/local/bin:/usr/bin:/bin".into()),
            ("ASKD_ALLOW_ROOT", "1".into()),
            // A link to the CLI, as other tests make them, counts as another CLI, and the server would start that by itself.
            ("ASKD_CLI_CHECK_EVERY", "1h".into()),
            // Scripts note process ids, which are others in a namespace.
            ("ASKD_ISOLATION", "off".into()),
        ]);
        // Tests ask as fast as they can.
        for group in ["ASK", "CONFIG", "RUNS", "V1", "FAILURES"] {
            command.env(format!("ASKD_RATE_{group}"), "0");
        }
        for (name, value) in variables {
            if value.is_empty() {
                command.env_remove(name)
            } else {
                command.env(name, value)
            };
        }
        let mut child = command.spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (stderr, lines) = (child.stderr.take().unwrap(), Arc::clone(&log));
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        Self { child, log, reader }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// As long as this is held, nothing of what it writes is read.
    pub(crate) fn leave_log_unread(&self) -> MutexGuard<'_, Vec<String>> {
        self.log.lock().unwrap()
    }

    /// Waits until it listens.
    pub(crate) async fn address(&self) -> SocketAddr {
        eventually("the server's address in its log", || {
            let log = self.log.lock().unwrap();
            let mut entries = log.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let address = entries.find_map(|entry| entry["address"].as_str()?.parse().ok());
            assert!(address.is_some() || !self.reader.is_finished(), "it has ended: {}", log.join("\n"));
            address
        })
        .await
    }

    /// `POST /ask` with the right key, not yet sent.
    pub(crate) async fn request(&self, body: &Value) -> reqwest::RequestBuilder {
        let url = format!("http://{}/ask", self.address().await);
        reqwest::Client::new().post(url).header("x-api-key", Settings::TEST_API_KEY).json(body)
    }

    /// `POST /ask`, to the end.
    pub(crate) async fn ask(&self, body: &Value) -> Answer {
        Answer::by(self.request(body).await).await
    }

    /// [`Self::ask`] in a task of its own.
    pub(crate) async fn ask_beside(&self, body: &Value) -> JoinHandle<Answer> {
        let request = self.request(body).await;
        beside(async move { Answer::by(request).await })
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it has ended and all that it wrote is in [`Self::log`].
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let status = eventually("the end of the program", || self.child.try_wait().unwrap()).await;
        eventually("the end of its log", || self.reader.is_finished().then_some(())).await;
        status
    }

    /// The most memory that was ever resident, in bytes.
    pub(crate) fn most_resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")).unwrap();
        peak.parse::<u64>().unwrap() * 1024
    }

    /// Resident memory, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let pages = std::fs::read_to_string(format!("/proc/{}/statm", self.pid())).unwrap();
        let resident: u64 = pages.split(' ').nth(1).unwrap().parse().unwrap();
        resident * rustix::param::page_size() as u64
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The processes whose pids a script's `!spawn` has noted in the workspace, as far as they live.
pub(crate) fn living_pids(workspace: &Path) -> Vec<u32> {
    let noted = std::fs::read_to_string(workspace.join("pids")).unwrap_or_default();
    let pids = noted.lines().map(|pid| pid.parse::<u32>().unwrap());
    pids.filter(|pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z ")))
        .collect()
}
