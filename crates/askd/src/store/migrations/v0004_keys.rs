//! Keys, what they have done, and what their runs cost.
//!
//! Amounts are millionths of a US dollar. A day is the number of days since 1970, UTC.

use sea_orm::DbBackend;

/// A key's secrets lie apart: one that is replaced counts a while longer.
///
/// `budget_days` has one row for a key and a day on which runs with a budget were taken in: `reserved_micros` is the sum of
/// what is set aside for those of them that have not ended. `usage_days` has what the runs of a day have cost; it outlives
/// them.
const TABLES: &str = "
CREATE TABLE keys (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    scopes TEXT NOT NULL,
    policy TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    last_used_at BIGINT,
    last_used_address TEXT
);
CREATE INDEX keys_by_time ON keys (created_at, id);
CREATE INDEX keys_revoked ON keys (revoked_at) WHERE revoked_at IS NOT NULL;

CREATE TABLE key_secrets (
    key_id TEXT NOT NULL REFERENCES keys (id) ON DELETE CASCADE,
    hash TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    PRIMARY KEY (key_id, hash)
);

CREATE TABLE audit (
    id TEXT PRIMARY KEY,
    created_at BIGINT NOT NULL,
    key_id TEXT,
    address TEXT,
    request_id TEXT,
    action TEXT NOT NULL,
    subject TEXT,
    outcome TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX audit_by_time ON audit (created_at, id);
CREATE INDEX audit_by_key ON audit (key_id, created_at, id);
CREATE INDEX audit_by_action ON audit (action, created_at, id);

CREATE TABLE budget_days (
    key_id TEXT NOT NULL,
    day BIGINT NOT NULL,
    spent_micros BIGINT NOT NULL,
    reserved_micros BIGINT NOT NULL,
    PRIMARY KEY (key_id, day)
);
CREATE INDEX budget_days_by_day ON budget_days (day);

CREATE TABLE usage_days (
    key_id TEXT NOT NULL,
    day BIGINT NOT NULL,
    workspace TEXT NOT NULL,
    runs BIGINT NOT NULL,
    cost_micros BIGINT NOT NULL,
    PRIMARY KEY (key_id, day, workspace)
);
CREATE INDEX usage_days_by_day ON usage_days (day);

DROP INDEX config_changes_by_time;
CREATE INDEX config_changes_by_time ON config_changes (created_at, id);
CREATE INDEX config_changes_by_key ON config_changes (key_id, created_at, id);

ALTER TABLE runs ADD COLUMN cost_micros BIGINT;
ALTER TABLE runs ADD COLUMN reserved_micros BIGINT;
ALTER TABLE runs ADD COLUMN budget_day BIGINT;
ALTER TABLE stream_tokens ADD COLUMN key_id TEXT;
";

pub(super) fn statements(_engine: DbBackend) -> Vec<String> {
    vec![TABLES.to_owned()]
}
