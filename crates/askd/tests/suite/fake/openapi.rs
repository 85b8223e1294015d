//! `/openapi.json` and `/docs`: what they say, who sees them, and that nothing comes from elsewhere.

use std::collections::BTreeSet;

use askd::settings::Settings;
use askd::settings::choices::Docs;
use serde_json::{Value, json};

use crate::harness::{Answer, TestServer, TestServerBuilder};

/// The documentation's own routes.
const ROUTES: [&str; 5] = ["/openapi.json", "/docs", "/docs/", "/docs/start.js", "/docs/swagger-ui.css"];

async fn status(server: &TestServer, path: &str, key: bool) -> u16 {
    let mut request = server.client.get(server.url(path));
    if key {
        request = request.header("x-api-key", Settings::TEST_API_KEY);
    }
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn the_file_is_that_of_this_version_and_is_sent_once() {
    let server = TestServerBuilder::fake().start().await;
    let answer = server.get("/openapi.json").await;
    assert_eq!(answer.body, askd::api::openapi::document());
    assert_eq!(answer.body["info"]["version"], env!("CARGO_PKG_VERSION"));
    let tag = answer.header("etag").unwrap().to_owned();
    for path in ROUTES {
        let first = server.client.get(server.url(path)).send().await.unwrap();
        assert_eq!(first.headers()["cache-control"], "private, no-cache", "{path}");
        let tag =
            if path == "/openapi.json" { tag.clone() } else { first.headers()["etag"].to_str().unwrap().to_owned() };
        let again = server.client.get(server.url(path)).header("if-none-match", tag).send().await.unwrap();
        assert_eq!(again.status(), 304, "{path}");
        assert_eq!(again.bytes().await.unwrap().len(), 0, "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn who_sees_the_documentation_is_a_setting() {
    for (docs, listen, without, with) in [
        (Docs::Auto, "127.0.0.1:0", 200, 200),
        (Docs::Auto, "0.0.0.0:0", 401, 200),
        (Docs::Open, "0.0.0.0:0", 200, 200),
        (Docs::Key, "127.0.0.1:0", 401, 200),
        (Docs::Off, "127.0.0.1:0", 401, 404),
    ] {
        let builder = TestServerBuilder::fake().set(|settings| {
            settings.server.docs = docs;
            settings.server.listen = listen.parse().unwrap();
        });
        let server = builder.start().await;
        for path in ROUTES {
            let case = format!("{docs} {listen} {path}");
            assert_eq!(status(&server, path, false).await, without, "{case}");
            assert_eq!(status(&server, path, true).await, with, "{case}");
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn the_page_is_for_this_host_alone_like_everything_else() {
    let server = TestServerBuilder::fake().start().await;
    for path in ROUTES {
        let request = server.client.get(server.url(path)).header("host", "rebound.example.com");
        assert_eq!(request.send().await.unwrap().status(), 421, "{path}");
        let request = server.client.get(server.url(path)).header("origin", "https://elsewhere.example.com");
        assert_eq!(request.send().await.unwrap().status(), 403, "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere_and_runs_nothing_that_stands_in_it() {
    let server = TestServerBuilder::fake().start().await;
    let page = server.client.get(server.url("/docs")).send().await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("http") && !policy.contains('*'), "{policy}");
    for name in ["x-content-type-options", "x-frame-options", "referrer-policy", "cross-origin-opener-policy"] {
        assert!(page.headers().contains_key(name), "{name}");
    }
    let text = page.text().await.unwrap();
    assert!(!text.contains("://") && !text.contains("//"), "the page names a host:\n{text}");
    assert!(!text.contains(" on") || !text.contains("onload="), "{text}");
    for script in text.split("<script").skip(1) {
        assert!(
            script.starts_with(" src=\"docs/") && script.contains("></script>"),
            "a script within the page: {script}"
        );
    }
    assert!(!text.contains("<style"), "a style within the page");
    let referred = text.split(['"']).filter(|part| part.starts_with("docs/"));
    let referred: Vec<_> = referred.collect();
    assert_eq!(referred.len(), 4, "{referred:?}");
    for path in referred {
        let asset = server.client.get(server.url(&format!("/{path}"))).send().await.unwrap();
        assert_eq!(asset.status(), 200, "{path}");
        let kind = asset.headers()["content-type"].to_str().unwrap().to_owned();
        let bytes = asset.bytes().await.unwrap();
        assert!(!bytes.is_empty(), "{path}");
        if kind.starts_with("text/css") {
            let style = String::from_utf8(bytes.to_vec()).unwrap();
            let loads = style.split("url(").skip(1).map(|load| load.trim_start_matches(['"', '\'']));
            assert!(
                loads.clone().all(|load| load.starts_with("data:") || load.starts_with('#')),
                "{path} loads something"
            );
            assert!(!style.contains("@import"), "{path} loads something");
        } else if path.ends_with("start.js") {
            let script = String::from_utf8(bytes.to_vec()).unwrap();
            assert!(script.contains("validatorUrl: null") && !script.contains("://"), "{script}");
        }
    }
    assert_eq!(status(&server, "/docs/index.html", true).await, 404);
    assert_eq!(status(&server, "/docs/..%2fopenapi.json", true).await, 404);
    server.stop().await;
}

/// Fills the parameters of a path with what the server has.
fn filled(path: &str, run: &str, key: &str) -> String {
    let path = path.replace("{kind}/{name}", "agents/reviewer").replace("{server}", "tracker");
    let id = if path.starts_with("/v1/keys") { key } else { run };
    path.replace("{kind}", "settings").replace("{id}", id)
}

#[tokio::test]
async fn every_example_of_a_request_is_taken() {
    let server = TestServerBuilder::fake().start().await;
    let document = askd::api::openapi::document();
    let mut sent = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let content = &operation["requestBody"]["content"]["application/json"];
            for (name, example) in content["examples"].as_object().into_iter().flatten() {
                let of = format!("{} of {}", name, operation["operationId"]);
                // A key, and a run that is at work, for those that are about one.
                let key = json!({"name": "subject", "scopes": ["ask"]});
                let key = server.post("/v1/keys", &key).await.body["id"].as_str().unwrap().to_owned();
                let run = server.submit(json!({"prompt": "!init\n!await done"})).await;
                server.follow(&run, "").await.until_event("run.started").await;
                let answer = send(&server, method, &filled(path, &run, &key), &example["value"]).await;
                assert!((200..300).contains(&answer), "{of}: {answer}");
                sent += 1;
                server.post(&format!("/v1/runs/{run}/cancel"), &json!({})).await;
                server.ended(&run).await;
            }
        }
    }
    assert!(sent >= 15, "{sent}");
    server.stop().await;
}

async fn send(server: &TestServer, method: &str, path: &str, body: &Value) -> u16 {
    sent(server, method, path, body).await.status
}

async fn sent(server: &TestServer, method: &str, path: &str, body: &Value) -> Answer {
    let method = reqwest::Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
    let request = server.client.request(method, server.url(path)).header("x-api-key", Settings::TEST_API_KEY);
    Answer::by(request.json(body)).await
}

/// The parameters that a server knows, as it says to whoever names another; `None` if it does not say.
fn known(told: &Answer) -> Option<BTreeSet<String>> {
    let list = told.message().split_once("there is no query parameter `unheard_of`; ")?.1;
    let list = list.strip_prefix("they are ").or(list.strip_prefix("the only one is ")).unwrap_or_default();
    Some(list.split(", ").filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

#[tokio::test]
async fn the_parameters_of_a_query_are_those_that_the_server_knows_with_their_bounds_and_words() {
    let server = TestServerBuilder::fake().start().await;
    let key = json!({"name": "subject", "scopes": ["ask"]});
    let key = server.post("/v1/keys", &key).await.body["id"].as_str().unwrap().to_owned();
    let run = server.submit(json!({"prompt": "hello"})).await;
    server.ended(&run).await;
    let document = askd::api::openapi::document();
    let (mut compared, mut unsaid) = (0, BTreeSet::new());
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
            let parameters: Vec<_> = parameters.iter().filter(|parameter| parameter["in"] == "query").collect();
            let named: BTreeSet<_> = parameters.iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect();
            let path = filled(path, &run, &key);
            let body = operation["requestBody"]["content"]["application/json"]["examples"].as_object();
            let body = body.and_then(|all| all.values().next()).map_or(json!({}), |example| example["value"].clone());
            // One route for kinds of one document and for kinds of many.
            let paths = if id == "list_documents" { vec![path, "/v1/config/agents".to_owned()] } else { vec![path] };
            let mut said = Vec::new();
            for path in &paths {
                said.push(known(&sent(&server, method, &format!("{path}?unheard_of=1"), &body).await));
            }
            match said.into_iter().collect::<Option<Vec<_>>>() {
                Some(known) => {
                    let mut known: BTreeSet<_> = known.into_iter().flatten().collect();
                    // The token is a way to show a key, and of notes there is any number.
                    known.retain(|name| !matches!(&**name, "token" | "metadata.NAME"));
                    assert_eq!(named, known, "{id}");
                    compared += 1;
                }
                None if named.is_empty() => {}
                None => drop(unsaid.insert(id.to_owned())),
            }
            let Some(path) = paths.last().filter(|_| method == "get") else { continue };
            for parameter in parameters {
                let (name, schema) = (parameter["name"].as_str().unwrap(), &parameter["schema"]);
                let asks = async |value: &str| {
                    let answer = sent(&server, "get", &format!("{path}?{name}={value}"), &json!({})).await;
                    answer.status == 400 && answer.param() == name
                };
                for word in schema["enum"].as_array().into_iter().flatten() {
                    assert!(!asks(word.as_str().unwrap()).await, "{id}: {name} may not be {word}");
                }
                if schema["enum"].is_array() && path.starts_with("/v1") {
                    assert!(asks("no-such-word").await, "{id}: {name} may be anything");
                }
                if let Some(most) = schema["maximum"].as_u64().filter(|_| path.starts_with("/v1")) {
                    assert!(!asks(&most.to_string()).await, "{id}: {name} may not be {most}");
                    assert!(asks(&(most + 1).to_string()).await, "{id}: {name} may be more than {most}");
                }
            }
        }
    }
    // Probes and the Node server's clients may send what they like.
    let lenient = ["get_readyz", "list_legacy_documents"].map(str::to_owned);
    assert_eq!(unsaid, BTreeSet::from(lenient), "what these know is not compared");
    assert!(compared > 15, "{compared}");
    server.stop().await;
}
