//! Removes what is old, in steps so short that no run waits for them.

use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbBackend, DbErr, Value};

use super::Store;
use super::budget::day_of;
use super::error::StoreError;
use super::sql::{get, number, statement};
use super::uploads;
use super::writer::Operation;

/// Short rows that one step removes.
const ROWS: u64 = 200;

/// Chunks that one step removes: up to 8 MiB, whose pages have to be written.
const CHUNKS: u64 = 32;

/// Runs that one step removes.
const RUNS: u64 = 20;

/// Pages that one step gives back to the file system.
const PAGES: u32 = 256;

/// What is old. Times are milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Runs that ended before this go, with everything of theirs.
    pub runs_before: i64,
    /// The events of runs that ended before this go; the run stays, and says so.
    pub events_before: i64,
    /// Idempotency keys that were claimed before this go.
    pub keys_before: i64,
    /// Sessions of which no run is left, and whose last one was before this, go.
    pub sessions_before: i64,
    /// Changes of the configuration that were made before this go.
    pub config_before: i64,
    /// Versions of each document whose content stays; 0: all of them.
    pub config_versions: u64,
    /// What was done before this is forgotten.
    pub audit_before: i64,
    /// API keys that count no more since before this go, unless a run of theirs has not ended.
    pub api_keys_before: i64,
    /// Tokens and uploads that have ended by this time go, and what was spent on days long before it.
    pub now: i64,
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Runs.
    pub runs: u64,
    /// Runs whose events were removed, and that stay.
    pub events: u64,
    /// Chunks of events, of either.
    pub chunks: u64,
    /// Idempotency keys.
    pub keys: u64,
    /// Sessions.
    pub sessions: u64,
    /// Tokens.
    pub tokens: u64,
    /// Changes of the configuration.
    pub config_changes: u64,
    /// Changes of the configuration that stay, and whose content went.
    pub config_versions: u64,
    /// Contents of the configuration that nothing needed any more.
    pub config_contents: u64,
    /// Rows of the audit.
    pub audit: u64,
    /// API keys.
    pub api_keys: u64,
    /// What was spent on single days, by key.
    pub days: u64,
    /// Uploads.
    pub uploads: u64,
    /// Parts of uploads, of these and of others.
    pub parts: u64,
}

impl Store {
    /// Removes everything that is older than its bound, step by step, and gives free space back to the file system.
    pub async fn prune(&self, retention: &Retention) -> Result<Pruned, StoreError> {
        let mut pruned = Pruned::default();
        for what in [
            Step::Keys,
            Step::Tokens,
            Step::Runs,
            Step::Events,
            Step::Sessions,
            Step::Changes,
            Step::Versions,
            Step::Contents,
            Step::Audit,
            Step::ApiKeys,
            Step::Budgets,
            Step::Usage,
            Step::Uploads,
        ] {
            loop {
                let removed = self.write(Prune { what, retention: *retention }).await?;
                if removed == Pruned::default() {
                    break;
                }
                pruned.runs += removed.runs;
                pruned.events += removed.events;
                pruned.chunks += removed.chunks;
                pruned.keys += removed.keys;
                pruned.tokens += removed.tokens;
                pruned.sessions += removed.sessions;
                pruned.config_changes += removed.config_changes;
                pruned.config_versions += removed.config_versions;
                pruned.config_contents += removed.config_contents;
                pruned.audit += removed.audit;
                pruned.api_keys += removed.api_keys;
                pruned.days += removed.days;
                pruned.uploads += removed.uploads;
                pruned.parts += removed.parts;
            }
        }
        while self.write(Vacuum).await? {}
        Ok(pruned)
    }
}

/// A kind of step.
#[derive(Clone, Copy, Debug)]
enum Step {
    Keys,
    Tokens,
    Runs,
    Events,
    Sessions,
    Changes,
    Versions,
    Contents,
    Audit,
    ApiKeys,
    Budgets,
    Usage,
    Uploads,
}

/// One step. Removes nothing when there is nothing left.
struct Prune {
    what: Step,
    retention: Retention,
}

impl Operation for Prune {
    type Output = Pruned;

