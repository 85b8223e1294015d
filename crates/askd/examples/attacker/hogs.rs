//! Taking more than one's share, within bounds: a test that fails must not take the machine with it.

use std::collections::TryReserveError;
use std::fs::{self, File};
use std::io::Write as _;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use rustix::fs::MemfdFlags;
use rustix::mount::MountFlags;

use crate::{Outcome, namespaces};

const MEGABYTE: usize = 1 << 20;
/// The most memory or disk that is taken, in megabytes.
const MOST_MEGABYTES: usize = 1024;
/// How much goes into one file.
const PIECE: usize = 8;
/// The most that any hog lives.
const LONGEST: Duration = Duration::from_secs(20);
/// 2^11 - 1 processes.
const MOST_LEVELS: u32 = 10;
const MOST_THREADS: usize = 2000;
const MOST_FILES: usize = 2000;

fn time(seconds: u64) -> Duration {
    Duration::from_secs(seconds).min(LONGEST)
}

/// Each process starts two of the next level. It says how many this first one could start.
pub(crate) fn bomb(levels: u32, seconds: u64) -> Outcome {
    let started = split(levels.min(MOST_LEVELS), seconds);
    thread::sleep(time(seconds));
    if started == 2 { Ok("it went off".into()) } else { Err("it could not split".into()) }
}

/// With rights of its own a process has limits of its own, as far as its namespace lets it.
pub(crate) fn bomb_within(levels: u32, seconds: u64) -> Outcome {
    namespaces::gain_rights()?;
    bomb(levels, seconds)
}

/// One process of a bomb.
pub(crate) fn go_off(arguments: &[String]) -> ExitCode {
    let number = |index: usize| arguments.get(index).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    split(u32::try_from(number(0)).unwrap_or(0).min(MOST_LEVELS), number(1));
    thread::sleep(time(number(1)));
    ExitCode::SUCCESS
}

