//! Test only: the launcher that the tests start children through, a small server to be killed, and what else has to be a
//! program.

mod attacker;
mod bubblewrap;
mod server;

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use rustix::process::{Resource, Rlimit, setrlimit};

fn main() -> ExitCode {
    let own_name = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let own_name = own_name.file_name().unwrap_or_default();
    if let Some(play) = bubblewrap::played(own_name) {
        return play();
    }
    if own_name == OsStr::new("narrow") {
        return narrow();
    }
    if let Some(code) = supervisor::hidden_main(std::env::args_os().skip(1)) {
        return code;
    }
    let mut args = std::env::args_os().skip(1);
    match args.next().as_deref().and_then(|word| word.to_str()) {
        Some("serve") => server::serve(args),
        Some("climb") => attacker::climb(args),
        Some("flood") => attacker::flood(),
        Some("inject") => attacker::inject(),
        _ => ExitCode::from(2),
    }
}

/// As a launcher that may have hardly any descriptor.
fn narrow() -> ExitCode {
    let few = Some(8);
    setrlimit(Resource::Nofile, Rlimit { current: few, maximum: few }).expect("a lower limit");
    #[expect(clippy::disallowed_methods, reason = "it replaces this very process")]
    let error = Command::new("/proc/self/exe").args(std::env::args_os().skip(1)).exec();
    panic!("{error}");
}
