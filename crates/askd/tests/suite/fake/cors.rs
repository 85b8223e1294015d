//! Web pages of allowed origins, as a browser lets them work.

use askd::settings::network::Origin;
use askd::settings::otlp::Collector;
use reqwest::header::HeaderMap;
use reqwest::{Method, Response};
use serde_json::json;

use crate::harness::{TestServer, TestServerBuilder};

const APP: &str = "https://app.example.com";

/// What every page may read, what is for the browser, and what is about the connection.
const NOTHING_TO_SAY: [&str; 17] = [
    "cache-control",
    "content-length",
    "content-type",
    "date",
    "connection",
    "transfer-encoding",
    "vary",
    "x-accel-buffering",
    "x-content-type-options",
    "x-frame-options",
    "content-security-policy",
    "referrer-policy",
    "cross-origin-resource-policy",
    "cross-origin-opener-policy",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "strict-transport-security",
];

async fn server() -> TestServer {
    let listed = vec![Origin::read(APP).unwrap()];
    TestServerBuilder::fake().set(|settings| settings.network.allowed_origins = listed).start().await
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

/// What a browser asks before the request of a page.
async fn preflight(server: &TestServer, path: &str, origin: &str) -> Response {
    let request = server.client.request(Method::OPTIONS, server.url(path)).header("origin", origin);
    let request = request.header("access-control-request-method", "POST");
    request.header("access-control-request-headers", "content-type,x-api-key").send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_may_ask_without_a_key_what_an_allowed_page_may_send() {
    let server = server().await;
    // It says nothing of which routes there are.
    for path in ["/ask", "/v1/runs", "/v1/config/agents/x", "/health", "/nothing"] {
        let answer = preflight(&server, path, APP).await;
        assert_eq!(answer.status(), 204, "{path}");
        let headers = answer.headers();
        assert_eq!(text(headers, "access-control-allow-origin"), Some(APP));
        assert_eq!(text(headers, "vary"), Some("origin"));
        assert_eq!(text(headers, "access-control-allow-methods"), Some("GET, HEAD, POST, PUT, PATCH, DELETE"));
        assert_eq!(text(headers, "access-control-max-age"), Some("7200"));
        assert_eq!(text(headers, "access-control-allow-credentials"), None);
        let allowed = text(headers, "access-control-allow-headers").unwrap();
        let keys = ["x-api-key", "authorization", "x-request-id", "x-askd-on-disconnect", "idempotency-key"];
        let more = ["content-type", "last-event-id", "accept", "prefer", "if-match", "if-none-match"];
        for header in keys.into_iter().chain(more) {
            assert!(allowed.split(", ").any(|allowed| allowed == header), "{header}");
        }
    }
    let strange = preflight(&server, "/ask", "https://evil.example").await;
    assert_eq!((strange.status().as_u16(), text(strange.headers(), "access-control-allow-origin")), (403, None));
    // Without the browser's question it is a request like any other.
    let options =
        server.client.request(Method::OPTIONS, server.url("/ask")).header("origin", APP).send().await.unwrap();
    assert_eq!(options.status(), 401);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allowed_page_reads_answers_and_errors_alike_and_another_neither() {
    let server = server().await;
    let ask = server.request(&json!({"prompt": "hello"}));
    let without_key = server.client.get(server.url("/v1/runs"));
    let wrong = server.posting("/v1/runs").body("{}");
    for (request, status) in [(ask, 200), (without_key, 401), (wrong, 415)] {
        let other = request.try_clone().unwrap().header("origin", "https://evil.example").send().await.unwrap();
        assert_eq!((other.status().as_u16(), text(other.headers(), "access-control-allow-origin")), (403, None));
        let answer = request.header("origin", APP).send().await.unwrap();
        assert_eq!(answer.status(), status);
        assert_eq!(text(answer.headers(), "access-control-allow-origin"), Some(APP), "{status}");
        assert_eq!(text(answer.headers(), "vary"), Some("origin"));
    }
    // Also what is not for a page says that it would differ.
    let plain = server.get("/v1/runs").await;
    assert_eq!((plain.header("vary"), plain.header("access-control-allow-origin")), (Some("origin"), None));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allowed_page_may_read_every_header_that_says_something() {
    let server = TestServerBuilder::fake()
        .set(|settings| {
            settings.network.allowed_origins = vec![Origin::read(APP).unwrap()];
            settings.network.rates.ask = std::num::NonZeroU32::new(60);
            settings.network.rates.runs = std::num::NonZeroU32::new(60);
            settings.network.rates.config = std::num::NonZeroU32::new(1);
            // A collector that is not there: there are traces all the same.
            settings.traces.collector = Collector::read("http://127.0.0.1:1").ok();
        })
        .file("config/agents/a.md", "---\nname: a\ndescription: a\n---\nA.\n")
        .start()
        .await;
    let run = json!({"prompt": "hello"});
    for request in [
        server.request(&run),
        server.request(&run).header("idempotency-key", "a"),
        server.request(&run).header("idempotency-key", "a"),
        server.posting("/v1/runs?wait=30").json(&run),
        server.posting("/v1/runs").header("prefer", "wait=30").json(&run),
        server.getting("/v1/config/agents/a"),
        server.getting("/v1/config/export"),
        server.getting("/v1/isolation"),
        server.client.delete(server.url("/v1/runs")).header("x-api-key", askd::settings::Settings::TEST_API_KEY),
    ] {
        let answer = request.header("origin", APP).send().await.unwrap();
        let exposed: Vec<_> = text(answer.headers(), "access-control-expose-headers").unwrap().split(", ").collect();
        for name in answer.headers().keys() {
            let known = exposed.contains(&name.as_str()) || NOTHING_TO_SAY.contains(&name.as_str());
            assert!(known, "{} of {}: a page cannot read it", name, answer.url());
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allowed_page_may_read_every_header_that_the_openapi_file_names() {
    let server = server().await;
    let answer = server.getting("/v1/info").header("origin", APP).send().await.unwrap();
    let exposed: Vec<_> = text(answer.headers(), "access-control-expose-headers").unwrap().split(", ").collect();
    let document = askd::api::openapi::document();
    let named = document["components"]["headers"].as_object().unwrap();
    assert!(named.contains_key("traceresponse"));
    let hidden: Vec<_> = named.keys().filter(|name| !exposed.contains(&name.as_str())).collect();
    assert_eq!(hidden, [""; 0]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_list_no_answer_speaks_of_pages() {
    let server = TestServerBuilder::fake().start().await;
    let answer = server.get("/v1/runs").await;
    assert_eq!((answer.header("vary"), answer.header("access-control-allow-origin")), (None, None));
    assert_eq!(preflight(&server, "/ask", APP).await.status(), 403);
    server.stop().await;
}
