//! Settings of the server itself: its socket, its end, its log.

use std::time::Duration;

use super::SOME_TIME;
use crate::settings::choices::{Docs, LogFormat};
use crate::settings::declaration::Fallback::{Unset, Value};
use crate::settings::declaration::Kind::{Address, Bool, Choice, Duration as Period, Integer, LogFilter, Size};
use crate::settings::declaration::Setting;

pub(super) const SERVER: &[Setting] = &[
    Setting::new("listen", "ASKD_LISTEN", Address, Value("127.0.0.1:3000"), "Address and port to listen on."),
    Setting::new(
        "max_connections",
        "ASKD_MAX_CONNECTIONS",
        Integer(1, 1_000_000),
        Value("1024"),
        "Connections open at the same time. For a further one, the one goes that has waited longest for a request; while all are at work, further ones wait.",
    ),
    Setting::new(
        "max_requests_per_key",
        "ASKD_MAX_REQUESTS_PER_KEY",
        Integer(1, 1_000_000),
        Unset,
        "Requests of one key at work at the same time, open streams among them; further ones are refused. Not set: a quarter of `ASKD_MAX_CONNECTIONS`. `API_KEY` is not bounded by it.",
    ).reloadable(),
    Setting::new(
        "header_timeout",
        "ASKD_HEADER_TIMEOUT",
        SOME_TIME,
        Value("10s"),
        "How long a client may take to send a request's headers, and to agree on encryption before its first ones.",
    ),
    Setting::new(
        "write_timeout",
        "ASKD_WRITE_TIMEOUT",
        SOME_TIME,
        Value("30s"),
        "A client that takes no bytes for this long is dropped.",
    ),
    Setting::new(
        "last_byte_timeout",
        "ASKD_LAST_BYTE_TIMEOUT",
        SOME_TIME,
        Value("5m"),
        "How long a client may take for the rest of an answer that is complete, however steadily it reads. Then it is dropped.",
    ),
    Setting::new(
        "heartbeat",
        "ASKD_HEARTBEAT",
        SOME_TIME,
        Value("15s"),
        "A silent stream gets a comment this often, so that proxies keep it open.",
    ).reloadable(),
    Setting::new(
        "max_body",
        "ASKD_MAX_BODY",
        Size(1 << 10, 1 << 30),
        Value("2MiB"),
        "Largest request body. The default holds the longest prompt together with the longest system prompt, escaped.",
    ).reloadable(),
    Setting::new(
        "max_config_body",
        "ASKD_MAX_CONFIG_BODY",
        Size(1 << 10, 1 << 28),
        Value("16MiB"),
        "Largest body of a request to `/config` and `/v1/config`, in place of `ASKD_MAX_BODY`. The default holds the largest skill, as base64.",
    ).reloadable(),
    Setting::new(
        "body_timeout",
        "ASKD_BODY_TIMEOUT",
        SOME_TIME,
        Value("30s"),
        "How long a client may take to send a request's body.",
    ).reloadable(),
    Setting::new(
        "max_headers",
        "ASKD_MAX_HEADERS",
        Size(8 << 10, 1 << 20),
        Value("64KiB"),
        "Largest head of a request, its first line and all its headers together; roughly, since it is checked piece by piece as it arrives.",
    ),
    Setting::new(
        "max_header_count",
        "ASKD_MAX_HEADER_COUNT",
        Integer(10, 1000),
        Value("100"),
        "Most headers of a request.",
    ),
    Setting::new(
        "max_wait",
        "ASKD_MAX_WAIT",
        SOME_TIME,
        Value("10m"),
        "The most that `?wait=` may ask: how long a request is held open until its run has ended.",
    ).reloadable(),
    Setting::new(
        "legacy_lenient",
        "ASKD_LEGACY_LENIENT",
        Bool,
        Value("false"),
        "Drops unknown fields and coerces wrong types on `/ask` and `/config`, as the Node server did, instead of answering 400.",
    ),
    Setting::new(
        "docs",
        "ASKD_DOCS",
        Choice(Docs::WORDS),
        Value("auto"),
        "Who may see the documentation of the API, `/docs` and `/openapi.json`: `open` everybody, `key` who has a key, `off` nobody. `auto` is `open` where `ASKD_LISTEN` is an address of loopback, else `key`.",
    ),
];

pub(super) const STOPPING: &[Setting] = &[
    Setting::new(
        "stop_soft",
        "ASKD_STOP_SOFT",
        SOME_TIME,
        Value("5s"),
        "Grace after the CLI was asked to stop, before its input is closed.",
    )
    .reloadable(),
    Setting::new(
        "stop_eof",
        "ASKD_STOP_EOF",
        SOME_TIME,
        Value("5s"),
        "Grace after its input was closed, before SIGTERM.",
    )
    .reloadable(),
    Setting::new("stop_term", "ASKD_STOP_TERM", SOME_TIME, Value("5s"), "Grace after SIGTERM, before SIGKILL.")
        .reloadable(),
    Setting::new(
        "stop_kill",
        "ASKD_STOP_KILL",
        SOME_TIME,
        Value("10s"),
        "How long the end is waited for after SIGKILL before a leak is reported.",
    )
    .reloadable(),
    Setting::new(
        "drain_delay",
        "ASKD_DRAIN_DELAY",
        Period(Duration::ZERO, Duration::from_hours(1)),
        Value("0"),
        "How long a server that was asked to stop still takes new work, while `/readyz` says already that it wants none: as long as load balancers take to notice.",
    )
    .reloadable(),
    Setting::new(
        "shutdown_grace",
        "ASKD_SHUTDOWN_GRACE",
        SOME_TIME,
        Value("30s"),
        "How long runs may go on after the server was asked to stop and `ASKD_DRAIN_DELAY` is over.",
    )
    .reloadable(),
];

pub(super) const LOGGING: &[Setting] = &[
    Setting::new("log", "ASKD_LOG", LogFilter, Value("info"), "Which log lines are written.").reloadable(),
    Setting::new(
        "log_format",
        "ASKD_LOG_FORMAT",
        Choice(LogFormat::WORDS),
        Value("auto"),
        "How log lines are written: `auto` is for people on a terminal, else JSON.",
    ),
];
