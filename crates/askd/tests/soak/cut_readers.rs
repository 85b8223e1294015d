//! A reader whose connection is cut at random, again and again, also in the middle of a frame, gets what an undisturbed
//! one gets: every event once, in order, byte for byte.

use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use tokio::sync::Semaphore;

use crate::campaign::{beside, random, rounds};
use crate::client::{self, Event, StreamEnd, assert_complete, client, events_after};
use crate::cluster::Cluster;
use crate::place::{Place, Server, fake_cli};

/// Runs at the same time.
const AT_ONCE: usize = 8;
/// A run of less proves little.
const FEWEST_EVENTS: usize = 200;

#[derive(Debug, Default)]
struct Tally {
    events: usize,
    cuts: usize,
    inside_a_frame: usize,
    fewest_events: usize,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_is_cut_at_random_misses_nothing_on_sqlite() {
    let place = Place::new(&[("MAX_CONCURRENT", &AT_ONCE.to_string()), ("ASKD_CLAUDE_BIN", &fake_cli())]);
    println!("cut readers, sqlite: {}", campaign(place).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_is_cut_at_random_misses_nothing_on_postgresql() {
    let cluster = tokio::task::spawn_blocking(Cluster::shared).await.expect("a cluster");
    let url = cluster.url(&cluster.database().await);
    let variables =
        [("MAX_CONCURRENT", &*AT_ONCE.to_string()), ("ASKD_CLAUDE_BIN", &fake_cli()), ("ASKD_DATABASE_URL", &url)];
    println!("cut readers, postgresql: {}", campaign(Place::new(&variables)).await);
}

/// Goes through all runs; what it has counted.
async fn campaign(place: Place) -> String {
    // A small ring: those that come back find part of it in memory and part in the store.
    let server = Arc::new(Server::start(&place, &[("ASKD_RING_BYTES", "64KiB")]).await);
    let (start, places) = (Instant::now(), Arc::new(Semaphore::new(AT_ONCE)));
    let rounds = rounds("ASKD_SOAK_CUTS", 10);
    let mut runs = Vec::new();
    for number in 0..rounds {
        let place = Arc::clone(&places).acquire_owned().await.expect("a place");
        let server = Arc::clone(&server);
        runs.push(beside(async move {
            let tally = one_run(&server, number).await;
            drop(place);
            tally
        }));
    }
    let mut all = Tally { fewest_events: usize::MAX, ..Tally::default() };
    for run in runs {
        let one = run.await.unwrap_or_else(|error| panic!("{error}; the server's log: {}", server.log()));
        all.events += one.events;
        all.cuts += one.cuts;
        all.inside_a_frame += one.inside_a_frame;
        all.fewest_events = all.fewest_events.min(one.events);
    }
    assert!(all.inside_a_frame * 4 > all.cuts, "too few cuts inside a frame: {all:?}");
    format!("{rounds} runs, {} s, {all:?}", start.elapsed().as_secs())
}

/// What the scripted CLI says: at its own pace, as fast as it can, or in events larger than a chunk of the log.
fn script(number: usize) -> String {
    let size = 200 + random(3_000);
    match number % 4 {
        0 => format!("!noise\n!drip 220 1 {size}"),
        1 => format!("!flood 120k 1k\n!sleep {}\n!flood 120k 1k", random(200)),
        2 => format!("!noise\n!drip 100 1 {size}\n!big 400k\n!crlf\n!drip 100 1 {size}\n!big 300k"),
        _ => {
            let lines = "!say ä€😀 \u{2028} \\u000a\n!line {\"type\":\"assistant\", \"x\" : 1,\t\"e\":1e40}\n";
            format!("!noise\n{}!drip 110 1 {size}", lines.repeat(60))
        }
    }
}

async fn one_run(server: &Server, number: usize) -> Tally {
    let (client, mut tally, mut events) = (client(), Tally::default(), Vec::new());
    let body = json!({"prompt": script(number)});
    let submit = client.post(server.url("/v1/runs")).json(&body);
    let run = if number.is_multiple_of(3) {
        // The submission itself is the first stream that is cut.
        let submit = submit.header("accept", "text/event-stream");
        let end = client::read(submit, 0, 400 + budget(), |event| events.push(event)).await;
        tally.count(&end);
        id_of(&events)
    } else {
        let run = client::json(submit, &[202]).await;
        run["id"].as_str().expect("an id").to_owned()
    };
    let url = server.url(&format!("/v1/runs/{run}/events"));
    let calm = {
        let (client, url) = (client.clone(), url.clone());
        beside(async move {
            let mut events = Vec::new();
            let end = client::read(events_after(&client, &url, 0), 0, usize::MAX, |event| events.push(event)).await;
            assert_eq!(end, StreamEnd::Complete);
            events
        })
    };
    read_with_cuts(&client, &url, &mut events, &mut tally).await;
    let calm = calm.await.expect("an undisturbed reader");
    assert_same(&events, &calm, number);
    assert_complete(&calm);
    assert!(calm.len() >= FEWEST_EVENTS, "{} events of {}", calm.len(), script(number));
    // Taken up at the end there is nothing; taken up anywhere, the rest.
    let last = calm.len() as u64;
    assert_eq!(client::read(events_after(&client, &url, last), last, 1, |_| ()).await, StreamEnd::Nothing);
    let (anywhere, mut rest) = (random(last), Vec::new());
    client::read(events_after(&client, &url, anywhere), anywhere, usize::MAX, |event| rest.push(event)).await;
    assert_same(&rest, &calm[usize::try_from(anywhere).expect("a small number")..], number);
    tally.events = calm.len();
    tally
}

/// The run's id, from the envelope of any of its events.
fn id_of(events: &[Event]) -> String {
    let first = events.first().expect("an event before the first cut");
    let envelope: serde_json::Value = serde_json::from_str(&first.data).expect("an envelope");
    envelope["run_id"].as_str().expect("an id").to_owned()
}

/// Reads to the last event, with a cut after each random number of bytes.
async fn read_with_cuts(client: &reqwest::Client, url: &str, events: &mut Vec<Event>, tally: &mut Tally) {
    let mut least = 0;
    loop {
        let before = events.len();
        let request = events_after(client, url, before as u64);
        let end = client::read(request, before as u64, least + budget(), |event| events.push(event)).await;
        tally.count(&end);
        match end {
            StreamEnd::Cut { .. } => {}
            // A cut right behind the last frame is followed by a 204.
            StreamEnd::Complete | StreamEnd::Nothing => return,
            StreamEnd::Broken => panic!("the connection broke; we had not cut it"),
        }
        // An event larger than any budget has to come through some time.
        least = if events.len() == before { least.max(1024) * 2 } else { 0 };
    }
}

/// From nothing at all to half of a run, small numbers as often as large ones.
fn budget() -> usize {
    usize::try_from(random(1 << (1 + random(16)))).expect("a small number") + 1
}

impl Tally {
    fn count(&mut self, end: &StreamEnd) {
        if let StreamEnd::Cut { inside } = end {
            self.cuts += 1;
            self.inside_a_frame += usize::from(*inside);
        }
    }
}

/// Like `assert_eq`, without a megabyte of output.
fn assert_same(found: &[Event], expected: &[Event], number: usize) {
    let differ = found.iter().zip(expected).find(|(found, expected)| found != expected);
    assert_eq!(differ, None, "run {number}");
    assert_eq!(found.len(), expected.len(), "run {number}");
}
