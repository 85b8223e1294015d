//! The moment of a commit, as the kernel shows it.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sea_orm::{ConnectionTrait, Database};

use crate::processes::{all, command_line, signal};

/// A commit of a server under load comes much sooner.
const PATIENCE: Duration = Duration::from_secs(10);

/// System calls by which `SQLite` writes its log and waits for the disk.
#[cfg(target_arch = "x86_64")]
const WRITES: [u64; 3] = [18, 74, 75];
#[cfg(not(target_arch = "x86_64"))]
const WRITES: [u64; 3] = [68, 82, 83];

/// The test's PostgreSQL does not wait for the disk, so a commit is over before anybody can look. From now on it takes
/// the milliseconds that it takes elsewhere, for every piece of a run's log.
pub(super) async fn make_commits_longer(url: &str) {
    const SLOWLY: &str = "
        CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(random() * 0.004); RETURN NULL; END';
        CREATE CONSTRAINT TRIGGER waits AFTER INSERT ON event_chunks DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION wait()";
    let store = Database::connect(url).await.expect("the database");
    store.execute_unprepared(SLOWLY).await.expect("a trigger");
    store.close().await.expect("it closes");
}

/// Where the store is.
pub(super) enum Engine {
    Sqlite,
    Postgres { database: String },
}

/// A look at what commits for one server.
pub(super) struct Watch {
    server: u32,
    how: How,
}

enum How {
    /// The threads that work on the file.
    Threads(Vec<PathBuf>),
    /// The processes of the database for this server's connections: their command line names what they do.
    Backends(Vec<u32>),
}

impl Watch {
    pub(super) fn of(engine: &Engine, server: u32) -> Self {
        let how = match engine {
            Engine::Sqlite => How::Threads(sqlite_threads(server)),
            Engine::Postgres { database } => How::Backends(backends(database)),
        };
        Self { server, how }
    }

    /// Kills the server in the middle of a commit: it was begun, and the server cannot know that it is done. `false`
    /// when it was over a moment before the kill, or none was met in time; then the server lives.
    pub(super) fn kill_inside_a_commit(&self) -> bool {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            match &self.how {
                How::Threads(threads) => {
                    if threads.iter().any(|thread| writes_log(self.server, thread)) && self.stop_kill() {
                        return true;
                    }
                }
                How::Backends(backends) => {
                    if let Some(backend) = backends.iter().find(|backend| commits(**backend)) {
                        signal(self.server, Signal::KILL);
                        // It counts if the database still was at it after that.
                        return commits(*backend);
                    }
                }
            }
        }
        false
    }

    /// Stops the server and kills it if a thread of the store still is where it was seen: in the system call, from which
    /// it will not return. Otherwise it goes on.
    fn stop_kill(&self) -> bool {
        let How::Threads(threads) = &self.how else { return false };
        signal(self.server, Signal::STOP);
        let start = Instant::now();
        while !threads.iter().all(|thread| is_stopped(thread)) && start.elapsed() < Duration::from_secs(1) {}
        let inside = threads.iter().any(|thread| writes_log(self.server, thread));
        signal(self.server, if inside { Signal::KILL } else { Signal::CONT });
        inside
    }
}

fn sqlite_threads(server: u32) -> Vec<PathBuf> {
    let threads = fs::read_dir(format!("/proc/{server}/task")).into_iter().flatten().flatten();
    let of_sqlite =
        |thread: &PathBuf| fs::read_to_string(thread.join("comm")).is_ok_and(|name| name.starts_with("sqlx-sqlite"));
    threads.map(|thread| thread.path()).filter(of_sqlite).collect()
}

/// Whether the thread is in a system call that writes or syncs the log of the file.
fn writes_log(server: u32, thread: &std::path::Path) -> bool {
    // Its number and its arguments, the first of which is the file.
    let call = fs::read_to_string(thread.join("syscall")).unwrap_or_default();
    let mut words = call.split(' ');
    let number = words.next().and_then(|word| word.parse().ok());
    let file = words.next().and_then(|word| u32::from_str_radix(word.strip_prefix("0x")?, 16).ok());
    let (Some(number), Some(file)) = (number, file) else { return false };
    WRITES.contains(&number)
        && fs::read_link(format!("/proc/{server}/fd/{file}")).is_ok_and(|path| path.to_string_lossy().ends_with("-wal"))
}

fn is_stopped(thread: &std::path::Path) -> bool {
    let stat = fs::read_to_string(thread.join("stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_none_or(|rest| rest.starts_with(['T', 't']))
}

fn backends(database: &str) -> Vec<u32> {
    let of_database = |pid: &u32| {
        let title = command_line(*pid).join(" ");
        title.starts_with("postgres:") && title.split(' ').any(|word| word == database)
    };
    all().filter(of_database).collect()
}

fn commits(backend: u32) -> bool {
    fs::read(format!("/proc/{backend}/cmdline")).is_ok_and(|title| {
        let end = title.iter().rposition(|byte| *byte > b' ').map_or(0, |last| last + 1);
        title[..end].ends_with(b"COMMIT")
    })
}
