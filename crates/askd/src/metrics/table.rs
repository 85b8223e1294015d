//! Every metric, declared once. Names, units and labels are an interface.
//!
//! Names have base units and no ids: a label has one of few values, and what its values are is said in [`LABELS`].

use std::fmt;

use prometheus_client::encoding::EncodeMetric;
use prometheus_client::metrics::TypedMetric;
use prometheus_client::registry::{Registry, Unit as Suffix};

use super::kinds::{
    Counter, Counters, Elapsed, Fraction, Gauge, Gauges, Histogram, Histograms, Kind, Registered, Spending,
};
use super::words::{self, FAILURES, LIMITS};

/// What the numbers of a metric are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things that are counted, or 0 and 1.
    Number,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// US dollars.
    Usd,
}

impl Unit {
    /// Its word, with which the name ends; `None` for plain numbers.
    pub fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Number => None,
            Self::Seconds => Some("seconds"),
            Self::Bytes => Some("bytes"),
            Self::Usd => Some("usd"),
        }
    }
}

/// A metric as it is declared.
#[derive(Debug)]
pub struct Declared {
    /// Without unit and suffix.
    base: &'static str,
    /// What its numbers are.
    pub unit: Unit,
    /// What it is to whoever reads it.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// The upper bounds of a histogram's buckets.
    pub buckets: &'static [f64],
    /// What it means, for people; without the full stop.
    pub help: &'static str,
}

impl Declared {
    /// The name by which it is asked for, with its unit, and `_total` for a counter. A histogram's samples have `_bucket`,
    /// `_sum` and `_count` besides.
    pub fn name(&self) -> String {
        let total = if self.kind == Kind::Counter { "_total" } else { "" };
        match self.unit.as_str() {
            Some(unit) => format!("{}_{unit}{total}", self.base),
            None => format!("{}{total}", self.base),
        }
    }

    pub(super) fn enter(
        &'static self,
        registry: &mut Registry,
        metric: impl EncodeMetric + TypedMetric + fmt::Debug + Send + Sync + 'static,
    ) {
        let unit = match self.unit {
            Unit::Number => return registry.register(self.base, self.help, metric),
            Unit::Seconds => Suffix::Seconds,
            Unit::Bytes => Suffix::Bytes,
            Unit::Usd => Suffix::Other("usd".to_owned()),
        };
        registry.register_with_unit(self.base, self.help, unit, metric);
    }
}

/// From a commit of some milliseconds to one that is given up.
const COMMITS: &[f64] = &[0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Answers that need no run take milliseconds, the others as long as their run.
const ANSWERS: &[f64] =
    &[0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0];
/// A start takes a tenth of a second as a rule.
const STARTS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];
/// From the CLI's own start to a model that thinks for minutes.
const FIRST_EVENTS: &[f64] = &[0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0];
/// From at once to hours.
const WAITS: &[f64] = &[0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0];
/// From an answer of one sentence to a day's work.
const RUNS: &[f64] = &[
    0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0, 43200.0, 86400.0,
];
/// From one event to a full chunk.
const CHUNKS: &[f64] = &[256.0, 1024.0, 4096.0, 16384.0, 65536.0, 131_072.0, 262_144.0, 1_048_576.0, 16_777_216.0];
/// Up to what one commit holds.
const BATCHES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];
/// From those at the tail to those who read from the beginning.
const LAGS: &[f64] = &[0.0, 1.0, 10.0, 100.0, 1000.0, 10_000.0, 100_000.0, 1_000_000.0];
/// From a small CLI to one whose commands compile.
const MEMORY: &[f64] = &[
    67_108_864.0,
    134_217_728.0,
    268_435_456.0,
    402_653_184.0,
    536_870_912.0,
    805_306_368.0,
    1_073_741_824.0,
    2_147_483_648.0,
    4_294_967_296.0,
    8_589_934_592.0,
    17_179_869_184.0,
];

