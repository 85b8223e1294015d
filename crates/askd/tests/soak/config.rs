//! The server is killed with SIGKILL while fifty clients change the configuration: single documents, skills, imports.
//! What was acknowledged is in the history and, unless a later change replaced it, on the disk; every file is whole, an
//! import is there with all its documents or with none, and nothing of askd's own lies beside them.

mod load;
mod verdict;

use std::time::{Duration, Instant};

use crate::campaign::{random_time, rounds};
use crate::client::client;
use crate::place::{Place, Server, fake_cli};
use load::Load;
use verdict::Verdict;

/// After so many kills the folders begin anew, so that the history stays what a test can read.
const KILLS_A_PLACE: usize = 25;

/// The server is killed so long after the first change was acknowledged, at most.
const LONGEST: Duration = Duration::from_millis(250);

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_and_whole() {
    let (start, kills) = (Instant::now(), rounds("ASKD_SOAK_CONFIG", 5));
    let mut verdict = Verdict::default();
    for first in (0..kills).step_by(KILLS_A_PLACE) {
        let place = Place::new(&[("ASKD_CLAUDE_BIN", &fake_cli()), ("ASKD_ISOLATION", "off")]);
        verdict.begin_anew();
        for round in first..kills.min(first + KILLS_A_PLACE) {
            let server = Server::start(&place, &[]).await;
            let load = Load::begin(&server, round);
            load.first_acknowledged().await;
            tokio::time::sleep(random_time(LONGEST)).await;
            drop(server);
            let acknowledged = load.end().await;
            if round % 4 == 3 {
                // In the middle of what a start does about it, perhaps.
                Server::start_and_kill(&place, &[], random_time(Duration::from_millis(250))).await;
            }
            let server = Server::start(&place, &[]).await;
            verdict.judge(&server, &place, &client(), acknowledged).await;
        }
    }
    println!("config: {} s, {kills} kills, {:#?}", start.elapsed().as_secs(), verdict.tally);
}