    async fn apply(&mut self, tx: &DatabaseTransaction) -> Result<Pruned, DbErr> {
        let (retention, mut pruned) = (&self.retention, Pruned::default());
        match self.what {
            Step::Keys => {
                let sql = "DELETE FROM idempotency WHERE (key_id, route, idem_key) IN (SELECT key_id, route, idem_key \
                    FROM idempotency WHERE created_at < $1 LIMIT $2)";
                pruned.keys = delete(tx, sql, [retention.keys_before.into(), number(ROWS).into()]).await?;
            }
            Step::Tokens => {
                let sql = "DELETE FROM stream_tokens WHERE token_hash IN \
                    (SELECT token_hash FROM stream_tokens WHERE expires_at <= $1 LIMIT $2)";
                pruned.tokens = delete(tx, sql, [retention.now.into(), number(ROWS).into()]).await?;
            }
            Step::Runs => runs(tx, retention.runs_before, &mut pruned).await?,
            Step::Events => events(tx, retention.events_before, &mut pruned).await?,
            Step::Sessions => pruned.sessions = sessions(tx, retention.sessions_before).await?,
            Step::Changes => {
                let sql = "DELETE FROM config_changes WHERE id IN (SELECT id FROM config_changes WHERE created_at < $1 \
                    AND state <> 'pending' LIMIT $2)";
                pruned.config_changes = delete(tx, sql, [retention.config_before.into(), number(ROWS).into()]).await?;
            }
            Step::Versions => pruned.config_versions = versions(tx, retention.config_versions).await?,
            Step::Contents => pruned.config_contents = contents(tx, retention.now).await?,
            Step::Audit => {
                let sql = "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE created_at < $1 LIMIT $2)";
                pruned.audit = delete(tx, sql, [retention.audit_before.into(), number(ROWS).into()]).await?;
            }
            Step::ApiKeys => pruned.api_keys = api_keys(tx, retention.api_keys_before).await?,
            Step::Budgets => pruned.days = days(tx, "budget_days", "key_id, day", retention.now, BUDGET_DAYS).await?,
            Step::Usage => {
                for (table, key) in USAGE {
                    pruned.days += days(tx, table, key, retention.now, USAGE_DAYS).await?;
                }
            }
            Step::Uploads => {
                let cleared = uploads::clear(tx, retention.now).await?;
                (pruned.uploads, pruned.parts) = (cleared.uploads, cleared.parts);
            }
        }
        Ok(pruned)
    }

    fn takes_shared_rows(&self) -> bool {
        true
    }
}

async fn delete<const N: usize>(tx: &DatabaseTransaction, sql: &str, values: [Value; N]) -> Result<u64, DbErr> {
    Ok(tx.execute_raw(statement(tx.get_database_backend(), sql, values)).await?.rows_affected())
}

/// Forgets the contents of some changes: those that so many later changes of the same document have a content of their own
/// for.
async fn versions(tx: &DatabaseTransaction, kept: u64) -> Result<u64, DbErr> {
    if kept == 0 {
        return Ok(0);
    }
    let sql = "UPDATE config_changes SET is_kept = 0 WHERE id IN (SELECT id FROM (SELECT id, state, ROW_NUMBER() OVER \
        (PARTITION BY workspace, kind, name ORDER BY id DESC) AS place FROM config_changes WHERE is_kept = 1) numbered \
        WHERE place > $1 AND state <> 'pending' LIMIT $2)";
    delete(tx, sql, [number(kept).into(), number(ROWS).into()]).await
}

/// Days for which is kept what was set aside and spent on them: a day's budget counts on that day only, and the last runs
/// of a day end a while after it.
const BUDGET_DAYS: i64 = 7;

/// Days for which is kept what runs have cost: more than a year, so that a month can be compared with that of the year
/// before.
const USAGE_DAYS: i64 = 400;

/// Where that is, and the primary key of each. What a session has used stays with it, however old: its totals count all.
const USAGE: [(&str, &str); 2] =
    [("usage_days", "key_id, day, workspace"), ("usage_models", "key_id, day, workspace, model")];

/// Removes some sessions, and what is counted of each.
async fn sessions(tx: &DatabaseTransaction, before: i64) -> Result<u64, DbErr> {
    let sql = "SELECT s.id FROM sessions s WHERE s.last_run_at < $1 \
        AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.session_id = s.id) ORDER BY s.last_run_at LIMIT $2";
    let mut removed = 0;
    for session in ids(tx, sql, before).await? {
        // The time stands here as well: somebody may have taken it up meanwhile.
        let sql = "DELETE FROM sessions WHERE id = $1 AND last_run_at < $2";
        let gone = delete(tx, sql, [session.as_str().into(), before.into()]).await?;
        if gone > 0 {
            delete(tx, "DELETE FROM usage_sessions WHERE session_id = $1", [session.into()]).await?;
        }
        removed += gone;
    }
    Ok(removed)
}

/// Forgets some days that lie further back than `kept`; `key` is the table's primary key.
async fn days(tx: &DatabaseTransaction, table: &str, key: &str, now: i64, kept: i64) -> Result<u64, DbErr> {
    let before = day_of(now) - kept;
    let sql = format!("DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} WHERE day < $1 LIMIT $2)");
    delete(tx, &sql, [before.into(), number(ROWS).into()]).await
}

/// Removes some keys that count no more. Their secrets go with them, and are unknown then.
async fn api_keys(tx: &DatabaseTransaction, before: i64) -> Result<u64, DbErr> {
    // The times stand outside as well: PostgreSQL looks at them again when somebody has made the key last longer meanwhile.
    let sql = "DELETE FROM keys WHERE (revoked_at < $1 OR expires_at < $1) \
        AND id IN (SELECT k.id FROM keys k WHERE (k.revoked_at < $1 OR k.expires_at < $1) \
        AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.key_id = k.id AND r.finished_at IS NULL) LIMIT $2)";
    delete(tx, sql, [before.into(), number(ROWS).into()]).await
}

