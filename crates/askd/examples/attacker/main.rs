//! What a command that a model chose might try, one attack for each start: for `tests/suite/hostile`.
//!
//! `attacker ATTACK [ARGUMENT]...` prints one line of JSON: `attack`, `arguments`, `worked`, and as `text` what was found
//! or why it did not work. `~` in an argument is the home. It ends with 0 when it worked and with 1 when it did not.
//!
//! | Attack | Tries to |
//! |---|---|
//! | `read FILE`, `list FOLDER` | see what is in it |
//! | `write FILE` | add a line to it |
//! | `link FILE NAME`, `symlink FILE NAME` | make another name for it; read it by that, if it is not symbolic |
//! | `rewrite FILE` | write what it holds already |
//! | `truncate FILE`, `remove FILE`, `move FILE NAME`, `make FOLDER` | cut it to the length that it has, delete it, take it away, put a folder there |
//! | `date FILE` | let it come from the far future |
//! | `deep FOLDER LEVELS` | make folders within folders, more than a path can name, and the last without any rights |
//! | `mode FILE` | change its mode to what it is already |
//! | `descriptors` | find descriptors above 2; one of a folder is entered, and left again by `..` |
//! | `environ PID`, `environs TEXT` | read the environment of a process; of any process that has this text in it |
//! | `ptrace PID`, `memory-of PID`, `descriptor-of PID` | attach to a process, read its memory, take its stderr |
//! | `limits-of PID`, `slow-down PID` | set its limits anew, lower its priority by nothing |
//! | `signal PID`, `kill PID` | see whether a signal would arrive; send SIGKILL |
//! | `kill-all` | send SIGKILL to all there are; refused to users that others might be |
//! | `kill-guardian` | end the process that watches over this run |
//! | `connect FILE`, `connect-abstract NAME` | reach a unix socket, and read what it says |
//! | `remount FOLDER` | make a mount writable, also with rights of a new user namespace |
//! | `unmount FOLDER` | take a mask away, also in new namespaces, and list what was below it |
//! | `nested FOLDER` | list a folder in a sandbox of its own, which binds the whole root again |
//! | `capabilities` | have any |
//! | `daemons SECONDS` | leave processes behind in every known way; each is named `sleep SECONDS` |
//! | `bomb LEVELS SECONDS` | be 2^(LEVELS + 1) processes, for this long |
//! | `bomb-within LEVELS SECONDS` | the same in a user namespace of its own, with counts of its own |
//! | `threads COUNT SECONDS` | be so many threads, for this long |
//! | `memory MEGABYTES SECONDS`, `memfd MEGABYTES SECONDS` | hold so much memory; in a file that is nowhere |
//! | `forks COUNT MEGABYTES SECONDS` | so many processes that share that much, each as its parent had it |
//! | `fill FILE MEGABYTES SECONDS` | write so much, in pieces, and keep it for so long |
//! | `unlinked FILE MEGABYTES SECONDS` | the same by files that have no name any more |
//! | `tmpfs MEGABYTES SECONDS` | the same in a file system of its own, which is in memory |
//! | `segment MEGABYTES` | leave System V shared memory behind |
//! | `files COUNT SECONDS` | have so many files open, for this long |
//!
//! Every hog is bounded by itself: at worst 2,048 tasks, 1 GiB, 20 s.

mod files;
mod hogs;
mod namespaces;
mod processes;
mod sockets;

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;
use std::str::FromStr;

use serde_json::json;

/// What was found, or why the attack did not work.
type Outcome = Result<String, Box<dyn Error>>;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let attack = arguments.next().unwrap_or_default();
    let home = std::env::home_dir().unwrap_or_default().to_string_lossy().into_owned();
    let arguments: Vec<String> = arguments.map(|argument| argument.replace('~', &home)).collect();
    if attack == "be-a-bomb" {
        return hogs::go_off(&arguments);
    }
    let outcome = Attack(&arguments).go(&attack);
    let (worked, text) = match outcome {
        Ok(found) => (true, found),
        Err(error) => (false, error.to_string()),
    };
    let line = json!({ "attack": attack, "arguments": arguments, "worked": worked, "text": text });
    // Nobody may be there any more; then there is nobody to tell.
    drop(writeln!(std::io::stdout(), "{line}"));
    ExitCode::from(u8::from(!worked))
}

/// The arguments of an attack.
struct Attack<'a>(&'a [String]);

impl Attack<'_> {
    fn go(&self, attack: &str) -> Outcome {
        match attack {
            "read" => files::read(self.word(0)?),
            "list" => files::list(self.word(0)?),
            "write" => files::write(self.word(0)?),
            "link" => files::link(self.word(0)?, self.word(1)?),
            "symlink" => files::symlink(self.word(0)?, self.word(1)?),
            "rewrite" => files::rewrite(self.word(0)?),
            "truncate" => files::truncate(self.word(0)?),
            "remove" => files::remove(self.word(0)?),
            "move" => files::take_away(self.word(0)?, self.word(1)?),
            "make" => files::make(self.word(0)?),
            "date" => files::date(self.word(0)?),
            "deep" => files::deep(self.word(0)?, self.number(1)?),
            "mode" => files::mode(self.word(0)?),
            "descriptors" => files::descriptors(),
            "environ" => processes::environ(self.word(0)?),
            "environs" => processes::environs(self.word(0)?),
            "ptrace" => processes::ptrace(self.number(0)?),
            "memory-of" => processes::memory_of(self.number(0)?),
            "descriptor-of" => processes::descriptor_of(self.number(0)?),
            "limits-of" => processes::limits_of(self.number(0)?),
            "slow-down" => processes::slow_down(self.number(0)?),
            "signal" => processes::signal(self.number(0)?),
            "kill" => processes::kill(self.number(0)?),
            "kill-all" => processes::kill_all(),
            "kill-guardian" => processes::kill_guardian(),
            "forks" => hogs::forks(self.number(0)?, self.number(1)?, self.number(2)?),
            "connect" => sockets::connect(self.word(0)?),
            "connect-abstract" => sockets::connect_abstract(self.word(0)?),
            "remount" => namespaces::remount(self.word(0)?),
            "unmount" => namespaces::unmount(self.word(0)?),
            "nested" => namespaces::nested(self.word(0)?),
            "capabilities" => namespaces::capabilities(),
            "daemons" => processes::daemons(self.word(0)?),
            "bomb" => hogs::bomb(self.number(0)?, self.number(1)?),
            "bomb-within" => hogs::bomb_within(self.number(0)?, self.number(1)?),
            "threads" => hogs::threads(self.number(0)?, self.number(1)?),
            "memory" => hogs::memory(self.number(0)?, self.number(1)?),
            "memfd" => hogs::memfd(self.number(0)?, self.number(1)?),
            "segment" => hogs::segment(self.number(0)?),
            "files" => hogs::files(self.number(0)?, self.number(1)?),
            "unlinked" => hogs::unlinked(self.word(0)?, self.number(1)?, self.number(2)?),
            "tmpfs" => hogs::tmpfs(self.number(0)?, self.number(1)?),
            "fill" => hogs::fill(self.word(0)?, self.number(1)?, self.number(2)?),
            unknown => Err(format!("there is no attack {unknown}").into()),
        }
    }

    fn word(&self, index: usize) -> Result<&str, Box<dyn Error>> {
        self.0.get(index).map(String::as_str).ok_or_else(|| "an argument is missing".into())
    }

    fn number<T: FromStr>(&self, index: usize) -> Result<T, Box<dyn Error>> {
        self.word(index)?.parse().map_err(|_| "an argument is no number".into())
    }
}
