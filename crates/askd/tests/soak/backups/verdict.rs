//! What must be true of a server on a restored archive.

use std::collections::BTreeMap;

use serde_json::json;

use super::load::submitted;
use super::{Taken, askd, ended, place, said};
use crate::campaign::eventually;
use crate::client::{self, StreamEnd, assert_complete, client, events_after};
use crate::place::Server;

/// What was counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) killed_servers: usize,
    pub(super) killed_backups: usize,
    archives: usize,
    runs: usize,
    /// Of those, the ones that had not ended when the backup was begun.
    unfinished: usize,
    events: usize,
    conversations: usize,
    /// Archives that themselves say that conversations may be missing.
    warned: usize,
}

pub(super) async fn judge(taken: &Taken, tally: &mut Tally) {
    let place = place();
    let mut restore = askd(&place, &["restore", "--from"], &taken.archive);
    let restored = ended(move || restore.output()).await;
    assert!(restored.status.success(), "{}", said(&restored));
    let (server, client) = (Server::start(&place, &[("MAX_CONCURRENT", "4")]).await, client());
    let mut talks: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (id, known) in &taken.before {
        let run = client::json(client.get(server.url(&format!("/v1/runs/{id}"))), &[200]).await;
        let mut events = Vec::new();
        let url = server.url(&format!("/v1/runs/{id}/events"));
        let end = client::read(events_after(&client, &url, 0), 0, usize::MAX, |event| events.push(event)).await;
        assert_eq!(end, StreamEnd::Complete);
        assert_complete(&events);
        let changed = known.events.iter().zip(&events).find(|(before, after)| before != after);
        assert_eq!(changed, None, "an event of {id} that was received is another one now");
        if known.has_ended() {
            assert_eq!((events.len(), &run["state"]), (known.events.len(), &json!("completed")), "{run}");
            talks.entry(&known.session).or_default().push(&known.word);
        } else {
            assert!(events.len() > known.events.len(), "{id} had {} events: {run}", known.events.len());
            assert!(run["state"] == "lost" || run["state"] == "completed", "{run}");
            tally.unfinished += 1;
        }
        tally.events += events.len();
    }
    tally.archives += 1;
    tally.runs += taken.before.len();
    if taken.is_warned {
        tally.warned += 1;
        return;
    }
    for (session, words) in talks {
        let body = json!({"prompt": "!recall", "session_id": session});
        let run = submitted(&client, &server.url("/v1/runs"), &body).await.expect("a run");
        let url = server.url(&format!("/v1/runs/{}", run["id"].as_str().expect("an id")));
        let told = eventually("an answer", async || {
            let run = client::json(client.get(&url), &[200]).await;
            run["finished_at"].is_string().then_some(run)
        })
        .await;
        let said = told["result"].as_str().unwrap_or_default();
        assert!(words.iter().all(|word| said.contains(word)), "{words:?} are not all in {told}");
        tally.conversations += 1;
    }
}
