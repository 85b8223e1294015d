//! The configuration that a server finds at its start.

use super::StartError;
use crate::config::dir::ConfigDir;
use crate::config::limits::Limits;
use crate::config::standing;

/// Warnings that the log gets. `askd doctor` and the API tell all of a document.
const MAX_WARNINGS: usize = 20;

/// Refuses what no run may start with, and warns of the rest. Runs are refused later if it becomes so.
pub(super) fn check(dir: &ConfigDir, limits: &Limits) -> Result<(), StartError> {
    // Settings that are judged here are not judged again by a run, and the schema is compiled only where there are some.
    let found = standing::examine(dir, limits);
    if let Some(refusal) = found.refusal() {
        return Err(StartError::Config(refusal));
    }
    for problem in found.warnings.iter().take(MAX_WARNINGS) {
        tracing::warn!("configuration: {problem}");
    }
    if let Some(more @ 1..) = found.warnings.len().checked_sub(MAX_WARNINGS) {
        tracing::warn!("configuration: {more} more of these; GET /v1/config and POST /v1/config/validate tell all");
    }
    Ok(())
}
