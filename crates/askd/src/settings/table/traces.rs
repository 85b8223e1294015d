//! Settings of traces: whether there are some, where they go, what they hold.

use super::SOME_TIME;
use crate::settings::declaration::Fallback::{Unset, Value};
use crate::settings::declaration::Kind::{Attributes, Bool, Collector, Integer, Path, Ratio, Secret};
use crate::settings::declaration::Setting;

pub(super) const TRACES: &[Setting] = &[
    Setting::new(
        "otlp_endpoint",
        "ASKD_OTLP_ENDPOINT",
        Collector,
        Unset,
        "Collector that gets the server's traces, over OTLP with HTTP and Protobuf; `/v1/traces` is appended. Not set: there are no traces.",
    ),
    Setting::new(
        "otlp_headers",
        "ASKD_OTLP_HEADERS",
        Secret,
        Unset,
        "Headers for the collector, as `name=value,…`, percent-encoded where needed; often a key.",
    ),
    Setting::new(
        "otlp_ca",
        "ASKD_OTLP_CA",
        Path,
        Unset,
        "File with the certificates that an encrypted collector's must come from, PEM. Not set: the authorities that browsers trust.",
    ),
    Setting::new(
        "otlp_timeout",
        "ASKD_OTLP_TIMEOUT",
        SOME_TIME,
        Value("10s"),
        "How long the collector may take for one batch of spans; and how long a server that stops waits for the last ones, 30 s at most.",
    ),
    Setting::new(
        "trace_sample",
        "ASKD_TRACE_SAMPLE",
        Ratio,
        Value("1"),
        "Share of traces that is recorded. A request that brings a `traceparent` is recorded if its caller's trace is.",
    ),
    Setting::new(
        "trace_queue",
        "ASKD_TRACE_QUEUE",
        Integer(1, 1_000_000),
        Value("4096"),
        "Spans that may wait for the collector; further ones are dropped and counted.",
    ),
    Setting::new(
        "trace_run_spans",
        "ASKD_TRACE_RUN_SPANS",
        Integer(10, 1_000_000),
        Value("2000"),
        "Spans of one run; further ones are left out and counted in the run's own.",
    ),
    Setting::new(
        "trace_content",
        "ASKD_TRACE_CONTENT",
        Bool,
        Value("false"),
        "Whether spans hold prompts, answers, and what goes into tools and comes out of them: cut, and without known credentials. Whoever may read traces reads them then.",
    ),
    Setting::new(
        "trace_resource",
        "ASKD_TRACE_RESOURCE",
        Attributes,
        Unset,
        "What traces say of this server, as `name=value,…`, such as `service.name=askd-ci,deployment.environment.name=test`.",
    ),
];
