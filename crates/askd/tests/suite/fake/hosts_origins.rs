//! Under which names the server answers, and to which web pages: on every route, and before anybody looks at a key.

use std::net::SocketAddr;

use askd::api::scopes::ROUTES;
use askd::settings::Settings;
use askd::settings::network::{AllowedHost, Origin};

use crate::harness::{RawClient, TestServer, TestServerBuilder};

const KEY: &str = Settings::TEST_API_KEY;

/// Sends a request with these headers and nothing else; the whole answer.
async fn send(address: SocketAddr, line: &str, headers: &[String]) -> String {
    let mut client = RawClient::connect(address).await;
    let headers: String = headers.iter().flat_map(|header| [&**header, "\r\n"]).collect();
    client.send(&format!("{line}\r\n{headers}connection: close\r\n\r\n")).await;
    client.rest().await
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no answer: {answer:?}"))
}

fn keyed(headers: &[&str]) -> Vec<String> {
    let key = format!("x-api-key: {KEY}");
    headers.iter().map(|header| (*header).to_owned()).chain([key]).collect()
}

/// `GET /v1/runs` with the right key and these headers.
async fn with(server: &TestServer, headers: &[&str]) -> u16 {
    status(&send(server.address, "GET /v1/runs HTTP/1.1", &keyed(headers)).await)
}

/// All routes, with every method that they take and some that they do not.
fn every_route() -> impl Iterator<Item = (&'static str, &'static str)> {
    let open = ["/health", "/livez", "/readyz", "/startupz", "/", "/nothing", "/v1", "/v1/nothing"];
    let open = open.into_iter().flat_map(|path| [("GET", path), ("POST", path)]);
    let known = ROUTES.iter().flat_map(|(method, path, _)| [(*method, *path), ("HEAD", path), ("OPTIONS", path)]);
    open.chain(known)
}

