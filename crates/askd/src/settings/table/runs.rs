//! Settings of runs: how many, how long, how much they say.

use super::SOME_TIME;
use crate::settings::declaration::Fallback::Value;
use crate::settings::declaration::Kind::{Integer, Size, Usd};
use crate::settings::declaration::Setting;

pub(super) const RUNS_AND_THE_QUEUE: &[Setting] = &[
    Setting::new("max_concurrent", "MAX_CONCURRENT", Integer(1, 1_000), Value("3"), "Runs at the same time.").reloadable(),
    Setting::new(
        "queue_length",
        "ASKD_QUEUE_LENGTH",
        Integer(0, 1_000_000),
        Value("100"),
        "How many runs may wait for their turn; further ones are refused at once.",
    ).reloadable(),
    Setting::new(
        "budget_margin",
        "ASKD_BUDGET_MARGIN",
        Usd(0, 1_000_000_000),
        Value("0.10"),
        "What one more call of the model may cost, in US dollars. It is set aside besides a run's budget, since the CLI looks \
         at the budget between two calls.",
    ).reloadable(),
    Setting::new(
        "schema_repairs",
        "ASKD_SCHEMA_REPAIRS",
        Integer(0, 3),
        Value("1"),
        "How often a run asks the model again for an answer that does not fit the schema of its request.",
    ).reloadable(),
    Setting::new("queue_timeout", "QUEUE_TIMEOUT", SOME_TIME, Value("30s"), "How long a run may wait for its turn.").reloadable(),
    Setting::new(
        "run_queue_timeout",
        "ASKD_RUN_QUEUE_TIMEOUT",
        SOME_TIME,
        Value("24h"),
        "How long a run that was submitted to `/v1/runs` may wait for its turn.",
    ).reloadable(),
    Setting::new("process_timeout", "PROCESS_TIMEOUT", SOME_TIME, Value("15m"), "How long a run may take.").reloadable(),
    Setting::new(
        "max_run_time",
        "ASKD_MAX_RUN_TIME",
        SOME_TIME,
        Value("24h"),
        "The most that `timeout_seconds` of a request may ask, and the ceiling of `PROCESS_TIMEOUT`.",
    ).reloadable(),
    Setting::new(
        "first_output_timeout",
        "ASKD_FIRST_OUTPUT_TIMEOUT",
        SOME_TIME,
        Value("60s"),
        "A CLI that has written nothing for this long after its start is ended.",
    ).reloadable(),
    Setting::new(
        "idle_timeout",
        "ASKD_IDLE_TIMEOUT",
        SOME_TIME,
        Value("15m"),
        "A CLI that writes nothing for this long in the middle of a run is ended.",
    ).reloadable(),
    Setting::new(
        "result_grace",
        "ASKD_RESULT_GRACE",
        SOME_TIME,
        Value("10s"),
        "How long a CLI that has given its result may take to say that nothing follows.",
    ).reloadable(),
];

pub(super) const OUTPUT_OF_A_RUN: &[Setting] = &[
    Setting::new(
        "max_line",
        "ASKD_MAX_LINE",
        Size(1 << 10, 1 << 30),
        Value("64MiB"),
        "Longest line that is read from the CLI.",
    )
    .reloadable(),
    Setting::new(
        "max_output",
        "ASKD_MAX_OUTPUT",
        Size(1 << 10, 1 << 40),
        Value("1GiB"),
        "Most output of one run; a run that writes more is ended.",
    )
    .reloadable(),
    Setting::new(
        "ring_bytes",
        "ASKD_RING_BYTES",
        Size(1 << 10, 1 << 30),
        Value("4MiB"),
        "Events of a run that are kept in memory for its followers.",
    )
    .reloadable(),
    Setting::new(
        "pending_bytes",
        "ASKD_PENDING_BYTES",
        Size(64 << 10, 1 << 30),
        Value("3MiB"),
        "Events of a run that wait to be stored; when it is reached, the CLI pauses.",
    )
    .reloadable(),
    Setting::new(
        "stderr_tail",
        "ASKD_STDERR_TAIL",
        Size(1 << 10, 1 << 30),
        Value("64KiB"),
        "How much of the end of the CLI's error output is kept.",
    )
    .reloadable(),
];
