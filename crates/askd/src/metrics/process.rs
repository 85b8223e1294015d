//! What the server's own process takes, under the names that every client library of Prometheus gives it. From `/proc`, which
//! keeps nobody waiting.

use std::fs;
use std::sync::atomic::Ordering;

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

use super::Metrics;

/// Looks at it now. What cannot be read stays as it was.
pub(super) fn look(metrics: &Metrics) {
    if let Some(stat) = fs::read_to_string("/proc/self/stat").ok().and_then(|text| Stat::read(&text)) {
        metrics.process_cpu.inner().store(stat.cpu_seconds.to_bits(), Ordering::Relaxed);
        metrics.process_memory.set(stat.resident_bytes);
        metrics.process_virtual.set(stat.virtual_bytes);
        metrics.process_threads.set(stat.threads);
        // Once: it does not change, and `/proc/stat` has a line for each processor and counts all interrupts.
        if metrics.process_start.get() == 0.0
            && let Some(boot) = fs::read_to_string("/proc/stat").ok().and_then(|text| boot_time(&text))
        {
            metrics.process_start.set(boot + stat.start_seconds);
        }
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // The folder itself is open while it is read.
        metrics.process_fds.set(i64::try_from(open.count()).unwrap_or(i64::MAX) - 1);
    }
    let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    metrics.process_max_fds.set(i64::try_from(most).unwrap_or(i64::MAX));
}

/// Of `/proc/self/stat`.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    threads: i64,
    start_seconds: f64,
    virtual_bytes: i64,
    resident_bytes: i64,
}

impl Stat {
    fn read(text: &str) -> Option<Self> {
        // The name of the program stands in brackets and may hold anything.
        let fields: Vec<_> = text.rsplit_once(") ")?.1.split_ascii_whitespace().collect();
        // As proc(5) counts them; the first one here is its third.
        let number = |at: usize| fields.get(at - 3)?.parse::<i64>().ok();
        Some(Self {
            cpu_seconds: seconds(number(14)? + number(15)?),
            threads: number(20)?,
            start_seconds: seconds(number(22)?),
            virtual_bytes: number(23)?,
            resident_bytes: number(24)?.saturating_mul(i64::try_from(page_size()).ok()?),
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "ticks of a process's life are far below the limit")]
fn seconds(ticks: i64) -> f64 {
    ticks as f64 / clock_ticks_per_second() as f64
}

/// When the machine was started, in seconds since 1970.
fn boot_time(text: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_may_be_called_anything() {
        let fields: Vec<_> = (4..=30).map(|number| number.to_string()).collect();
        let stat = Stat::read(&format!("12 (a) S (b) R {}", fields.join(" "))).unwrap();
        assert_eq!((stat.threads, stat.virtual_bytes), (20, 23));
        assert_eq!(Stat::read("12 (a"), None);
    }

    #[test]
    fn the_process_is_seen() {
        let metrics = Metrics::default();
        look(&metrics);
        assert!(metrics.process_memory.get() > 1 << 20 && metrics.process_fds.get() >= 3);
        assert!(metrics.process_start.get() > 1e9 && metrics.process_threads.get() >= 1);
        assert!(metrics.process_max_fds.get() >= metrics.process_fds.get());
    }
}