/// What the values of each label are.
pub const LABELS: &[(&str, &str)] = &[
    ("action", "what the history says of a change"),
    (
        "bucket",
        "`ask`, `config`, `runs`, `v1`: the limits of requests a minute; `at_once`: requests at the same time; `wrong_keys`: the limit of wrong keys by address",
    ),
    ("check", "a check of `/readyz?verbose`"),
    (
        "code",
        "of errors: an error code of `docs/errors`, as the routes of the Node server tell it; of warnings: their code in `docs/reference/events.md`",
    ),
    ("form", "`raw`: as the events are; `stored`: compressed"),
    ("key", "the id of a key, `admin` for `API_KEY`; beyond `ASKD_METRICS_MAX_KEYS` keys `other`"),
    ("kind", "of tokens: `input`, `output`, `cache_read`, `cache_write`; of readers: `sse`, `ndjson`, `ask`, `wait`"),
    ("label", "`model` or `key`"),
    ("layer", "what confines runs: the word of `/v1/isolation`"),
    ("method", "a method of HTTP that some route has, else `other`"),
    (
        "model",
        "a model by the name that the CLI uses; `unknown` where nobody said; beyond `ASKD_METRICS_MAX_MODELS` models `other`",
    ),
    ("priority", "`low`, `normal`, `high`"),
    ("problem", "`full`, `unavailable`, `busy`, `mistake`"),
    (
        "reason",
        "of runs that ended: their `error.type` of `docs/reference/outcomes.md`, `none` for those that completed; of what was refused or dropped: a word for why, see below",
    ),
    (
        "result",
        "of reloads: `ok` or `invalid`; of the guard: `pass`, `deny` or `failed`; of spans: `exported` to the collector or `dropped`",
    ),
    ("route", "the route as this server declares it, never a path; `-` where there is none"),
    ("state", "the state of a run"),
    ("status", "a status of HTTP; 499: the client left before its answer began"),
    ("type", "the `error.type` of v1, in `docs/errors`"),
    ("version", "a version"),
];

macro_rules! table {
    ($($field:ident: $kind:ty, $base:literal $unit:ident [$($label:literal)*] $(in $buckets:ident)? $help:literal)*) => {
        /// A field for every metric.
        #[expect(clippy::doc_markdown, reason = "Prometheus shows these texts, and knows no Markdown")]
        #[derive(Debug)]
        pub struct Table {
            $(
                #[doc = $help]
                pub $field: $kind,
            )*
        }

        /// Every metric, in the order of the documentation.
        pub static DECLARED: &[&Declared] = &[$(declared::$field),*];

        mod declared {
            use super::*;
            $(
                #[expect(non_upper_case_globals, reason = "named as its field")]
                pub(super) static $field: &Declared = &Declared {
                    base: $base,
                    unit: Unit::$unit,
                    kind: <$kind as Registered>::KIND,
                    labels: &[$($label),*],
                    buckets: { let buckets: &[f64] = &[]; $(let _ = buckets; let buckets = $buckets;)? buckets },
                    help: $help,
                };
                const _: () = assert!(
                    <[&str]>::len(&[$($label),*]) == <$kind as Registered>::LABELS,
                    "a metric has as many labels as its type says"
                );
            )*
        }

        impl Table {
            pub(super) fn register(registry: &mut Registry) -> Self {
                Self { $($field: Registered::register(declared::$field, registry)),* }
            }
        }
    };
}