/// Starts two of the next level; how many it could.
fn split(levels: u32, seconds: u64) -> usize {
    let Some(below) = levels.checked_sub(1) else { return 2 };
    let start = || {
        #[expect(clippy::disallowed_methods, reason = "what an agent's tools do")]
        let mut command = Command::new(std::env::current_exe().ok()?);
        command.args(["be-a-bomb", &below.to_string(), &seconds.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()
    };
    (0..2).filter_map(|_| start()).count()
}

pub(crate) fn threads(count: usize, seconds: u64) -> Outcome {
    let mut begun = Vec::new();
    for _ in 0..count.min(MOST_THREADS) {
        let thread = thread::Builder::new().stack_size(64 << 10);
        begun.push(thread.spawn(move || thread::sleep(time(seconds)))?);
    }
    thread::sleep(time(seconds));
    Ok(format!("{} threads", begun.len()))
}

/// A piece of memory that is really there.
fn megabyte(number: usize) -> Result<Vec<u8>, TryReserveError> {
    let mut piece = Vec::new();
    piece.try_reserve_exact(MEGABYTE)?;
    // Not zeros: those might be one page for all.
    piece.resize(MEGABYTE, u8::try_from(number % 255).unwrap_or(0) + 1);
    Ok(piece)
}

pub(crate) fn memory(megabytes: usize, seconds: u64) -> Outcome {
    let held = (0..megabytes.min(MOST_MEGABYTES)).map(megabyte).collect::<Result<Vec<_>, _>>()?;
    thread::sleep(time(seconds));
    Ok(format!("{} MB", std::hint::black_box(&held).len()))
}

/// A shell forks without executing anything: what it holds is there once, and every fork has it. To say how much
/// it is, a fork would have to copy it.
pub(crate) fn forks(count: usize, megabytes: usize, seconds: u64) -> Outcome {
    let (count, bytes) = (count.min(64), megabytes.min(MOST_MEGABYTES) * MEGABYTE);
    let script = "block=$(head -c $0 /dev/zero | tr '\\0' x); while [ $1 -gt ${i:-0} ]; do i=$((${i:-0} + 1)); \
                  ( sleep $2; echo alive ) & done; wait";
    #[expect(clippy::disallowed_methods, reason = "what an agent's tools do")]
    let mut command = Command::new("sh");
    command.args(["-c", script, &bytes.to_string(), &count.to_string(), &time(seconds).as_secs().to_string()]);
    let output = command.stdin(Stdio::null()).output()?;
    let forks = String::from_utf8_lossy(&output.stdout).lines().count();
    if forks == count { Ok(format!("{forks} forks")) } else { Err(format!("{forks} forks: {output:?}").into()) }
}

/// In pieces, like [`fill`].
pub(crate) fn memfd(megabytes: usize, seconds: u64) -> Outcome {
    let fill_one = |name: String| {
        let mut file = File::from(rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC)?);
        fill_file(&mut file, PIECE)?;
        Ok(file)
    };
    let held = pieces("hog", megabytes).into_iter().map(fill_one).collect::<std::io::Result<Vec<File>>>()?;
    thread::sleep(time(seconds));
    Ok(format!("{megabytes} MB in {} files", held.len()))
}

/// It belongs to no process, and so outlives all of them.
pub(crate) fn segment(megabytes: usize) -> Outcome {
    #[expect(clippy::disallowed_methods, reason = "what an agent's tools do")]
    let mut command = Command::new("ipcmk");
    let size = (megabytes.min(MOST_MEGABYTES) * MEGABYTE).to_string();
    let output = command.args(["--shmem", &size]).stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(if output.status.success() { &output.stdout } else { &output.stderr });
    let said = said.trim().to_owned();
    if output.status.success() { Ok(said) } else { Err(said.into()) }
}

pub(crate) fn files(count: usize, seconds: u64) -> Outcome {
    let open = (0..count.min(MOST_FILES)).map(|_| File::open("/dev/null")).collect::<Result<Vec<_>, _>>()?;
    thread::sleep(time(seconds));
    Ok(format!("{} files", open.len()))
}

/// In pieces, so that no limit on a single file stops it.
fn pieces(file: &str, megabytes: usize) -> Vec<String> {
    (0..megabytes.min(MOST_MEGABYTES).div_ceil(PIECE)).map(|piece| format!("{file}.{piece}")).collect()
}

pub(crate) fn fill(file: &str, megabytes: usize, seconds: u64) -> Outcome {
    let pieces = pieces(file, megabytes);
    let filled = pieces.iter().try_for_each(|path| fill_file(&mut File::create(path)?, PIECE));
    if filled.is_ok() {
        thread::sleep(time(seconds));
    }
    // Also what was begun.
    for path in &pieces {
        drop(fs::remove_file(path));
    }
    filled?;
    Ok(format!("{megabytes} MB"))
}

/// What walks through folders does not meet them.
pub(crate) fn unlinked(file: &str, megabytes: usize, seconds: u64) -> Outcome {
    let fill_one = |path: &String| {
        let mut file = File::create(path)?;
        fs::remove_file(path)?;
        fill_file(&mut file, PIECE)?;
        Ok(file)
    };
    let held = pieces(file, megabytes).iter().map(fill_one).collect::<std::io::Result<Vec<File>>>()?;
    thread::sleep(time(seconds));
    Ok(format!("{megabytes} MB in {} files", held.len()))
}

/// It is in no process that could be measured.
pub(crate) fn tmpfs(megabytes: usize, seconds: u64) -> Outcome {
    namespaces::gain_rights()?;
    rustix::mount::mount("tmpfs", "/mnt", "tmpfs", MountFlags::empty(), None)?;
    fill("/mnt/hog", megabytes, seconds)
}

fn fill_file(file: &mut File, megabytes: usize) -> std::io::Result<()> {
    (0..megabytes.min(MOST_MEGABYTES)).try_for_each(|number| file.write_all(&megabyte(number)?))
}
