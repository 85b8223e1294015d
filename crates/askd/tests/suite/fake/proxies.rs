//! Where a request comes from, when proxies stand in between. What shows it is the request log.

use serde_json::Value;

use crate::harness::{Folders, Program, RawClient, eventually};

/// Sends `GET /health` with these headers; the address that the log gives for it.
async fn logged(program: &Program, headers: &[&str]) -> String {
    let lines = || {
        let log = program.log();
        let entries = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        entries.filter(|entry| entry["message"] == "request").collect::<Vec<_>>()
    };
    let before = lines().len();
    let mut client = RawClient::connect(program.address().await).await;
    let headers: String = headers.iter().flat_map(|header| [&**header, "\r\n"]).collect();
    client.send(&format!("GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n")).await;
    assert!(client.rest().await.starts_with("HTTP/1.1 200"));
    eventually("the line of the request", || Some(lines().get(before)?["address"].as_str()?.to_owned())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_trusted_proxies_a_client_is_who_it_connects_as() {
    let folders = Folders::new();
    let program = Program::start(&folders, &[]);
    for headers in
        [&[][..], &["x-forwarded-for: 203.0.113.7"], &["forwarded: for=203.0.113.7"], &["x-real-ip: 203.0.113.7"]]
    {
        assert_eq!(logged(&program, headers).await, "127.0.0.1", "{headers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_says_for_whom_it_asks_and_nobody_else_does() {
    let folders = Folders::new();
    let program = Program::start(&folders, &[("ASKD_TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8")]);
    for (headers, address) in [
        (&["x-forwarded-for: 203.0.113.7"][..], "203.0.113.7"),
        (&["x-forwarded-for: 1.1.1.1, 203.0.113.7"], "203.0.113.7"),
        (&["x-forwarded-for: 1.1.1.1", "x-forwarded-for: 203.0.113.7, 10.1.2.3"], "203.0.113.7"),
        (&["x-forwarded-for: [2001:db8::7]:4711"], "2001:db8::7"),
        (&["x-forwarded-for: 203.0.113.7, nonsense"], "127.0.0.1"),
        (&["forwarded: for=203.0.113.7"], "127.0.0.1"),
        (&[], "127.0.0.1"),
    ] {
        assert_eq!(logged(&program, headers).await, address, "{headers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_chooses_the_header_that_the_proxies_write() {
    let folders = Folders::new();
    let variables = [("ASKD_TRUSTED_PROXIES", "127.0.0.0/8"), ("ASKD_FORWARDED_HEADER", "forwarded")];
    let program = Program::start(&folders, &variables);
    for (headers, address) in [
        (&["forwarded: for=\"[2001:db8::7]:4711\";proto=https"][..], "2001:db8::7"),
        (&["x-forwarded-for: 1.1.1.1", "forwarded: for=1.1.1.1, for=203.0.113.7"], "203.0.113.7"),
        (&["x-forwarded-for: 1.1.1.1"], "127.0.0.1"),
        (&["forwarded: for=_hidden"], "127.0.0.1"),
    ] {
        assert_eq!(logged(&program, headers).await, address, "{headers:?}");
    }
}
