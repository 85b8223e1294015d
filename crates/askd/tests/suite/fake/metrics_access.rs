//! Who may read metrics, and in which form.

use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Stdio};

use reqwest::Method;
use serde_json::json;

use crate::harness::{RawClient, Scraped, TestServer, TestServerBuilder, python};

/// Reads a text with the parsers of the Python client library and prints how many samples each family has.
const READER: &str = r#"
import sys
from prometheus_client.parser import text_string_to_metric_families as classic
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
read = {"classic": classic, "openmetrics": openmetrics}[sys.argv[1]]
for family in read(sys.stdin.read()):
    for sample in family.samples:
        print(family.type, sample.name, len(sample.labels))
"#;

async fn text(server: &TestServer, accept: &str) -> (String, String) {
    let response = server.getting("/metrics").header("accept", accept).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    (content_type, response.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "the reader is outside of the server")]
async fn a_parser_of_another_project_accepts_both_forms() {
    let Some(python) = python("a_parser_of_another_project_accepts_both_forms") else { return };
    let server = TestServerBuilder::fake().start().await;
    let usage =
        json!({"result": "ok", "model_usage_since_last_result": {"a b\"c": {"inputTokens": 3, "costUSD": 0.25}}});
    server.run(json!({"prompt": format!("!result {usage}")})).await;
    server.ask(json!({"prompt": "!exit 1"})).await;
    for (accept, name, media_type) in [
        ("text/plain", "classic", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text", "openmetrics", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
    ] {
        let (content_type, told) = text(&server, accept).await;
        assert_eq!(content_type, media_type);
        let reader =
            Command::new(&python).args(["-c", READER, name]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut reader = reader.unwrap();
        std::io::Write::write_all(&mut reader.stdin.take().unwrap(), told.as_bytes()).unwrap();
        let read = reader.wait_with_output().unwrap();
        assert!(read.status.success(), "{name}: the parser refuses it:\n{told}");
        let read = String::from_utf8(read.stdout).unwrap();
        let samples = Scraped::of(told).samples.len();
        assert_eq!(read.lines().count(), samples, "{name}: the parser reads all of it");
        for line in
            ["counter askd_cost_usd_total 2", "gauge askd_runs_limit 0", "histogram askd_queue_wait_seconds_bucket 1"]
        {
            assert!(read.lines().any(|it| it == line), "{name}: {line}\n{read}");
        }
        assert!(!read.contains("unknown") && !read.contains("untyped"), "{name}: every sample is declared\n{read}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_need_a_key_with_their_scope() {
    let server = TestServerBuilder::fake().start().await;
    let reader = server.holder(&json!({"name": "prometheus", "scopes": ["metrics:read"]})).await;
    let user = server.user(json!({})).await;
    assert_eq!(server.client.get(server.url("/metrics")).send().await.unwrap().status(), 401);
    assert_eq!(user.get("/metrics").await.status, 403);
    let told = reader.sending(Method::GET, "/metrics").send().await.unwrap();
    assert_eq!(told.status(), 200);
    let bearer = server.client.get(server.url("/metrics")).bearer_auth(&reader.token).send().await.unwrap();
    assert_eq!(bearer.status(), 200);
    assert_eq!(bearer.headers()["cache-control"], "no-store");
    assert_eq!(reader.get("/v1/runs").await.status, 403, "and for nothing else");
    assert_eq!(reader.sending(Method::HEAD, "/metrics").send().await.unwrap().status(), 200);
    assert_eq!(reader.sending(Method::POST, "/metrics").send().await.unwrap().status(), 405);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_its_own_tells_metrics_and_health_without_a_key_and_nothing_else() {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let builder = TestServerBuilder::fake().set(|settings| settings.metrics.listen = Some((loopback, 0).into()));
    let server = builder.start().await;
    let address = server.monitoring.unwrap();
    assert_ne!(address, server.address);
    let get = async |path: &str| server.client.get(format!("http://{address}{path}")).send().await.unwrap();
    for path in ["/metrics", "/livez", "/readyz?verbose", "/startupz"] {
        assert_eq!(get(path).await.status(), 200, "{path}");
    }
    assert!(get("/metrics").await.text().await.unwrap().contains("askd_build_info{"));
    for path in ["/", "/health", "/ask", "/v1/runs", "/v1/keys", "/config/agents"] {
        assert_eq!(get(path).await.status(), 404, "{path}");
    }
    let with_key = server.client.get(format!("http://{address}/v1/runs"));
    let with_key = with_key.header("x-api-key", askd::settings::Settings::TEST_API_KEY).send().await.unwrap();
    assert_eq!(with_key.status(), 404, "a key opens nothing there");
    let mut rebound = RawClient::connect(address).await;
    rebound.send("GET /metrics HTTP/1.1\r\nhost: evil.example.com\r\n\r\n").await;
    assert!(rebound.until("\r\n\r\n").await.starts_with("HTTP/1.1 421"), "a web page that has its name lead here");
    drop(rebound);
    assert_eq!(
        server.client.get(server.url("/metrics")).send().await.unwrap().status(),
        401,
        "the key stays elsewhere"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_keeps_the_server_from_starting_and_names_the_setting() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let builder = TestServerBuilder::fake().set(|settings| settings.metrics.listen = Some(address));
    let Err((error, folders)) = builder.try_start().await else { panic!("it starts") };
    assert!(error.to_string().contains("ASKD_METRICS_LISTEN"), "{error}");
    drop(folders);
}
