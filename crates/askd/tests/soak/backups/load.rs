//! Conversations that grow, run by run, until their server is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use reqwest::Client;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::campaign::{beside, eventually};
use crate::client::{self, Event, StreamEnd, client, events_after};
use crate::place::Server;

/// Conversations at the same time.
const TALKS: usize = 4;

/// A run that was acknowledged, as far as its client knows it.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) session: String,
    /// A word of its prompt that no other has.
    pub(super) word: String,
    pub(super) events: Vec<Event>,
}

impl Known {
    pub(super) fn has_ended(&self) -> bool {
        self.events.last().is_some_and(Event::is_terminal)
    }
}

/// What clients know, by run.
pub(super) type Journal = BTreeMap<String, Known>;

pub(super) struct Load {
    journal: Arc<Mutex<Journal>>,
    talks: Vec<JoinHandle<()>>,
}

impl Load {
    pub(super) fn begin(server: &Server) -> Self {
        let journal = Arc::<Mutex<Journal>>::default();
        let talk = |number| beside(talk(client(), server.url("/v1/runs"), number, Arc::clone(&journal)));
        Self { talks: (0..TALKS).map(talk).collect(), journal }
    }

    /// What was acknowledged up to now.
    pub(super) fn now(&self) -> Journal {
        self.journal.lock().expect("a journal").clone()
    }

    pub(super) async fn every_talk_has_ended_a_run(&self) {
        eventually("an end in every conversation", async || {
            let sessions = self.now().into_values().filter(Known::has_ended).map(|run| run.session);
            (sessions.collect::<BTreeSet<_>>().len() == TALKS).then_some(())
        })
        .await;
    }

    /// The server is gone.
    pub(super) async fn end(self) {
        for talk in self.talks {
            talk.await.expect("a client that ends");
        }
    }
}

/// Asks again as soon as there is an answer, and notes all that comes.
async fn talk(client: Client, url: String, number: usize, journal: Arc<Mutex<Journal>>) {
    let mut session = Value::Null;
    for turn in 0.. {
        let word = format!("word-{number}-{turn}.");
        // Lines of some kilobytes that hardly compress, so that a backup has something to read.
        let mut body = json!({"prompt": format!("!noise\n!drip 20 5 4k\n!result {word}")});
        if session.is_string() {
            body["session_id"] = session.clone();
        }
        let Some(run) = submitted(&client, &url, &body).await else { return };
        let id = run["id"].as_str().expect("an id").to_owned();
        session = run["session_id"].clone();
        let known = Known { session: session.as_str().expect("a session").to_owned(), word, events: Vec::new() };
        journal.lock().expect("a journal").insert(id.clone(), known);
        let note = |event| journal.lock().expect("a journal").get_mut(&id).expect("a run").events.push(event);
        let events = events_after(&client, &format!("{url}/{id}/events"), 0);
        if client::read(events, 0, usize::MAX, note).await != StreamEnd::Complete {
            return;
        }
    }
}

/// The run, unless the server is gone before it has answered.
pub(super) async fn submitted(client: &Client, url: &str, body: &Value) -> Option<Value> {
    let response = client.post(url).json(body).send().await.ok()?;
    assert_eq!(response.status(), 202);
    serde_json::from_slice(&response.bytes().await.ok()?).ok()
}
