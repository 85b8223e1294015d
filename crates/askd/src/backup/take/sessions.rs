//! The transcripts of sessions on their way into an archive. An agent may have written what is in its session: whatever that
//! is, it costs its own place in the archive, and not the archive.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use uuid::Uuid;

use super::super::archive::Writer;
use super::super::manifest::{MAX_FILES, MAX_PATHS, MAX_PATHS_OF_SESSION, SESSIONS, listed};
use super::super::place::rounded;
use super::super::{BackupError, is_there};
use super::Job;
use crate::disk::scratch::{make_folder, remove};
use crate::disk::usage;
use crate::sessions::Sessions;

/// How many sessions that are left out are named.
const MAX_TOLD: usize = 100;

/// Sessions whose paths have more bytes in the list come after all others, as those do whose files have more bytes than they take
/// of the disk, so that an agent that makes many such does not take the others' place: about five hundred files.
const CROWDED: usize = 64 << 10;

/// What became of a session.
enum Added {
    /// It is in the archive.
    Whole,
    /// It is not: it has gone, or that was told.
    No,
    /// It is not, for this reason.
    NotYet(String),
}

/// Whose turn it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Of sessions as the CLI leaves them.
    First,
    /// Of those with many files, holes in them, or several names for one.
    Last,
}

/// All sessions on their way.
struct Adding<'a, W: Write> {
    writer: &'a mut Writer<W>,
    sessions: Sessions,
    /// Where they lie.
    folder: PathBuf,
    /// Where each is put as it was at one moment.
    place: &'a Path,
    /// Bytes of what was added.
    content: u64,
}

impl Job {
    /// Adds each session whole, as it was at one moment. How many, and the bytes that they have.
    pub(super) fn sessions(
        &mut self,
        writer: &mut Writer<impl Write>,
        place: &Path,
    ) -> Result<(usize, u64), BackupError> {
        let folder = self.data.join(SESSIONS);
        if !is_there(&folder, Access::READ_OK | Access::EXEC_OK)? {
            let data = self.data.display();
            self.warnings
                .push(format!("there is no folder `{SESSIONS}` in ASKD_DATA_DIR `{data}`: has a server worked in it?"));
            return Ok((0, 0));
        }
        // Of the CLI's own sessions, beside askd's, nothing is taken: they are in CONFIG_DIR.
        let sessions = Sessions::open(&self.data, Path::new("/nonexistent"), self.max_session).map_err(failed())?;
        let mut ids: Vec<Uuid> = Vec::new();
        for entry in fs::read_dir(&folder).map_err(failed())? {
            let name = entry.map_err(failed())?.file_name();
            ids.extend(name.to_str().and_then(|name| name.parse::<Uuid>().ok()));
        }
        ids.sort_unstable();
        let mut adding = Adding { writer, sessions, folder, place, content: 0 };
        let (mut count, mut waiting) = (0, Vec::new());
        for id in ids {
            match self.add_session(&mut adding, id, Turn::First)? {
                Added::Whole => count += 1,
                Added::No => {}
                Added::NotYet(_) => waiting.push(id),
            }
        }
        for id in waiting {
            match self.add_session(&mut adding, id, Turn::Last)? {
                Added::Whole => count += 1,
                Added::No => {}
                Added::NotYet(why) => self.leave_out(id, &why),
            }
        }
        Ok((count, adding.content))
    }

