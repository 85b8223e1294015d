//! What must hold however often it is tried, so it is tried often: campaigns against the program itself, as a process.
//!
//! `scripts/soak` runs them with many rounds. Without the variables of [`campaign`] there are a few, for `scripts/test`.
//! What they have found, and how often they were run, is in `docs/evidence`.

mod backups;
mod campaign;
mod client;
#[expect(
    dead_code,
    clippy::unwrap_used,
    reason = "the store's tests do more with it; a helper of tests is a test, too"
)]
#[path = "../store/cluster.rs"]
mod cluster;
mod config;
mod cut_readers;
mod kills;
mod orphans;
mod place;
mod processes;
