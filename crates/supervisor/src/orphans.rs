//! Orphans of guardians that were killed: as a subreaper, the server becomes their parent.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use rustix::process::{Pid, WaitOptions, getpid, set_child_subreaper, waitpid};
use tokio::process::{Child, Command};

use crate::procfs::{self, Entry};
use crate::tree;

/// Held shared while a guardian is being born, exclusively while looking for children that are no guardians: a newborn
/// one is a child already, but not yet registered.
static BIRTHS: RwLock<()> = RwLock::new(());
static GUARDIANS: Mutex<Option<HashMap<u32, u64>>> = Mutex::new(None);
static SERIAL: AtomicU64 = AtomicU64::new(0);
static SUBREAPER: AtomicBool = AtomicBool::new(false);

/// Makes this process the parent of orphaned descendants, which are then killed when their guardian has been.
///
/// To be called once, by a server whose only children are guardians: from then on every *other* child is taken for an
/// orphan of a guardian that was killed.
pub fn become_subreaper() -> io::Result<()> {
    set_child_subreaper(Some(getpid()))?;
    SUBREAPER.store(true, Ordering::SeqCst);
    Ok(())
}

/// Kills every child of this process that is no living guardian, with all below it, and reaps what has died. Returns how
/// many were found; repeat until that is 0. Does nothing before [`become_subreaper`].
///
/// It is called by itself when a guardian dies early.
pub(crate) fn reap() -> io::Result<usize> {
    if !SUBREAPER.load(Ordering::SeqCst) {
        return Ok(0);
    }
    let own = getpid().as_raw_nonzero().get().unsigned_abs();
    let nobody_is_born = BIRTHS.write().unwrap_or_else(PoisonError::into_inner);
    let orphans = |all: &[Entry]| -> Vec<Entry> {
        let guardians = guardians();
        let is_guardian = |pid: u32| guardians.as_ref().is_some_and(|known| known.contains_key(&pid));
        all.iter().filter(|entry| entry.parent == own && !is_guardian(entry.id.pid)).copied().collect()
    };
    let mut adopted = Vec::new();
    let killed = tree::kill_round(|| {
        let all = procfs::all()?;
        adopted = orphans(&all);
        let pids: Vec<u32> = adopted.iter().map(|orphan| orphan.id.pid).collect();
        let below = tree::descendants(&all, &pids);
        Ok(adopted.iter().copied().chain(below).collect())
    })?;
    for orphan in adopted {
        if let Some(pid) = i32::try_from(orphan.id.pid).ok().and_then(Pid::from_raw)
            && let Err(error) = waitpid(Some(pid), WaitOptions::NOHANG)
        {
            tracing::debug!(%error, pid = orphan.id.pid, "an orphan was reaped by somebody else");
        }
    }
    drop(nobody_is_born);
    Ok(killed)
}

/// Reaps children that have died and are no guardians; kills nothing. Returns how many there were. Does nothing before
/// [`become_subreaper`].
///
/// For a server to call now and then: as the first process of a container it becomes the parent of every orphan in it,
/// and of what could not be killed at its run's end; nobody else would reap them.
pub fn reap_dead() -> io::Result<usize> {
    if !SUBREAPER.load(Ordering::SeqCst) {
        return Ok(0);
    }
    let own = getpid().as_raw_nonzero().get().unsigned_abs();
    let nobody_is_born = BIRTHS.write().unwrap_or_else(PoisonError::into_inner);
    let children = procfs::all()?.into_iter().filter(|entry| entry.parent == own && !entry.is_alive());
    let guardians = guardians().as_ref().map(|known| known.keys().copied().collect::<Vec<_>>()).unwrap_or_default();
    let dead: Vec<Entry> = children.filter(|entry| !guardians.contains(&entry.id.pid)).collect();
    for entry in &dead {
        if let Some(pid) = i32::try_from(entry.id.pid).ok().and_then(Pid::from_raw)
            && let Err(error) = waitpid(Some(pid), WaitOptions::NOHANG)
        {
            tracing::debug!(%error, pid = entry.id.pid, "an orphan was reaped by somebody else");
        }
    }
    drop(nobody_is_born);
    Ok(dead.len())
}

/// A living guardian's entry; dropped when it has been reaped.
#[derive(Debug)]
pub(crate) struct Registered {
    pid: u32,
    serial: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        if let Some(known) = guardians().as_mut()
            // Between reaping and this, a new guardian may have got the same pid.
            && known.get(&self.pid) == Some(&self.serial)
        {
            known.remove(&self.pid);
        }
    }
}

/// Starts a guardian and registers it.
pub(crate) fn spawn_guardian(command: &mut Command) -> io::Result<(Child, Registered)> {
    let _being_born = BIRTHS.read().unwrap_or_else(PoisonError::into_inner);
    let guardian = command.spawn()?;
    let pid = guardian.id().unwrap_or(0);
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    guardians().get_or_insert_default().insert(pid, serial);
    Ok((guardian, Registered { pid, serial }))
}

fn guardians() -> MutexGuard<'static, Option<HashMap<u32, u64>>> {
    GUARDIANS.lock().unwrap_or_else(PoisonError::into_inner)
}
