//! The second line of defence: what an earlier server, or a killed guardian, has left.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use crate::guardian::GUARDIAN_VARIABLE;
use crate::identity::ProcessId;
use crate::procfs::{self, Entry};
use crate::records::RunRecord;
use crate::tree;

/// How long a sweep may take.
const SWEEP_LIMIT: Duration = Duration::from_secs(2);
/// How long guardians of the dead server may take over their own work before they are killed as well.
const GUARDIAN_LIMIT: Duration = Duration::from_millis(1500);
const PAUSE: Duration = Duration::from_millis(20);

/// What a [`sweep`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// The ids of the records found. Their files are gone, unless something of theirs remains.
    pub records: Vec<String>,
    /// How many processes were killed, guardians included.
    pub killed: usize,
    /// How many are still there.
    pub remaining: usize,
}

/// Kills what an earlier server left, for use at a server's start, before it starts anything.
///
/// A process is recognised by a record in `directory` (pid *and* start time, same boot), or by an environment variable
/// `marker_name` whose value begins with `marker_prefix`; never by its name. All descendants go with it. The prefix must
/// be this server's own, or other servers' runs are killed.
///
/// Guardians of the dead server are doing the same at this moment, and know of more (processes that gave up their
/// environment and their parents), so they are left alone until little time remains.
pub async fn sweep(directory: &Path, marker_name: &str, marker_prefix: &str) -> io::Result<Swept> {
    let records = RunRecord::list(directory)?;
    let recorded: BTreeSet<ProcessId> = records
        .iter()
        .filter(|record| record.is_current())
        .flat_map(|record| [record.identity.guardian, record.identity.child])
        .collect();
    let recorded_guardians: BTreeSet<ProcessId> = records.iter().map(|record| record.identity.guardian).collect();
    let begin = Instant::now();
    let mut killed = BTreeSet::new();
    let remaining = loop {
        let mut guardians = Vec::new();
        let mut here = BTreeSet::new();
        tree::kill_round(|| {
            let found = find(&recorded, |environment| {
                procfs::has_variable(environment, marker_name, |value| value.starts_with(marker_prefix.as_bytes()))
            })?;
            let (watching, prey): (Vec<Entry>, Vec<Entry>) = found
                .into_iter()
                .partition(|entry| recorded_guardians.contains(&entry.id) || is_guardian(entry.id.pid));
            here.extend(prey.iter().map(|entry| entry.id));
            guardians = watching;
            Ok(prey)
        })?;
        killed.extend(here.iter().copied());
        if here.is_empty() && guardians.is_empty() {
            break 0;
        }
        if begin.elapsed() >= GUARDIAN_LIMIT {
            for guardian in &guardians {
                guardian.id.signal(Signal::KILL);
                killed.insert(guardian.id);
            }
        }
        if begin.elapsed() >= SWEEP_LIMIT {
            break here.len() + guardians.len();
        }
        sleep(PAUSE).await;
    };
    if remaining == 0 {
        for record in &records {
            RunRecord::remove(directory, &record.id)?;
        }
        RunRecord::remove_unfinished(directory)?;
    }
    let records = records.into_iter().map(|record| record.id).collect();
    Ok(Swept { records, killed: killed.len(), remaining })
}

/// The markers of living processes that begin with the prefix, without touching any of them. A process that has given up
/// its environment is not seen.
pub fn alive(marker_name: &str, marker_prefix: &str) -> io::Result<BTreeSet<String>> {
    let markers = RefCell::new(BTreeSet::new());
    for entry in procfs::all()?.into_iter().filter(Entry::is_alive) {
        let environment = procfs::environment(entry.id.pid).unwrap_or_default();
        procfs::has_variable(&environment, marker_name, |value| {
            let ours = value.starts_with(marker_prefix.as_bytes());
            if ours {
                markers.borrow_mut().insert(String::from_utf8_lossy(value).into_owned());
            }
            ours
        });
    }
    Ok(markers.into_inner())
}

/// One round against everything whose marker is accepted, and all below it. Returns how many were found.
pub(crate) fn kill_marked(name: &str, accept: impl Fn(&[u8]) -> bool) -> io::Result<usize> {
    tree::kill_round(|| find(&BTreeSet::new(), |environment| procfs::has_variable(environment, name, &accept)))
}

/// Living processes that are recorded or marked, and everything below them; never ourselves or one of our ancestors.
fn find(recorded: &BTreeSet<ProcessId>, is_marked: impl Fn(&[u8]) -> bool) -> io::Result<Vec<Entry>> {
    let all = procfs::all()?;
    let spared = own_line(&all);
    let mut found: Vec<Entry> = all
        .iter()
        .filter(|entry| !spared.contains(&entry.id.pid) && entry.is_alive())
        .filter(|entry| {
            recorded.contains(&entry.id)
                || procfs::environment(entry.id.pid).is_some_and(|environment| is_marked(&environment))
        })
        .copied()
        .collect();
    let roots: Vec<u32> = found.iter().map(|entry| entry.id.pid).collect();
    found.extend(
        tree::descendants(&all, &roots).into_iter().filter(|entry| !spared.contains(&entry.id.pid) && entry.is_alive()),
    );
    Ok(found)
}

/// This process and its ancestors: a server that itself runs inside of a run must not kill that run.
fn own_line(all: &[Entry]) -> BTreeSet<u32> {
    let mut line = BTreeSet::new();
    let mut pid = std::process::id();
    while line.insert(pid) {
        match all.iter().find(|entry| entry.id.pid == pid) {
            Some(entry) => pid = entry.parent,
            None => break,
        }
    }
    line
}

fn is_guardian(pid: u32) -> bool {
    procfs::environment(pid)
        .is_some_and(|environment| procfs::has_variable(&environment, GUARDIAN_VARIABLE, |value| value == b"1"))
}
