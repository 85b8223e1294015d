//! The small files of a group.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{Dir, FileType, Mode, OFlags, openat};
use rustix::io::Errno;

use super::{CgroupLimits, Controller};

/// More than any file of a group that is read here; lists of processes are read up to this.
const MAX_READ: u64 = 1 << 16;
/// How many groups are looked at in one folder. One server has no more than this many runs.
const MAX_FOLDERS: usize = 1 << 14;
/// The span over which time of processors is counted, in microseconds: the kernel's own choice.
const CPU_PERIOD: u64 = 100_000;

/// Reads a file of a group.
pub(super) fn read(folder: BorrowedFd<'_>, name: &str) -> io::Result<String> {
    let file = openat(folder, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let mut text = String::new();
    File::from(file).take(MAX_READ).read_to_string(&mut text)?;
    Ok(text)
}

/// Writes a value, in one call, as the kernel wants it. A file that is not there is an error: none is ever made.
pub(super) fn write(folder: BorrowedFd<'_>, name: &str, value: &str) -> io::Result<()> {
    let file =
        openat(folder, name, OFlags::WRONLY | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    File::from(file).write_all(value.as_bytes())
}

/// Writes what a run may take, as far as there are controllers.
pub(super) fn write_limits(cgroup: &impl AsFd, controllers: &[Controller], limits: &CgroupLimits) -> io::Result<()> {
    let folder = cgroup.as_fd();
    let has = |controller| controllers.contains(&controller);
    if let Some(bytes) = limits.memory_bytes.filter(|_| has(Controller::Memory)) {
        write(folder, "memory.max", &bytes.to_string())?;
        // Or a run would go on, slowly, on the machine's disk.
        write_if_there(folder, "memory.swap.max", "0")?;
        // Half a run is worth nothing, and which half is left would be chance.
        write_if_there(folder, "memory.oom.group", "1")?;
    }
    if let Some(tasks) = limits.tasks.filter(|_| has(Controller::Pids)) {
        write(folder, "pids.max", &tasks.to_string())?;
    }
    if let Some(percent) = limits.cpu_percent.filter(|_| has(Controller::Cpu)) {
        let quota = u64::from(percent) * CPU_PERIOD / 100;
        write(folder, "cpu.max", &format!("{quota} {CPU_PERIOD}"))?;
    }
    Ok(())
}

/// Writes a value to a file that not every kernel has.
pub(super) fn write_if_there(folder: BorrowedFd<'_>, name: &str, value: &str) -> io::Result<()> {
    match write(folder, name, value) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// A number out of a file of lines `name number`. What is not there has not happened.
pub(super) fn count(folder: BorrowedFd<'_>, file: &str, name: &str) -> io::Result<u64> {
    let text = match read(folder, file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        other => other?,
    };
    let of_line = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok();
    Ok(text.lines().find_map(of_line).unwrap_or(0))
}

/// The names of the groups in a folder.
pub(super) fn folders_in(folder: BorrowedFd<'_>) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)?.take(MAX_FOLDERS) {
        let entry = match entry {
            // It is being removed.
            Err(Errno::NOENT | Errno::NODEV) => break,
            other => other?,
        };
        let Ok(name) = entry.file_name().to_str() else { continue };
        if entry.file_type() == FileType::Directory && !matches!(name, "." | "..") {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A folder with the files of a group.
    fn group(files: &[&str]) -> (tempfile::TempDir, File) {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            fs::write(folder.path().join(file), "max\n").unwrap();
        }
        let opened = File::open(folder.path()).unwrap();
        (folder, opened)
    }

    const LIMITS: CgroupLimits = CgroupLimits { memory_bytes: Some(1 << 30), tasks: Some(512), cpu_percent: Some(150) };

    #[test]
    fn each_limit_is_written_where_the_kernel_looks_for_it() {
        let names = ["memory.max", "memory.swap.max", "memory.oom.group", "pids.max", "cpu.max"];
        let (folder, opened) = group(&names);
        write_limits(&opened, &Controller::ALL, &LIMITS).unwrap();
        let written = names.map(|name| fs::read_to_string(folder.path().join(name)).unwrap());
        assert_eq!(written, ["1073741824", "0", "1", "512", "150000 100000"]);
    }

    #[test]
    fn without_its_controller_a_limit_is_not_written_and_without_its_file_it_is_an_error() {
        let (folder, opened) = group(&["pids.max"]);
        write_limits(&opened, &[Controller::Pids], &LIMITS).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("pids.max")).unwrap(), "512");
        let error = write_limits(&opened, &[Controller::Memory], &LIMITS).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_kernel_without_swap_accounting_is_no_error() {
        let (_folder, opened) = group(&["memory.max"]);
        write_limits(&opened, &[Controller::Memory], &LIMITS).unwrap();
    }

    #[test]
    fn a_count_is_found_by_its_whole_name() {
        let (folder, opened) = group(&[]);
        fs::write(folder.path().join("memory.events"), "low 0\nhigh 1\nmax 7\noom 2\noom_kill 3\n").unwrap();
        let count = |name| count(opened.as_fd(), "memory.events", name).unwrap();
        assert_eq!((count("max"), count("oom"), count("oom_kill"), count("absent")), (7, 2, 3, 0));
        assert_eq!(super::count(opened.as_fd(), "pids.events", "max").unwrap(), 0);
    }
}
