//! A PostgreSQL that does not answer, as if its machine hung.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

use super::engine::Outside;

/// The processes of a cluster, stopped. They go on when this is dropped.
pub(crate) struct Frozen(Vec<Pid>);

impl Frozen {
    /// Stops the cluster at this URL. It must be the test's own: others would wait as well.
    pub(crate) async fn at(url: &str) -> Self {
        let outside = Outside::of(url).await;
        let backend = outside.number("SELECT pg_backend_pid()::bigint").await;
        let postmaster = parent(i32::try_from(backend).unwrap()).unwrap();
        outside.close().await;
        let mut frozen = Self(Vec::new());
        // First, so that it makes no further ones.
        frozen.stop(postmaster);
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        pids.filter(|pid| parent(*pid) == Some(postmaster)).for_each(|pid| frozen.stop(pid));
        frozen
    }

    fn stop(&mut self, pid: i32) {
        let pid = Pid::from_raw(pid).unwrap();
        // A backend may end meanwhile.
        if kill_process(pid, Signal::STOP).is_ok() {
            self.0.push(pid);
        }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for pid in &self.0 {
            let _ = kill_process(*pid, Signal::CONT);
        }
    }
}

/// The parent of a process that lives.
fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(") ").next()?.split(' ').nth(1)?.parse().ok()
}
