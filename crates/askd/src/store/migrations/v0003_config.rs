//! The history of the CLI's configuration: who changed which document, and what it was.

use sea_orm::DbBackend;

/// A workspace or name that there is not is the empty text, so that indexes and comparisons need no case for it.
///
/// Contents lie under their SHA-256. A skill's content is a manifest with a line a file; `config_content_files` says which
/// files' contents it needs.
const TABLES: &str = "
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
CREATE INDEX config_changes_by_document ON config_changes (workspace, kind, name, id);
CREATE INDEX config_changes_by_workspace ON config_changes (workspace, id);
CREATE INDEX config_changes_by_time ON config_changes (created_at);
CREATE INDEX config_changes_pending ON config_changes (id) WHERE state = 'pending';
CREATE INDEX config_changes_kept ON config_changes (after_hash) WHERE is_kept = 1;

CREATE TABLE config_contents (
    hash TEXT PRIMARY KEY,
    size BIGINT NOT NULL,
    bytes {bytes} NOT NULL,
    used_at BIGINT NOT NULL
);
CREATE INDEX config_contents_by_time ON config_contents (used_at);

CREATE TABLE config_content_files (
    manifest TEXT NOT NULL REFERENCES config_contents (hash) ON DELETE CASCADE,
    file TEXT NOT NULL,
    PRIMARY KEY (manifest, file)
);
CREATE INDEX config_content_files_by_file ON config_content_files (file);
";

/// Contents are compressed already.
const POSTGRES: &str = "ALTER TABLE config_contents ALTER COLUMN bytes SET STORAGE EXTERNAL";

pub(super) fn statements(engine: DbBackend) -> Vec<String> {
    match engine {
        DbBackend::Postgres => vec![TABLES.replace("{bytes}", "BYTEA"), POSTGRES.to_owned()],
        _ => vec![TABLES.replace("{bytes}", "BLOB")],
    }
}
