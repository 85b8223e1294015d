//! Trees of processes: who descends from whom, and how to kill them all.

use std::collections::{BTreeSet, HashMap};
use std::io;

use rustix::process::Signal;

use crate::identity::ProcessId;
use crate::procfs::Entry;

/// How often a round looks for processes that were born while it was stopping the others.
const STOP_PASSES: usize = 16;

/// Who started whom: made once of a look at all processes, and then asked for as many trees as there are.
pub(crate) struct Families<'a>(HashMap<u32, Vec<&'a Entry>>);

impl<'a> Families<'a> {
    pub(crate) fn of(all: &'a [Entry]) -> Self {
        let mut children: HashMap<u32, Vec<&Entry>> = HashMap::new();
        for entry in all {
            children.entry(entry.parent).or_default().push(entry);
        }
        Self(children)
    }

    /// Every process below `roots`, without the roots themselves.
    pub(crate) fn below(&self, roots: &[u32]) -> Vec<Entry> {
        let mut seen: BTreeSet<u32> = roots.iter().copied().collect();
        let mut open: Vec<u32> = roots.to_vec();
        let mut found = Vec::new();
        while let Some(parent) = open.pop() {
            for &&child in self.0.get(&parent).into_iter().flatten() {
                // The list is not a snapshot: a pid reused while it was read could close a circle.
                if seen.insert(child.id.pid) {
                    open.push(child.id.pid);
                    found.push(child);
                }
            }
        }
        found
    }
}

/// Every process below `roots`, without the roots themselves.
pub(crate) fn descendants(all: &[Entry], roots: &[u32]) -> Vec<Entry> {
    Families::of(all).below(roots)
}

/// Kills whatever `find` finds, in one round, and says how many that were.
///
/// Everything is stopped first, until no new process turns up: what is stopped cannot fork, so that a fork bomb is not
/// faster than we are. The caller repeats the round until nothing is found.
pub(crate) fn kill_round(mut find: impl FnMut() -> io::Result<Vec<Entry>>) -> io::Result<usize> {
    let mut stopped: BTreeSet<ProcessId> = BTreeSet::new();
    for _ in 0..STOP_PASSES {
        let mut any_new = false;
        for entry in find()? {
            if stopped.insert(entry.id) {
                any_new = true;
                entry.id.signal(Signal::STOP);
            }
        }
        if !any_new {
            break;
        }
    }
    for id in &stopped {
        id.signal(Signal::KILL);
    }
    Ok(stopped.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(pid: u32, parent: u32) -> Entry {
        Entry { id: ProcessId { pid, start: 1 }, parent, state: 'S' }
    }

    #[test]
    fn descendants_are_found_at_any_depth_and_circles_end() {
        let all = [entry(2, 1), entry(3, 2), entry(4, 3), entry(5, 1), entry(6, 7), entry(7, 6)];
        let mut pids: Vec<u32> = descendants(&all, &[2]).iter().map(|entry| entry.id.pid).collect();
        pids.sort_unstable();
        assert_eq!(pids, [3, 4]);
        assert_eq!(descendants(&all, &[6]).len(), 1);
    }
}
