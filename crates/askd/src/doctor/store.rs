//! The store: whether it can be read, whether this askd knows its tables, whether it is whole, and where it lies.

use std::path::Path;
use std::time::Duration;

use rustix::fs::statfs;

use super::Check;
use crate::settings::Settings;
use crate::store::OpenError;
use crate::store::examine::{Content, Examined, examine};

const NAME: &str = "store";

/// File systems by their magic numbers, and why a store does not belong there.
const UNSUITABLE: [(u64, &str, &str); 8] = [
    (0x6969, "NFS", NETWORK),
    (0x517b, "SMB", NETWORK),
    (0xfe53_4d42, "SMB", NETWORK),
    (0xff53_4d42, "CIFS", NETWORK),
    (0x0102_1997, "9p", NETWORK),
    (0x6573_5546, "FUSE", "may have no locks and no shared memory, which SQLite needs"),
    (0x0102_1994, "tmpfs", "keeps everything in memory: runs and transcripts end with the machine"),
    (0x794c_7630, "overlayfs", "is a container's own layer: runs and transcripts end with the container"),
];

const NETWORK: &str = "is a file system of a network, on which SQLite's locks cannot be relied upon";

/// A question that takes longer than this makes every run slower than it need be.
const SLOW: Duration = Duration::from_millis(50);

/// What was found, and the difference of the database's clock to ours, if it has one of its own.
pub(super) async fn store(settings: &Settings, is_at_work: bool, now_ms: i64) -> (Check, Option<i64>) {
    let data = &settings.paths.data_dir;
    let found = match examine(&settings.store, data, is_at_work).await {
        Ok(found) => found,
        Err(error) => {
            let hint = match error {
                OpenError::File { .. } => {
                    "see whether the user may read it; a file that is damaged is replaced by a backup (askd restore)"
                }
                _ => "see whether the database runs, and whether this machine and this role may reach it",
            };
            return (Check::fail(NAME, error.to_string(), hint), None);
        }
    };
    let is_file = settings.store.database_url.is_none();
    let place = is_file.then(|| unsuitable(data)).flatten();
    let Some(found) = found else {
        return (place.unwrap_or_else(|| Check::ok(NAME, "there is none yet; the first start makes it")), None);
    };
    let difference = found.time_ms.map(|theirs| theirs - now_ms);
    let check = judge(&found);
    // What keeps the server from starting is said first.
    let check = if check.status == super::Status::Ok { place.unwrap_or(check) } else { check };
    (check, difference)
}

fn judge(found: &Examined) -> Check {
    let Examined { engine, version, known, content, latency, .. } = found;
    let Some(version) = version else {
        return Check::ok(NAME, format!("{engine}: no tables yet; the first start makes them"));
    };
    if version > known {
        let message =
            format!("{engine}: its tables have version {version}, and this askd knows versions up to {known}");
        return Check::fail(NAME, message, "start the askd that wrote it, or a later one");
    }
    if let Content::Damaged(words) = content {
        let message = format!("{engine}: the file is damaged ({words})");
        return Check::fail(NAME, message, "stop the server and restore a backup (askd restore)");
    }
    let age = if version < known { format!(", which the next start brings to {known}") } else { String::new() };
    let unread = if let Content::Unread(why) = content { format!("; not read through: {why}") } else { String::new() };
    let message = format!("{engine}: tables of version {version}{age}; a question takes {latency:.1?}{unread}");
    if *latency > SLOW && engine.starts_with("PostgreSQL") {
        return Check::warn(NAME, message, "every event waits for a commit there: let the database be nearer");
    }
    Check::ok(NAME, message)
}

fn unsuitable(data: &Path) -> Option<Check> {
    let folder = data.ancestors().find(|folder| folder.exists())?;
    let kind = u64::try_from(statfs(folder).ok()?.f_type).unwrap_or_default() & 0xffff_ffff;
    let (_, name, why) = UNSUITABLE.iter().find(|(magic, ..)| *magic == kind)?;
    let message = format!("ASKD_DATA_DIR lies on {name}, which {why}");
    Some(Check::warn(NAME, message, "let ASKD_DATA_DIR be a volume or folder on a disk of this machine"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    fn found(version: Option<i64>, content: Content) -> Examined {
        let (engine, latency) = ("SQLite".to_owned(), Duration::from_micros(300));
        Examined { engine, version, known: 5, content, latency, time_ms: None }
    }

    #[test]
    fn tables_of_a_later_askd_and_a_damaged_file_are_failures() {
        let newer = judge(&found(Some(6), Content::Whole));
        assert_eq!(newer.status, Status::Fail);
        assert!(newer.message.contains("version 6") && newer.message.contains("up to 5"), "{newer:?}");
        let damaged = judge(&found(Some(5), Content::Damaged("row 1 missing".to_owned())));
        assert!(damaged.status == Status::Fail && damaged.hint.unwrap().contains("askd restore"));
    }

    #[test]
    fn older_tables_and_what_was_not_read_are_told() {
        let older = judge(&found(Some(4), Content::Unread("it is too large".to_owned())));
        assert_eq!(older.status, Status::Ok);
        assert!(older.message.contains("brings to 5") && older.message.contains("too large"), "{older:?}");
        assert!(judge(&found(None, Content::Whole)).message.contains("no tables yet"));
    }

    #[test]
    fn a_database_far_away_is_a_warning() {
        let far = Examined {
            engine: "PostgreSQL 17.1".to_owned(),
            latency: Duration::from_millis(80),
            ..found(Some(5), Content::Whole)
        };
        assert_eq!(judge(&far).status, Status::Warn);
    }
}
