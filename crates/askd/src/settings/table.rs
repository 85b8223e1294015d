//! Every setting, declared once. Flags, environment, settings file, listing and reference page come
//! from here.

use std::time::Duration;

use super::declaration::Fallback::Unset;
use super::declaration::Kind::{Duration as Period, Path};
use super::declaration::{Section, Setting};
use agents::{KEYS_AND_CREDENTIALS, WHAT_AN_AGENT_MAY_DO};
use files::{CONFIGURATION, FILES_AND_FOLDERS, STORE};
use health::HEALTH;
use metrics::METRICS;
use network::NETWORK;
use reach::{WHAT_A_RUN_MAY_REACH, WHAT_A_RUN_MAY_USE_UP};
use runs::{OUTPUT_OF_A_RUN, RUNS_AND_THE_QUEUE};
use server::{LOGGING, SERVER, STOPPING};
use tls::TLS;
use traces::TRACES;
use uploads::UPLOADS;

mod agents;
mod files;
mod health;
mod metrics;
mod network;
mod reach;
mod runs;
mod server;
mod tls;
mod traces;
mod uploads;

/// Timers far in the future overflow on some platforms; thirty days is longer than any run.
const LONGEST: Duration = Duration::from_hours(30 * 24);

/// Zero would mean "at once" to some readers and "never" to others, so it is refused.
const SOME_TIME: super::declaration::Kind = Period(Duration::from_millis(1), LONGEST);

/// How long something on disk is kept.
const KEPT: super::declaration::Kind = Period(Duration::from_mins(1), Duration::from_hours(24 * 3650));

/// The settings file itself. It is not in [`SECTIONS`]: the file cannot name itself.
pub const CONFIG: Setting = Setting::new(
    "config",
    "ASKD_CONFIG",
    Path,
    Unset,
    "TOML file with settings. Flags and environment variables win over it.",
);

/// Every setting, by heading.
pub const SECTIONS: &[Section] = &[
    Section { title: "Server", settings: SERVER },
    Section { title: "Network", settings: NETWORK },
    Section { title: "Encryption", settings: TLS },
    Section { title: "Keys and credentials", settings: KEYS_AND_CREDENTIALS },
    Section { title: "Files and folders", settings: FILES_AND_FOLDERS },
    Section { title: "Store", settings: STORE },
    Section { title: "Uploads", settings: UPLOADS },
    Section { title: "Configuration over HTTP", settings: CONFIGURATION },
    Section { title: "Runs and the queue", settings: RUNS_AND_THE_QUEUE },
    Section { title: "What an agent may do", settings: WHAT_AN_AGENT_MAY_DO },
    Section { title: "What a run may reach", settings: WHAT_A_RUN_MAY_REACH },
    Section { title: "What a run may use up", settings: WHAT_A_RUN_MAY_USE_UP },
    Section { title: "Output of a run", settings: OUTPUT_OF_A_RUN },
    Section { title: "Health", settings: HEALTH },
    Section { title: "Stopping", settings: STOPPING },
    Section { title: "Logging", settings: LOGGING },
    Section { title: "Metrics", settings: METRICS },
    Section { title: "Traces", settings: TRACES },
];

/// Every setting, in the order of the documentation.
pub fn all() -> impl Iterator<Item = &'static Setting> {
    SECTIONS.iter().flat_map(|section| section.settings)
}
