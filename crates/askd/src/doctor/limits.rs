//! What the machine, or the container, lets the server have, against what its settings promise.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};

use super::Check;
use crate::settings::{Settings, show_size};

/// Descriptors that the server has for a run: pipes, its home, its followers' files.
const FILES_OF_A_RUN: u64 = 32;
/// Descriptors for the rest: the store, the log, what is on its way to guardians.
const FILES_OF_SERVER: u64 = 1_024;

/// Processes and threads of a run that does little: the guardian, the CLI with its threads, a shell.
const TASKS_OF_A_RUN: u64 = 64;
/// Threads of the server.
const TASKS_OF_SERVER: u64 = 128;

/// What a CLI takes that does little, in bytes (checked: 230 to 260 MB while it waits).
const MEMORY_OF_A_RUN: u64 = 300 << 20;
/// What the server takes at most, without its runs.
const MEMORY_OF_SERVER: u64 = 256 << 20;

/// Connections that the server lets wait; the kernel may allow fewer.
const BACKLOG: u64 = 4_096;

/// What this process and its cgroup are allowed.
#[derive(Debug, Clone, Copy)]
struct Allowed {
    /// `None`: any number.
    files: Option<u64>,
    tasks: Option<u64>,
    /// Of the machine, or less.
    memory: Option<u64>,
    backlog: Option<u64>,
}

/// A finding for each.
pub(super) fn limits(settings: &Settings) -> Vec<Check> {
    judge(settings, Allowed::here())
}

impl Allowed {
    fn here() -> Self {
        let groups = own_cgroups();
        let of_groups = |name: &str| {
            let texts = groups.iter().filter_map(|group| fs::read_to_string(group.join(name)).ok());
            texts.filter_map(|text| text.trim().parse::<u64>().ok()).min()
        };
        let least = |values: [Option<u64>; 2]| values.into_iter().flatten().min();
        // Root's tasks are not counted.
        let nproc = getrlimit(Resource::Nproc).current.filter(|_| !rustix::process::geteuid().is_root());
        Self {
            // The server raises its own limit to the most that it is allowed.
            files: getrlimit(Resource::Nofile).maximum,
            tasks: least([nproc, of_groups("pids.max")]),
            memory: least([of_machine(), of_groups("memory.max")]),
            backlog: fs::read_to_string("/proc/sys/net/core/somaxconn").ok().and_then(|text| text.trim().parse().ok()),
        }
    }
}

/// The cgroup of this process and those above it, as far as they are seen; of version 2.
fn own_cgroups() -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let Some(own) = text.lines().find_map(|line| line.strip_prefix("0::/")) else { return Vec::new() };
    let root = Path::new("/sys/fs/cgroup");
    root.join(own).ancestors().take_while(|group| group.starts_with(root)).map(Path::to_owned).collect()
}

fn of_machine() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok()?.checked_mul(1024)
}

fn judge(settings: &Settings, allowed: Allowed) -> Vec<Check> {
    let runs = u64::try_from(settings.limits.max_concurrent).unwrap_or(u64::MAX);
    let connections = u64::try_from(settings.server.max_connections).unwrap_or(u64::MAX);
    let mut checks = vec![files(allowed.files, connections, runs), tasks(allowed.tasks, runs)];
    checks.push(memory(allowed.memory, runs));
    checks.push(backlog(allowed.backlog));
    checks
}

fn files(allowed: Option<u64>, connections: u64, runs: u64) -> Check {
    let name = "open_files";
    let needed = connections.saturating_add(runs.saturating_mul(FILES_OF_A_RUN)).saturating_add(FILES_OF_SERVER);
    match allowed {
        Some(allowed) if allowed < needed => Check::warn(
            name,
            format!(
                "the server may open {allowed} files, and {connections} connections (ASKD_MAX_CONNECTIONS) and {runs} runs \
                 (MAX_CONCURRENT) may need {needed}"
            ),
            "raise the limit (ulimit -Hn, LimitNOFILE= of systemd, ulimits: of a compose file), or lower these settings",
        ),
        Some(allowed) => Check::ok(name, format!("the server may open {allowed}, and may need {needed}")),
        None => Check::ok(name, "without a limit"),
    }
}

fn tasks(allowed: Option<u64>, runs: u64) -> Check {
    let name = "processes";
    let needed = runs.saturating_mul(TASKS_OF_A_RUN).saturating_add(TASKS_OF_SERVER);
    match allowed {
        Some(allowed) if allowed < needed => Check::warn(
            name,
            format!(
                "the server and its runs may have {allowed} processes and threads, and {runs} runs need about {needed}"
            ),
            "raise the limit (ulimit -u, TasksMax= of systemd, pids limit of the container), or lower MAX_CONCURRENT",
        ),
        Some(allowed) => {
            Check::ok(name, format!("{allowed} processes and threads are allowed; {runs} runs need about {needed}"))
        }
        None => Check::ok(name, "no limit is seen"),
    }
}

fn memory(allowed: Option<u64>, runs: u64) -> Check {
    let name = "memory";
    let needed = runs.saturating_mul(MEMORY_OF_A_RUN).saturating_add(MEMORY_OF_SERVER);
    match allowed {
        Some(allowed) if allowed < needed => Check::warn(
            name,
            format!(
                "there are {}, and {runs} runs at once (MAX_CONCURRENT) need about {} when they do little",
                rounded(allowed),
                rounded(needed)
            ),
            "lower MAX_CONCURRENT, or give it more; ASKD_MAX_MEMORY bounds each run",
        ),
        Some(allowed) => Check::ok(
            name,
            format!("{}; {runs} runs need about {} when they do little", rounded(allowed), rounded(needed)),
        ),
        None => Check::skip(name, "nobody says how much there is"),
    }
}

/// To whole MiB.
fn rounded(bytes: u64) -> String {
    show_size(bytes >> 20 << 20)
}

fn backlog(allowed: Option<u64>) -> Check {
    let name = "somaxconn";
    match allowed {
        Some(allowed) if allowed < BACKLOG => Check::warn(
            name,
            format!("the kernel lets {allowed} new connections wait, and the server would let {BACKLOG}"),
            format!("sysctl -w net.core.somaxconn={BACKLOG}, if many clients come at once"),
        ),
        Some(allowed) => Check::ok(name, format!("the kernel lets {allowed} new connections wait")),
        None => Check::skip(name, "the kernel does not say it here"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    #[test]
    fn less_than_the_settings_need_is_a_warning_with_what_to_raise() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::for_testing(folder.path());
        settings.limits.max_concurrent = 50;
        let few = Allowed { files: Some(1_024), tasks: Some(100), memory: Some(1 << 30), backlog: Some(128) };
        for (check, told) in
            judge(&settings, few).iter().zip(["LimitNOFILE", "TasksMax", "MAX_CONCURRENT", "somaxconn"])
        {
            assert_eq!(check.status, Status::Warn, "{check:?}");
            assert!(check.hint.as_ref().unwrap().contains(told), "{check:?}");
        }
        let plenty = Allowed { files: None, tasks: Some(1 << 20), memory: Some(1 << 40), backlog: Some(4_096) };
        assert!(judge(&settings, plenty).iter().all(|check| check.status == Status::Ok));
        let unknown = Allowed { files: None, tasks: None, memory: None, backlog: None };
        assert!(judge(&settings, unknown).iter().all(|check| check.status <= Status::Skip));
    }

    #[test]
    fn what_this_machine_allows_is_found() {
        let here = Allowed::here();
        assert!(here.memory.is_some_and(|memory| memory > 1 << 20), "{here:?}");
    }
}
