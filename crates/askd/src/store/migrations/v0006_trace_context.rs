//! Where a run stands in a trace: its span goes on after its request, also on another server. And which askd has brought the
//! tables to their version, for an earlier one to say.

use sea_orm::DbBackend;

/// JSON; `NULL` for a run outside of any trace, and for those of earlier versions.
const TABLES: &str = "ALTER TABLE runs ADD COLUMN trace_context TEXT";

const STORE: &str = "ALTER TABLE store ADD COLUMN brought_by TEXT";

pub(super) fn statements(_: DbBackend) -> Vec<String> {
    vec![TABLES.to_owned(), STORE.to_owned()]
}