table! {
    queue_waiting: Gauges<1>, "askd_queue_waiting" Number ["priority"]
        "Runs that wait for their turn"
    queue_limit: Gauge, "askd_queue_limit" Number []
        "Runs that may wait for their turn (ASKD_QUEUE_LENGTH)"
    queue_oldest: Fraction, "askd_queue_oldest_wait" Seconds []
        "How long the run has waited since its submission that waits longest; 0 while none waits"
    queue_wait: Histogram, "askd_queue_wait" Seconds [] in WAITS
        "From a run's submission to its turn"

    runs_running: Gauge, "askd_runs_running" Number []
        "Runs that have their turn"
    runs_limit: Gauge, "askd_runs_limit" Number []
        "Runs that may have their turn at the same time (MAX_CONCURRENT)"
    runs_submitted: Counters<1>, "askd_runs_submitted" Number ["route"]
        "Runs that were taken in; what a repeated Idempotency-Key led to is not counted again"
    runs_refused: Counters<2>, "askd_runs_refused" Number ["route" "reason"]
        "Requests for runs that were understood and not taken in"
    runs_ended: Counters<2>, "askd_runs_ended" Number ["state" "reason"]
        "Runs whose end is stored"
    run_first_event: Histogram, "askd_run_first_event" Seconds [] in FIRST_EVENTS
        "From a run's turn to the first message of the CLI"
    run_duration: Histograms<1>, "askd_run_duration" Seconds ["state"] in RUNS
        "From a run's turn to its end; runs that were lost, or never had a turn, are not in it"
    run_warnings: Counters<1>, "askd_run_warnings" Number ["code"]
        "Warnings of runs (run.warning)"

    tokens: Counters<3>, "askd_tokens" Number ["model" "key" "kind"]
        "Tokens of runs that have ended, as GET /v1/usage counts them"
    cost: Spending<2>, "askd_cost" Usd ["model" "key"]
        "Estimated cost of runs that have ended, as GET /v1/usage counts it"
    web_searches: Counters<2>, "askd_web_searches" Number ["model" "key"]
        "Searches of the web by runs that have ended"

    cli_threads: Gauge, "askd_cli_threads" Number []
        "Threads of all processes of runs, the CLI's and those of its commands, at the last look; 0 while no run works"
    cli_memory: Gauge, "askd_cli_memory" Bytes []
        "Memory of all processes of runs at the last look; 0 while no run works"
    cli_children: Gauge, "askd_cli_children" Number []
        "Runs whose CLI was started and whose processes may be alive"
    run_memory: Histogram, "askd_run_memory_peak" Bytes [] in MEMORY
        "The most memory that a run was seen to have; runs that end between two looks are not in it"
    cli_start: Histogram, "askd_cli_start" Seconds [] in STARTS
        "How long it took to start the CLI, in its confinement, to the moment in which it runs"
    cli_start_failures: Counters<1>, "askd_cli_start_failures" Number ["reason"]
        "CLIs that could not be started"
    leaked: Counter, "askd_processes_leaked" Number []
        "Processes of runs that could not be ended"
    credential_failures: Counter, "askd_credential_failures" Number []
        "Runs for which ASKD_API_KEY_HELPER gave no key"
    guard_running: Gauge, "askd_guard_processes" Number []
        "Processes in which the guard reads commands"
    guard_verdicts: Counters<1>, "askd_guard_verdicts" Number ["result"]
        "Commands that the guard read in a process of its own"

    store_up: Gauge, "askd_store_up" Number []
        "1 while the store takes commits, 0 while it fails"
    store_waiting: Gauge, "askd_store_waiting_operations" Number []
        "Changes that wait for the store's writer"
    store_commit: Histogram, "askd_store_commit" Seconds [] in COMMITS
        "How long a commit took, from its first statement to the answer of the database"
    store_batch: Histogram, "askd_store_commit_operations" Number [] in BATCHES
        "Changes in one commit"
    store_failures: Counters<1>, "askd_store_failures" Number ["problem"]
        "Commits that failed; one of several changes that was tried again change by change counts for those that failed then"
    store_chunk: Histogram, "askd_store_chunk" Bytes [] in CHUNKS
        "Bytes of events in one chunk, before compression"
    store_events: Counters<1>, "askd_store_event" Bytes ["form"]
        "Bytes of events that were stored"
    store_wal: Gauge, "askd_store_wal" Bytes []
        "The log of SQLite when it was last brought into its file; 0 with PostgreSQL"

    readers: Gauges<1>, "askd_readers" Number ["kind"]
        "Clients that follow a run"
    reader_lag: Histogram, "askd_reader_lag_events" Number [] in LAGS
        "How many events of a live run were stored that a reader was not yet given, each time it was given some"
    slow_clients: Counters<1>, "askd_slow_clients_dropped" Number ["reason"]
        "Connections that were cut because their client took nothing, or too little"
    deltas_dropped: Counter, "askd_deltas_dropped" Number []
        "Partial messages that a reader was too slow for; the full message follows"

    http_requests: Counters<3>, "askd_http_requests" Number ["method" "route" "status"]
        "Requests that were answered, or whose client left before"
    http_duration: Histograms<2>, "askd_http_request_duration" Seconds ["method" "route"] in ANSWERS
        "From a request's head to the head of its answer"
    http_in_flight: Gauge, "askd_http_requests_in_flight" Number []
        "Requests whose answer has not begun"
    http_connections: Gauge, "askd_http_connections" Number []
        "Open connections"
    http_connections_limit: Gauge, "askd_http_connections_limit" Number []
        "Connections that may be open (ASKD_MAX_CONNECTIONS)"
    errors: Counters<2>, "askd_errors" Number ["type" "code"]
        "Errors that requests were answered with; not those within a stream that has begun"
    rate_limited: Counters<1>, "askd_rate_limited" Number ["bucket"]
        "Requests that were one too many"
    auth_failures: Counters<1>, "askd_auth_failures" Number ["reason"]
        "Requests without a key that counts"

    config_changes: Counters<1>, "askd_config_changes" Number ["action"]
        "Changes of the configuration that are in force"
    uploads: Counter, "askd_upload" Bytes []
        "Bytes of uploads that were kept"
    disk_free: Gauge, "askd_disk_free" Bytes []
        "Free on the disk of ASKD_DATA_DIR for the user of the server, at the last look"
    disk_size: Gauge, "askd_disk_size" Bytes []
        "The size of that disk"
    disk_minimum: Gauge, "askd_disk_minimum_free" Bytes []
        "What must be free for new runs (ASKD_MIN_FREE_DISK)"

    ready: Gauges<1>, "askd_ready" Number ["check"]
        "1 for every check of readiness that holds; all together: check=\"all\""
    draining: Gauge, "askd_draining" Number []
        "1 from the moment at which the server is asked to stop"
    reloads: Counters<1>, "askd_reloads" Number ["result"]
        "Times that the settings were read again (SIGHUP)"
    certificate_expiry: Gauge, "askd_tls_certificate_expiry_timestamp" Seconds []
        "When the certificate in use ends, in seconds since 1970; 0 without encryption, or where it is not known"
    names_beyond: Counters<1>, "askd_metrics_names_beyond" Number ["label"]
        "Times that a name was counted as other, since there were too many"
    log_lines_dropped: Counter, "askd_log_lines_dropped" Number []
        "Lines of the log that found no room because nobody took them"
    trace_spans: Counters<1>, "askd_trace_spans" Number ["result"]
        "Spans, by what became of them (ASKD_OTLP_ENDPOINT)"
    build: Gauges<1>, "askd_build_info" Number ["version"]
        "1, with the version of askd"
    cli: Gauges<1>, "askd_cli_info" Number ["version"]
        "1, with the version of the CLI"
    isolation: Gauges<1>, "askd_isolation_info" Number ["layer"]
        "1, with what confines runs"

    process_cpu: Elapsed, "process_cpu" Seconds []
        "Processor time that the server itself has taken"
    process_memory: Gauge, "process_resident_memory" Bytes []
        "Memory of the server itself"
    process_virtual: Gauge, "process_virtual_memory" Bytes []
        "Address space of the server itself"
    process_fds: Gauge, "process_open_fds" Number []
        "Open descriptors of the server itself"
    process_max_fds: Gauge, "process_max_fds" Number []
        "Descriptors that it may have open"
    process_threads: Gauge, "process_threads" Number []
        "Threads of the server itself"
    process_start: Fraction, "process_start_time" Seconds []
        "When the server was started, in seconds since 1970"
}

