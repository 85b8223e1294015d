//! Many writers, and a person with an editor: no update is lost, and what the person did is kept.

use std::fs;

use askd::settings::Settings;
use serde_json::{Value, json};

use crate::harness::{Answer, TestServer, TestServerBuilder, beside};

const WRITERS: u64 = 50;
/// What each of them adds.
const EACH: u64 = 2;

/// A client of its own.
struct Writer {
    client: reqwest::Client,
    url: String,
}

impl Writer {
    fn of(server: &TestServer, document: &str) -> Self {
        Self { client: reqwest::Client::new(), url: server.url(&format!("/v1/config/{document}")) }
    }

    async fn get(&self) -> Answer {
        let request = self.client.get(&self.url).header("x-api-key", Settings::TEST_API_KEY);
        Answer::by(request).await
    }

    async fn put(&self, content: &str, if_match: Option<&str>) -> Answer {
        let request = self.client.put(&self.url).header("x-api-key", Settings::TEST_API_KEY);
        let request = request.json(&json!({"content": content}));
        let request = if let Some(tag) = if_match { request.header("if-match", tag) } else { request };
        Answer::by(request).await
    }

    /// Adds one, however often somebody else is faster.
    async fn count_up(&self) -> u64 {
        let mut refused = 0;
        loop {
            let there = self.get().await;
            let number: u64 = there.body["content"].as_str().unwrap().trim().parse().unwrap();
            let answer = self.put(&format!("{}\n", number + 1), there.header("etag")).await;
            match answer.status {
                200 => return refused,
                412 => refused += 1,
                _ => panic!("{answer:?}"),
            }
        }
    }
}

/// What every change of a document left, the newest first.
async fn history(server: &TestServer, name: &str) -> Vec<(String, Option<String>)> {
    let (mut told, mut page) = (Vec::new(), String::new());
    loop {
        let answer = server.get(&format!("/v1/config/history?kind=rules&name={name}&limit=200{page}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        for change in answer.body["data"].as_array().unwrap() {
            assert_ne!(change["state"], "pending", "{change}");
            if change["state"] == "done" {
                let id = change["id"].as_str().unwrap();
                let one = server.get(&format!("/v1/config/history/{id}")).await.body;
                let content = one["content"].as_str().map(str::to_owned);
                told.push((change["action"].as_str().unwrap().to_owned(), content));
            }
        }
        match answer.body["next_page"].as_str() {
            Some(next) => page = format!("&page={next}"),
            None => return told,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_writers_with_if_match_lose_no_update() {
    let server = TestServerBuilder::fake().start().await;
    let first = Writer::of(&server, "rules/counter");
    assert_eq!(first.put("0\n", None).await.status, 201);
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let writer = Writer::of(&server, "rules/counter");
            beside(async move {
                for _ in 0..EACH {
                    writer.count_up().await;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(first.get().await.body["content"], json!(format!("{}\n", WRITERS * EACH)));
    let file = server.folders.config().join("rules/counter.md");
    assert_eq!(fs::read_to_string(file).unwrap(), format!("{}\n", WRITERS * EACH));
    let numbers: Vec<u64> = history(&server, "counter")
        .await
        .into_iter()
        .map(|(_, content)| content.unwrap().trim().parse().unwrap())
        .collect();
    assert_eq!(numbers, (0..=WRITERS * EACH).rev().collect::<Vec<_>>(), "each once, in order");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_person_saves_in_between_is_kept() {
    const SAVES: u64 = 20;
    let server = TestServerBuilder::fake().file("config/rules/notes.md", "the operator's\n").start().await;
    assert_eq!(Writer::of(&server, "rules/notes").put("the first\n", None).await.status, 200);
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let client = Writer::of(&server, "rules/notes");
            beside(async move {
                for number in 0..10 {
                    let answer = client.put(&format!("writer {writer}, number {number}\n"), None).await;
                    assert_eq!(answer.status, 200, "{answer:?}");
                }
            })
        })
        .collect();
    // As editors do: written beside it, then renamed over it.
    let (file, beside_it) = (server.folders.config().join("rules/notes.md"), server.folders.config().join("notes.swp"));
    for number in 0..SAVES {
        fs::write(&beside_it, format!("by hand {number}\n")).unwrap();
        fs::rename(&beside_it, &file).unwrap();
        // A change over HTTP comes after it, and must not swallow it.
        let answer = Writer::of(&server, "rules/notes").put(&format!("after {number}\n"), None).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let told = history(&server, "notes").await;
    let count = |begins: &str| {
        let found = told.iter().filter(|(_, content)| content.as_ref().is_some_and(|text| text.starts_with(begins)));
        found.count() as u64
    };
    assert_eq!((count("by hand "), count("after "), count("writer ")), (SAVES, SAVES, 80));
    assert_eq!(told.last().unwrap(), &("outside".to_owned(), Some("the operator's\n".to_owned())));
    let newest = told[0].1.clone().unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), newest);
    server.stop().await;
}

#[tokio::test]
async fn two_clients_cannot_both_create_a_document() {
    let server = TestServerBuilder::fake().start().await;
    let put = async |text: &str| {
        let request = server.client.put(server.url("/v1/config/rules/new")).header("x-api-key", Settings::TEST_API_KEY);
        let request = request.header("if-none-match", "*").json(&json!({"content": text}));
        Answer::by(request).await
    };
    let (one, other) = tokio::join!(put("one\n"), put("other\n"));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 412]);
    let there: Value = server.get("/v1/config/rules/new").await.body;
    assert_eq!(there["content"], if one.status == 201 { "one\n" } else { "other\n" });
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_writers_of_different_parts_of_one_document_do_not_disturb_each_other() {
    let server = TestServerBuilder::fake().start().await;
    let skill = Writer::of(&server, "skills/pdf");
    assert_eq!(skill.put("---\nname: pdf\ndescription: Reads PDF files.\n---\nRead.\n", None).await.status, 201);
    let writers: Vec<_> = (0..WRITERS)
        .map(|number| {
            let entry = Writer::of(&server, &format!("mcp-servers/s{number}"));
            let file = Writer::of(&server, &format!("skills/pdf/files/{number}.txt"));
            beside(async move {
                let put = |writer: &Writer| {
                    writer
                        .client
                        .put(&writer.url)
                        .header("x-api-key", Settings::TEST_API_KEY)
                        .header("if-none-match", "*")
                };
                let entry = put(&entry).json(&json!({"content": {"command": "c"}})).send().await.unwrap();
                let file = put(&file).body(number.to_string()).send().await.unwrap();
                assert_eq!((entry.status().as_u16(), file.status().as_u16()), (201, 201));
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let servers = server.get("/v1/config/mcp-servers").await.body;
    let servers: Value = serde_json::from_str(servers["content"].as_str().unwrap()).unwrap();
    assert_eq!(servers["mcpServers"].as_object().unwrap().len() as u64, WRITERS);
    let files = server.get("/v1/config/skills/pdf").await.body;
    assert_eq!(files["files"].as_array().unwrap().len() as u64, WRITERS + 1);
}
