//! The server is killed with SIGKILL while four runs say more than fifty events a second each and others wait, start and
//! end. What a reader outside had received stays, under its number, byte for byte; every run that was acknowledged is
//! there and ends; none is run twice.

mod load;
mod moment;
mod verdict;

use std::time::{Duration, Instant};

use crate::campaign::{random, random_time, rounds};
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
        match round % 3 {
            0 => Self::InsideACommit,
            _ if round % 6 == 2 => Self::AtAStart,
            _ => Self::Any,
        }
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
    events_a_second: Vec<f64>,
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
    tally.report("sqlite", start.elapsed());
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
    tally.report("postgresql", start.elapsed());
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
    assert_eq!(left_after(PATIENCE, || place.processes_of("")).await, [0; 0], "processes of the dead server");
    let mut seen = load.end().await;
    tally.events_received += seen.events();
    tally.events_a_second.push(seen.slowest_rate());

    if round % 4 == 3 {
        tally.during_recovery += 1;
        Server::start_and_kill(place, &[("MAX_CONCURRENT", "1")], random_time(Duration::from_millis(250))).await;
        assert_eq!(left_after(PATIENCE, || place.processes_of("")).await, [0; 0], "processes of the dead server");
        seen.marks = load::marks(&place.folder("workspace").join("marks")).len();
    }
    // One at a time, so that the order of those that waited is seen.
    let server = Server::start(place, &[("MAX_CONCURRENT", "1")]).await;
    tally.verdict.judge(&server, place, &client(), seen).await;
}

impl Tally {
    fn report(&self, engine: &str, time: Duration) {
        let slowest = self.events_a_second.iter().copied().fold(f64::INFINITY, f64::min);
        println!("kills, {engine}: {self:#?}");
        println!(
            "kills, {engine}: {} kills, {} of {} aimed inside a commit, {} events received, {slowest:.0} events/s of the \
             slowest run, {} s",
            self.kills,
            self.inside_a_commit,
            self.aimed_at_a_commit,
            self.events_received,
            time.as_secs()
        );
        assert!(self.inside_a_commit > 0, "no kill came inside a commit");
    }
}
