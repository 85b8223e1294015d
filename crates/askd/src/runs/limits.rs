//! What a run may use up: the limits that the kernel keeps by itself, and how it is told that one was met.

use claude::outcome::{Ending, Limit};
use supervisor::confinement::Resources;

use crate::disk::free::Low;
use crate::settings::groups::RunLimits;
use crate::settings::{Settings, show_size};

/// The limits that the kernel keeps by itself, for every run alike.
pub fn resources(settings: &Settings) -> Resources {
    let (limits, runs) = (&settings.run_limits, settings.limits.max_concurrent as u64);
    Resources {
        processes: Some(limits.processes),
        // There the kernel counts all runs and the server together, and whoever forks next pays for all of them.
        processes_backstop: Some(limits.processes.saturating_mul(runs + 1)),
        open_files: Some(limits.open_files),
        // No single file may take more than a whole home; what a home takes is watched.
        file_size: Some(limits.home),
    }
}

/// What to say of a disk that has too little for a run.
pub fn too_little_disk(low: &Low) -> String {
    match low {
        Low::Bytes { minimum, .. } => format!("less than {} is free (ASKD_MIN_FREE_DISK)", show_size(*minimum)),
        Low::Files { minimum, .. } => {
            format!("fewer than {minimum} files can be made (inodes; ASKD_MIN_FREE_DISK=0 stops looking)")
        }
    }
}

/// A limit that a run has met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// Which one.
    pub limit: Limit,
    /// The same in words, for the caller: its value and its setting.
    pub what: String,
}

impl Breach {
    /// More memory than a run may take.
    pub fn memory(limits: &RunLimits) -> Self {
        let most = show_size(limits.memory);
        Self { limit: Limit::Memory, what: format!("the run took more than {most} of memory (ASKD_MAX_MEMORY)") }
    }

    /// As many processes and threads as a run may have.
    pub fn processes(limits: &RunLimits) -> Self {
        let what = format!("the run had {} processes and threads or more (ASKD_MAX_PROCESSES)", limits.processes);
        Self { limit: Limit::Processes, what }
    }

    /// As many open files as a process may have.
    pub fn open_files(limits: &RunLimits) -> Self {
        let what = format!("a process of the run had {} files open or more (ASKD_MAX_OPEN_FILES)", limits.open_files);
        Self { limit: Limit::OpenFiles, what }
    }

    /// More disk than a home may take.
    pub fn home(limits: &RunLimits) -> Self {
        let most = show_size(limits.home);
        let what = format!("the run's home and its temporary files took more than {most} of disk (ASKD_MAX_HOME)");
        Self { limit: Limit::Disk, what }
    }

    /// More files in a home than it may have, or folders too deep to be looked at.
    pub fn too_many_files(limits: &RunLimits) -> Self {
        let what = format!(
            "the run made more than {} files in its home and its temporary folder (ASKD_MAX_HOME_FILES), or folders too \
             deep",
            limits.home_files
        );
        Self { limit: Limit::Disk, what }
    }

    /// As the end of the run.
    pub fn ending(&self) -> Ending {
        Ending::LimitMet { limit: self.limit, what: self.what.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backstop_leaves_room_for_every_run_and_the_server() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::for_testing(folder.path());
        (settings.limits.max_concurrent, settings.run_limits.processes) = (3, 100);
        let resources = resources(&settings);
        assert_eq!((resources.processes, resources.processes_backstop), (Some(100), Some(400)));
    }

    #[test]
    fn a_breach_names_the_limit_and_its_setting() {
        let folder = tempfile::tempdir().unwrap();
        let limits = Settings::for_testing(folder.path()).run_limits;
        let told = |breach: Breach| breach.what;
        assert_eq!(told(Breach::memory(&limits)), "the run took more than 4GiB of memory (ASKD_MAX_MEMORY)");
        assert!(told(Breach::processes(&limits)).contains("2048 processes and threads or more (ASKD_MAX_PROCESSES)"));
        assert!(told(Breach::open_files(&limits)).contains("16384 files open or more (ASKD_MAX_OPEN_FILES)"));
        assert!(told(Breach::home(&limits)).contains("more than 5GiB of disk (ASKD_MAX_HOME)"));
    }
}
