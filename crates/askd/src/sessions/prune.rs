//! Sessions go when they are old, or when all together take too much.

use std::fs;
use std::io;
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::exchange::{ASIDE, remove_if_there};
use super::{MAX_ENTRIES, Sessions};
use crate::disk::removal;
use crate::disk::usage::{Taken, measure};

impl Sessions {
    /// Removes the sessions whose transcript is older than `retention` and that are not `in_use`; gives their number.
    pub fn prune(&self, now: SystemTime, retention: Duration, in_use: impl Fn(Uuid) -> bool) -> io::Result<usize> {
        let mut removed = 0;
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let Some(name) = name.to_str() else { continue };
            let pruned = if name.starts_with(ASIDE) {
                // A crash came between.
                removal::remove(&self.folder.join(name)).map(|()| false)
            } else if let Ok(session) = name.parse() {
                self.prune_one(session, now, retention, &in_use)
            } else {
                continue;
            };
            match pruned {
                Ok(pruned) => removed += usize::from(pruned),
                // It must not keep all others.
                Err(error) => tracing::warn!(session = name, %error, "cannot remove an old session"),
            }
        }
        Ok(removed)
    }

    fn prune_one(
        &self,
        session: Uuid,
        now: SystemTime,
        retention: Duration,
        in_use: impl Fn(Uuid) -> bool,
    ) -> io::Result<bool> {
        // A clock that was set forward is believed: a limit by the newest transcript, say, would keep the transcripts
        // of an idle server for ever, and that they go is a promise.
        let is_old = now.duration_since(self.last_written(session)?).is_ok_and(|age| age > retention);
        Ok(is_old && self.remove(session, in_use)?)
    }

    /// When the session was last used.
    fn last_written(&self, session: Uuid) -> io::Result<SystemTime> {
        // A crash may have left a folder without a transcript.
        let transcript = fs::metadata(self.transcript(session));
        transcript.or_else(|_| fs::metadata(self.folder.join(session.to_string())))?.modified()
    }

    /// Removes sessions, those first that were not used for the longest time, until all together take no more than
    /// `most` bytes; never one that is `in_use`. Gives their number.
    pub fn prune_to_size(&self, most: u64, in_use: impl Fn(Uuid) -> bool) -> io::Result<usize> {
        let mut sessions = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let Some(session) = entry.file_name().to_str().and_then(|name| name.parse::<Uuid>().ok()) else { continue };
            // One that cannot be looked at, or has gone, must not keep all others.
            let Ok(written) = self.last_written(session) else { continue };
            let bytes = match measure(&entry.path(), MAX_ENTRIES) {
                Ok(Taken::Bytes(bytes)) => bytes,
                Ok(Taken::TooMuchToLookAt) => self.max_bytes,
                Err(_) => continue,
            };
            sessions.push((written, session, bytes));
        }
        sessions.sort_unstable();
        let mut taken = sessions.iter().map(|(_, _, bytes)| bytes).sum::<u64>();
        let mut removed = 0;
        for (_, session, bytes) in sessions {
            if taken <= most {
                break;
            }
            match self.remove(session, &in_use) {
                Ok(true) => {
                    taken = taken.saturating_sub(bytes);
                    removed += 1;
                }
                Ok(false) => {}
                Err(error) => tracing::warn!(%session, %error, "cannot remove an old session"),
            }
        }
        Ok(removed)
    }

    /// Removes a session unless it is in use; whether it is gone.
    fn remove(&self, session: Uuid, in_use: impl Fn(Uuid) -> bool) -> io::Result<bool> {
        let (folder, aside) = (self.folder.join(session.to_string()), self.folder.join(format!("{ASIDE}{session}")));
        if in_use(session) {
            return Ok(false);
        }
        remove_if_there(&aside)?;
        fs::rename(&folder, &aside)?;
        // Who looks from here on finds no session. Who looked just before may have entered the queue meanwhile.
        if in_use(session) && fs::rename(&aside, &folder).is_ok() {
            return Ok(false);
        }
        // Where it could not go back, the run has already put a newer one there.
        removal::remove(&aside)?;
        Ok(true)
    }
}
