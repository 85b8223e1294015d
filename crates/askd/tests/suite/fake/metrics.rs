//! The numbers of `/metrics` are those of what happened.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Answer, RawClient, TestServerBuilder, eventually_async};

/// A run whose CLI tells these figures.
fn uses(models: &Value) -> Value {
    let result = json!({"result": "ok", "model_usage_since_last_result": models});
    json!({"prompt": format!("!result {result}")})
}

#[tokio::test(flavor = "multi_thread")]
async fn every_run_is_counted_once_with_how_it_ended_and_what_it_took() {
    let server = TestServerBuilder::fake().set(|settings| settings.limits.max_concurrent = 2).start().await;
    let before = server.scrape().await;
    assert_eq!(before.count("askd_runs_ended_total", &[]), 0);
    assert_eq!(before.count("askd_runs_limit", &[]), 2);
    assert_eq!((before.count("askd_store_up", &[]), before.count("askd_ready", &[("check", "all")])), (1, 1));

    server.ask(json!({"prompt": "hello"})).await;
    server.run(json!({"prompt": "hello"})).await;
    server.run(json!({"prompt": "!exit 3"})).await;
    server.run(json!({"prompt": "!result {\"subtype\": \"error_max_turns\", \"is_error\": true}"})).await;
    // An answer does not wait for the end of its processes.
    server.at_rest().await;
    let hangs = server.submit(json!({"prompt": "!touch hangs\n!hang"})).await;
    server.reached("hangs").await;
    let during = server.scrape().await;
    assert_eq!((during.count("askd_runs_running", &[]), during.count("askd_cli_children", &[])), (1, 1));
    server.post(&format!("/v1/runs/{hangs}/cancel"), &json!({})).await;
    server.ended(&hangs).await;
    server.at_rest().await;

    let after = server.scrape().await;
    let ended =
        |state: &str, reason: &str| after.count("askd_runs_ended_total", &[("state", state), ("reason", reason)]);
    assert_eq!(ended("completed", "none"), 2);
    assert_eq!(ended("failed", "cli_died"), 1);
    assert_eq!(ended("incomplete", "turn_limit"), 1);
    assert_eq!(ended("cancelled", "cancelled"), 1);
    assert_eq!(after.count("askd_runs_ended_total", &[]), 5);
    assert_eq!(after.count("askd_runs_submitted_total", &[("route", "/ask")]), 1);
    assert_eq!(after.count("askd_runs_submitted_total", &[("route", "/v1/runs")]), 4);
    assert_eq!(after.count("askd_queue_wait_seconds_count", &[]), 5);
    assert_eq!(after.count("askd_cli_start_seconds_count", &[]), 5);
    assert_eq!(after.count("askd_run_duration_seconds_count", &[]), 5);
    assert_eq!(after.count("askd_run_duration_seconds_count", &[("state", "cancelled")]), 1);
    // All of them say something before they end.
    assert_eq!(after.count("askd_run_first_event_seconds_count", &[]), 5);
    assert_eq!((after.count("askd_runs_running", &[]), after.count("askd_cli_children", &[])), (0, 0));
    assert!(after.count("askd_store_event_bytes_total", &[("form", "raw")]) > 0);
    assert!(after.count("askd_store_commit_seconds_count", &[]) > 0);
    let requests = [("method", "POST"), ("route", "/ask"), ("status", "200")];
    assert_eq!(after.count("askd_http_requests_total", &requests), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_cost_are_those_of_the_usage_of_each_key() {
    let server = TestServerBuilder::fake().start().await;
    let holder = server.user(json!({})).await;
    let large = json!({"inputTokens": 50, "outputTokens": 5, "cacheReadInputTokens": 4, "cacheCreationInputTokens": 3, "costUSD": 0.25});
    let small = json!({"inputTokens": 7, "outputTokens": 1, "webSearchRequests": 2, "costUSD": 0.05});
    holder.run(uses(&json!({"large": large, "small": small}))).await;
    holder.run(uses(&json!({"small": small}))).await;
    server.run(uses(&json!({"small": small}))).await;
    // One that nobody knows the cost of counts nothing.
    server.run(json!({"prompt": "!exit 3"})).await;

    let told = server.scrape().await;
    for (key, id) in [(&*holder.id, &*holder.id), ("admin", "admin")] {
        let usage = server.get(&format!("/v1/usage?group_by=model&key={id}")).await.body;
        let rows = usage["data"].as_array().unwrap();
        assert!(!rows.is_empty());
        for row in rows {
            let model = row["model"].as_str().filter(|model| !model.is_empty()).unwrap_or("unknown");
            for (kind, field) in [
                ("input", "input_tokens"),
                ("output", "output_tokens"),
                ("cache_read", "cache_read_input_tokens"),
                ("cache_write", "cache_creation_input_tokens"),
            ] {
                let counted = told.count("askd_tokens_total", &[("model", model), ("key", key), ("kind", kind)]);
                assert_eq!(counted, row[field].as_u64().unwrap(), "{row}");
            }
            let labels = [("model", model), ("key", key)];
            let cost = told.sum("askd_cost_usd_total", &labels);
            assert!((cost - row["cost_usd"].as_f64().unwrap()).abs() < 1e-9, "{row} {cost}");
            assert_eq!(told.count("askd_web_searches_total", &labels), row["web_search_requests"].as_u64().unwrap());
        }
    }
    assert!((told.sum("askd_cost_usd_total", &[]) - 0.4).abs() < 1e-9);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_counted_with_its_reason() {
    let builder = TestServerBuilder::fake().set(|settings| {
        (settings.limits.max_concurrent, settings.limits.queue_length) = (1, 0);
        settings.network.rates.v1 = std::num::NonZeroU32::new(3);
    });
    let server = builder.start().await;
    let hangs = server.submit(json!({"prompt": "!touch hangs\n!hang"})).await;
    server.reached("hangs").await;
    assert_eq!(server.post("/v1/runs", &json!({"prompt": "x"})).await.status, 529);
    assert_eq!(server.ask(json!({"prompt": "x", "model": "not-allowed"})).await.status, 400);
    let without_key = server.client.get(server.url("/v1/runs")).send().await.unwrap();
    assert_eq!(without_key.status(), 401);
    let wrong = server.client.get(server.url("/v1/runs")).header("x-api-key", "wrong").send().await.unwrap();
    assert_eq!(wrong.status(), 401);
    assert_eq!(server.client.get(server.url("/nowhere/at/all")).send().await.unwrap().status(), 401);
    let mut limited = 0;
    for _ in 0..5 {
        limited += u64::from(server.get("/v1/info").await.status == 429);
    }

    let told = server.scrape().await;
    let refused =
        |route: &str, reason: &str| told.count("askd_runs_refused_total", &[("route", route), ("reason", reason)]);
    assert_eq!((refused("/v1/runs", "queue_full"), refused("/ask", "not_allowed")), (1, 1));
    assert_eq!(told.count("askd_auth_failures_total", &[("reason", "missing")]), 2);
    assert_eq!(told.count("askd_auth_failures_total", &[("reason", "wrong")]), 1);
    assert!(limited > 0);
    assert_eq!(told.count("askd_rate_limited_total", &[("bucket", "v1")]), limited);
    assert_eq!(told.count("askd_errors_total", &[("type", "rate_limit_error")]), limited);
    assert_eq!(told.count("askd_errors_total", &[("code", "UNAUTHORIZED")]), 3);
    assert_eq!(told.count("askd_http_requests_total", &[("route", "-"), ("status", "401")]), 1);
    server.app.runs().live(askd::runs::RunId::parse(&hangs).unwrap()).unwrap().cancel();
    server.at_rest().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_and_for_how_long_is_told_by_priority() {
    let server = TestServerBuilder::fake().set(|settings| settings.limits.max_concurrent = 1).start().await;
    let first = server.submit(json!({"prompt": "!touch works\n!await go"})).await;
    server.reached("works").await;
    let low = server.submit(json!({"prompt": "x", "priority": "low"})).await;
    let high = server.submit(json!({"prompt": "x", "priority": "high"})).await;
    server.busy_with(1, 2).await;
    let told = server.scrape().await;
    let waiting = |priority| told.count("askd_queue_waiting", &[("priority", priority)]);
    assert_eq!((waiting("low"), waiting("normal"), waiting("high")), (1, 0, 1));
    let waited = told.sum("askd_queue_oldest_wait_seconds", &[]);
    let later = eventually_async("a longer wait", async || {
        let later = server.scrape().await.sum("askd_queue_oldest_wait_seconds", &[]);
        (later > waited).then_some(later)
    });
    assert!(later.await > waited);
    server.release("go");
    for run in [first, low, high] {
        server.ended(&run).await;
    }
    assert_eq!(server.scrape().await.count("askd_queue_waiting", &[]), 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_are_told_while_they_follow_and_slow_ones_when_they_are_dropped() {
    let builder = TestServerBuilder::fake().set(|settings| {
        settings.server.write_timeout = Duration::from_millis(300);
        settings.output.ring_bytes = 1 << 20;
    });
    let server = builder.start().await;
    let run = server.submit(json!({"prompt": "!touch works\n!await go"})).await;
    server.reached("works").await;
    let follower = server.follow(&run, "after=0").await;
    let reading = async |count: u64| {
        let what = format!("{count} readers");
        eventually_async(&what, async || {
            (server.scrape().await.count("askd_readers", &[("kind", "sse")]) == count).then_some(())
        })
        .await;
    };
    reading(1).await;
    server.release("go");
    drop(follower.rest().await);
    reading(0).await;
    assert!(server.scrape().await.count("askd_reader_lag_events_count", &[]) > 0);

    let mut client = RawClient::connect(server.address).await;
    client.ask(&json!({"prompt": "!flood 300m", "stream": true})).await;
    eventually_async("a slow client that is dropped", async || {
        (server.scrape().await.count("askd_slow_clients_dropped_total", &[("reason", "no_bytes")]) == 1).then_some(())
    })
    .await;
    server.at_rest().await;
    let ended = [("state", "cancelled"), ("reason", "cancelled")];
    // The end is counted when it is stored, which may be after its processes are gone.
    eventually_async("the end of its run", async || {
        (server.scrape().await.count("askd_runs_ended_total", &ended) == 1).then_some(())
    })
    .await;
    drop(client);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_flood_of_names_makes_series_without_end() {
    let builder = TestServerBuilder::fake().set(|settings| {
        (settings.metrics.max_models, settings.metrics.max_keys) = (5, 2);
        settings.limits.max_concurrent = 8;
    });
    let server = builder.start().await;
    let models: serde_json::Map<_, _> =
        (0..30).map(|number| (format!("model-{number}"), json!({"inputTokens": 1, "costUSD": 0.01}))).collect();
    for _ in 0..4 {
        let holder = server.user(json!({})).await;
        holder.run(uses(&Value::Object(models.clone()))).await;
        holder.run(uses(&json!({"a\"b\n{}": {"inputTokens": 1, "costUSD": 0.01}}))).await;
    }
    for number in 0..50 {
        let method = reqwest::Method::from_bytes(format!("METHOD{number}").as_bytes()).unwrap();
        let path = server.url(&format!("/some/path/{number}?secret={number}"));
        drop(server.client.request(method, path).send().await.unwrap());
        drop(server.get(&format!("/v1/runs/run_{}", uuid::Uuid::from_u128(number))).await);
    }
    let told = server.scrape().await;
    assert_eq!(told.count("askd_tokens_total", &[("kind", "input")]), 4 * 31, "nothing is lost");
    assert!(told.values("model").len() <= 5 + 2, "{:?}", told.values("model"));
    assert!(told.values("key").len() <= 2 + 1, "{:?}", told.values("key"));
    assert!(told.count("askd_metrics_names_beyond_total", &[]) > 0);
    let routes = told.values("route");
    let declared: Vec<_> = askd::api::scopes::ROUTES.iter().map(|(_, path, _)| *path).collect();
    for route in routes {
        let open = ["-", "/health", "/livez", "/readyz", "/startupz"];
        assert!(declared.contains(&route) || open.contains(&route), "{route}");
    }
    assert!(
        told.values("method").is_subset(&["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"].into())
    );
    for forbidden in ["run_0", "secret", "some/path", "METHOD"] {
        assert!(!told.text.contains(forbidden), "{forbidden}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_a_restart_finds_are_counted_by_the_server_that_settles_them() {
    let server = TestServerBuilder::fake().start().await;
    let lost = server.submit(json!({"prompt": "!touch works\n!hang"})).await;
    server.reached("works").await;
    let told = server.scrape().await;
    assert_eq!(told.count("askd_runs_ended_total", &[]), 0);
    // As a crash leaves it: the store says that it runs.
    server.app.runs().let_all_go();
    let settled = eventually_async("the run that was let go", async || {
        drop(server.app.runs().settle_strays().await);
        let told = server.scrape().await;
        (told.count("askd_runs_ended_total", &[]) > 0).then_some(told)
    })
    .await;
    assert_eq!(settled.count("askd_runs_ended_total", &[("state", "lost"), ("reason", "lost")]), 1);
    assert_eq!(settled.count("askd_runs_ended_total", &[]), 1);
    assert_eq!(settled.count("askd_run_duration_seconds_count", &[]), 0, "nobody knows when it ended");
    assert_eq!(server.get(&format!("/v1/runs/{lost}")).await.body["state"], "lost");
    drop(server.app.runs().settle_strays().await);
    assert_eq!(server.scrape().await.count("askd_runs_ended_total", &[]), 1);
    server.at_rest().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_part_of_the_server_tells_what_it_did() {
    let builder = TestServerBuilder::fake().set(|settings| {
        (settings.limits.queue_length, settings.server.max_connections) = (77, 99);
        settings.run_limits.min_free_disk = 4096;
    });
    let server = builder.start().await;
    let picture = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR and whatever a picture has";
    let upload = server.posting("/v1/uploads").header("content-type", "image/png").body(&picture[..]);
    assert_eq!(Answer::by(upload).await.status, 201);
    for (content, status) in [("a", 201), ("b", 200)] {
        assert_eq!(server.put("/v1/config/rules/one", &json!({"content": content})).await.status, status);
    }
    let says = json!({"type": "system", "subtype": "informational", "level": "warning", "content": "careful"});
    server.run(json!({"prompt": format!("!line {says}")})).await;
    let hangs = server.submit(json!({"prompt": "!touch hangs\n!hang"})).await;
    server.reached("hangs").await;
    let told = eventually_async("a look at the processes of runs, and a log that is longer than nothing", async || {
        // Between two commits the log may have been cut.
        server.user(json!({})).await;
        let told = server.scrape().await;
        (told.count("askd_cli_threads", &[]) > 0 && told.count("askd_store_wal_bytes", &[]) > 0).then_some(told)
    })
    .await;

    for (name, labels, value) in [
        ("askd_upload_bytes_total", None, picture.len() as u64),
        ("askd_config_changes_total", Some(("action", "created")), 1),
        ("askd_config_changes_total", Some(("action", "updated")), 1),
        ("askd_run_warnings_total", Some(("code", "other")), 1),
        ("askd_queue_limit", None, 77),
        ("askd_http_connections_limit", None, 99),
        ("askd_disk_minimum_free_bytes", None, 4096),
        ("askd_draining", None, 0),
        ("askd_isolation_info", None, 1),
        ("askd_cli_info", None, 1),
        ("askd_cli_start_failures_total", None, 0),
        ("askd_credential_failures_total", None, 0),
        ("askd_processes_leaked_total", None, 0),
        ("askd_guard_processes", None, 0),
        ("askd_tls_certificate_expiry_timestamp_seconds", None, 0),
        // The scrape itself.
        ("askd_http_requests_in_flight", None, 1),
    ] {
        assert_eq!(told.count(name, labels.as_slice()), value, "{name} {labels:?}");
    }
    for (name, labels) in [
        ("askd_http_connections", None),
        ("askd_http_request_duration_seconds_count", Some(("route", "/v1/uploads"))),
        ("askd_disk_free_bytes", None),
        ("askd_store_commit_operations_sum", None),
        ("askd_store_chunk_bytes_count", None),
        ("askd_cli_memory_bytes", None),
        ("process_open_fds", None),
    ] {
        assert!(told.sum(name, labels.as_slice()) > 0.0, "{name} {labels:?}");
    }
    assert!(told.sum("askd_disk_size_bytes", &[]) >= told.sum("askd_disk_free_bytes", &[]));
    server.post(&format!("/v1/runs/{hangs}/cancel"), &json!({})).await;
    server.ended(&hangs).await;
    server.at_rest().await;
    let peaks = server.scrape().await.count("askd_run_memory_peak_bytes_count", &[]);
    assert!(peaks >= 1, "the run that hung was seen");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_client_left_before_it_was_answered_is_counted_like_any_other() {
    let server = TestServerBuilder::fake().start().await;
    // A connection that ends drops its request, at any moment between the request and the answer: the pauses try some.
    for pause in 0..20 {
        let mut client = RawClient::connect(server.address).await;
        client.ask(&json!({"prompt": "hello"})).await;
        tokio::time::sleep(Duration::from_micros(pause * 200)).await;
        drop(client);
    }
    let counted = eventually_async("the end of every run", async || {
        let told = server.scrape().await;
        let runs = server.get("/v1/runs?limit=200").await.body["data"].as_array().unwrap().len() as u64;
        let ended = told.count("askd_runs_ended_total", &[]);
        (server.occupancy().await == (0, 0) && ended == runs)
            .then_some((told.count("askd_runs_submitted_total", &[]), runs))
    })
    .await;
    assert_eq!(counted.0, counted.1, "submitted, and there");
    server.stop().await;
}
