//! The process itself: askd's own executable, started as `__judge`. It reads a question and prints the verdict.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;
use std::thread;

use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::guard::{Policy, STACK, Verdict};

/// The hidden subcommand.
pub const SUBCOMMAND: &str = "__judge";

/// All its memory, in bytes: the stack, the executable and what allocators set aside are in it.
const MEMORY: u64 = 512 << 20;

/// Its time on the processor, in seconds.
const PROCESSOR: u64 = 2;

/// In bytes: the longest policy and the longest command, with room for the escapes of JSON.
const MAX_QUESTION: u64 = 8 << 20;

/// What is asked.
#[derive(Debug, Serialize)]
pub struct Question<'a> {
    /// The text of the policy.
    pub policy: &'a str,
    /// The tool that is to be called.
    pub tool: &'a str,
    /// What it is given.
    pub input: &'a Value,
}

/// [`Question`], as it arrives.
#[derive(Deserialize)]
struct Asked {
    policy: String,
    tool: String,
    input: Value,
}

/// Handles `__judge`. `None`: the arguments are others. To be called before any thread exists.
pub fn hidden_main(mut args: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    if args.next()? != SUBCOMMAND {
        return None;
    }
    Some(match answer() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(io::stderr(), "`{SUBCOMMAND}` is internal to the server: {error}"));
            ExitCode::from(2)
        }
    })
}

fn answer() -> io::Result<()> {
    limit()?;
    let mut text = String::new();
    io::stdin().lock().take(MAX_QUESTION).read_to_string(&mut text)?;
    let Asked { policy, tool, input } = serde_json::from_str(&text)?;
    let policy = Policy::parse(&policy).map_err(|_| io::Error::other("the policy is not valid"))?;
    let judge = move || policy.judge(&tool, &input);
    let judge = thread::Builder::new().stack_size(STACK).spawn(judge)?;
    let verdict: Verdict = judge.join().map_err(|_| io::Error::other("it panicked"))?;
    writeln!(io::stdout().lock(), "{}", serde_json::to_string(&verdict)?)
}

/// Before the first foreign byte is read.
fn limit() -> io::Result<()> {
    let limits = [(Resource::As, MEMORY), (Resource::Cpu, PROCESSOR), (Resource::Core, 0)];
    for (resource, most) in limits {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    Ok(())
}
