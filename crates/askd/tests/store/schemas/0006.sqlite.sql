-- A database of schema version 6, written by tests/store/schema.rs.
CREATE TABLE store (id BIGINT PRIMARY KEY CHECK (id = 1), version BIGINT NOT NULL, probes BIGINT NOT NULL DEFAULT 0, brought_by TEXT);
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
, isolation TEXT, cost_micros BIGINT, reserved_micros BIGINT, budget_day BIGINT, usage TEXT, warnings TEXT, answer_seq BIGINT, trace_context TEXT);
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
CREATE TABLE event_chunks (
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    first_seq BIGINT NOT NULL,
    last_seq BIGINT NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (run_id, first_seq)
);
CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    key_id TEXT NOT NULL,
    workspace TEXT,
    cost_baseline_usd DOUBLE PRECISION NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    last_run_at BIGINT NOT NULL
, runs BIGINT NOT NULL DEFAULT 0, cost_micros BIGINT NOT NULL DEFAULT 0);
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
CREATE TABLE stream_tokens (
    token_hash TEXT PRIMARY KEY,
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    expires_at BIGINT NOT NULL
, key_id TEXT);
CREATE TABLE config_changes (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    batch TEXT,
    workspace TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    action TEXT NOT NULL,
    state TEXT NOT NULL,
    before_hash TEXT,
    after_hash TEXT,
    is_kept BIGINT NOT NULL,
    key_id TEXT,
    address TEXT,
    request_id TEXT,
    created_at BIGINT NOT NULL
);
CREATE TABLE config_contents (
    hash TEXT PRIMARY KEY,
    size BIGINT NOT NULL,
    bytes BLOB NOT NULL,
    used_at BIGINT NOT NULL
);
CREATE TABLE config_content_files (
    manifest TEXT NOT NULL REFERENCES config_contents (hash) ON DELETE CASCADE,
    file TEXT NOT NULL,
    PRIMARY KEY (manifest, file)
);
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
CREATE TABLE budget_days (
    key_id TEXT NOT NULL,
    day BIGINT NOT NULL,
    spent_micros BIGINT NOT NULL,
    reserved_micros BIGINT NOT NULL,
    PRIMARY KEY (key_id, day)
);
CREATE TABLE usage_days (
    key_id TEXT NOT NULL,
    day BIGINT NOT NULL,
    workspace TEXT NOT NULL,
    runs BIGINT NOT NULL,
    cost_micros BIGINT NOT NULL,
    PRIMARY KEY (key_id, day, workspace)
);
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
CREATE TABLE upload_parts (
    upload_id TEXT NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
    part BIGINT NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (upload_id, part)
);
CREATE TABLE run_uploads (
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    upload_id TEXT NOT NULL REFERENCES uploads (id),
    PRIMARY KEY (run_id, upload_id)
);
CREATE TABLE run_options (
    run_id TEXT PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
    options TEXT NOT NULL
);
CREATE TABLE run_secrets (
    run_id TEXT PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
    sealed BLOB NOT NULL
);
CREATE INDEX runs_by_time ON runs (created_at, id);
CREATE INDEX runs_by_state ON runs (state, created_at, id);
CREATE INDEX runs_by_session ON runs (session_id, created_at, id);
CREATE INDEX runs_by_key ON runs (key_id, created_at, id);
CREATE INDEX runs_by_workspace ON runs (workspace, created_at, id) WHERE workspace IS NOT NULL;
CREATE INDEX runs_unfinished ON runs (created_at, id) WHERE finished_at IS NULL;
CREATE INDEX runs_finished ON runs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX runs_with_events ON runs (finished_at) WHERE events_expired <> 1;
CREATE INDEX run_metadata_by_value ON run_metadata (name, value, run_id);
CREATE INDEX sessions_by_last_run ON sessions (last_run_at);
CREATE INDEX idempotency_by_time ON idempotency (created_at);
CREATE INDEX idempotency_by_run ON idempotency (run_id);
CREATE INDEX stream_tokens_by_time ON stream_tokens (expires_at);
CREATE INDEX stream_tokens_by_run ON stream_tokens (run_id);
CREATE INDEX config_changes_by_document ON config_changes (workspace, kind, name, id);
CREATE INDEX config_changes_by_workspace ON config_changes (workspace, id);
CREATE INDEX config_changes_pending ON config_changes (id) WHERE state = 'pending';
CREATE INDEX config_changes_kept ON config_changes (after_hash) WHERE is_kept = 1;
CREATE INDEX config_contents_by_time ON config_contents (used_at);
CREATE INDEX config_content_files_by_file ON config_content_files (file);
CREATE INDEX keys_by_time ON keys (created_at, id);
CREATE INDEX keys_revoked ON keys (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX audit_by_time ON audit (created_at, id);
CREATE INDEX audit_by_key ON audit (key_id, created_at, id);
CREATE INDEX audit_by_action ON audit (action, created_at, id);
CREATE INDEX budget_days_by_day ON budget_days (day);
CREATE INDEX usage_days_by_day ON usage_days (day);
CREATE INDEX config_changes_by_time ON config_changes (created_at, id);
CREATE INDEX config_changes_by_key ON config_changes (key_id, created_at, id);
CREATE INDEX usage_models_by_day ON usage_models (day);
CREATE INDEX usage_sessions_by_day ON usage_sessions (day);
CREATE INDEX usage_sessions_by_key ON usage_sessions (key_id, day);
CREATE INDEX uploads_by_key ON uploads (key_id, created_at, id, is_complete, size);
CREATE INDEX uploads_by_time ON uploads (created_at, id);
CREATE INDEX uploads_by_end ON uploads (expires_at);
CREATE INDEX run_uploads_by_upload ON run_uploads (upload_id);
INSERT INTO store VALUES (1, 6, 0, '0.1.0');
INSERT INTO runs VALUES ('run_ended', 'key_1', 'session of run_ended', 'shop', 'completed', 1, 'server_1', NULL, 'cancel', 5, 170, 1000, NULL, NULL, 9000, '2.1.300', NULL, 0, 0, NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL, '{"ours":true}');
INSERT INTO runs VALUES ('run_waiting', 'key_1', 'session of run_waiting', 'shop', 'queued', 1, 'server_1', NULL, 'cancel', 1, 10, 2000, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{"ours":true}');
INSERT INTO run_requests VALUES ('run_ended', '{"it":"is ''quoted''"}');
INSERT INTO run_requests VALUES ('run_waiting', '{"prompt":"of run_waiting"}');
INSERT INTO run_metadata VALUES ('run_ended', 'ticket', 'A-7');
INSERT INTO event_chunks VALUES ('run_ended', 1, 1, X'0128B52FFD24284101002400000001000000000000000F6167656E742E617373697374616E747B226E756D626572223A317D0D5377ED');
INSERT INTO event_chunks VALUES ('run_ended', 2, 4, X'0128B52FFD2478DD0100C4022400000002000F6167656E742E617373697374616E747B226E756D626572223A327D2400000003003304347D05006008106E291B04F01B401150B3D512');
INSERT INTO event_chunks VALUES ('run_ended', 5, 5, X'0128B52FFD24284101002400000005000000000000000F6167656E742E617373697374616E747B226E756D626572223A357DC1D9860B');
INSERT INTO event_chunks VALUES ('run_waiting', 1, 1, X'0128B52FFD24284101002400000001000000000000000F6167656E742E617373697374616E747B226E756D626572223A317D0D5377ED');
INSERT INTO sessions VALUES ('session of run_ended', 'key_1', 'shop', 0.0, 1000, 9000, 1, 0);
INSERT INTO sessions VALUES ('session of run_waiting', 'key_1', 'shop', 0.0, 2000, 2000, 0, 0);
INSERT INTO config_contents VALUES ('file', 3, X'0001FF', 1000);
INSERT INTO config_contents VALUES ('manifest', 3, X'0001FF', 1000);
INSERT INTO config_content_files VALUES ('manifest', 'file');
INSERT INTO config_changes VALUES ('cfg_1', 'server_1', NULL, '', 'skills', 'pdf', 'created', 'done', NULL, 'manifest', 1, 'key_1', '127.0.0.1', 'req_1', 1000);
INSERT INTO keys VALUES ('key_1', 'ci', 'ask runs:read', '{"models":["haiku"],"max_usd_per_run":0.1,"max_usd_per_day":1.5}', 1000, 'admin', 9000, NULL, NULL, NULL);
INSERT INTO key_secrets VALUES ('key_1', 'hash', 1000, NULL);
INSERT INTO audit VALUES ('aud_1', 1000, 'admin', '127.0.0.1', 'req_1', 'key.created', 'key_1', 'done', '{"name":"ci"}');
INSERT INTO budget_days VALUES ('key_1', 20000, 250000, 100000);
INSERT INTO usage_days VALUES ('key_1', 0, 'shop', 1, 0);
INSERT INTO usage_days VALUES ('key_1', 20000, 'shop', 3, 250000);
INSERT INTO usage_models VALUES ('key_1', 0, 'shop', '', 1, 0, 0, 0, 0, 0, 0, 0);
INSERT INTO usage_sessions VALUES ('session of run_ended', 'key_1', 0, 'shop', '', 1, 0, 0, 0, 0, 0, 0, 0);
