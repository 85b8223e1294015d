//! A data folder that a backup was put into (`askd restore`).
//!
//! The archive is unpacked into a folder of its own. A plan in it, once it is on the disk, says that all of it is there and
//! what moves where: from then on the restore has happened, and whoever comes next finishes it. Without a plan it has not, and
//! what is there of it goes.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::disk::removal;
use crate::small_file;

/// Where an archive is unpacked, below the data folder.
pub const STAGING: &str = "restoring";

/// What the names of folders begin with that hold what was there before.
pub const ASIDE: &str = "before-restore-";

/// Says that the store is that of a backup, until a server has settled its runs.
pub const NOTE: &str = "restored.json";

const PLAN: &str = "plan.json";

/// More names than any plan has.
const MAX_PLAN: u64 = 1 << 20;

/// What moves where. All are names in the data folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Where that goes which is in the way.
    pub aside: String,
    /// What is in the way.
    pub old: Vec<String>,
    /// What comes.
    pub new: Vec<String>,
}

/// Which backup it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Whose state the store had then.
    pub created_at: String,
}

/// Says that all is there. From now on the restore has happened.
pub fn commit(data: &Path, plan: &Plan) -> io::Result<()> {
    let staging = data.join(STAGING);
    // Every file of it is on the disk before the word that it is.
    rustix::fs::syncfs(File::open(&staging)?)?;
    let (unfinished, path) = (staging.join("plan.new"), staging.join(PLAN));
    let mut file = File::create(&unfinished)?;
    file.write_all(&serde_json::to_vec(plan)?)?;
    file.sync_all()?;
    fs::rename(unfinished, &path)?;
    // Whoever hears of an error takes the folder away, and half a folder must not have a plan.
    sync(&staging).inspect_err(|_| drop(fs::remove_file(path)))
}

/// Whether a restore has happened that is not finished.
pub fn is_begun(data: &Path) -> io::Result<bool> {
    data.join(STAGING).join(PLAN).try_exists()
}

/// Finishes what was begun, or takes it away; whether a restore was finished. Whoever calls this holds the lock of the folder.
pub fn finish(data: &Path) -> io::Result<bool> {
    let staging = data.join(STAGING);
    match fs::symlink_metadata(&staging) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        there => _ = there?,
    }
    let text = match small_file::read_text(&staging.join(PLAN), MAX_PLAN) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            removal::remove(&staging)?;
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    let plan: Plan = serde_json::from_str(&text)?;
    if ![&plan.aside].into_iter().chain(&plan.old).chain(&plan.new).all(|name| is_name(name)) {
        return Err(io::Error::other(format!("`{STAGING}/{PLAN}` names something outside of the folder")));
    }
    // Each step may have been done before: what has moved is not moved again. The folder is this plan's alone.
    let aside = data.join(&plan.aside);
    for name in &plan.old {
        fs::create_dir_all(&aside)?;
        if fs::symlink_metadata(aside.join(name)).is_err() {
            rename_if_there(&data.join(name), &aside.join(name))?;
        }
    }
    if !plan.old.is_empty() {
        sync(&aside)?;
    }
    // Old names are free only now: none of the new ones has come before all of them were.
    sync(data)?;
    for name in &plan.new {
        rename_if_there(&staging.join(name), &data.join(name))?;
    }
    sync(data)?;
    fs::remove_file(staging.join(PLAN))?;
    sync(&staging)?;
    removal::remove(&staging)?;
    Ok(true)
}

/// [`finish`] and then [`note`]: what a start begins with.
pub fn at_start(data: &Path) -> io::Result<Option<Note>> {
    if finish(data)? {
        tracing::warn!("finished a restore into ASKD_DATA_DIR that was cut off");
    }
    note(data)
}

/// The backup whose runs no server has settled yet; one that cannot be read is one.
pub fn note(data: &Path) -> io::Result<Option<Note>> {
    match small_file::read_text(&data.join(NOTE), MAX_PLAN) {
        Ok(text) => Ok(Some(serde_json::from_str(&text).unwrap_or_else(|_| Note { created_at: "unknown".to_owned() }))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Its runs are settled.
pub fn settled(data: &Path) -> io::Result<()> {
    fs::remove_file(data.join(NOTE))?;
    sync(data)
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0'])
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => {
            let (from, to) = (from.display(), to.display());
            let what = format!("a restore has begun and cannot be finished: `{from}` cannot become `{to}`: {error}");
            Err(io::Error::new(error.kind(), what))
        }
        Ok(()) => Ok(()),
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &Path) -> String {
        fs::read_to_string(path).unwrap_or_default()
    }

    fn begun() -> (tempfile::TempDir, Plan) {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        fs::create_dir_all(data.join("restoring/sessions")).unwrap();
        fs::create_dir_all(data.join("sessions")).unwrap();
        for (path, text) in [("askd.db", "old"), ("askd.db-wal", "old"), ("sessions/a", "old"), ("lock", "1")] {
            fs::write(data.join(path), text).unwrap();
        }
        for path in ["restoring/askd.db", "restoring/sessions/a", "restoring/restored.json"] {
            fs::write(data.join(path), "new").unwrap();
        }
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let plan = Plan {
            aside: "before-restore-x".to_owned(),
            old: names(&["askd.db", "askd.db-wal", "sessions"]),
            new: names(&["sessions", "restored.json", "askd.db"]),
        };
        (folder, plan)
    }

    fn is_done(data: &Path) {
        assert_eq!(text(&data.join("askd.db")), "new");
        assert_eq!(text(&data.join("sessions/a")), "new");
        assert_eq!(text(&data.join("before-restore-x/askd.db")), "old");
        assert_eq!(text(&data.join("before-restore-x/askd.db-wal")), "old");
        assert_eq!(text(&data.join("before-restore-x/sessions/a")), "old");
        assert!(!data.join("askd.db-wal").exists() && !data.join("restoring").exists());
    }

    #[test]
    fn what_has_no_plan_has_not_happened() {
        let (folder, _) = begun();
        assert!(!finish(folder.path()).unwrap());
        assert_eq!(text(&folder.path().join("askd.db")), "old");
        assert!(!folder.path().join("restoring").exists());
    }

    #[test]
    fn what_has_a_plan_is_finished_wherever_it_was_cut_off() {
        // After each of its six moves, and before the first.
        for done in 0..=6 {
            let (folder, plan) = begun();
            let data = folder.path();
            commit(data, &plan).unwrap();
            fs::create_dir(data.join(&plan.aside)).unwrap();
            let moves = plan.old.iter().map(|name| (data.join(name), data.join(&plan.aside).join(name)));
            let staging = data.join(STAGING);
            let moves = moves.chain(plan.new.iter().map(|name| (staging.join(name), data.join(name))));
            for (from, to) in moves.take(done) {
                fs::rename(from, to).unwrap();
            }
            assert!(finish(data).unwrap(), "{done}");
            is_done(data);
            assert!(!finish(data).unwrap());
            assert_eq!(note(data).unwrap(), Some(Note { created_at: "unknown".to_owned() }));
            settled(data).unwrap();
            assert_eq!(note(data).unwrap(), None);
        }
    }

    #[test]
    fn a_plan_that_names_something_outside_is_refused() {
        let (folder, plan) = begun();
        commit(folder.path(), &Plan { new: vec!["../x".to_owned()], ..plan }).unwrap();
        assert!(finish(folder.path()).is_err());
        assert_eq!(text(&folder.path().join("askd.db")), "old");
    }
}