    fn add_session(&mut self, adding: &mut Adding<'_, impl Write>, id: Uuid, turn: Turn) -> Result<Added, BackupError> {
        let Adding { writer, sessions, folder, place, content } = adding;
        remove(place).and_then(|()| make_folder(place)).map_err(failed())?;
        let room = self.floor.room()? / u64::from(self.times);
        let taken = match usage::measure(&folder.join(id.to_string()), MAX_FILES) {
            Ok(usage::Taken::Bytes(bytes)) => bytes,
            // The copy ends sooner.
            Ok(usage::Taken::TooMuchToLookAt) | Err(_) => 0,
        };
        let (most, max_paths) = match turn {
            Turn::First => (taken, CROWDED),
            Turn::Last => (most(taken, self.max_session, self.excess), MAX_PATHS_OF_SESSION),
        };
        let copied = if taken > room {
            Err(io::ErrorKind::FileTooLarge.into())
        } else {
            sessions.copy_out(id, place, most.min(room))
        };
        match copied {
            Ok(()) => {}
            // Removed meanwhile, or a folder without a transcript.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Added::No),
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                return Err(BackupError::io(format!("session {id} could not be copied"))(error));
            }
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                return Ok(Added::NotYet(too_large(most, room)));
            }
            Err(error) => {
                self.leave_out(id, &error.to_string());
                return Ok(Added::No);
            }
        }
        let unreadable = || BackupError::io(format!("session {id} could not be added"));
        let (mut files, mut left) = (Vec::new(), max_paths);
        if !collect(place, &format!("{SESSIONS}/{id}"), &mut files, &mut left).map_err(unreadable())? {
            let why = format!("the paths of its files have more than {max_paths} bytes together");
            return Ok(Added::NotYet(why));
        }
        if !writer.has_room(files.len(), max_paths - left) {
            let why =
                format!("an archive has no room for more than {MAX_FILES} files, or {MAX_PATHS} bytes of their paths");
            self.leave_out(id, &why);
            return Ok(Added::No);
        }
        let before = *content;
        for (path, file) in files {
            *content += add(writer, &path, &file).map_err(unreadable())?;
        }
        self.excess = self.excess.saturating_sub((*content - before).saturating_sub(taken));
        Ok(Added::Whole)
    }

    fn leave_out(&mut self, session: Uuid, why: &str) {
        self.missing += 1;
        if self.missing <= MAX_TOLD {
            self.warnings.push(format!("session {session} is not in the archive: {why}"));
        }
    }
}

fn failed() -> impl FnOnce(io::Error) -> BackupError {
    BackupError::io("the transcripts could not be read")
}

/// How many bytes the files of a session may have together that takes so many of the disk, where sessions may have `excess` bytes
/// more than they take: what it may have to be continued, or what it takes if that is more, for it was kept so. More than it takes
/// has one with holes in its files, or with several names for one of them, which a copy fills, and a restore needs the room for.
fn most(taken: u64, max_session: u64, excess: u64) -> u64 {
    taken.max(max_session.min(taken.saturating_add(excess)))
}

/// Why a session is not copied that may have so many bytes, and has so much room.
fn too_large(most: u64, room: u64) -> String {
    if room < most {
        let room = rounded(room);
        format!(
            "it would need more than {room} of the disk, and no more may be taken for one session (ASKD_MIN_FREE_DISK)"
        )
    } else {
        let most = rounded(most);
        format!(
            "its files have more than {most} together: more than they take of the disk, and than ASKD_MAX_SESSION, or with what \
             other such sessions have beyond what they take than ASKD_SESSIONS_MAX_SIZE"
        )
    }
}

/// All files below a folder that is ours alone, each with its path in the archive; whether `left` was enough for those paths,
/// in bytes. Names that are no text, which the CLI does not make, are left out.
fn collect(folder: &Path, path: &str, files: &mut Vec<(String, PathBuf)>, left: &mut usize) -> io::Result<bool> {
    let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
        let (below, kind) = (format!("{path}/{name}"), entry.file_type()?);
        if kind.is_dir() {
            if !collect(&entry.path(), &below, files, left)? {
                return Ok(false);
            }
        } else if kind.is_file() {
            let Some(rest) = left.checked_sub(listed(&below)) else { return Ok(false) };
            *left = rest;
            files.push((below, entry.path()));
        }
    }
    Ok(true)
}

/// Adds a file; its size in bytes.
fn add(writer: &mut Writer<impl Write>, path: &str, file: &Path) -> io::Result<u64> {
    let file = File::open(file)?;
    let size = file.metadata()?.len();
    writer.file(path, size, file)?;
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_copied_if_it_could_be_continued_or_takes_as_much_of_the_disk() {
        assert_eq!(most(1 << 12, 1 << 30, 1 << 40), 1 << 30);
        assert_eq!(
            most(3 << 30, 1 << 30, 1 << 40),
            3 << 30,
            "one that was kept is not lost because the setting is smaller now"
        );
        assert_eq!(most(1 << 12, 1 << 30, 1 << 20), (1 << 12) + (1 << 20), "others have had the rest");
        assert_eq!(most(1 << 12, 1 << 30, 0), 1 << 12);
    }

    #[test]
    fn what_is_too_large_is_told_with_the_setting_that_says_so() {
        for (most, room, told) in
            [(1 << 30, 1 << 40, "1GiB together"), (1 << 30, 1 << 24, "more than 16MiB of the disk")]
        {
            assert!(too_large(most, room).contains(told), "{}", too_large(most, room));
        }
        assert!(too_large(1, 2).contains("ASKD_MAX_SESSION") && too_large(2, 1).contains("ASKD_MIN_FREE_DISK"));
    }
}
