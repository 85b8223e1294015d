//! Backups are made while conversations grow, and in some rounds the server or the backup itself is killed meanwhile. What
//! a client had when a backup began is in it, byte for byte, with the conversation that it belongs to; a backup that was
//! killed is whole or not there.

mod load;
mod verdict;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::campaign::{random_time, rounds};
use crate::place::{Place, Server, fake_cli};
use load::{Journal, Load};
use verdict::Tally;

/// Backups of one round.
const BACKUPS: usize = 2;

/// How long after one thing the next one happens, at most.
const PAUSE: Duration = Duration::from_millis(400);

/// What happens while the last backup of a round is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Killed {
    Nobody,
    Server,
    Backup,
}

impl Killed {
    fn of_round(round: usize) -> Self {
        [Self::Server, Self::Backup, Self::Nobody][round % 3]
    }
}

/// An archive, and what was acknowledged when it was begun.
struct Taken {
    archive: PathBuf,
    before: Journal,
    /// Whether the backup itself says that conversations may be missing.
    is_warned: bool,
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_before_a_backup_is_in_it() {
    let mut tally = Tally::default();
    let (start, rounds) = (Instant::now(), rounds("ASKD_SOAK_BACKUPS", 3));
    for round in 0..rounds {
        let place = place();
        for taken in one_round(&place, round, &mut tally).await {
            verdict::judge(&taken, &mut tally).await;
        }
    }
    println!("backups: {} s, {rounds} rounds, {tally:#?}", start.elapsed().as_secs());
}

fn place() -> Place {
    Place::new(&[("ASKD_CLAUDE_BIN", &fake_cli()), ("ASKD_ISOLATION", "off")])
}

async fn one_round(place: &Place, round: usize, tally: &mut Tally) -> Vec<Taken> {
    let server = Server::start(place, &[("MAX_CONCURRENT", "4")]).await;
    let load = Load::begin(&server);
    load.every_talk_has_ended_a_run().await;
    let (mut server, mut longest, mut all) = (Some(server), PAUSE, Vec::new());
    for number in 1..=BACKUPS {
        tokio::time::sleep(random_time(PAUSE)).await;
        let archive = place.folder(&format!("backup-{number}"));
        let before = load.now();
        let begun = Instant::now();
        let mut backup = askd(place, &["backup", "--json", "--to"], &archive);
        let mut backup = backup.spawn().expect("it starts");
        let killed = if number == BACKUPS { Killed::of_round(round) } else { Killed::Nobody };
        if killed != Killed::Nobody {
            tokio::time::sleep(random_time(longest)).await;
        }
        match killed {
            Killed::Nobody => {}
            Killed::Server => drop(server.take()),
            Killed::Backup => backup.kill().expect("it can be killed"),
        }
        let output = ended(move || backup.wait_with_output()).await;
        longest = begun.elapsed();
        if !output.status.success() {
            assert_eq!(killed, Killed::Backup, "{}", said(&output));
            tally.killed_backups += 1;
        }
        if output.status.success() || archive.exists() {
            let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            let is_warned = told["warnings"].as_array().is_some_and(|warnings| !warnings.is_empty());
            assert!(!is_warned || killed == Killed::Server, "{told}");
            tally.killed_servers += usize::from(killed == Killed::Server);
            all.push(Taken { archive, before, is_warned });
        }
    }
    drop(server);
    load.end().await;
    all
}

/// `askd`, with nothing of a server's environment but the folder; `file` is the last argument.
fn askd(place: &Place, arguments: &[&str], file: &Path) -> Command {
    #[expect(clippy::disallowed_methods, reason = "the program under test")]
    let mut command = Command::new(env!("CARGO_BIN_EXE_askd"));
    command.args(arguments).arg(file).env_clear();
    command.env("ASKD_DATA_DIR", place.folder("data")).env("ASKD_ALLOW_ROOT", "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn ended(wait: impl FnOnce() -> std::io::Result<Output> + Send + 'static) -> Output {
    tokio::task::spawn_blocking(wait).await.expect("a thread").expect("an end")
}

fn said(output: &Output) -> String {
    format!("{}: {}{}", output.status, String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
