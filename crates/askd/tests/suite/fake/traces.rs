//! Spans of requests and runs: how they belong together, who decides whether they are recorded, and what becomes of a run's
//! when its server does not live as long as it does. The collector is the test's; what it got is read by the reference
//! definitions of OTLP.

use std::time::{Duration, Instant};

use askd::settings::tls::TlsFiles;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{
    Authority, Collector, Folders, Manner, Pair, Program, Spans, TestServerBuilder, V1, eventually, eventually_async,
    marked_processes, python,
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";

fn traced(collector: &Collector) -> TestServerBuilder {
    TestServerBuilder::fake().set(|settings| collector.gets(&mut settings.traces))
}

/// What a scripted CLI sees of a variable.
fn variable<'a>(report: &'a Value, name: &str) -> Option<&'a str> {
    report["environment"][name].as_str()
}

/// The report that a run has answered with.
fn report(run: &Value) -> Value {
    serde_json::from_str(run["result"].as_str().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_and_all_that_its_run_does_are_one_trace() {
    let Some(python) = python("a_request_and_all_that_its_run_does_are_one_trace") else { return };
    let collector = Collector::start().await;
    let server = traced(&collector)
        .set(|settings| {
            settings.traces.resource = vec![("service.name".into(), "askd-test".into())];
            settings.traces.headers = vec![("x-scope".parse().unwrap(), "team-1".to_owned().into())];
        })
        .start()
        .await;
    let answer = server.ask(json!({"prompt": "!say secret words\n!result secret answer"})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let run = answer.run_id().to_owned();
    let response = answer.header("traceresponse").unwrap().to_owned();
    server.stop().await;

    let spans = collector.spans(&python);
    let (request, run_span) = (spans.one("POST /ask"), spans.one("invoke_agent"));
    let trace = request["trace_id"].as_str().unwrap();
    assert_eq!(response, format!("00-{trace}-{}-01", request["span_id"].as_str().unwrap()));
    assert_eq!(request["parent_id"], "");
    let document = askd::api::openapi::document();
    let answers = &document["paths"]["/ask"]["post"]["responses"];
    assert!(answers["200"]["headers"]["traceresponse"].is_object(), "{}", answers["200"]["headers"]);
    assert!(Spans::is_below(run_span, request));
    let start = spans.one("start");
    for name in ["queue", "start", "chat"] {
        assert!(Spans::is_below(spans.one(name), run_span), "{name}");
    }
    assert!(Spans::is_below(spans.one("spawn"), start));
    assert!(spans.0.iter().all(|span| span["trace_id"] == trace && span["scope"] == "askd"));
    assert!(spans.0.iter().all(|span| span["resource"]["service.name"] == "askd-test"));

    let expected = json!({
        "http.request.method": "POST", "http.route": "/ask", "http.response.status_code": 200, "url.scheme": "http",
        "server.address": "127.0.0.1", "askd.key.id": "admin", "askd.run.id": run,
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&request["attributes"][name], value, "{name}");
    }
    let expected = json!({
        "gen_ai.operation.name": "invoke_agent", "gen_ai.provider.name": "anthropic", "askd.run.id": run,
        "askd.key.id": "admin", "askd.run.state": "completed",
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&run_span["attributes"][name], value, "{name}");
    }
    assert_eq!((&request["kind"], &run_span["kind"], &spans.one("chat")["kind"]), (&2.into(), &1.into(), &3.into()));
    let batch = &collector.batches()[0];
    assert_eq!((&*batch.path, &batch.headers["x-scope"]), ("/v1/traces", &"team-1".parse().unwrap()));
    assert_eq!(batch.headers["content-type"], "application/x-protobuf");
    assert!(!collector.bytes().contains("secret"), "content is off");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callers_trace_goes_on_through_the_run_into_its_process() {
    let Some(python) = python("a_callers_trace_goes_on_through_the_run_into_its_process") else { return };
    let collector = Collector::start().await;
    let server = traced(&collector).start().await;
    let ask = async |flags: &str| {
        let request = server.posting("/v1/runs?wait=60").json(&json!({"prompt": "!report"}));
        let request = request.header("traceparent", format!("{PARENT}-{flags}")).header("tracestate", "vendor=1");
        report(&request.send().await.unwrap().json().await.unwrap())
    };
    let (recorded, not_recorded) = (ask("01").await, ask("00").await);
    server.stop().await;

    let spans = collector.spans(&python);
    let (request, run) = (spans.one("POST /v1/runs"), spans.one("invoke_agent"));
    assert_eq!((&request["trace_id"], &request["parent_id"]), (&TRACE.into(), &"b7ad6b7169203331".into()));
    assert_eq!((&request["trace_state"], &run["trace_state"]), (&"vendor=1".into(), &"vendor=1".into()));
    let expected = format!("00-{TRACE}-{}-01", run["span_id"].as_str().unwrap());
    assert_eq!(variable(&recorded, "TRACEPARENT"), Some(&*expected));
    assert_eq!(variable(&recorded, "TRACESTATE"), Some("vendor=1"));
    // What its caller does not record is passed on as such.
    let passed = variable(&not_recorded, "TRACEPARENT").unwrap();
    assert!(passed.starts_with(&format!("00-{TRACE}-")) && passed.ends_with("-00"), "{passed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_collector_what_was_brought_is_passed_on_as_it_is_and_nothing_else_is_given() {
    let server = TestServerBuilder::fake().start().await;
    let ask = async |parent: Option<&str>| {
        let mut request = server.posting("/v1/runs?wait=60").json(&json!({"prompt": "!report"}));
        if let Some(parent) = parent {
            request = request.header("traceparent", parent);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.headers().get("traceresponse"), None);
        report(&response.json().await.unwrap())
    };
    let brought = format!("{PARENT}-01");
    assert_eq!(variable(&ask(Some(&brought)).await, "TRACEPARENT"), Some(&*brought));
    for parent in [None, Some("00-not-a-trace-01"), Some(&*brought.to_uppercase())] {
        let report = ask(parent).await;
        assert_eq!((variable(&report, "TRACEPARENT"), variable(&report, "TRACESTATE")), (None, None), "{parent:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_sets_the_trace_of_its_run_as_a_variable() {
    let server = TestServerBuilder::fake().start().await;
    for name in ["TRACEPARENT", "tracestate"] {
        let body = json!({"prompt": "x", "env": {name: "x"}, "on_disconnect": "cancel"});
        let answer = server.post("/v1/runs?wait=60", &body).await;
        assert_eq!(answer.status, 400, "{answer:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_right_key_leaves_no_span() {
    let Some(python) = python("who_has_no_right_key_leaves_no_span") else { return };
    let collector = Collector::start().await;
    let server = traced(&collector).start().await;
    for (path, key) in [("/v1/runs", "wrong"), ("/health", "wrong"), ("/v1/info", "a-key-for-tests")] {
        let request = server.client.get(server.url(path)).header("x-api-key", key);
        let response = request.header("traceparent", format!("{PARENT}-01")).send().await.unwrap();
        assert_eq!(response.headers().contains_key("traceresponse"), key != "wrong", "{path}");
    }
    server.stop().await;
    assert_eq!(collector.spans(&python).names(), ["GET /v1/info"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_a_run_or_asks_again_is_linked_to_it() {
    let Some(python) = python("who_follows_a_run_or_asks_again_is_linked_to_it") else { return };
    let collector = Collector::start().await;
    let server = traced(&collector).start().await;
    let submit = async || {
        let request = server.posting("/v1/runs").header("idempotency-key", "1").json(&json!({"prompt": "x"}));
        request.send().await.unwrap().json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
    };
    let run = submit().await;
    assert_eq!(submit().await, run);
    drop(server.follow(&run, "after=0").await.rest().await);
    server.stop().await;

    let spans = collector.spans(&python);
    let run_span = spans.one("invoke_agent");
    let [first, second] = spans.all("POST /v1/runs")[..] else { panic!("{:?}", spans.names()) };
    let link = json!([{"trace_id": run_span["trace_id"], "span_id": run_span["span_id"]}]);
    assert!(Spans::is_below(run_span, first) && first["links"] == json!([]));
    for linked in [second, spans.one("GET /v1/runs/{id}/events")] {
        assert_eq!((&linked["links"], &linked["attributes"]["askd.run.id"]), (&link, &json!(run)));
        assert_ne!(linked["trace_id"], run_span["trace_id"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_says_how_and_one_that_never_began_has_waited() {
    let Some(python) = python("a_run_that_fails_says_how_and_one_that_never_began_has_waited") else { return };
    let collector = Collector::start().await;
    let server = traced(&collector).set(|settings| settings.limits.max_concurrent = 1).start().await;
    let holding = server.submit(json!({"prompt": "!touch there\n!await go\n!exit 3"})).await;
    server.reached("there").await;
    let waiting = server.submit(json!({"prompt": "x"})).await;
    let cancelled = server.post(&format!("/v1/runs/{waiting}/cancel"), &json!({})).await;
    assert!(matches!(cancelled.status, 200 | 202), "{cancelled:?}");
    server.ended(&waiting).await;
    server.release("go");
    assert_eq!(server.ended(&holding).await["state"], "failed");
    server.stop().await;

    let spans = collector.spans(&python);
    let of = |run: &str| spans.all("invoke_agent").into_iter().find(|span| span["attributes"]["askd.run.id"] == run);
    let (failed, cancelled) = (of(&holding).unwrap(), of(&waiting).unwrap());
    assert_eq!((&failed["attributes"]["error.type"], &failed["status"]), (&"cli_died".into(), &2.into()));
    assert_eq!((&cancelled["attributes"]["error.type"], &cancelled["status"]), (&"cancelled".into(), &0.into()));
    let below = |parent: &Value| spans.0.iter().filter(|span| Spans::is_below(span, parent)).count();
    assert_eq!(below(cancelled), 1, "the queue, and nothing else: {:?}", spans.names());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_slow_or_broken_keeps_no_run_waiting_and_no_server_alive() {
    for manner in [Some(Manner::Hang), Some(Manner::Refuse(500)), Some(Manner::Refuse(503)), None] {
        let collector = Collector::start().await;
        let server = traced(&collector).set(|settings| settings.traces.timeout = Duration::from_millis(300));
        let server = server.start().await;
        match manner {
            Some(manner) => collector.be(manner),
            None => drop(collector),
        }
        let begin = Instant::now();
        assert_eq!(server.ask(json!({"prompt": "x"})).await.status, 200, "{manner:?}");
        let traces = server.app.runs().shared().traces.clone();
        server.stop().await;
        assert!(begin.elapsed() < Duration::from_secs(40), "{manner:?}: {:?}", begin.elapsed());
        let counts = traces.counts();
        assert_eq!(counts.exported(), 0);
        assert!(counts.dropped() >= 5, "{manner:?}: request, run, queue, start, spawn, chat: {counts:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_collector_is_known_by_its_authority_and_by_no_other() {
    let (authority, pair) = (Authority::new(), Pair::of_its_own(&["127.0.0.1"], 2100));
    for (pair, is_known) in [(authority.issue(), true), (pair, false)] {
        let folders = Folders::new();
        folders.write("collector.pem", &authority.pem());
        pair.put(&folders);
        let encryption = TlsFiles {
            certificate: folders.root().join("tls/cert.pem"),
            key: folders.root().join("tls/key.pem"),
            client_ca: None,
        };
        let collector = Collector::encrypted(encryption.read().unwrap().config).await;
        let server = traced(&collector).set(|settings| {
            settings.traces.ca = Some(folders.root().join("collector.pem"));
            // What is not to arrive is not waited for.
            settings.traces.timeout = Duration::from_secs(if is_known { 20 } else { 2 });
        });
        let server = server.start().await;
        assert_eq!(server.ask(json!({"prompt": "x"})).await.status, 200);
        server.stop().await;
        assert_eq!(!collector.batches().is_empty(), is_known);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_wait_for_a_collector_that_comes_back() {
    let Some(python) = python("spans_wait_for_a_collector_that_comes_back") else { return };
    let collector = Collector::start().await;
    collector.be(Manner::Refuse(503));
    let server = traced(&collector).start().await;
    assert_eq!(server.ask(json!({"prompt": "x"})).await.status, 200);
    collector.is_asked().await;
    collector.be(Manner::Take);
    let traces = &server.app.runs().shared().traces;
    eventually("spans that are taken", || (traces.counts().exported() > 0).then_some(())).await;
    assert_eq!(traces.counts().dropped(), 0);
    server.stop().await;
    collector.spans(&python).one("invoke_agent");
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_that_are_lost_at_the_end_are_told_of_also_if_the_collector_was_away_before() {
    let collector = Collector::start().await;
    collector.be(Manner::Refuse(400));
    let folders = Folders::new();
    let mut program = Program::start(&folders, &[("ASKD_OTLP_ENDPOINT", &collector.url())]);
    let client = V1::at(program.address().await);
    let run = client.submit(&json!({"prompt": "x"})).await;
    client.ended(&run).await;
    eventually("the word that it takes none", || program.log().contains("takes no spans").then_some(())).await;
    program.signal(Signal::TERM);
    assert!(program.ended().await.success());
    let log = program.log();
    let told: Vec<_> = log.lines().filter(|line| line.contains("spans are lost")).collect();
    assert_eq!(told.len(), 1, "{log}");
    let told: Value = serde_json::from_str(told[0]).unwrap();
    assert!(told["dropped"].as_u64().unwrap() >= 5, "request, run, queue, start, spawn, chat: {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_has_no_more_spans_than_it_may_and_says_how_many_are_missing() {
    let Some(python) = python("a_run_has_no_more_spans_than_it_may_and_says_how_many_are_missing") else { return };
    let collector = Collector::start().await;
    let server = traced(&collector).set(|settings| settings.traces.run_spans = 2).start().await;
    let answer = server.ask(json!({"prompt": "!say one"})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    server.stop().await;
    let spans = collector.spans(&python);
    let run = spans.one("invoke_agent");
    let below = spans.0.iter().filter(|span| Spans::is_below(span, run)).count();
    assert_eq!((below, &run["attributes"]["askd.spans.left_out"]), (2, &1.into()), "{:?}", spans.names());
}

async fn killed(folders: &Folders, mut program: Program) {
    program.signal(Signal::KILL);
    program.ended().await;
    eventually("the end of every process", || marked_processes(&folders.data()).is_empty().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_lost_and_one_that_waits_over_a_restart_end_once_in_the_traces_they_began_in() {
    let name = "a_run_that_is_lost_and_one_that_waits_over_a_restart_end_once_in_the_traces_they_began_in";
    let Some(python) = python(name) else { return };
    let (collector, folders) = (Collector::start().await, Folders::new());
    let url = collector.url();
    let variables = [("MAX_CONCURRENT", "1"), ("ASKD_OTLP_ENDPOINT", &*url)];
    let program = Program::start(&folders, &variables);
    let client = V1::at(program.address().await);
    let lost = client.submit(&json!({"prompt": "!say one\n!touch there\n!hang"})).await;
    eventually("a run at work", || folders.workspace().join("there").exists().then_some(())).await;
    client.follow(&lost, 0).await.until_event("agent.assistant").await;
    let waiting = client.submit(&json!({"prompt": "!report"})).await;
    // Both requests and the start of the first run are there before the server dies.
    let first = eventually_async("spans of both requests", async || {
        let spans = collector.spans(&python);
        (spans.all("POST /v1/runs").len() == 2 && !spans.all("start").is_empty()).then_some(spans)
    })
    .await;
    assert_eq!(first.all("invoke_agent").len(), 0, "neither has ended");
    killed(&folders, program).await;

    let mut program = Program::start(&folders, &variables);
    let client = V1::at(program.address().await);
    let report = report(&client.ended(&waiting).await);
    assert_eq!(client.run(&lost).await["state"], "lost");
    program.signal(Signal::TERM);
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.log());

    let spans = collector.spans(&python);
    let runs = spans.all("invoke_agent");
    let of = |run: &str| {
        let found: Vec<_> = runs.iter().filter(|span| span["attributes"]["askd.run.id"] == run).collect();
        assert_eq!(found.len(), 1, "one span of {run}: {runs:?}");
        *found[0]
    };
    let (lost, waiting) = (of(&lost), of(&waiting));
    let requests = spans.all("POST /v1/runs");
    assert!(Spans::is_below(lost, requests[0]) && Spans::is_below(waiting, requests[1]));
    assert_eq!((&lost["attributes"]["error.type"], &lost["status"]), (&"lost".into(), &2.into()));
    assert_eq!(waiting["attributes"]["askd.run.state"], "completed");
    // What the dead server had said of the run is below the span that the next one has ended.
    assert!(Spans::is_below(first.one("start"), lost));
    assert!(Spans::is_below(spans.all("queue")[1], waiting));
    let inside = variable(&report, "TRACEPARENT").unwrap().to_owned();
    assert_eq!(inside.split('-').nth(2), waiting["span_id"].as_str());
}
