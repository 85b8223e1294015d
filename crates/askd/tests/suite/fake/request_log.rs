//! The lines of the log that are an interface: docs/request-log.md names their fields.

use std::collections::BTreeSet;

use askd::settings::Settings;
use serde_json::Value;

use crate::harness::{Folders, Program, eventually};

/// What every line has.
const ALWAYS: [&str; 4] = ["timestamp", "level", "message", "target"];

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// The fields that the page gives for a line, by its table.
fn documented(line: &str) -> BTreeSet<String> {
    let page = include_str!("../../../../../docs/request-log.md");
    let section = page.split(&format!("\n## `{line}`")).nth(1).unwrap_or_else(|| panic!("no section for `{line}`"));
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|row| Some(row.strip_prefix("| `")?.split_once('`')?.0.to_owned()));
    rows.chain(ALWAYS.map(str::to_owned)).collect()
}

fn entries(log: &str, message: &str) -> Vec<serde_json::Map<String, Value>> {
    let all = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    all.filter(|entry| entry["message"] == message).filter_map(|entry| entry.as_object().cloned()).collect()
}

async fn find(
    program: &Program,
    message: &str,
    fits: impl Fn(&serde_json::Map<String, Value>) -> bool,
) -> serde_json::Map<String, Value> {
    eventually(&format!("a line `{message}`"), || {
        entries(&program.log(), message).into_iter().find(|entry| fits(entry))
    })
    .await
}

fn names(entry: &serde_json::Map<String, Value>) -> BTreeSet<String> {
    entry.keys().cloned().collect()
}

fn parent() -> String {
    format!("00-{TRACE}-b7ad6b7169203331-01")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_has_the_fields_that_the_page_names_and_no_other() {
    let folders = Folders::new();
    // A collector that is not there: there are traces all the same.
    let program = Program::start(&folders, &[("ASKD_OTLP_ENDPOINT", "http://127.0.0.1:1")]);
    let url = format!("http://{}", program.address().await);
    let client = reqwest::Client::new();
    let ask = client.post(format!("{url}/ask")).header("x-api-key", Settings::TEST_API_KEY);
    let ask = ask.header("x-request-id", "asked").json(&serde_json::json!({"prompt": "hello"}));
    assert_eq!(ask.send().await.unwrap().status(), 200);

    let request = find(&program, "request", |entry| entry["request_id"] == "asked").await;
    assert_eq!(names(&request), documented("request"));
    assert_eq!((&request["key"], &request["address"]), (&"admin".into(), &"127.0.0.1".into()));
    assert_eq!(
        (&request["method"], &request["route"], &request["status"]),
        (&"POST".into(), &"/ask".into(), &200.into())
    );
    let submitted = find(&program, "run submitted", |entry| entry["request_id"] == "asked").await;
    assert_eq!(names(&submitted), documented("run submitted"));
    // Of these some are there only when there is something to say.
    let ended = find(&program, "run ended", |entry| entry["run"] == submitted["run"]).await;
    let unknown: Vec<_> = names(&ended).difference(&documented("run ended")).cloned().collect();
    assert_eq!(unknown, [""; 0]);
    assert!(request["trace_id"] == submitted["trace_id"] && ended["span_id"] == submitted["span_id"]);

    // No collector gets the spans of these.
    for (path, key) in [("/v1/runs", "a-wrong-key"), ("/livez", Settings::TEST_API_KEY)] {
        let request = client.get(format!("{url}{path}")).header("x-api-key", key).header("x-request-id", path);
        request.header("traceparent", parent()).send().await.unwrap();
        let line = find(&program, "request", |entry| entry["request_id"] == path).await;
        assert_eq!((line.get("trace_id"), line.get("span_id")), (None, None), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_outside_of_any_trace_says_nothing_of_one() {
    let folders = Folders::new();
    let program = Program::start(&folders, &[]);
    let url = format!("http://{}/v1/info", program.address().await);
    for (id, parent) in [("without", None), ("with", Some(parent()))] {
        let mut request = reqwest::Client::new().get(&url).header("x-request-id", id);
        request = request.header("x-api-key", Settings::TEST_API_KEY);
        if let Some(parent) = &parent {
            request = request.header("traceparent", parent);
        }
        request.send().await.unwrap();
        let line = find(&program, "request", |entry| entry["request_id"] == id).await;
        assert_eq!(line.get("trace_id"), parent.map(|_| TRACE.into()).as_ref());
        assert_eq!(line.get("span_id"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_logged_with_the_key_that_was_right_and_with_nothing_that_it_said() {
    let folders = Folders::new();
    let program = Program::start(&folders, &[("ASKD_LOG", "debug")]);
    let url = format!("http://{}", program.address().await);
    let client = reqwest::Client::new();
    let get = async |path: &str, key: &str, id: &str| {
        let request = client.get(format!("{url}{path}")).header("x-api-key", key).header("x-request-id", id);
        let status = request.header("cookie", "secret-cookie").send().await.unwrap().status().as_u16();
        let line = find(&program, "request", |entry| entry["request_id"] == id).await;
        assert_eq!(line["status"], status);
        (status, line["route"].as_str().unwrap().to_owned(), line["key"].as_str().unwrap().to_owned())
    };
    let shown = |status: u16, route: &str, key: &str| (status, route.to_owned(), key.to_owned());
    let run = "/v1/runs/{id}";
    let events = "/v1/runs/{id}/events";
    let right = Settings::TEST_API_KEY;
    assert_eq!(get("/v1/runs/secret-path", "a-wrong-secret", "1").await, shown(401, run, "-"));
    assert_eq!(get("/v1/runs/secret-path", right, "2").await, shown(404, run, "admin"));
    assert_eq!(get("/v1/runs/secret-path?q=secret-query", right, "3").await, shown(400, run, "admin"));
    assert_eq!(get("/v1/runs/secret-path/events?token=secret-token", "", "4").await, shown(401, events, "-"));
    assert_eq!(get("/health?secret-query", right, "5").await, shown(200, "/health", "-"));
    assert_eq!(get("/secret-path", right, "6").await, shown(404, "-", "admin"));
    let log = program.log();
    for secret in
        ["a-wrong-secret", Settings::TEST_API_KEY, "secret-token", "secret-query", "secret-cookie", "secret-path"]
    {
        assert!(!log.contains(secret), "{secret} is in the log: {log}");
    }
}