/// A request that does nothing where it is not refused: it has no body.
fn line(method: &str, path: &str) -> String {
    let id = "run_00000000-0000-7000-8000-000000000000";
    let path = path.replace("{id}", id).replace("{kind}", "agents").replace("{name}", "x").replace("{*name}", "x");
    let path = path.replace("{server}", "x").replace("{*path}", "x").replace("{file}", "start.js");
    assert!(!path.contains('{'), "{path} has a place that this test cannot fill");
    format!("{method} {path} HTTP/1.1")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_refuses_a_host_that_is_not_the_servers_and_a_page_that_nobody_has_allowed() {
    let server = TestServerBuilder::fake().start().await;
    for (method, path) in every_route() {
        let line = line(method, path);
        let answer = async |headers: &[&str]| send(server.address, &line, &keyed(headers)).await;
        let own = status(&answer(&["host: localhost"]).await);
        assert!(!matches!(own, 421 | 403), "{line}: {own}");
        assert_eq!(status(&answer(&["host: evil.example"]).await), 421, "{line}");
        assert_eq!(status(&answer(&["host: localhost", "origin: https://evil.example"]).await), 403, "{line}");
        let upgrade = ["host: localhost", "origin: https://evil.example", "connection: upgrade", "upgrade: websocket"];
        let mut client = RawClient::connect(server.address).await;
        client.send(&format!("{line}\r\n{}\r\nx-api-key: {KEY}\r\n\r\n", upgrade.join("\r\n"))).await;
        assert!(client.until("\r\n\r\n").await.starts_with("HTTP/1.1 403"), "{line}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_has_its_own_name_lead_here_gets_nothing_even_with_the_key() {
    let server = TestServerBuilder::fake().start().await;
    let port = server.address.port();
    // What a browser sends for a page of http://evil.example, once that name leads to 127.0.0.1: for the browser, the page
    // asks its own server.
    let rebound = [format!("host: evil.example:{port}"), format!("origin: http://evil.example:{port}")];
    let rebound = [&rebound[0][..], &rebound[1], "sec-fetch-site: same-origin"];
    let answer = send(server.address, "GET /v1/runs HTTP/1.1", &keyed(&rebound)).await;
    assert_eq!(status(&answer), 421);
    assert!(answer.contains("ASKD_ALLOWED_HOSTS") && answer.contains("invalid_request_error"), "{answer}");
    // The same by the server's own name.
    let own = [format!("host: localhost:{port}"), format!("origin: http://localhost:{port}")];
    assert_eq!(with(&server, &[&own[0], &own[1]]).await, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_on_loopback_is_called_by_the_names_of_loopback() {
    let server = TestServerBuilder::fake().start().await;
    for (host, expected) in [
        ("localhost", 200),
        ("LocalHost:1", 200),
        ("localhost.", 200),
        ("127.0.0.1:3000", 200),
        ("[::1]:3000", 200),
        ("[0:0:0:0:0:0:0:1]", 200),
        ("127.0.0.2", 421),
        ("127.1", 421),
        ("localhost.evil.example", 421),
        ("[::2]", 421),
        ("0.0.0.0", 421),
        ("", 400),
        ("localhost:http", 400),
        ("user@localhost", 400),
        ("localhost, localhost", 400),
        ("local host", 400),
        ("::1", 400),
    ] {
        assert_eq!(with(&server, &[&format!("host: {host}")]).await, expected, "{host:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_names_one_host_once() {
    let server = TestServerBuilder::fake().start().await;
    assert_eq!(with(&server, &[]).await, 400, "none");
    assert_eq!(with(&server, &["host: localhost", "host: localhost"]).await, 400, "two");
    let get = async |line: &str, headers: &[&str]| status(&send(server.address, line, &keyed(headers)).await);
    // A whole URL in the first line counts more than the header, so the two must agree.
    assert_eq!(get("GET http://localhost/v1/runs HTTP/1.1", &["host: localhost"]).await, 200);
    assert_eq!(get("GET http://evil.example/v1/runs HTTP/1.1", &["host: localhost"]).await, 400);
    assert_eq!(get("GET http://localhost/v1/runs HTTP/1.1", &["host: evil.example"]).await, 400);
    assert_eq!(get("GET http://evil.example/v1/runs HTTP/1.1", &["host: evil.example"]).await, 421);
    // HTTP/1.0 knows no host. No browser speaks it.
    assert_eq!(get("GET /v1/runs HTTP/1.0", &[]).await, 200);
    assert_eq!(get("GET /v1/runs HTTP/1.0", &["host: evil.example"]).await, 421);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_this_machine_any_name_will_do_until_the_operator_says_which() {
    let beyond = |hosts: &[&str]| {
        let hosts: Vec<_> = hosts.iter().map(|host| AllowedHost::read(host).unwrap()).collect();
        TestServerBuilder::fake().set(move |settings| {
            settings.server.listen = "0.0.0.0:0".parse().unwrap();
            settings.network.allowed_hosts = hosts;
        })
    };
    let here = |server: &TestServer| SocketAddr::from(([127, 0, 0, 1], server.address.port()));
    for (hosts, host, expected) in [
        (&[][..], "whatever.example:1", 200),
        (&["askd.example.com", "10.0.0.5:3000"], "askd.example.com:8443", 200),
        (&["askd.example.com", "10.0.0.5:3000"], "10.0.0.5:3000", 200),
        (&["askd.example.com", "10.0.0.5:3000"], "10.0.0.5", 421),
        (&["askd.example.com", "10.0.0.5:3000"], "whatever.example", 421),
        (&["askd.example.com", "10.0.0.5:3000"], "localhost:3000", 200),
        (&["askd.example.com", "10.0.0.5:3000"], "0.0.0.0", 421),
    ] {
        let server = beyond(hosts).start().await;
        let answer = send(here(&server), "GET /v1/runs HTTP/1.1", &keyed(&[&format!("host: {host}")])).await;
        assert_eq!(status(&answer), expected, "{hosts:?} {host}");
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_needs_leave_unless_it_is_of_the_very_host_that_it_asks() {
    let listed = ["https://app.example.com", "http://localhost:5173"].map(|origin| Origin::read(origin).unwrap());
    let server =
        TestServerBuilder::fake().set(|settings| settings.network.allowed_origins = listed.into()).start().await;
    for (origin, expected) in [
        ("https://app.example.com", 200),
        ("https://app.example.com:443", 200),
        ("http://localhost:5173", 200),
        ("http://localhost:3000", 200),
        ("https://localhost:3000", 200),
        ("http://localhost:3001", 403),
        ("http://localhost", 403),
        ("http://127.0.0.1:3000", 403),
        ("http://app.example.com", 403),
        ("https://app.example.com.evil.example", 403),
        ("https://evil.example", 403),
        ("https://app.example.com https://evil.example", 403),
        ("null", 403),
        ("*", 403),
        ("", 403),
        ("file://", 403),
        ("chrome-extension://abcdefgh", 403),
    ] {
        let headers = ["host: localhost:3000".to_owned(), format!("origin: {origin}")];
        assert_eq!(with(&server, &[&headers[0], &headers[1]]).await, expected, "{origin:?}");
    }
    let two = ["host: localhost:3000", "origin: https://app.example.com", "origin: https://app.example.com"];
    assert_eq!(with(&server, &two).await, 403, "two headers");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_has_a_key_learns_which_methods_a_route_takes() {
    let server = TestServerBuilder::fake().start().await;
    for method in ["OPTIONS", "GET"] {
        for (headers, expected) in [
            (vec!["host: evil.example".to_owned()], 421),
            (vec!["host: localhost".to_owned(), "origin: null".to_owned()], 403),
            (vec!["host: localhost".to_owned()], 401),
            (keyed(&["host: evil.example"]), 421),
            (keyed(&["host: localhost", "origin: null"]), 403),
            (keyed(&["host: localhost"]), 405),
        ] {
            let answer = send(server.address, &format!("{method} /v1/runs/x/cancel HTTP/1.1"), &headers).await;
            assert_eq!(status(&answer), expected, "{method} {headers:?}");
            let is_told = answer.to_ascii_lowercase().contains("\r\nallow: post");
            assert_eq!(is_told, expected == 405, "{method} {headers:?}: {answer}");
            assert!(is_told || !answer.to_ascii_lowercase().contains("\r\nallow:"), "{answer}");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn host_and_origin_are_looked_at_before_the_key() {
    let server = TestServerBuilder::fake().start().await;
    for (header, expected) in
        [("host: evil.example", 421), ("host: localhost\r\norigin: null", 403), ("host: localhost", 401)]
    {
        for key in ["", "x-api-key: wrong\r\n"] {
            let headers = [format!("{key}{header}")];
            assert_eq!(status(&send(server.address, "GET /v1/runs HTTP/1.1", &headers).await), expected, "{header}");
        }
    }
    let legacy = send(server.address, "POST /ask HTTP/1.1", &keyed(&["host: localhost", "origin: null"])).await;
    assert!(legacy.contains("FORBIDDEN") && legacy.contains("ASKD_ALLOWED_ORIGINS"), "{legacy}");
    let v1 = send(server.address, "GET /v1/runs HTTP/1.1", &keyed(&["host: localhost", "origin: null"])).await;
    assert!(v1.contains("permission_error") && v1.contains(r#""param":"origin""#), "{v1}");
    server.stop().await;
}
