//! Runs, their events and metadata; sessions; idempotency keys; tokens for streams.
//!
//! Times are milliseconds since 1970. Columns have four types only, so that both engines read every statement alike.

use sea_orm::DbBackend;

/// What was asked lies apart from the run: a row that changes with every commit must be short.
const TABLES: &str = "
CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    key_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    workspace TEXT,
    state TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    owner TEXT NOT NULL,
    lease_until BIGINT,
    on_disconnect TEXT NOT NULL,
    last_seq BIGINT NOT NULL,
    log_bytes BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    first_event_at BIGINT,
    finished_at BIGINT,
    cli_version TEXT,
    result_seq BIGINT,
    denials BIGINT NOT NULL DEFAULT 0,
    events_expired BIGINT NOT NULL DEFAULT 0,
    error TEXT
);
CREATE INDEX runs_by_time ON runs (created_at, id);
CREATE INDEX runs_by_state ON runs (state, created_at, id);
CREATE INDEX runs_by_session ON runs (session_id, created_at, id);
CREATE INDEX runs_by_key ON runs (key_id, created_at, id);
CREATE INDEX runs_by_workspace ON runs (workspace, created_at, id) WHERE workspace IS NOT NULL;
CREATE INDEX runs_unfinished ON runs (created_at, id) WHERE finished_at IS NULL;
CREATE INDEX runs_finished ON runs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX runs_with_events ON runs (finished_at) WHERE events_expired <> 1;

CREATE TABLE run_requests (
    run_id TEXT PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
    request TEXT NOT NULL
);

CREATE TABLE run_metadata (
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (run_id, name)
);
CREATE INDEX run_metadata_by_value ON run_metadata (name, value, run_id);

CREATE TABLE event_chunks (
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    first_seq BIGINT NOT NULL,
    last_seq BIGINT NOT NULL,
    bytes {bytes} NOT NULL,
    PRIMARY KEY (run_id, first_seq)
);

CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    key_id TEXT NOT NULL,
    workspace TEXT,
    cost_baseline_usd DOUBLE PRECISION NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    last_run_at BIGINT NOT NULL
);
CREATE INDEX sessions_by_last_run ON sessions (last_run_at);

CREATE TABLE idempotency (
    key_id TEXT NOT NULL,
    route TEXT NOT NULL,
    idem_key TEXT NOT NULL,
    body_hash TEXT NOT NULL,
    run_id TEXT NOT NULL,
    answer TEXT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (key_id, route, idem_key)
);
CREATE INDEX idempotency_by_time ON idempotency (created_at);
CREATE INDEX idempotency_by_run ON idempotency (run_id);

CREATE TABLE stream_tokens (
    token_hash TEXT PRIMARY KEY,
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    expires_at BIGINT NOT NULL
);
CREATE INDEX stream_tokens_by_time ON stream_tokens (expires_at);
CREATE INDEX stream_tokens_by_run ON stream_tokens (run_id);
";

/// Chunks are compressed already; a run's row changes often, and room in its page keeps its indexes out of it.
const POSTGRES: &str = "
ALTER TABLE event_chunks ALTER COLUMN bytes SET STORAGE EXTERNAL;
ALTER TABLE runs SET (fillfactor = 70);
";

pub(super) fn statements(engine: DbBackend) -> Vec<String> {
    match engine {
        DbBackend::Postgres => vec![TABLES.replace("{bytes}", "BYTEA"), POSTGRES.to_owned()],
        _ => vec![TABLES.replace("{bytes}", "BLOB")],
    }
}
