//! Whether work that comes now would be done: one check for each part, from what is known already. Nobody is asked, and
//! nobody waited for: neither the model nor the database nor a disk.

use super::App;
use crate::cli::health::Trouble;
use crate::disk::free::Space;
use crate::runs::limits::too_little_disk;
use crate::runs::queue::Occupancy;
use crate::store::{Health, Problem};

/// What was found, part by part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// Every check, always the same in the same order: those of [`NAMES`].
    pub checks: [Check; NAMES.len()],
}

/// The names of the checks, in their order. `docs/health.md` says of each what it means and what to do.
pub const NAMES: [&str; 5] = ["store", "disk", "cli", "queue", "draining"];

/// One part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Its name: a stable word of [`NAMES`].
    pub name: &'static str,
    /// Whether it is as it should be.
    pub ok: bool,
    /// Whether the server is only ready while it is.
    pub required: bool,
    /// What is wrong or not known, for everybody: it names no file and no host.
    pub message: Option<String>,
}

impl Check {
    fn required(name: &'static str, wrong: Option<String>) -> Self {
        Self { name, ok: wrong.is_none(), required: true, message: wrong }
    }
}

impl Readiness {
    /// Whether the server wants work.
    pub fn is_ready(&self) -> bool {
        self.checks.iter().all(|check| check.ok || !check.required)
    }
}

impl App {
    /// Whether work that comes now would be done. Cheap: it may be asked many times a second.
    pub fn readiness(&self) -> Readiness {
        let (shared, settings) = (self.runs.shared(), self.settings());
        let store = Check::required("store", store(&shared.store.health()));
        let cli = Check::required("cli", shared.cli_health.trouble().map(cli));
        let full = queue(self.runs.occupancy(), settings.limits.queue_length);
        let queue = Check { required: !settings.health.ready_when_full, ..Check::required("queue", full) };
        let drains = self.lifecycle().leaving().is_cancelled();
        let draining = drains.then(|| "the server stops and takes no new work".to_owned());
        let draining = Check::required("draining", draining);
        Readiness { checks: [store, disk(&shared.free_disk.space()), cli, queue, draining] }
    }
}

/// A disk that does not answer is no reason to refuse: what is wrong with it will be said by whoever writes there.
fn disk(space: &Space) -> Check {
    let name = "disk";
    match space {
        Space::Enough => Check::required(name, None),
        Space::Low(low) => Check::required(name, Some(too_little_disk(low))),
        Space::Unknown(since) => {
            let message = format!("unknown: the disk of ASKD_DATA_DIR has not answered for {} s", since.as_secs());
            Check { message: Some(message), ..Check::required(name, None) }
        }
    }
}

/// What is wrong with the store. The database's own words are for the log: here nobody has shown a key.
fn store(health: &Health) -> Option<String> {
    match health {
        Health::Working => None,
        Health::Failing { since, problem, .. } => {
            let what = match problem {
                Problem::Full => "is full",
                Problem::Unavailable => "is unavailable",
            };
            Some(format!("the store {what}, for {} s; the server's log says more", since.elapsed().as_secs()))
        }
        Health::Slow { lasting } => Some(format!("a commit takes {} s so far", lasting.as_secs())),
    }
}

fn cli(trouble: Trouble) -> String {
    let Trouble { fault, lasting } = trouble;
    format!("the CLI cannot be started, for {} s: {fault}; the server's log says more", lasting.as_secs())
}

/// What is to be said when a run of a key that already waits would be refused.
fn queue(occupancy: Occupancy, length: usize) -> Option<String> {
    let Occupancy { active, max, queued } = occupancy;
    let is_full = active >= max && queued >= length;
    is_full.then(|| format!("full: {active} runs are at work and {queued} wait (ASKD_QUEUE_LENGTH)"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_disk_that_does_not_answer_is_told_and_refuses_nothing() {
        let told = disk(&Space::Unknown(Duration::from_secs(12)));
        let message = told.message.unwrap();
        assert!(told.ok && message.contains("unknown") && message.contains("12 s"));
        assert_eq!(disk(&Space::Enough).message, None);
    }

    #[test]
    fn a_queue_is_full_when_one_more_would_be_refused() {
        let full = |active, queued, length| queue(Occupancy { active, max: 2, queued }, length).is_some();
        assert!(full(2, 5, 5) && full(2, 0, 0) && full(2, 6, 5));
        assert!(!full(1, 0, 0) && !full(2, 4, 5), "a run has a place, or may wait");
    }

    #[test]
    fn what_is_not_required_is_told_and_keeps_nobody_away() {
        let check = |ok, required| Check { name: "queue", ok, required, message: None };
        let ready = |last| {
            let fine = || check(true, true);
            Readiness { checks: [fine(), fine(), fine(), fine(), last] }.is_ready()
        };
        assert!(ready(check(false, false)) && ready(check(true, true)) && !ready(check(false, true)));
    }
}
