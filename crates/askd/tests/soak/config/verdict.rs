//! What must be true when the next server is ready.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::load::{Acknowledged, SET};
use crate::campaign::eventually;
use crate::client;
use crate::place::{Place, Server};

/// What was counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    acknowledged: usize,
    /// Made, though nobody was told.
    made_unacknowledged: usize,
    /// Begun, and found not to have happened.
    abandoned: usize,
}

/// What is known, from one server to the next.
#[derive(Default)]
pub(super) struct Verdict {
    pub(super) tally: Tally,
    /// The last change of the round before.
    seen: Option<String>,
    /// The hash of each document's last change.
    newest: BTreeMap<String, Option<String>>,
}

impl Verdict {
    /// There are new folders.
    pub(super) fn begin_anew(&mut self) {
        (self.seen, self.newest) = (None, BTreeMap::new());
    }

    pub(super) async fn judge(
        &mut self,
        server: &Server,
        place: &Place,
        client: &reqwest::Client,
        acknowledged: Vec<Acknowledged>,
    ) {
        eventually("readiness", async || {
            let response = client.get(server.url("/readyz")).send().await.ok()?;
            (response.status() == 200).then_some(())
        })
        .await;
        let changes = self.changes_since(server, client).await;
        let mut made = BTreeSet::new();
        for change in changes.iter().rev() {
            let text = |key: &str| change[key].as_str().map(str::to_owned);
            let document =
                format!("{}/{}", change["kind"].as_str().expect("a kind"), change["name"].as_str().expect("a name"));
            assert_ne!(change["action"], "outside", "nobody did anything by hand: {change}");
            match change["state"].as_str().expect("a state") {
                "done" => {
                    self.newest.insert(document.clone(), text("after"));
                    assert!(made.insert((document, text("after"))), "twice in the history: {change}");
                }
                "abandoned" => self.tally.abandoned += 1,
                state => panic!("a change is {state}: {change}"),
            }
        }
        for one in &acknowledged {
            let there = made.contains(&(one.document.clone(), Some(one.etag.to_string())));
            assert!(there, "an acknowledged change is not in the history: {one:?}");
        }
        self.tally.acknowledged += acknowledged.len();
        self.tally.made_unacknowledged += made.len() - acknowledged.len();
        self.seen = changes.first().map(|change| change["id"].as_str().expect("an id").to_owned()).or(self.seen.take());
        self.check_disk(server, client, &place.folder("config")).await;
    }

    /// The changes since the last look, the newest first.
    async fn changes_since(&self, server: &Server, client: &reqwest::Client) -> Vec<Value> {
        let (mut changes, mut page) = (Vec::new(), String::new());
        loop {
            let list = client.get(server.url(&format!("/v1/config/history?limit=200{page}")));
            let list = client::json(list, &[200]).await;
            for change in list["data"].as_array().expect("a list") {
                if change["id"].as_str() == self.seen.as_deref() {
                    return changes;
                }
                changes.push(change.clone());
            }
            match list["next_page"].as_str() {
                Some(next) => page = format!("&page={next}"),
                None => return changes,
            }
        }
    }

    async fn check_disk(&self, server: &Server, client: &reqwest::Client, folder: &Path) {
        for (document, after) in &self.newest {
            let there = client::json(client.get(server.url(&format!("/v1/config/{document}"))), &[200]).await;
            assert_eq!(there["etag"].as_str(), after.as_deref(), "{document} is not what the history says");
        }
        let files = files(folder);
        let ours: Vec<_> = files.iter().filter(|file| file.to_string_lossy().contains(".askd-")).collect();
        assert_eq!(ours, [""; 0].map(PathBuf::from).iter().collect::<Vec<_>>(), "files of askd's own are left");
        let mut groups: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
        for file in files {
            let path = file.strip_prefix(folder).expect("a file of the folder");
            let parts: Vec<_> = path.components().collect();
            let group: PathBuf = parts.iter().take(2).collect();
            let text = fs::read_to_string(&file).expect("a text");
            let last = text.lines().last().unwrap_or_default().to_owned();
            assert!(text.ends_with('\n') && last.starts_with("round "), "{} is torn: {text:?}", path.display());
            groups.entry(group).or_default().push(last);
        }
        for (group, words) in groups {
            assert!(words.iter().all(|one| *one == words[0]), "{} is of several versions: {words:?}", group.display());
            let is_single = group.extension().is_some();
            assert!(is_single || words.len() == SET, "{} is not whole: {words:?}", group.display());
        }
    }
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files
}
