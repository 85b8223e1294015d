//! What confines a run.

use sea_orm::DbBackend;

/// JSON; absent for runs that never had their turn, and for those of earlier versions.
pub(super) fn statements(_engine: DbBackend) -> Vec<String> {
    vec!["ALTER TABLE runs ADD COLUMN isolation TEXT".to_owned()]
}
