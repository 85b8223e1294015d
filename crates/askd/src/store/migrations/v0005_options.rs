//! What runs can be asked and what they have used: usage by model, warnings, uploads, secrets of runs that wait.
//!
//! Amounts are millionths of a US dollar. A day is the number of days since 1970, UTC.

use sea_orm::DbBackend;

/// `usage_models` has the same sums as `usage_days`, by model; what cannot be told of a model has the name ''. Of a run with
/// two models each has a row: `runs` counts it in both, `ended` in one, so that the sum of `ended` is the number of runs.
/// `usage_sessions` has the same sums by session, as long as the session is kept. An upload's row comes first and claims the
/// room, which is summed up from `uploads_by_key` alone; its bytes lie in parts. `run_secrets` is sealed, and goes when the
/// run begins. `run_options` has the requests without what may be long, for lists, in a table of its own: a page of them
/// reads nothing of the long ones. Runs of earlier versions have none.
const TABLES: &str = "
ALTER TABLE runs ADD COLUMN usage TEXT;
ALTER TABLE runs ADD COLUMN warnings TEXT;
ALTER TABLE runs ADD COLUMN answer_seq BIGINT;
ALTER TABLE sessions ADD COLUMN runs BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN cost_micros BIGINT NOT NULL DEFAULT 0;

CREATE TABLE usage_models (
    key_id TEXT NOT NULL,
    day BIGINT NOT NULL,
    workspace TEXT NOT NULL,
    model TEXT NOT NULL,
    ended BIGINT NOT NULL,
    runs BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    cache_read_tokens BIGINT NOT NULL,
    cache_write_tokens BIGINT NOT NULL,
    web_searches BIGINT NOT NULL,
    cost_micros BIGINT NOT NULL,
    PRIMARY KEY (key_id, day, workspace, model)
);
CREATE INDEX usage_models_by_day ON usage_models (day);

CREATE TABLE usage_sessions (
    session_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    day BIGINT NOT NULL,
    workspace TEXT NOT NULL,
    model TEXT NOT NULL,
    ended BIGINT NOT NULL,
    runs BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    cache_read_tokens BIGINT NOT NULL,
    cache_write_tokens BIGINT NOT NULL,
    web_searches BIGINT NOT NULL,
    cost_micros BIGINT NOT NULL,
    PRIMARY KEY (session_id, key_id, day, workspace, model)
);
CREATE INDEX usage_sessions_by_day ON usage_sessions (day);
CREATE INDEX usage_sessions_by_key ON usage_sessions (key_id, day);

CREATE TABLE uploads (
    id TEXT PRIMARY KEY,
    key_id TEXT NOT NULL,
    media_type TEXT NOT NULL,
    name TEXT,
    size BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    is_complete BIGINT NOT NULL
);
CREATE INDEX uploads_by_key ON uploads (key_id, created_at, id, is_complete, size);
CREATE INDEX uploads_by_time ON uploads (created_at, id);
CREATE INDEX uploads_by_end ON uploads (expires_at);

CREATE TABLE upload_parts (
    upload_id TEXT NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
    part BIGINT NOT NULL,
    bytes {bytes} NOT NULL,
    PRIMARY KEY (upload_id, part)
);

CREATE TABLE run_uploads (
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    upload_id TEXT NOT NULL REFERENCES uploads (id),
    PRIMARY KEY (run_id, upload_id)
);
CREATE INDEX run_uploads_by_upload ON run_uploads (upload_id);

CREATE TABLE run_options (
    run_id TEXT PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
    options TEXT NOT NULL
);

CREATE TABLE run_secrets (
    run_id TEXT PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
    sealed {bytes} NOT NULL
);
";

/// What earlier versions have counted: of no model, and by session what is left of its runs.
const COUNTED: &str = "
INSERT INTO usage_models (key_id, day, workspace, model, ended, runs, input_tokens, output_tokens, cache_read_tokens,
    cache_write_tokens, web_searches, cost_micros)
    SELECT key_id, day, workspace, '', runs, runs, 0, 0, 0, 0, 0, cost_micros FROM usage_days;
INSERT INTO usage_sessions (session_id, key_id, day, workspace, model, ended, runs, input_tokens, output_tokens,
    cache_read_tokens, cache_write_tokens, web_searches, cost_micros)
    SELECT session_id, key_id, created_at / 86400000, COALESCE(workspace, ''), '', COUNT(*), COUNT(*), 0, 0, 0, 0, 0,
        CAST(SUM(COALESCE(cost_micros, 0)) AS BIGINT)
    FROM runs WHERE finished_at IS NOT NULL
    GROUP BY session_id, key_id, created_at / 86400000, COALESCE(workspace, '');
UPDATE sessions SET
    runs = COALESCE((SELECT CAST(SUM(u.ended) AS BIGINT) FROM usage_sessions u WHERE u.session_id = sessions.id), 0),
    cost_micros =
        COALESCE((SELECT CAST(SUM(u.cost_micros) AS BIGINT) FROM usage_sessions u WHERE u.session_id = sessions.id), 0);
";

pub(super) fn statements(engine: DbBackend) -> Vec<String> {
    let bytes = if engine == DbBackend::Postgres { "BYTEA" } else { "BLOB" };
    vec![TABLES.replace("{bytes}", bytes), COUNTED.to_owned()]
}
