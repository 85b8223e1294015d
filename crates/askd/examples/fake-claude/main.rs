//! A scripted CLI: speaks the stream-json protocol of `claude -p`, and does on demand what the real one will not.
//!
//! # The prompt is the script
//!
//! Each line of the prompt that begins with `!` is a directive; they are played in order. Without any, the answer is
//! `echo: ` and the prompt. A number of bytes may carry `k` or `m`.
//!
//! | Directive | Plays |
//! |---|---|
//! | `bare` | nothing before the script: no `queued`, `started`, `running`, `init` |
//! | `no-tool` | offers no `StructuredOutput` although there is a schema |
//! | `say TEXT` | an assistant message |
//! | `result TEXT` or `result {…}` | a successful result with this text, or with these fields changed (`null` removes) |
//! | `long BYTES` | a successful result with a text of this size |
//! | `line TEXT` | a line as it stands |
//! | `hex DIGITS` | these bytes |
//! | `crlf` | lines end in `\r\n` from now on |
//! | `split TEXT` | an assistant message, flushed after every byte |
//! | `big BYTES` | an assistant message of this size in one line |
//! | `flood BYTES [LINE]` | numbered assistant messages of `LINE` bytes (1k), as fast as possible |
//! | `drip COUNT MS [LINE]` | numbered assistant messages with a pause before each |
//! | `noise` | `big` and `drip` are filled with text that hardly compresses from now on |
//! | `stderr BYTES` | this much on standard error |
//! | `state WORD` | `session_state_changed` |
//! | `lifecycle WORD` | `command_lifecycle` of the input |
//! | `background [TYPE TEXT]` | `background_tasks_changed`: one task, or none |
//! | `sleep MS` | a pause |
//! | `touch FILE`, `await FILE` | makes a file in the working folder, waits for one |
//! | `mark FILE WORD` | adds a line to a file: the word, and the marker of the run |
//! | `recall` | a result with the prompts of the session's transcript, this one excluded, joined by ` / ` |
//! | `key`, `key stderr` | an assistant message, or a line on standard error, that repeats the API key |
//! | `report` | a result whose text is JSON: see `report.rs` |
//! | `permission` | asks `can_use_tool`, and says how it was answered |
//! | `hook COUNT KIND COMMAND` | asks the guard so often about a command of `Bash`, all at once, and says how often it passed, was denied or refused as an error. `KIND`: `right`, `unknown-id`, `unknown-tool`, `malformed`, `no-text`, `twice` (all with the same call) |
//! | `spawn KIND` | a process that would live on: `plain`, `setsid`, `nohup`, `stripped` (empty environment), `stubborn` (ignores SIGTERM); its pid is added to the file `pids` |
//! | `attack NAME ARGUMENTS` | runs the program `attacker` that lies beside this one; what it prints is an assistant message, and the result is a JSON list of all |
//! | `open COUNT` | opens the null device so often, or as often as it may, and keeps it open |
//! | `dig DEPTH` | makes folder in folder, beginning in the home |
//! | `stubborn` | ignores SIGTERM, interrupts and the end of the input from now on |
//! | `close-stdout` | closes standard output and stays |
//! | `then` | ends the script; what follows is played for the next message that has no script of its own |
//! | `hang` | stays silent until it is interrupted or killed |
//! | `exit CODE`, `die` | exits at once; kills itself with SIGKILL |
//!
//! After the script come, where missing, a result, then `completed` and `idle`; then the next input, or its end. A message
//! that comes while a script waits is `queued`, and played after it.
//!
//! # What comes before a prompt
//!
//! `FAKE_CLAUDE` holds options, separated by `;`: `version TEXT`, `no-descriptor` (takes no key through a pipe),
//! `no-reply` (to `initialize`, nor to anything after it), `refuse TEXT`, `no-agents`, `no-managed` (does not say that it took managed settings), `not-held` (says
//! that they do not count), `no-servers` (takes no MCP servers), `junk` (first), `slow MS`, `stderr BYTES`, `die CODE`,
//! `startup-failure REASON`. The server's probe of the key descriptor meets only the first two.

mod frames;
mod hooks;
mod input;
mod output;
mod play;
mod report;
mod script;
mod start;
mod transcript;

use std::collections::BTreeMap;
use std::process::ExitCode;

/// How the process was started.
struct Started {
    args: Vec<String>,
    environment: BTreeMap<String, String>,
}

impl Started {
    /// The value of `--name=value`.
    fn flag(&self, name: &str) -> Option<&str> {
        self.args.iter().find_map(|arg| arg.strip_prefix("--")?.strip_prefix(name)?.strip_prefix('='))
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str)
    }

    fn session(&self) -> &str {
        self.flag("resume").or(self.flag("session-id")).unwrap_or("none")
    }
}

fn main() -> ExitCode {
    let started = Started { args: std::env::args().skip(1).collect(), environment: std::env::vars().collect() };
    start::run(&started)
}
