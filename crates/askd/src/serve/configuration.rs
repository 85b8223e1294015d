//! The configuration that a server finds at its start.

use std::time::Duration;

use super::StartError;
use crate::aside::Gate;
use crate::config::dir::ConfigDir;
use crate::config::limits::Limits;
use crate::config::problem::Problem;
use crate::config::standing;

/// Warnings that the log gets. `askd doctor` and the API tell all of a document.
const MAX_WARNINGS: usize = 20;

/// Files are read, and JSON and YAML are checked recursively, to bounded depths.
static LOOKS: Gate = Gate::new(2, Duration::from_secs(20), 8 << 20);

/// Refuses what no run may start with. Runs are refused later if it becomes so.
pub(super) async fn check(dir: &ConfigDir) -> Result<(), StartError> {
    let dir = dir.clone();
    // Settings that are judged here are not judged again by a run, and the schema is compiled only where there are some.
    let refusals = LOOKS.run(move || standing::refusals(&dir)).await.map_err(|why| {
        tracing::error!(?why, "cannot read the configuration");
        StartError::Config("its files do not answer in time".to_owned())
    })?;
    standing::in_one_line(&refusals).map_or(Ok(()), |refusal| Err(StartError::Config(refusal)))
}

/// Warns of what the CLI would skip, and of what keeps every run from beginning. Nobody waits for it: thousands of documents
/// take a while to read.
pub(super) async fn warn(dir: ConfigDir, limits: Limits) {
    let copied = dir.clone();
    match LOOKS.run(move || standing::skipped(&dir, &limits)).await {
        Ok(found) => tell(&found.warnings),
        Err(why) => tracing::warn!("configuration: it was not checked: {why}"),
    }
    // Apart: it may take long where the other does not.
    match LOOKS.run(move || standing::uncopied(&copied)).await {
        Ok(None) => {}
        Ok(Some(problem)) => tracing::warn!("configuration: {problem}; hint: {}", standing::TO_BE_COPIED),
        Err(why) => tracing::warn!("configuration: whether runs can be given a copy is not known: {why}"),
    }
}

fn tell(warnings: &[Problem]) {
    for problem in warnings.iter().take(MAX_WARNINGS) {
        tracing::warn!("configuration: {problem}");
    }
    if let Some(more @ 1..) = warnings.len().checked_sub(MAX_WARNINGS) {
        tracing::warn!("configuration: {more} more of these; GET /v1/config and POST /v1/config/validate tell all");
    }
}
