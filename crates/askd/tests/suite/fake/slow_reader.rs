//! A slow reader costs its own connection and nothing else.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Folders, Program, RawClient, TestServerBuilder, eventually, living_pids};

fn streamed(prompt: &str) -> Value {
    json!({"prompt": prompt, "stream": true})
}

/// How far the scripted CLI has come, by the bytes it has written (`wchar`).
fn written(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("wchar: "));
    line.and_then(|count| count.parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_does_not_hold_its_run_up_and_costs_little_memory() {
    let folders = Folders::new();
    let program = Program::start(&folders, &[("ASKD_RING_BYTES", "1MiB"), ("ASKD_WRITE_TIMEOUT", "60s")]);
    let address = program.address().await;
    let mut client = RawClient::connect(address).await;
    let before = program.resident();
    client.ask(&streamed("!spawn plain\n!flood 300m")).await;
    client.until("\"type\":\"assistant\"").await;
    // The scripted CLI is the parent of the shell that it has spawned.
    let shell = living_pids(&folders.workspace())[0];
    let stat = std::fs::read_to_string(format!("/proc/{shell}/stat")).unwrap();
    let cli: u32 = stat.rsplit(") ").next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    // Far more than sockets and memory may hold of what nobody reads: it is in the store.
    eventually("a CLI that goes on", || (written(cli) > 96 << 20).then_some(())).await;
    let growth = program.resident().saturating_sub(before);
    assert!(growth < 48 << 20, "{growth} bytes for one reader that reads nothing");
    // A neighbour is served meanwhile.
    let url = format!("http://{address}/ask");
    let ask = reqwest::Client::new().post(url).header("x-api-key", askd::settings::Settings::TEST_API_KEY);
    let answer: Value = ask.json(&json!({"prompt": "hello"})).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["result"], "echo: hello");
    drop(client);
    eventually("the end of the tree", || living_pids(&folders.workspace()).is_empty().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_for_too_long_is_dropped_with_its_run() {
    let builder = TestServerBuilder::fake().set(|settings| {
        settings.server.write_timeout = Duration::from_millis(300);
        settings.output.ring_bytes = 1 << 20;
    });
    let server = builder.start().await;
    let mut client = RawClient::connect(server.address).await;
    client.ask(&streamed("!spawn setsid\n!flood 300m")).await;
    server.reached("pids").await;
    server.at_rest().await;
    assert_eq!(living_pids(&server.folders.workspace()), [0; 0]);
    assert!(!client.rest().await.contains("event: done"), "the stream was cut off, and does not look complete");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_run_is_no_slow_reader() {
    let builder = TestServerBuilder::fake().set(|settings| settings.server.write_timeout = Duration::from_millis(100));
    let server = builder.start().await;
    let blocks = server.stream(json!({"prompt": "!sleep 500\n!result late"})).await.rest().await;
    assert_eq!(blocks.last().unwrap().json(), json!({"code": 0}));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_but_steady_reader_gets_everything_in_order() {
    let builder = TestServerBuilder::fake().set(|settings| {
        settings.server.write_timeout = Duration::from_mins(1);
        settings.deadlines.idle = Duration::from_secs(4);
        settings.output.ring_bytes = 1 << 20;
    });
    let server = builder.start().await;
    let mut client = RawClient::connect(server.address).await;
    client.ask(&streamed("!flood 12m")).await;
    let mut all = client.until("\"type\":\"assistant\"").await;
    // Longer than the CLI may be silent: a CLI that is not let speak is not silent.
    tokio::time::sleep(Duration::from_millis(4500)).await;
    while !all.ends_with("\r\n0\r\n\r\n") {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let bytes = client.read(32 * 1024).await;
        assert!(!bytes.is_empty(), "the stream was cut off");
        all.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    let mut expected = 0;
    for start in all.match_indices("\"text\":\"").map(|(at, found)| at + found.len()) {
        // A chunk's boundary may lie inside a number; such a line is checked by its neighbours.
        if let Ok(number) = all[start..start + 8].parse::<u32>() {
            assert!(number == expected || number == expected + 1, "{number} after {expected}");
            expected = number;
        }
    }
    assert_eq!(expected, (12 << 20) / 1025 - 1);
    assert!(all.contains("event: done\ndata: {\"code\":0}"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_one_piece_does_not_keep_what_it_does_not_need() {
    let folders = Folders::new();
    let program = Program::start(&folders, &[]);
    let address = program.address().await;
    let mut client = RawClient::connect(address).await;
    let before = program.resident();
    client.ask(&json!({"prompt": "!flood 200m\n!result fine"})).await;
    assert!(client.until("\"result\":").await.starts_with("HTTP/1.1 200"));
    let growth = program.resident().saturating_sub(before);
    assert!(growth < 48 << 20, "{growth} bytes after an answer to a run of 200 MiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_answer_is_not_copied_again_and_again() {
    const LENGTH: u64 = 48 << 20;
    // What it costs until it is an event is the same; an error's body is one copy more.
    let (fine, unfit) = (json!({"prompt": "!long 48m"}), json!({"prompt": "!long 48m", "jsonSchema": {}}));
    for (body, status, most) in [(fine, 200, 4), (unfit, 500, 5)] {
        let folders = Folders::new();
        let program = Program::start(&folders, &[("ASKD_SCHEMA_REPAIRS", "0")]);
        let mut client = RawClient::connect(program.address().await).await;
        let before = program.most_resident();
        client.ask(&body).await;
        let head = client.until("\"result\":").await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{}", &head[..100]);
        let growth = program.most_resident() - before;
        assert!(growth < most * LENGTH, "{growth} bytes for an answer of {LENGTH}");
    }
}
