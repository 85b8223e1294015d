//! What must be true when the next server is ready.

use std::path::Path;
use std::time::Duration;

use sea_orm::{ConnectionTrait, Database, Statement};
use serde_json::Value;

use super::load::{Seen, marks, submit_short};
use crate::campaign::{eventually, patience};
use crate::client::{self, Event, StreamEnd, assert_complete, events_after};
use crate::place::{Place, Server};
use crate::processes::left_after;

/// How long after the new server is ready the old one's processes may live.
const PATIENCE: Duration = Duration::from_secs(2);

/// What became of the runs.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    talking_lost: usize,
    short_completed_before: usize,
    short_completed_after: usize,
    short_lost: usize,
    unacknowledged: usize,
    stored_but_unacknowledged: usize,
    events_beyond_the_seen: usize,
}

impl Verdict {
    pub(super) async fn judge(&mut self, server: &Server, place: &Place, client: &reqwest::Client, seen: Seen) {
        eventually("readiness", async || {
            let response = client.get(server.url("/readyz")).send().await.ok()?;
            (response.status() == 200).then_some(())
        })
        .await;
        // Ready means settled: what the dead server worked on has ended.
        for (run, events) in &seen.talking {
            let row = run_of(server, client, run).await;
            assert_eq!(row["state"], "lost", "{row}");
            assert!(row["error"]["hint"].is_string(), "{row}");
            self.check_events(server, client, run, events).await;
            self.talking_lost += 1;
        }
        self.check_short_ones(server, place, client, &seen).await;
        let left = left_after(patience(PATIENCE), || place.processes_of("")).await;
        assert_eq!(left, [0; 0], "processes are left when no run is");
        for folder in ["homes", "records"] {
            eventually(&format!("an empty folder of {folder}"), async || place.list(folder).is_empty().then_some(()))
                .await;
        }
    }

    /// What was received is there, and what there is is complete.
    async fn check_events(&mut self, server: &Server, client: &reqwest::Client, run: &str, seen: &[Event]) {
        let (url, mut events) = (server.url(&format!("/v1/runs/{run}/events")), Vec::new());
        let end = client::read(events_after(client, &url, 0), 0, usize::MAX, |event| events.push(event)).await;
        assert_eq!(end, StreamEnd::Complete);
        let changed = seen.iter().zip(&events).find(|(before, after)| before != after);
        assert_eq!(changed, None, "an event of {run} that was received is another one now");
        assert!(events.len() >= seen.len(), "{run} had {} events and has {} now", seen.len(), events.len());
        assert_complete(&events);
        self.events_beyond_the_seen += events.len() - seen.len();
    }

    async fn check_short_ones(&mut self, server: &Server, place: &Place, client: &reqwest::Client, seen: &Seen) {
        eventually("the end of the runs that waited", async || {
            let unfinished = client.get(server.url("/v1/runs?state=queued,running&limit=1"));
            let list = client::json(unfinished, &[200]).await;
            list["data"].as_array().expect("a list").is_empty().then_some(())
        })
        .await;
        let file = place.folder("workspace").join("marks");
        let after = marks(&file);
        let count = |key: &str| after.iter().filter(|mark| *mark == key).count();
        let begun_after = &after[seen.marks..];
        let mut expected = Vec::new();
        for short in &seen.short {
            let key = &short.key;
            let Some(run) = &short.acknowledged else {
                self.unacknowledged += 1;
                // It is in the store or it is not; either way it may have run once at most.
                assert!(count(key) <= 1, "{key} was run twice: {after:?}");
                self.stored_but_unacknowledged += count(key);
                continue;
            };
            let row = run_of(server, client, run).await;
            assert_eq!(run_of_key(server, client, key).await.as_ref(), Some(run), "the key of {key}");
            match row["state"].as_str().expect("a state") {
                "completed" => {
                    assert_eq!(count(key), 1, "{key} is complete, and was run so often; {row}; {after:?}");
                    if begun_after.contains(key) {
                        self.short_completed_after += 1;
                        expected.push(key.clone());
                    } else {
                        self.short_completed_before += 1;
                    }
                }
                "lost" => {
                    assert!(count(key) <= 1, "{key} was run twice: {row}; {after:?}");
                    assert!(!begun_after.contains(key), "{key} is lost, and was begun after that: {row}");
                    self.short_lost += 1;
                }
                other => panic!("{key} is {other}: {row}"),
            }
            self.check_events(server, client, run, &[]).await;
        }
        let in_order: Vec<_> = begun_after.iter().filter(|mark| expected.contains(mark)).cloned().collect();
        assert_eq!(in_order, expected, "the order of those that waited, in round {}", seen.round);
        for (talking, number) in seen.talking.keys().zip(0..) {
            assert_eq!(count(&format!("{}-talk-{number}", seen.round)), 1, "{talking} was run twice: {after:?}");
        }
        // What was not acknowledged is submitted again, as a client would, and there is one run of it in the end.
        for key in seen.short.iter().filter(|short| short.acknowledged.is_none()).map(|short| &short.key) {
            let run = run_of_key(server, client, key).await.expect("a run");
            eventually("the end of a run", async || {
                let row = run_of(server, client, &run).await;
                (row["finished_at"].is_string()).then_some(())
            })
            .await;
            let all = marks(&file);
            assert!(all.iter().filter(|mark| *mark == key).count() <= 1, "{key} was run twice: {all:?}");
        }
    }
}

async fn run_of(server: &Server, client: &reqwest::Client, run: &str) -> Value {
    client::json(client.get(server.url(&format!("/v1/runs/{run}"))), &[200]).await
}

/// Submits again with the same key: the run that was made by the first time.
async fn run_of_key(server: &Server, client: &reqwest::Client, key: &str) -> Option<String> {
    submit_short(client, &server.url("/v1/runs"), key).await
}

/// Panics unless the database is sound.
pub(super) async fn check_file(file: &Path) {
    let store = Database::connect(format!("sqlite://{}?mode=ro", file.display())).await.expect("the file opens");
    let check = Statement::from_string(store.get_database_backend(), "PRAGMA integrity_check");
    let row = store.query_one_raw(check).await.expect("a check").expect("a row");
    assert_eq!(row.try_get_by_index::<String>(0).expect("a text"), "ok");
    store.close().await.expect("it closes");
}
