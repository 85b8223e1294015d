//! Watches over what live runs use up. One look at processes serves them all, each home is looked at by itself, and
//! while no run lives nothing is looked at.
//!
//! Where the kernel keeps a limit by itself (a cgroup, a user namespace) this only tells of it; elsewhere it is what
//! keeps the limit, and a run can be faster than a look: for a quarter of a second as a rule, and for a second and more
//! on a machine with very many processes; on disk for a second, and for five and more with very many files in its home.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use supervisor::cgroup::RunCgroup;
use supervisor::identity::ProcessId;
use supervisor::ladder::Rung;
use supervisor::process::{Escalator, Process};
use supervisor::usage::{self, Usage};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use super::RunId;
use super::alarm::Alarm;
use super::limits::Breach;
use crate::disk::usage::{Taken, measure};
use crate::settings::groups::RunLimits;
use pace::{Pace, look_at_each};

mod pace;

/// From one look at processes to the next. It is one for all runs, so that what it takes is everybody's delay.
const PROCESSES: Pace = Pace { every: Duration::from_millis(250), longest: Duration::from_secs(1) };

/// From one look at a home to the next one at the same.
const HOMES: Pace = Pace { every: Duration::from_secs(1), longest: Duration::from_secs(5) };

/// The runs that are watched over.
#[derive(Debug, Default)]
pub struct Watch {
    runs: Mutex<HashMap<RunId, Arc<Watched>>>,
    came: Notify,
}

/// A live run.
#[derive(Debug)]
struct Watched {
    run: RunId,
    since: Instant,
    guardian: ProcessId,
    home: PathBuf,
    cgroup: Mutex<Option<RunCgroup>>,
    keeper: MemoryKeeper,
    escalator: Escalator,
    alarm: Arc<Alarm>,
    most_memory: AtomicU64,
    /// At the last look.
    memory: AtomicU64,
    tasks: AtomicU64,
}

/// Who keeps a run's limit of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryKeeper {
    /// The kernel, in the run's cgroup. What is measured here is not judged: it may count more than the kernel does.
    Kernel,
    /// The watch.
    Watch,
}

/// What all live runs together used at the last look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InUse {
    /// Runs of which processes may be alive.
    pub runs: usize,
    /// Their threads.
    pub tasks: u64,
    /// Their memory.
    pub memory_bytes: u64,
}

/// A run is watched over as long as this is held.
#[derive(Debug)]
pub struct Watching<'a> {
    watch: &'a Watch,
    watched: Arc<Watched>,
}

