//! Where a run stands in a trace: its span goes on after its request, also on another server.

use sea_orm::DbBackend;

/// JSON; `NULL` for a run outside of any trace, and for those of earlier versions.
const TABLES: &str = "ALTER TABLE runs ADD COLUMN trace_context TEXT";

pub(super) fn statements(_: DbBackend) -> Vec<String> {
    vec![TABLES.to_owned()]
}
