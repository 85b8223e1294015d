//! Settings of readiness: when a server says that it wants no work.

use std::time::Duration;

use crate::settings::declaration::Fallback::Value;
use crate::settings::declaration::Kind::{Bool, Duration as Period, Integer};
use crate::settings::declaration::Setting;

pub(super) const HEALTH: &[Setting] = &[
    Setting::new(
        "cli_start_failures",
        "ASKD_CLI_START_FAILURES",
        Integer(0, 1_000),
        Value("3"),
        "After so many starts of the CLI in a row that fail before its first word, the server tries one itself, with nothing of \
         any request's; if that fails too, `/readyz` says no. 0: never.",
    )
    .reloadable(),
    Setting::new(
        "cli_check_every",
        "ASKD_CLI_CHECK_EVERY",
        Period(Duration::from_millis(50), Duration::from_hours(1)),
        Value("5s"),
        "How often the CLI's file is looked at. One that is another is asked for its version and started; one that does not \
         start is started again.",
    )
    .reloadable(),
    Setting::new(
        "ready_when_full",
        "ASKD_READY_WHEN_FULL",
        Bool,
        Value("true"),
        "Whether `/readyz` says yes while the queue is full. With `false` a load balancer sends new runs to other servers, \
         and the readers of this one's events as well.",
    )
    .reloadable(),
];