impl Watch {
    /// Watches over a run from now on. What it finds is told by `alarm`, after the run's processes were killed.
    pub fn over(
        &self,
        run: RunId,
        process: &Process,
        home: PathBuf,
        cgroup: Option<RunCgroup>,
        keeper: MemoryKeeper,
        alarm: Arc<Alarm>,
    ) -> Watching<'_> {
        let (guardian, escalator) = (process.identity().guardian, process.escalator());
        let (cgroup, most_memory) = (Mutex::new(cgroup), AtomicU64::new(0));
        let watched = Arc::new(Watched {
            run,
            since: Instant::now(),
            guardian,
            home,
            cgroup,
            keeper,
            escalator,
            alarm,
            most_memory,
            memory: AtomicU64::new(0),
            tasks: AtomicU64::new(0),
        });
        self.lock().insert(run, Arc::clone(&watched));
        self.came.notify_waiters();
        Watching { watch: self, watched }
    }

    /// The runs of which processes may be alive.
    pub fn runs(&self) -> Vec<RunId> {
        self.lock().keys().copied().collect()
    }

    /// The same, with the time for which each has been watched over.
    pub fn ages(&self) -> Vec<(RunId, Duration)> {
        self.lock().iter().map(|(run, watched)| (*run, watched.since.elapsed())).collect()
    }

    /// What they used at the last look. Cheap.
    pub fn in_use(&self) -> InUse {
        let runs = self.lock();
        let tasks = runs.values().map(|watched| watched.tasks.load(Ordering::Relaxed)).sum();
        let memory_bytes = runs.values().map(|watched| watched.memory.load(Ordering::Relaxed)).sum();
        InUse { runs: runs.len(), tasks, memory_bytes }
    }

    /// Looks at all runs, for ever.
    pub async fn keep(&self, limits: &RunLimits) {
        let for_homes = limits.clone();
        let homes = || self.lock().iter().map(|(run, watched)| (*run, Arc::downgrade(watched))).collect();
        tokio::join!(
            self.keep_processes(limits),
            look_at_each(homes, &self.came, HOMES, move |watched: &Watched| look_at_home(watched, &for_homes))
        );
    }

    async fn keep_processes(&self, limits: &RunLimits) {
        let mut failing = false;
        loop {
            let (runs, limits) = (self.some().await, limits.clone());
            let begin = Instant::now();
            let looked = spawn_blocking(move || look_at_processes(&runs, &limits)).await;
            let looked = looked.unwrap_or_else(|error| Err(io::Error::other(error)));
            if let Err(error) = &looked
                && !failing
            {
                tracing::error!(%error, "cannot look at the processes of runs: their limits may not be kept");
            }
            failing = looked.is_err();
            sleep(PROCESSES.after(begin.elapsed())).await;
        }
    }

    /// All runs, as soon as there is one.
    async fn some(&self) -> Vec<Arc<Watched>> {
        loop {
            let came = self.came.notified();
            let runs: Vec<_> = self.lock().values().cloned().collect();
            if !runs.is_empty() {
                return runs;
            }
            came.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RunId, Arc<Watched>>> {
        // No code that can panic runs under the lock.
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watching<'_> {
    /// The most memory that was seen, in bytes; `None`: the run was too short for a look.
    pub fn most_memory(&self) -> Option<u64> {
        Some(self.watched.most_memory.load(Ordering::Relaxed)).filter(|most| *most > 0)
    }

    /// Ends the watch; the run's cgroup is to be removed now.
    pub fn end(self) -> Option<RunCgroup> {
        self.watched.cgroup().take()
    }

    /// Looks once more, for a run whose processes have ended by themselves: the kernel may have ended them for a limit.
    pub fn look_again(&self, limits: &RunLimits) {
        if let Some(breach) = self.watched.kernel_s_word(limits) {
            self.watched.end(breach);
        }
    }
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        self.watch.lock().remove(&self.watched.run);
    }
}

impl Watched {
    /// Ends the run: first the word, so that the run's task hears of it before it sees the processes go.
    fn end(&self, breach: Breach) {
        let what = breach.what.clone();
        if self.alarm.raise(breach) {
            tracing::warn!(run = %self.run, what, "a limit was met; the run is ended");
        }
        self.escalator.escalate(Rung::Kill);
        if let Some(Err(error)) = self.cgroup().as_ref().map(RunCgroup::kill) {
            tracing::debug!(run = %self.run, %error, "a cgroup cannot be killed; its guardian does it");
        }
    }

    fn cgroup(&self) -> MutexGuard<'_, Option<RunCgroup>> {
        self.cgroup.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kernel_s_word(&self, limits: &RunLimits) -> Option<Breach> {
        kernel_s_word(self.cgroup().as_ref()?, limits)
    }

    /// What a quick look says counts memory for each process that has it, so that one with many forks seems to take more
    /// than there is. Where that would end the run, a slower look counts once what they share.
    fn memory(&self, usage: &Usage, limits: &RunLimits) -> u64 {
        if usage.memory_bytes <= limits.memory || self.keeper == MemoryKeeper::Kernel {
            return usage.memory_bytes;
        }
        usage::shared_memory_counted_once(self.guardian).unwrap_or(usage.memory_bytes)
    }

    fn judge(&self, usage: &Usage, limits: &RunLimits) -> Option<Breach> {
        let memory = self.memory(usage, limits);
        self.most_memory.fetch_max(memory, Ordering::Relaxed);
        self.memory.store(memory, Ordering::Relaxed);
        self.tasks.store(usage.tasks, Ordering::Relaxed);
        if memory > limits.memory && self.keeper == MemoryKeeper::Watch {
            Some(Breach::memory(limits))
        } else if usage.tasks >= limits.processes {
            Some(Breach::processes(limits))
        } else if usage.most_open_files >= limits.open_files {
            Some(Breach::open_files(limits))
        } else {
            self.kernel_s_word(limits)
        }
    }
}

/// What the kernel has counted in a run's cgroup. Memory that had to be taken back, of cached files say, is no breach.
fn kernel_s_word(cgroup: &RunCgroup, limits: &RunLimits) -> Option<Breach> {
    let events = cgroup.events().ok()?;
    if events.oom_kills > 0 {
        return Some(Breach::memory(limits));
    }
    (events.tasks_max_hits > 0).then(|| Breach::processes(limits))
}

fn look_at_processes(runs: &[Arc<Watched>], limits: &RunLimits) -> io::Result<()> {
    let guardians: Vec<_> = runs.iter().map(|watched| watched.guardian).collect();
    let sampled = usage::sample(&guardians)?;
    for (watched, usage) in runs.iter().zip(&sampled) {
        if let Some(breach) = watched.judge(usage, limits) {
            watched.end(breach);
        }
    }
    Ok(())
}

fn look_at_home(watched: &Watched, limits: &RunLimits) -> io::Result<()> {
    let breach = match measure(&watched.home, usize::try_from(limits.home_files).unwrap_or(usize::MAX)) {
        Ok(Taken::Bytes(bytes)) => (bytes > limits.home).then(|| Breach::home(limits)),
        Ok(Taken::TooMuchToLookAt) => Some(Breach::too_many_files(limits)),
        // It has ended meanwhile, and its home is gone.
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if let Some(breach) = breach {
        watched.end(breach);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use claude::outcome::Limit;
    use supervisor::cgroup::{CgroupLimits, Delegation};

    use super::*;
    use crate::settings::Settings;

    #[test]
    fn what_the_kernel_has_ended_or_refused_is_a_breach() {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in
            [("cgroup.controllers", "memory pids"), ("cgroup.subtree_control", ""), ("cgroup.procs", "")]
        {
            fs::write(root.path().join(file), text).unwrap();
        }
        let limits = Settings::for_testing(root.path()).run_limits;
        let none = CgroupLimits { memory_bytes: None, tasks: None, cpu_percent: None };
        let cgroup = Delegation::at(root.path()).unwrap().create("x", &none).unwrap();
        let write = |file: &str, text: &str| fs::write(root.path().join("askd-run-x").join(file), text).unwrap();
        let limit = || kernel_s_word(&cgroup, &limits).map(|breach| breach.limit);
        write("memory.events", "low 0\nhigh 0\nmax 9\noom 0\noom_kill 0\n");
        write("pids.events", "max 0\n");
        assert_eq!(limit(), None, "memory that was taken back harms nobody");
        write("pids.events", "max 1\n");
        assert_eq!(limit(), Some(Limit::Processes));
        write("memory.events", "low 0\nhigh 0\nmax 9\noom 1\noom_kill 2\n");
        assert_eq!(limit(), Some(Limit::Memory));
    }
}
