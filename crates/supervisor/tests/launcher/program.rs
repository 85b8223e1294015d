//! Test only: the launcher that the tests start children through, a small server to be killed, and what else has to be a
//! program.

mod attacker;
mod bubblewrap;
mod server;

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = supervisor::hidden_main(std::env::args_os().skip(1)) {
        return code;
    }
    let mut args = std::env::args_os().skip(1);
    match args.next().as_deref().and_then(|word| word.to_str()) {
        Some("serve") => server::serve(args),
        Some("climb") => attacker::climb(args),
        Some("--unshare-user") => bubblewrap::tell(),
        _ => ExitCode::from(2),
    }
}