impl Table {
    /// Makes the series whose values are known: whoever looks at how a counter grows does not see its first step, if that
    /// makes it.
    pub(super) fn begin_at_zero(&self) {
        let words = |label| words::of(declared::runs_refused, label).unwrap_or_default();
        for &route in words("route") {
            for &reason in words("reason") {
                self.runs_refused.of([route, reason]);
            }
        }
        self.runs_ended.of(["completed", "none"]);
        self.runs_ended.of(["cancelled", "cancelled"]);
        self.runs_ended.of(["lost", "lost"]);
        for reason in FAILURES {
            self.runs_ended.of(["failed", reason]);
        }
        for reason in LIMITS {
            self.runs_ended.of(["incomplete", reason]);
        }
        self.errors.of(["api_error", "INTERNAL_ERROR"]);
        self.run_duration.begin();
        self.readers.begin();
        for counters in [
            &self.runs_submitted,
            &self.run_warnings,
            &self.cli_start_failures,
            &self.guard_verdicts,
            &self.store_failures,
            &self.store_events,
            &self.slow_clients,
            &self.rate_limited,
            &self.auth_failures,
            &self.config_changes,
            &self.reloads,
            &self.names_beyond,
            &self.trace_spans,
        ] {
            counters.begin();
        }
    }
}
