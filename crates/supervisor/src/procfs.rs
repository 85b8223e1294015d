//! What `/proc` says about processes.
//!
//! One way of looking only: read every `/proc/PID/stat`. The kernel's `children` files would be quicker for small trees,
//! but they are promised to be complete for stopped processes only, and need a kernel option.

use std::fs;
use std::io;

use crate::identity::ProcessId;

/// One process as `/proc/PID/stat` showed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The process.
    pub(crate) id: ProcessId,
    /// The pid of its parent (0: outside this pid namespace).
    pub(crate) parent: u32,
    /// The state letter: `R`, `S`, `D`, `Z`, `T`, …
    pub(crate) state: char,
}

impl Entry {
    /// Whether it is more than an entry waiting to be reaped.
    pub(crate) fn is_alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }
}

/// Every process that can be seen.
pub(crate) fn all() -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for directory in fs::read_dir("/proc")? {
        let name = directory?.file_name();
        // Processes come and go while we look; one that has gone is simply not in the list.
        if let Some(entry) = name.to_str().and_then(|name| name.parse().ok()).and_then(entry) {
            entries.push(entry);
        }
    }
    Ok(entries)
}

/// One process, if it exists.
pub(crate) fn entry(pid: u32) -> Option<Entry> {
    parse_stat(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// The environment a process was started with, as far as we may read it.
pub(crate) fn environment(pid: u32) -> Option<Vec<u8>> {
    fs::read(format!("/proc/{pid}/environ")).ok()
}

/// Whether an environment block holds a variable of this name whose value is accepted.
pub(crate) fn has_variable(environment: &[u8], name: &str, accept: impl Fn(&[u8]) -> bool) -> bool {
    environment.split(|&byte| byte == 0).any(|variable| {
        variable.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"=")).is_some_and(&accept)
    })
}

/// What `/proc/PID/status` says of a process's memory and tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// Memory of its own and memory that it shares, without the pages of files, in bytes.
    pub(crate) memory_bytes: u64,
    /// Its threads.
    pub(crate) tasks: u64,
}

/// The same of a process, if it exists. A zombie has one task and no memory.
pub(crate) fn status(pid: u32) -> Option<Status> {
    Some(parse_status(&fs::read(format!("/proc/{pid}/status")).ok()?))
}

/// The same memory as in [`Status`], where of what several processes share each has its part only. `None` if it cannot be
/// seen; zero for a zombie.
pub(crate) fn proportional_memory(pid: u32) -> Option<u64> {
    parse_rollup(&fs::read(format!("/proc/{pid}/smaps_rollup")).ok()?)
}

/// More descriptors than this are not counted one by one.
const MAX_COUNTED: usize = 1 << 16;

/// How many descriptors a process has open, as far as we may know.
pub(crate) fn open_files(pid: u32) -> Option<u64> {
    let folder = format!("/proc/{pid}/fd");
    // Since Linux 6.2 the size of the folder is the number, which is much quicker and needs fewer rights.
    match fs::metadata(&folder).ok()?.len() {
        0 => u64::try_from(fs::read_dir(&folder).ok()?.take(MAX_COUNTED).count()).ok(),
        count => Some(count),
    }
}

/// The identity of this boot, so that a pid and start time from before a reboot are not taken for today's.
pub(crate) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

fn parse_stat(line: &[u8]) -> Option<Entry> {
    let pid = line.split(|&byte| byte == b' ').next()?;
    let pid = str::from_utf8(pid).ok()?.parse().ok()?;
    // The second field is the program's name in parentheses, which may itself hold spaces and parentheses.
    let name_end = line.iter().rposition(|&byte| byte == b')')?;
    let mut fields = str::from_utf8(line.get(name_end + 1..)?).ok()?.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    // Fields 3 and 4 are taken; the start time is field 22.
    let start = fields.nth(17)?.parse().ok()?;
    Some(Entry { id: ProcessId { pid, start }, parent, state })
}

/// `None`: the kernel is older than these lines (Linux 5.4).
fn parse_rollup(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return Some(0);
    }
    let of = |wanted: &str| {
        let line = text.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(wanted.as_bytes()))?;
        let value = str::from_utf8(line).ok()?.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?;
        Some(value << 10)
    };
    Some(of("Pss_Anon:")?.saturating_add(of("Pss_Shmem:")?))
}

fn parse_status(text: &[u8]) -> Status {
    let mut status = Status::default();
    for line in text.split(|&byte| byte == b'\n') {
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let (Some(name), Some(value)) = (words.next(), words.next()) else { continue };
        let Some(value) = str::from_utf8(value).ok().and_then(|value| value.parse::<u64>().ok()) else { continue };
        match name {
            b"RssAnon:" | b"RssShmem:" => status.memory_bytes = status.memory_bytes.saturating_add(value << 10),
            b"Threads:" => status.tasks = value,
            _ => {}
        }
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_confuse() {
        let stat = b"4242 (a) R 1 (b c)) S 77 4242 4242 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 2 3\n";
        let entry = parse_stat(stat).unwrap();
        assert_eq!(entry.id, ProcessId { pid: 4242, start: 987_654 });
        assert_eq!((entry.parent, entry.state), (77, 'S'));
    }

    #[test]
    fn of_the_status_memory_and_threads_are_read() {
        let text = b"Name:\tRssAnon: 9\nVmRSS:\t 900 kB\nRssAnon:\t     300 kB\nRssFile:\t 500 kB\n\
            RssShmem:\t   100 kB\nThreads:\t7\n";
        assert_eq!(parse_status(text), Status { memory_bytes: 400 << 10, tasks: 7 });
    }

    #[test]
    fn of_the_rollup_the_parts_of_anonymous_and_shared_memory_are_read() {
        let text = b"5581-7ffd ---p 00000000 00:00 0 [rollup]\nRss:  9000 kB\nPss:  900 kB\nPss_Dirty: 7 kB\n\
            Pss_Anon:      300 kB\nPss_File:  500 kB\nPss_Shmem:   100 kB\nShared_Clean: 9 kB\n";
        assert_eq!(parse_rollup(text), Some(400 << 10));
        assert_eq!((parse_rollup(b"Rss: 9 kB\n"), parse_rollup(b"")), (None, Some(0)));
    }

    #[test]
    fn open_files_are_counted() {
        let own = std::process::id();
        let _files: Vec<_> = (0..8).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        // What other tests open and close at the same moment counts, too.
        assert!(open_files(own).unwrap() >= 8);
    }

    #[test]
    fn the_test_itself_is_found() {
        let own = std::process::id();
        let listed = all().unwrap().into_iter().find(|entry| entry.id.pid == own).unwrap();
        assert_eq!(entry(own).unwrap().id, listed.id);
        assert!(listed.is_alive());
    }

    #[test]
    fn a_variable_is_matched_at_its_start_only() {
        let environment = b"XMARK=run-1\0MARK=run-2\0MARKER=run-3\0";
        let is = |wanted: &'static [u8]| has_variable(environment, "MARK", move |value| value == wanted);
        assert!(is(b"run-2"));
        assert!(!is(b"run-1"));
        assert!(!is(b"run-3"));
        assert!(!is(b"run"));
    }
}