/// A content that was stored so recently may be that of a change that is being stored.
const FRESH_MS: i64 = 60 * 60 * 1000;

/// Removes some contents that neither a change nor a manifest needs. Those of a skill's files go after its manifest.
async fn contents(tx: &DatabaseTransaction, now: i64) -> Result<u64, DbErr> {
    // The time stands outside as well: PostgreSQL looks at it again when somebody has changed the row meanwhile.
    let sql = "DELETE FROM config_contents WHERE used_at < $1 AND hash IN (SELECT c.hash FROM config_contents c \
        WHERE c.used_at < $1 \
        AND NOT EXISTS (SELECT 1 FROM config_changes g WHERE g.after_hash = c.hash AND g.is_kept = 1) \
        AND NOT EXISTS (SELECT 1 FROM config_content_files f WHERE f.file = c.hash) LIMIT $2)";
    delete(tx, sql, [(now - FRESH_MS).into(), number(CHUNKS).into()]).await
}

/// Some chunks of one run. It is marked before its first chunk goes, so that nobody reads half a log: 2 while they go, 1
/// when they are gone.
async fn events(tx: &DatabaseTransaction, before: i64, pruned: &mut Pruned) -> Result<(), DbErr> {
    let sql = "SELECT id FROM runs WHERE events_expired <> 1 AND finished_at < $1 ORDER BY finished_at LIMIT $2";
    let mut room = CHUNKS;
    for run in ids(tx, sql, before).await? {
        let removed = chunks(tx, &run, room).await?;
        pruned.chunks += removed;
        let all = removed < room;
        let mark: i64 = if all { 1 } else { 2 };
        delete(tx, "UPDATE runs SET events_expired = $2 WHERE id = $1", [run.into(), mark.into()]).await?;
        pruned.events += u64::from(all);
        room -= removed;
        if room == 0 {
            break;
        }
    }
    Ok(())
}

/// Some runs, the chunks of each first.
async fn runs(tx: &DatabaseTransaction, before: i64, pruned: &mut Pruned) -> Result<(), DbErr> {
    let sql = "SELECT id FROM runs WHERE finished_at < $1 ORDER BY finished_at LIMIT $2";
    let mut room = CHUNKS;
    for run in ids(tx, sql, before).await? {
        let removed = chunks(tx, &run, room).await?;
        pruned.chunks += removed;
        room -= removed;
        if room == 0 {
            delete(tx, "UPDATE runs SET events_expired = 2 WHERE id = $1", [run.into()]).await?;
            break;
        }
        // Metadata, request and tokens go with it; a key must not name a run that is not there.
        pruned.keys += delete(tx, "DELETE FROM idempotency WHERE run_id = $1", [run.as_str().into()]).await?;
        pruned.runs += delete(tx, "DELETE FROM runs WHERE id = $1", [run.into()]).await?;
    }
    Ok(())
}

async fn ids(tx: &DatabaseTransaction, sql: &str, before: i64) -> Result<Vec<String>, DbErr> {
    let values = [before.into(), number(RUNS).into()];
    let rows = tx.query_all_raw(statement(tx.get_database_backend(), sql, values)).await?;
    rows.iter().map(|row| get(row, "id")).collect()
}

/// Removes at most `most` chunks of a run, the first ones.
async fn chunks(tx: &DatabaseTransaction, run: &str, most: u64) -> Result<u64, DbErr> {
    let sql = "DELETE FROM event_chunks WHERE run_id = $1 AND first_seq IN \
        (SELECT first_seq FROM event_chunks WHERE run_id = $1 ORDER BY first_seq LIMIT $2)";
    delete(tx, sql, [run.into(), number(most).into()]).await
}

/// Gives some free pages of the file back. PostgreSQL does that by itself.
struct Vacuum;

impl Operation for Vacuum {
    /// Whether there is more.
    type Output = bool;

    async fn apply(&mut self, tx: &DatabaseTransaction) -> Result<bool, DbErr> {
        let engine = tx.get_database_backend();
        if engine != DbBackend::Sqlite {
            return Ok(false);
        }
        let free = async || -> Result<i64, DbErr> {
            let row = tx.query_one_raw(statement(engine, "PRAGMA freelist_count", [])).await?;
            row.map_or(Ok(0), |row| get(&row, "freelist_count"))
        };
        let before = free().await?;
        if before == 0 {
            return Ok(false);
        }
        // It works row by row, so every row has to be asked for.
        tx.query_all_raw(statement(engine, &format!("PRAGMA incremental_vacuum({PAGES})"), [])).await?;
        let after = free().await?;
        Ok(after > 0 && after < before)
    }
}
