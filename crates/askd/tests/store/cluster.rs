//! A private PostgreSQL: no TCP port, a folder of its own, gone with the test process however that ends.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection};
use tempfile::TempDir;

/// Starts the server, waits for the end of its standard input, ends the server, also one that a test has stopped, and
/// removes the folder. The input is a pipe that only the test process holds.
const KEEPER: &str = r#"
folder=$1 && shift
"$@" &
read -r _
kill -QUIT $!
kill -CONT $!
wait $!
rm -rf "$folder"
"#;

/// No start takes longer, unless something is broken.
const PATIENCE: Duration = Duration::from_mins(2);
/// Between two looks, so that looking does not hold up what is waited for.
const STEP: Duration = Duration::from_millis(20);

/// A PostgreSQL server. Ends when it is dropped, and with this process.
pub(crate) struct Cluster {
    folder: PathBuf,
    keeper: Option<Child>,
}

impl Cluster {
    /// The one that most tests share, each with a database of its own.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    pub(crate) fn start() -> Self {
        // Kept as a path: the keeper removes it.
        let folder = TempDir::with_prefix("askd-postgres-").unwrap().keep();
        if rustix::process::geteuid().is_root() {
            #[expect(clippy::disallowed_methods, reason = "the folder's owner is known by name only")]
            let mut chown = Command::new("chown");
            assert!(run(chown.arg("postgres").arg(&folder)), "there is no user postgres");
        }
        let made = as_user("initdb")
            .current_dir(&folder)
            .arg("-D")
            .arg(folder.join("data"))
            .args(["-U", "postgres", "-A", "trust", "-N", "--no-instructions", "-E", "UTF8", "--locale=C.UTF-8"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let mut cluster = Self { folder, keeper: None };
        cluster.start_again();
        cluster
    }

    /// Starts the server on its folder; for the first time, or after [`Cluster::crash`].
    pub(crate) fn start_again(&mut self) {
        assert!(self.keeper.is_none(), "it runs");
        let server = as_user("postgres");
        #[expect(clippy::disallowed_methods, reason = "a server for tests, with a shell that ends it")]
        let mut keeper = Command::new("/bin/sh");
        keeper.args(["-c", KEEPER, "keeper"]).arg(&self.folder).arg(server.get_program()).args(server.get_args());
        keeper.arg("-D").arg(self.folder.join("data")).arg("-k").arg(&self.folder);
        for setting in ["listen_addresses=", "fsync=off", "max_connections=200"] {
            keeper.args(["-c", setting]);
        }
        keeper.current_dir(&self.folder).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        self.keeper = Some(keeper.spawn().unwrap());
        let deadline = Instant::now() + PATIENCE;
        while !run(as_user("pg_isready").arg("-q").arg("-h").arg(&self.folder)) {
            assert!(Instant::now() < deadline, "PostgreSQL did not start");
            std::thread::sleep(STEP);
        }
    }

    /// Ends the server as a crash would: at once, connections broken.
    pub(crate) fn crash(&mut self) {
        let pid = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap();
        let pid = Pid::from_raw(pid.lines().next().unwrap().parse().unwrap()).unwrap();
        let mut keeper = self.keeper.take().unwrap();
        kill_process(pid, Signal::QUIT).unwrap();
        while kill_process(pid, Signal::CONT).is_ok() && !is_dead(pid) {
            std::thread::sleep(STEP);
        }
        // Without its last words: the folder is still needed.
        keeper.kill().unwrap();
        keeper.wait().unwrap();
    }

    /// Where a database of it is.
    pub(crate) fn url(&self, database: &str) -> String {
        self.url_of("postgres", database)
    }

    /// The same for another role.
    pub(crate) fn url_of(&self, role: &str, database: &str) -> String {
        format!("postgres://{role}@localhost/{database}?host={}", self.folder.to_str().unwrap())
    }

    /// A new, empty database.
    pub(crate) async fn database(&self) -> String {
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        let connection = self.connect("postgres").await;
        connection.execute_unprepared(&format!("CREATE DATABASE {name} TEMPLATE template0")).await.unwrap();
        connection.close().await.unwrap();
        name
    }

    async fn connect(&self, database: &str) -> DatabaseConnection {
        Database::connect(self.url(database)).await.unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        match &mut self.keeper {
            Some(keeper) => {
                drop(keeper.stdin.take());
                let _ = keeper.wait();
            }
            None => {
                let _ = std::fs::remove_dir_all(&self.folder);
            }
        }
    }
}

/// A program of PostgreSQL, as a user that it accepts: it refuses root.
fn as_user(program: &str) -> Command {
    let program = bin().join(program);
    if !rustix::process::geteuid().is_root() {
        #[expect(clippy::disallowed_methods, reason = "the database under test")]
        return Command::new(program);
    }
    #[expect(clippy::disallowed_methods, reason = "the database under test")]
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig=KILL", "--"]).arg(program);
    command
}

/// Where the newest PostgreSQL is.
fn bin() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.map(|version| version.path()).max_by_key(|path| number(path));
    let on_path = || {
        let path = std::env::vars_os().find(|(name, _)| name == "PATH").map(|(_, value)| value).unwrap_or_default();
        std::env::split_paths(&path).find(|folder| folder.join("postgres").exists())
    };
    let found = newest.map(|version| version.join("bin")).filter(|bin| bin.join("postgres").exists()).or_else(on_path);
    found.expect("these tests need PostgreSQL; on Debian: apt-get install postgresql")
}

fn number(version: &Path) -> u32 {
    version.file_name().and_then(|name| name.to_str()?.parse().ok()).unwrap_or(0)
}

fn run(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
}

/// Whether only the entry of a dead process is left, which its parent has yet to read.
fn is_dead(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).unwrap_or_default();
    stat.rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with('Z'))
}
