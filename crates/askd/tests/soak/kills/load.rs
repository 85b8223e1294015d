//! Four runs that talk, and others that come and go, until the server dies.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::campaign::{beside, eventually, random_time};
use crate::client::{self, Event, client, events_after};
use crate::place::{Place, Server};

/// Runs that talk.
const TALKING: usize = 4;
/// So many events of each before anything else happens.
const FLOWING: usize = 20;
/// The most short runs of one round.
const SHORT: usize = 16;

/// A run that talks, and its reader.
struct Talking {
    run: String,
    reader: JoinHandle<()>,
    seen: Arc<Mutex<Vec<Event>>>,
    since: Instant,
}

/// A short run: the idempotency key under which it was submitted, which is also its word in the file of marks, and its
/// id, if that was acknowledged.
#[derive(Debug, Clone)]
pub(super) struct Short {
    pub(super) key: String,
    pub(super) acknowledged: Option<String>,
}

pub(super) struct Load {
    submit: String,
    marks: PathBuf,
    round: usize,
    talking: Vec<Talking>,
    short: Arc<Mutex<Vec<Short>>>,
    submitter: Option<JoinHandle<()>>,
}

/// What somebody outside knows of a server that is dead.
pub(super) struct Seen {
    pub(super) round: usize,
    /// Events by run.
    pub(super) talking: BTreeMap<String, Vec<Event>>,
    /// In the order of submission.
    pub(super) short: Vec<Short>,
    /// Lines of the file of marks when the server had died.
    pub(super) marks: usize,
    slowest_rate: f64,
}

impl Load {
    /// Starts the talking runs and waits until they flow.
    pub(super) async fn begin(server: &Server, place: &Place, round: usize) -> Self {
        let (client, mut talking) = (client(), Vec::new());
        let submit = server.url("/v1/runs");
        for number in 0..TALKING {
            // Lines of several kilobytes that hardly compress, so that a commit has something to write.
            let prompt = format!("!mark marks {round}-talk-{number}\n!spawn setsid\n!noise\n!drip 100000 4 6k");
            let request =
                client.post(&submit).json(&json!({"prompt": prompt, "metadata": {"round": round.to_string()}}));
            let answer = client::json(request, &[202]).await;
            talking.push(Talking::of(server, answer["id"].as_str().expect("an id")));
        }
        let marks = place.folder("workspace").join("marks");
        let load = Self { submit, marks, round, talking, short: Arc::default(), submitter: None };
        eventually("the load", async || {
            let flows = |talking: &Talking| talking.seen.lock().expect("events").len() >= FLOWING;
            load.talking.iter().all(flows).then_some(())
        })
        .await;
        load
    }

    /// From now on short runs are submitted one after the other, until the server is dead.
    pub(super) fn submit_short_ones(&mut self) {
        let (short, submit, round) = (Arc::clone(&self.short), self.submit.clone(), self.round);
        self.submitter = Some(beside(async move {
            let client = client();
            for number in 0..SHORT {
                let key = format!("{round}-short-{number}");
                short.lock().expect("a list").push(Short { key: key.clone(), acknowledged: None });
                let Some(run) = submit_short(&client, &submit, &key).await else { return };
                short.lock().expect("a list")[number].acknowledged = Some(run);
                tokio::time::sleep(random_time(Duration::from_millis(30))).await;
            }
        }));
    }

    /// The words in the file of marks.
    pub(super) fn marks(&self) -> Vec<String> {
        marks(&self.marks)
    }

    /// Waits until so many runs have had their prompt, or there are no more to come.
    pub(super) async fn wait_for_marks(&self, count: usize) {
        eventually("a run that starts", async || (self.marks().len() >= count).then_some(())).await;
    }

    /// To be called when the server is dead, and its processes are.
    pub(super) async fn end(self) -> Seen {
        let died = Instant::now();
        let (mut talking, mut slowest_rate) = (BTreeMap::new(), f64::INFINITY);
        for Talking { run, reader, seen, since } in self.talking {
            reader.await.expect("a reader");
            let seen = std::mem::take(&mut *seen.lock().expect("events"));
            #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
            let rate = seen.len() as f64 / died.duration_since(since).as_secs_f64();
            slowest_rate = slowest_rate.min(rate);
            talking.insert(run, seen);
        }
        if let Some(submitter) = self.submitter {
            submitter.await.expect("the submitter");
        }
        let short = std::mem::take(&mut *self.short.lock().expect("a list"));
        Seen { round: self.round, talking, short, marks: marks(&self.marks).len(), slowest_rate }
    }
}

impl Talking {
    fn of(server: &Server, run: &str) -> Self {
        let (client, url) = (client(), server.url(&format!("/v1/runs/{run}/events")));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let reader = beside({
            let seen = Arc::clone(&seen);
            async move {
                let take = |event| seen.lock().expect("events").push(event);
                // It ends with the server.
                client::read(events_after(&client, &url, 0), 0, usize::MAX, take).await;
            }
        });
        Self { run: run.to_owned(), reader, seen, since: Instant::now() }
    }
}

impl Seen {
    pub(super) fn events(&self) -> usize {
        self.talking.values().map(Vec::len).sum()
    }

    /// Events a second of the talking run with the fewest, from its submission to the kill.
    pub(super) fn slowest_rate(&self) -> f64 {
        self.slowest_rate
    }
}

/// Submits a short run; its id, unless the server dies before it has answered.
pub(super) async fn submit_short(client: &reqwest::Client, submit: &str, key: &str) -> Option<String> {
    let body = json!({"prompt": format!("!mark marks {key}\n!result {key}")});
    let response = client.post(submit).header("idempotency-key", key).json(&body).send().await.ok()?;
    assert_eq!(response.status(), 202, "a short run");
    let run: Value = serde_json::from_slice(&response.bytes().await.ok()?).ok()?;
    Some(run["id"].as_str().expect("an id").to_owned())
}

/// The words of the marks in a file, in order.
pub(super) fn marks(file: &std::path::Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect()
}
