//! What runs use at this moment, for limits that nothing in the kernel watches.

use std::io;

use crate::identity::ProcessId;
use crate::procfs;
use crate::tree;

/// What a tree of processes uses: all below a guardian, without the guardian.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Memory in bytes: what each process has of its own and what it shares, without pages of files. Memory that
    /// several processes share is counted for each, and so is what a fork has not changed yet.
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
    let of_one = |guardian: &ProcessId| {
        // Without it, its pid may be a stranger's.
        if !all.iter().any(|entry| entry.id == *guardian) {
            return Usage::default();
        }
        tree::descendants(&all, &[guardian.pid]).iter().fold(Usage::default(), |sum, entry| {
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
