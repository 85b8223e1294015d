//! In the place of bubblewrap.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::{Write, stderr};
use std::process::{Command, ExitCode};

/// What this program does as bubblewrap, if it was started by one of these names.
pub(crate) fn played(name: &OsStr) -> Option<fn() -> ExitCode> {
    Some(match name.to_str()? {
        "tell" => tell,
        "hang" => hang,
        "leave" => leave,
        _ => return None,
    })
}

/// Never comes to the stage.
pub(crate) fn hang() -> ExitCode {
    loop {
        std::thread::park();
    }
}

/// Ends, and leaves a process that has everything open that it had.
fn leave() -> ExitCode {
    #[expect(clippy::disallowed_methods, reason = "this is what is left")]
    let left = Command::new("sleep").arg("600").spawn();
    if left.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Says everything that the acts before it have changed, on standard error, and fails.
fn tell() -> ExitCode {
    let mut text = String::new();
    let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    let wanted = ["NoNewPrivs", "Umask", "SigIgn", "Max core file size", "Max open files", "Max file size"];
    for line in [read("status"), read("limits")].concat().lines() {
        if wanted.iter().any(|name| line.starts_with(name)) {
            text.push_str(&line.split_ascii_whitespace().collect::<Vec<_>>().join(" "));
            text.push('\n');
        }
    }
    write!(text, "oom_score_adj {}", read("oom_score_adj")).expect("room");
    for entry in fs::read_dir("/proc/self/fd").expect("own descriptors").flatten() {
        let leads_to = fs::read_link(entry.path()).unwrap_or_default();
        writeln!(text, "descriptor {}", leads_to.display()).expect("room");
    }
    stderr().write_all(text.as_bytes()).expect("a reader");
    ExitCode::FAILURE
}
