//! Other processes: to look into them, to end them, and to leave some behind.

use std::fs;
use std::io::IoSliceMut;
use std::process::{Command, Stdio};

use nix::sys::ptrace as nix_ptrace;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid as NixPid;
use rustix::process::{
    Pid, PidfdFlags, PidfdGetfdFlags, Resource, Rlimit, Signal, getpriority_process, kill_process, pidfd_getfd,
    pidfd_open, prlimit, setpriority_process, test_kill_process,
};

use crate::Outcome;

fn pid(number: i32) -> Result<Pid, &'static str> {
    Pid::from_raw(number).ok_or("no process has the number 0")
}

pub(crate) fn environ(pid: &str) -> Outcome {
    let environment = fs::read(format!("/proc/{pid}/environ"))?;
    if environment.is_empty() {
        return Err("it is empty".into());
    }
    Ok(String::from_utf8_lossy(&environment).replace('\0', "\n"))
}

/// Looks at every process that `/proc` shows, but not at those of this run, which have its marker.
pub(crate) fn environs(text: &str) -> Outcome {
    let own = std::env::vars().find(|(name, _)| name == "ASKD_RUN_MARKER").map(|(_, marker)| marker);
    let mut seen = 0;
    for entry in fs::read_dir("/proc")?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        seen += 1;
        let Ok(environment) = environ(&name) else { continue };
        if environment.contains(text) && !own.as_ref().is_some_and(|own| environment.contains(own)) {
            return Ok(format!("process {name}"));
        }
    }
    Err(format!("none of {seen} processes shows it").into())
}

pub(crate) fn ptrace(pid: i32) -> Outcome {
    let pid = NixPid::from_raw(pid);
    // Seized, it is not stopped: whoever is attacked goes on.
    nix_ptrace::seize(pid, nix_ptrace::Options::empty())?;
    Ok("attached".into())
}

pub(crate) fn memory_of(number: i32) -> Outcome {
    // The addresses are known where `maps` can be read, which asks for the same right. An address that holds nothing
    // gives EFAULT, and only to those who may read.
    let maps = fs::read_to_string(format!("/proc/{number}/maps"))?;
    let (start, _) = maps.split_once('-').ok_or("it has no memory")?;
    let base = usize::from_str_radix(start, 16)?;
    let mut bytes = [0; 4];
    let remote = [RemoteIoVec { base, len: bytes.len() }];
    process_vm_readv(NixPid::from_raw(number), &mut [IoSliceMut::new(&mut bytes)], &remote)?;
    Ok(format!("{bytes:?}"))
}

pub(crate) fn descriptor_of(number: i32) -> Outcome {
    let process = pidfd_open(pid(number)?, PidfdFlags::empty())?;
    pidfd_getfd(process, 2, PidfdGetfdFlags::empty())?;
    Ok("taken".into())
}

pub(crate) fn limits_of(number: i32) -> Outcome {
    let as_it_is = prlimit(Some(pid(number)?), Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(format!("{as_it_is:?}"))
}

pub(crate) fn slow_down(number: i32) -> Outcome {
    let priority = getpriority_process(Some(pid(number)?))?;
    setpriority_process(Some(pid(number)?), priority)?;
    Ok(format!("{priority}"))
}

pub(crate) fn signal(number: i32) -> Outcome {
    test_kill_process(pid(number)?)?;
    Ok("a signal would arrive".into())
}

pub(crate) fn kill(number: i32) -> Outcome {
    kill_process(pid(number)?, Signal::KILL)?;
    Ok("killed".into())
}

/// The users that tests make up; see `tests/suite/hostile/server.rs`.
const MADE_UP: std::ops::Range<u32> = 58_000..59_000;

/// Everything that may be killed, apart from this process. Root, or a person's own user, would take the machine with it.
pub(crate) fn kill_all() -> Outcome {
    if !MADE_UP.contains(&rustix::process::geteuid().as_raw()) {
        return Err("not as a user that others might be".into());
    }
    // The outermost parent of this user at last, or those after it would not be met.
    nix::sys::signal::kill(NixPid::from_raw(-1), nix::sys::signal::Signal::SIGKILL)?;
    Ok("killed".into())
}

/// The guardian is found by going up from this process.
pub(crate) fn kill_guardian() -> Outcome {
    let mut process = rustix::process::getpid().as_raw_nonzero().get();
    while process > 1 {
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok());
        process = parent.ok_or("a process without a parent")?;
        let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        if line.split(|byte| *byte == 0).nth(1) == Some(b"__launch") {
            return kill(process);
        }
    }
    Err("no guardian can be seen".into())
}

/// Each is a shell's child that nobody waits for.
pub(crate) fn daemons(seconds: &str) -> Outcome {
    let ways = [
        format!("sleep {seconds} &"),
        format!("nohup sleep {seconds} >/dev/null 2>&1 </dev/null &"),
        format!("setsid sleep {seconds} >/dev/null 2>&1 </dev/null &"),
        format!("(setsid sh -c '(sleep {seconds} &)' &) >/dev/null 2>&1 </dev/null"),
        format!("env -i PATH=/usr/bin:/bin setsid nohup sleep {seconds} >/dev/null 2>&1 </dev/null &"),
        format!("setsid sh -c \"trap '' TERM HUP INT QUIT; sleep {seconds} & wait\" >/dev/null 2>&1 </dev/null &"),
        // A tree of which every member ignores what it can, and goes on when a part is killed.
        format!(
            "setsid sh -c \"trap '' TERM HUP INT QUIT; while :; do sleep {seconds}; done\" >/dev/null 2>&1 </dev/null &"
        ),
    ];
    for way in &ways {
        #[expect(clippy::disallowed_methods, reason = "what an agent's tools do")]
        let mut shell = Command::new("sh");
        shell.args(["-c", way]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    }
    Ok(format!("{}", ways.len()))
}
