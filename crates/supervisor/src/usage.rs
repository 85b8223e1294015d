//! What runs use at this moment, for limits that nothing in the kernel watches.

use std::collections::HashSet;
use std::io;

use crate::identity::ProcessId;
use crate::procfs;
use crate::tree::Families;

/// What a tree of processes uses: all below a guardian, without the guardian.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Memory in bytes: what each process has of its own and what it shares, without pages of files. Memory that
    /// several processes share is counted for each, and so is what a fork has not changed yet. What nobody has mapped,
    /// such as a file in memory (`memfd_create`, `/dev/shm`) that was only written, is not seen.
    pub memory_bytes: u64,
    /// Threads. A zombie counts as one: it holds a place.
    pub tasks: u64,
    /// The descriptors of the process that has most.
    pub most_open_files: u64,
}

/// Looks at all runs at once: one pass over `/proc`, in the order of `guardians`.
///
/// A guardian that is gone uses nothing, and neither does a process that goes while we look. It blocks for some
/// milliseconds on a machine of some hundred processes.
pub fn sample(guardians: &[ProcessId]) -> io::Result<Vec<Usage>> {
    if guardians.is_empty() {
        return Ok(Vec::new());
    }
    let all = procfs::all()?;
    let alive: HashSet<ProcessId> = all.iter().map(|entry| entry.id).collect();
    let families = Families::of(&all);
    let of_one = |guardian: &ProcessId| {
        // Without it, its pid may be a stranger's.
        if !alive.contains(guardian) {
            return Usage::default();
        }
        families.below(&[guardian.pid]).iter().fold(Usage::default(), |sum, entry| {
            let Some(status) = procfs::status(entry.id.pid) else { return sum };
            Usage {
                memory_bytes: sum.memory_bytes.saturating_add(status.memory_bytes),
                tasks: sum.tasks.saturating_add(status.tasks),
                most_open_files: sum.most_open_files.max(procfs::open_files(entry.id.pid).unwrap_or(0)),
            }
        })
    };
    Ok(guardians.iter().map(of_one).collect())
}

/// The memory of one tree in bytes, where what several processes share counts once, as far as they all are in the tree.
///
/// Slower than [`sample`] by far: the kernel goes through all pages, some milliseconds for each gigabyte and process. Of a
/// process that does not let us look, what [`sample`] says is counted.
pub fn shared_memory_counted_once(guardian: ProcessId) -> io::Result<u64> {
    let all = procfs::all()?;
    if !all.iter().any(|entry| entry.id == guardian) {
        return Ok(0);
    }
    let of_one = |entry: &procfs::Entry| {
        let pid = entry.id.pid;
        procfs::proportional_memory(pid).or_else(|| Some(procfs::status(pid)?.memory_bytes)).unwrap_or(0)
    };
    Ok(Families::of(&all).below(&[guardian.pid]).iter().map(of_one).fold(0, u64::saturating_add))
}
