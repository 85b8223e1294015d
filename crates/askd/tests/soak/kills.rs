//! The server is killed with SIGKILL while four runs say more than fifty events a second each and others wait, start and
//! end. What a reader outside had received stays, under its number, byte for byte; every run that was acknowledged is
//! there and ends; none is run twice.

mod load;
mod moment;
mod verdict;

use std::time::{Duration, Instant};

use crate::campaign::{patience, random, random_time, rounds};
use crate::client::client;
use crate::cluster::Cluster;
use crate::place::{Place, Server, fake_cli};
use crate::processes::left_after;
use load::Load;
use moment::{Engine, Watch};
use verdict::Verdict;

/// After so many kills the folders and the database begin anew, so that their size stays what a test can check.
const KILLS_A_PLACE: usize = 50;

/// How long after its death the processes of a server may live.
const PATIENCE: Duration = Duration::from_secs(2);

/// Events a second of each talking run that make a load.
const ENOUGH: f64 = 50.0;

/// Runs at the same time while there is load: four that talk, and one slot for those that come and go.
const SLOTS: &str = "5";

/// When the server dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// While the store is asked to commit.
    InsideACommit,
    /// As soon as another run has its prompt.
    AtAStart,
    /// At any time.
    Any,
}

impl Moment {
    fn of_round(round: usize) -> Self {
        // Two of five, so that a third is inside although some come a moment too late.
        match round % 5 {
            0 | 2 => Self::InsideACommit,
            4 => Self::AtAStart,
            _ => Self::Any,
        }
    }
}

/// The rate of the slowest run of each round.
#[derive(Default)]
struct Rates(Vec<f64>);

impl std::fmt::Debug for Rates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut all = self.0.clone();
        all.sort_by(f64::total_cmp);
        let below = all.iter().filter(|rate| **rate < ENOUGH).count();
        write!(f, "{:.0?} in the middle, below {ENOUGH} in {below} rounds", all.get(all.len() / 2))
    }
}

/// What a campaign counts.
#[derive(Debug, Default)]
struct Tally {
    kills: usize,
    inside_a_commit: usize,
    aimed_at_a_commit: usize,
    at_a_start: usize,
    during_recovery: usize,
    events_received: usize,
    events_a_second: Rates,
    verdict: Verdict,
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_received_is_lost_and_nothing_runs_twice_on_sqlite() {
    let mut tally = Tally::default();
    let (start, kills) = (Instant::now(), rounds("ASKD_SOAK_KILLS", 4));
    for first in (0..kills).step_by(KILLS_A_PLACE) {
        let place = Place::new(&[("ASKD_CLAUDE_BIN", &fake_cli())]);
        for round in first..kills.min(first + KILLS_A_PLACE) {
            one_kill(&place, &Engine::Sqlite, round, &mut tally).await;
        }
        verdict::check_file(&place.folder("data").join("askd.db")).await;
    }
    println!("kills, sqlite: {}", tally.report(start.elapsed()));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_received_is_lost_and_nothing_runs_twice_on_postgresql() {
    let mut tally = Tally::default();
    let (start, kills) = (Instant::now(), rounds("ASKD_SOAK_KILLS", 4));
    for first in (0..kills).step_by(KILLS_A_PLACE) {
        let cluster = tokio::task::spawn_blocking(Cluster::shared).await.expect("a cluster");
        let database = cluster.database().await;
        let url = cluster.url(&database);
        let place = Place::new(&[("ASKD_CLAUDE_BIN", &fake_cli()), ("ASKD_DATABASE_URL", &url)]);
        // Once, so that the tables are there.
        drop(Server::start(&place, &[]).await);
        moment::make_commits_longer(&url).await;
        let engine = Engine::Postgres { database };
        for round in first..kills.min(first + KILLS_A_PLACE) {
            one_kill(&place, &engine, round, &mut tally).await;
        }
    }
    println!("kills, postgresql: {}", tally.report(start.elapsed()));
}

async fn one_kill(place: &Place, engine: &Engine, round: usize, tally: &mut Tally) {
    let server = Server::start(place, &[("MAX_CONCURRENT", SLOTS)]).await;
    let mut load = Load::begin(&server, place, round).await;
    let marks = load.marks().len();
    let wanted = Moment::of_round(round);
    load.submit_short_ones();
    let mut inside = false;
    match wanted {
        Moment::InsideACommit => {
            tally.aimed_at_a_commit += 1;
            // Not always the first one.
            tokio::time::sleep(random_time(Duration::from_millis(300))).await;
            inside = Watch::of(engine, server.pid()).kill_inside_a_commit();
        }
        Moment::AtAStart => {
            tally.at_a_start += 1;
            let skip = usize::try_from(random(3)).expect("a small number");
            load.wait_for_marks(marks + 1 + skip).await;
        }
        Moment::Any => tokio::time::sleep(random_time(Duration::from_millis(600))).await,
    }
    tally.inside_a_commit += usize::from(inside);
    tally.kills += 1;
    // Where the watch has not killed it, this does.
    drop(server);
    // This needs no new server.
    assert_eq!(left_after(patience(PATIENCE), || place.processes_of("")).await, [0; 0], "processes of the dead server");
    let mut seen = load.end().await;
    tally.events_received += seen.events();
    tally.events_a_second.0.push(seen.slowest_rate());

    if round % 4 == 3 {
        tally.during_recovery += 1;
        Server::start_and_kill(place, &[("MAX_CONCURRENT", "1")], random_time(Duration::from_millis(250))).await;
        assert_eq!(
            left_after(patience(PATIENCE), || place.processes_of("")).await,
            [0; 0],
            "processes of the dead server"
        );
        seen.marks = load::marks(&place.folder("workspace").join("marks")).len();
    }
    // One at a time, so that the order of those that waited is seen.
    let server = Server::start(place, &[("MAX_CONCURRENT", "1")]).await;
    tally.verdict.judge(&server, place, &client(), seen).await;
}

impl Tally {
    fn report(&self, time: Duration) -> String {
        let slowest = self.events_a_second.0.iter().copied().fold(f64::INFINITY, f64::min);
        assert!(self.inside_a_commit * 4 >= self.kills, "too few kills came inside a commit: {self:#?}");
        format!("{} s, {slowest:.0} events a second of the slowest run, {self:#?}", time.as_secs())
    }
}
