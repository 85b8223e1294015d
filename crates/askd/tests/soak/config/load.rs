//! Fifty clients that change the configuration until their server is gone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use askd::config::archive::{self, Format};
use askd::config::change::Document;
use askd::config::document::{Content, Etag, SKILL_FILE, Skill, SkillFile};
use askd::config::kind::Kind;
use askd::config::name::DocumentId;
use askd::config::problem::Report;
use askd::config::scope::Scope;
use jiff::Timestamp;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::campaign::{beside, eventually};
use crate::client::client;
use crate::place::Server;

/// Clients that put single texts, and how many texts there are.
const TEXTS: (usize, usize) = (30, 10);
/// Clients that put skills, and how many skills there are.
const SKILLS: (usize, usize) = (10, 5);
/// Clients that import, and how many sets of documents there are.
const IMPORTS: (usize, usize) = (10, 5);
/// Documents of a set.
pub(super) const SET: usize = 5;
/// Files of a skill beside its main one.
const FILES: usize = 4;

/// A change that a client was told to be done.
#[derive(Debug, Clone)]
pub(super) struct Acknowledged {
    /// As it is called in paths, e.g. `rules/text-3`.
    pub(super) document: String,
    /// What it left.
    pub(super) etag: Etag,
}

type Told = Arc<Mutex<Vec<Acknowledged>>>;

/// The clients at work.
pub(super) struct Load {
    clients: Vec<JoinHandle<()>>,
    told: Told,
}

impl Load {
    pub(super) fn begin(server: &Server, round: usize) -> Self {
        let told = Told::default();
        let mut clients = Vec::new();
        for number in 0..TEXTS.0 {
            let writer = Writer::new(server, &told, format!("round {round}, text of client {number}"));
            clients.push(beside(writer.put_texts(format!("rules/text-{}", number % TEXTS.1))));
        }
        for number in 0..SKILLS.0 {
            let writer = Writer::new(server, &told, format!("round {round}, skill of client {number}"));
            clients.push(beside(writer.put_skills(format!("skill-{}", number % SKILLS.1))));
        }
        for number in 0..IMPORTS.0 {
            let writer = Writer::new(server, &told, format!("round {round}, import of client {number}"));
            clients.push(beside(writer.import(number % IMPORTS.1)));
        }
        Self { clients, told }
    }

    pub(super) async fn first_acknowledged(&self) {
        eventually("a first change", async || (!self.told.lock().expect("a list").is_empty()).then_some(())).await;
    }

    /// What was acknowledged. The server is gone.
    pub(super) async fn end(self) -> Vec<Acknowledged> {
        for client in self.clients {
            client.await.expect("a client that ends");
        }
        std::mem::take(&mut *self.told.lock().expect("a list"))
    }
}

struct Writer {
    client: reqwest::Client,
    url: String,
    words: String,
    told: Told,
}

impl Writer {
    fn new(server: &Server, told: &Told, words: String) -> Self {
        Self { client: client(), url: server.url("/v1/config"), words, told: Arc::clone(told) }
    }

    async fn put_texts(self, document: String) {
        for number in 0.. {
            let text = format!("{}, number {number}\n", self.words);
            let request = self.client.put(format!("{}/{document}", self.url)).json(&json!({"content": text}));
            if !self.is_done(request).await {
                return;
            }
            self.tell(&document, Etag::of_bytes(text.as_bytes()));
        }
    }

    /// All files of a skill hold the same words, so that half of one is seen.
    async fn put_skills(self, name: String) {
        for number in 0.. {
            let words = format!("{}, number {number}\n", self.words);
            let main = format!("---\nname: {name}\ndescription: A skill of the soak test.\n---\n{words}");
            let mut files =
                BTreeMap::from([(SKILL_FILE.to_owned(), SkillFile { bytes: main.clone().into(), executable: false })]);
            let mut sent = Vec::new();
            for file in 0..FILES {
                let path = format!("folder-{}/file-{file}.txt", file % 2);
                sent.push(json!({"path": path, "content": words, "executable": file == 0}));
                files.insert(path, SkillFile { bytes: words.clone().into(), executable: file == 0 });
            }
            let document = format!("skills/{name}");
            let body = json!({"content": main, "files": sent});
            if !self.is_done(self.client.put(format!("{}/{document}", self.url)).json(&body)).await {
                return;
            }
            self.tell(&document, Content::Skill(Skill { files }).etag());
        }
    }

    /// All documents of a set hold the same words, so that half of one is seen.
    async fn import(self, set: usize) {
        for number in 0.. {
            let content = Content::Text(format!("{}, number {number}\n", self.words));
            let document = |place: usize| Document {
                id: DocumentId::new(Kind::Rule, Some(&format!("set-{set}/part-{place}"))).expect("a name"),
                content: content.clone(),
                etag: content.etag(),
                modified: Timestamp::UNIX_EPOCH,
                report: Report::default(),
            };
            let documents: Vec<_> = (0..SET).map(document).collect();
            let bytes = archive::write(Format::Tar, &Scope::User, &documents).expect("an archive");
            let request = self.client.post(format!("{}/import?mode=merge", self.url));
            if !self.is_done(request.header("content-type", "application/x-tar").body(bytes)).await {
                return;
            }
            for document in documents {
                self.tell(&document.id.to_string(), document.etag);
            }
        }
    }

    /// Whether the change was acknowledged; otherwise the server is gone.
    async fn is_done(&self, request: reqwest::RequestBuilder) -> bool {
        let Ok(response) = request.timeout(Duration::from_secs(30)).send().await else { return false };
        let status = response.status().as_u16();
        let body = response.text().await;
        assert!(matches!(status, 200 | 201), "{status}: {body:?}");
        true
    }

    fn tell(&self, document: &str, etag: Etag) {
        self.told.lock().expect("a list").push(Acknowledged { document: document.to_owned(), etag });
    }
}
