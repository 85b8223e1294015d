//! `GET /metrics`: what the server counts and measures, for Prometheus. What is a state is looked at here; nobody is waited
//! for, neither the database nor the disk.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};

use crate::app::App;
use crate::keys::priority::Priority;
use crate::metrics::Form;
use crate::metrics::kinds::Gauge;
use crate::store::Health;

/// Tells all of it in the form that the client reads.
#[utoipa::path(
    get, path = "/metrics", operation_id = "read_metrics", tag = "system",
    summary = "Read the metrics",
    description = "In the text form of Prometheus, or of OpenMetrics 1.0 where the header `Accept` asks for it. Needs the scope `metrics:read`, but not at the address of `ASKD_METRICS_LISTEN`.",
    responses(
        (status = 200, description = "Every metric.", content((String = "text/plain"), (String = "application/openmetrics-text"))),
    ),
)]
pub(super) async fn read(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    look(&app);
    let form = wanted(&headers);
    let mut response = app.runs().shared().metrics.text(form).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(form.content_type()));
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept"));
    response
}

/// Prometheus names what it reads in the order of its liking, and the newer form first unless it was told otherwise.
fn wanted(headers: &HeaderMap) -> Form {
    let asked = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut best = (0.0, Form::Classic);
    for range in asked.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let form = match parts.next().unwrap_or_default() {
            "application/openmetrics-text" => Form::OpenMetrics,
            "text/plain" | "text/*" | "*/*" => Form::Classic,
            _ => continue,
        };
        let mut weight = 1.0;
        let mut is_known = true;
        for part in parts {
            match part.split_once('=').map(|(name, value)| (name, value.trim_matches('"'))) {
                Some(("q", value)) => weight = value.parse().unwrap_or(0.0),
                Some(("version", version)) if form == Form::OpenMetrics => {
                    is_known = matches!(version, "1.0.0" | "0.0.1");
                }
                _ => {}
            }
        }
        if is_known && weight > best.0 {
            best = (weight, form);
        }
    }
    best.1
}

/// Looks at what is a state.
fn look(app: &App) {
    let (shared, settings) = (app.runs().shared(), app.settings());
    let metrics = &shared.metrics;
    let (occupancy, waiting) = (app.runs().occupancy(), app.runs().waiting());
    set(&metrics.runs_running, occupancy.active);
    set(&metrics.runs_limit, occupancy.max);
    set(&metrics.queue_limit, settings.limits.queue_length);
    for (priority, runs) in Priority::WORDS.into_iter().zip(waiting.by_priority) {
        set(&metrics.queue_waiting.of([priority]), runs);
    }
    // The clock may have been set back meanwhile.
    let waited = |since| shared.ambient.now().duration_since(since).as_secs_f64().max(0.0);
    metrics.queue_oldest.set(waiting.oldest.map_or(0.0, waited));

    let in_use = shared.watch.in_use();
    set(&metrics.cli_children, in_use.runs);
    set(&metrics.cli_threads, in_use.tasks);
    set(&metrics.cli_memory, in_use.memory_bytes);
    set(&metrics.guard_running, shared.judges.running());

    metrics.store_up.set(i64::from(!matches!(shared.store.health(), Health::Failing { .. })));
    set(&metrics.store_waiting, shared.store.waiting());
    if let Some(amounts) = shared.free_disk.amounts() {
        set(&metrics.disk_free, amounts.free);
        set(&metrics.disk_size, amounts.size);
    }
    set(&metrics.disk_minimum, settings.run_limits.min_free_disk);

    let readiness = app.readiness();
    for check in &readiness.checks {
        metrics.ready.of([check.name]).set(i64::from(check.ok));
    }
    metrics.ready.of(["all"]).set(i64::from(readiness.is_ready()));
    metrics.draining.set(i64::from(app.lifecycle().leaving().is_cancelled()));
    set(&metrics.http_connections_limit, settings.server.max_connections);
    metrics.build.of([env!("CARGO_PKG_VERSION")]).set(1);
    metrics.cli.of([shared.cli.version.to_string()]).set(1);
    metrics.isolation.of([shared.isolation.layer().as_str()]).set(1);
}

fn set(gauge: &Gauge, value: impl TryInto<i64>) {
    gauge.set(value.try_into().unwrap_or(i64::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_open_metrics_gets_it_and_everybody_else_what_prometheus_has_always_read() {
        for (accept, form) in [
            ("", Form::Classic),
            ("*/*", Form::Classic),
            ("application/json", Form::Classic),
            ("application/openmetrics-text", Form::OpenMetrics),
            ("application/openmetrics-text; version=1.0.0; charset=utf-8", Form::OpenMetrics),
            ("application/openmetrics-text; version=\"0.0.1\"", Form::OpenMetrics),
            ("application/openmetrics-text; version=9.0.0, text/plain;q=0.1", Form::Classic),
            ("text/plain;version=0.0.4, application/openmetrics-text;q=0.5", Form::Classic),
            // As Prometheus 2 and 3 ask.
            (
                "application/openmetrics-text;version=1.0.0;q=0.75,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=0.0.4;q=0.25,*/*;q=0.1",
                Form::OpenMetrics,
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
                Form::OpenMetrics,
            ),
        ] {
            let mut headers = HeaderMap::new();
            if !accept.is_empty() {
                headers.insert(header::ACCEPT, accept.parse().unwrap());
            }
            assert_eq!(wanted(&headers), form, "{accept}");
        }
    }
}
