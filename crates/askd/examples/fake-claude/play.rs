//! Plays scripts.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::process::{Signal, getpid, kill_process};
use serde_json::{Value, json};

use crate::Started;
use crate::frames;
use crate::hooks::{Answers, question};
use crate::input::{Inbox, Input, prompt};
use crate::output::Output;
use crate::report::report;
use crate::script::{Directive, bytes, hex, parse_parts};
use crate::start::flood_stderr;
use crate::transcript::Transcript;

/// How often a waiting script looks around.
const STEP: Duration = Duration::from_millis(5);

pub(crate) struct Player<'a> {
    started: &'a Started,
    out: Output,
    inbox: Inbox,
    initialize: Value,
    key: Option<(&'static str, String)>,
    transcript: Transcript,
    /// Held as long as SIGTERM is to be ignored.
    stubborn: Option<(tokio::runtime::Runtime, tokio::signal::unix::Signal)>,
    message: Value,
    /// Messages that came during a turn; each gets a turn of its own.
    pending: VecDeque<Value>,
    /// Scripts for messages that have none, in their order.
    later: VecDeque<Vec<Directive>>,
    answered: bool,
    /// What the attacks of this turn printed.
    attacks: Vec<Value>,
    /// Held open for the sake of their number.
    open_files: Vec<File>,
    /// Whether messages are filled with text that does not compress.
    noise: bool,
}

/// How a directive ends.
enum Next {
    Go,
    /// The turn was interrupted.
    Interrupted,
    Exit(u8),
}

impl<'a> Player<'a> {
    pub(crate) fn new(
        started: &'a Started,
        out: Output,
        inbox: Inbox,
        initialize: Value,
        key: Option<(&'static str, String)>,
    ) -> Self {
        let (transcript, message) = (Transcript::of(started), Value::Null);
        Self {
            started,
            out,
            inbox,
            initialize,
            key,
            transcript,
            stubborn: None,
            message,
            pending: VecDeque::new(),
            later: VecDeque::new(),
            answered: false,
            attacks: Vec::new(),
            open_files: Vec::new(),
            noise: false,
        }
    }

    /// Takes messages to the end of the input.
    pub(crate) fn work(mut self) -> ExitCode {
        loop {
            let next = self.pending.pop_front().map_or_else(|| self.inbox.next(), Input::Message);
            match next {
                Input::Message(message) if message["type"] == "user" => {
                    self.message = message;
                    if let Next::Exit(code) = self.turn() {
                        return ExitCode::from(code);
                    }
                }
                Input::Message(message) if message["request"]["subtype"] == "list_permission_rules" => {
                    let options = self.started.variable("FAKE_CLAUDE").unwrap_or_default();
                    let state = json!({"rules": [], "parentSettingsIncluded": !options.contains("not-held")});
                    let id = message["request_id"].as_str().unwrap_or_default();
                    self.out.frame(&frames::reply(id, &json!({"state": state})));
                }
                Input::Message(message) if message["request"]["subtype"] == "mcp_set_servers" => {
                    let options = self.started.variable("FAKE_CLAUDE").unwrap_or_default();
                    let servers = message["request"]["servers"].as_object().into_iter().flatten();
                    let added: Vec<_> =
                        servers.map(|(name, _)| name).filter(|_| !options.contains("no-servers")).collect();
                    let id = message["request_id"].as_str().unwrap_or_default();
                    self.out.frame(&frames::reply(id, &json!({"added": added, "removed": [], "errors": {}})));
                }
                Input::Message(message) => drop(self.is_interrupt(&message)),
                Input::End if self.stubborn.is_some() => std::thread::sleep(Duration::MAX),
                Input::End => return ExitCode::SUCCESS,
            }
        }
    }

    fn turn(&mut self) -> Next {
        let session = self.started.session().to_owned();
        if self.started.flag("resume").is_some() && !self.transcript.exists() {
            self.out.frame(&frames::unknown_session(&session));
            return Next::Exit(1);
        }
        let prompt = prompt(&self.message);
        let mut scripts = parse_parts(&prompt);
        self.later.extend(scripts.drain(1..));
        let own = scripts.pop().unwrap_or_default();
        let script = if own.is_empty() { self.later.pop_front().unwrap_or_default() } else { own };
        (self.answered, self.attacks) = (false, Vec::new());
        if script.first().is_none_or(|first| first.name != "bare") {
            self.lifecycle("queued");
            self.lifecycle("started");
            self.out.frame(&frames::state(&session, "running"));
            let cwd = std::env::current_dir().unwrap_or_default();
            let (model, mode) = (self.started.flag("model"), self.started.flag("permission-mode"));
            let mut init = frames::init(&session, &cwd.to_string_lossy(), model, mode);
            if !self.initialize["request"]["jsonSchema"].is_null() && !prompt.contains("!no-tool") {
                init["tools"] = json!(["StructuredOutput"]);
            }
            self.out.frame(&init);
        }
        for directive in &script {
            match self.play(directive) {
                Next::Go => {}
                Next::Exit(code) => return Next::Exit(code),
                Next::Interrupted => {
                    self.out.frame(&frames::aborted(&session));
                    self.answered = true;
                    break;
                }
            }
        }
        if !self.answered && !self.attacks.is_empty() {
            let text = Value::from(std::mem::take(&mut self.attacks)).to_string();
            self.result(&json!({"result": text}).to_string());
        } else if !self.answered {
            self.result(&format!("echo: {prompt}"));
        }
        // Last, so that `recall` sees earlier prompts only.
        self.transcript.add(&prompt);
        self.lifecycle("completed");
        self.out.frame(&frames::state(&session, "idle"));
        Next::Go
    }

    fn play(&mut self, directive: &Directive) -> Next {
        let argument = directive.argument.as_str();
        let session = self.started.session();
        let words: Vec<&str> = argument.split(' ').collect();
        let word = |index: usize| words.get(index).copied().unwrap_or_default();
        match directive.name.as_str() {
            "bare" | "no-tool" => {}
            "say" => self.out.frame(&frames::assistant(session, argument)),
            "result" => self.result(argument),
            "long" => self.result(&"x".repeat(bytes(argument))),
            "line" => {
                self.answered |= argument.contains(r#""type":"result""#);
                self.out.line(argument);
            }
            "hex" => self.out.raw(&hex(argument)),
            "crlf" => self.out.end_lines_like_dos(),
            "split" => self.out.line_in_pieces(&frames::assistant(session, argument).to_string()),
            "big" => self.out.line(&self.numbered(0, bytes(argument))),
            "flood" => self.flood(bytes(word(0)), if words.len() > 1 { bytes(word(1)) } else { 1024 }),
            "drip" => return self.drip(word(0), word(1), bytes(word(2))),
            "noise" => self.noise = true,
            "stderr" => flood_stderr(bytes(argument)),
            "state" => self.out.frame(&frames::state(session, argument)),
            "lifecycle" => self.lifecycle(argument),
            "background" => self.out.frame(&frames::background(session, argument)),
            "sleep" => return self.pause(argument),
            "touch" => drop(File::create(argument)),
            "mark" => mark(word(0), word(1)),
            "await" => return self.wait_until(|| Path::new(argument).exists()),
            "recall" => self.result(&self.transcript.prompts().join(" / ")),
            "key" => {
                let key = self.key.as_ref().map_or("none", |(_, key)| key);
                let text = format!("the key is {key}");
                if argument == "stderr" {
                    drop(writeln!(std::io::stderr(), "{text}"));
                } else {
                    self.out.frame(&frames::assistant(session, &text));
                }
            }
            "report" => {
                let key_source = self.key.as_ref().map(|(source, _)| *source);
                let text = report(self.started, &self.initialize, &self.message, key_source).to_string();
                self.result(&json!({"result": text}).to_string());
            }
            "permission" => self.ask_permission(),
            "hook" => return self.ask_guard(argument),
            "spawn" => spawn(argument),
            "attack" => self.attack(argument),
            "open" => self.open_files = open_null(argument),
            "dig" => dig(self.started.variable("HOME").unwrap_or_default(), argument),
            "stubborn" => self.ignore_sigterm(),
            "close-stdout" => close_stdout(),
            "hang" => return self.wait_until(|| false),
            "exit" => return Next::Exit(argument.parse().unwrap_or(0)),
            "die" => kill_self(),
            unknown => {
                let errors = [format!("no directive {unknown}")];
                self.result(&json!({"is_error": true, "errors": errors}).to_string());
            }
        }
        Next::Go
    }

    fn result(&mut self, change: &str) {
        self.answered = true;
        self.out.frame(&frames::result(self.started.session(), change));
    }

    fn lifecycle(&mut self, state: &str) {
        let input = self.message["uuid"].as_str().unwrap_or_default();
        self.out.frame(&frames::lifecycle(self.started.session(), input, state));
    }

    /// An assistant message whose line is `size` bytes long, if that is possible.
    fn numbered(&self, number: usize, size: usize) -> String {
        let start = format!("{number:08} ");
        let empty = frames::assistant(self.started.session(), &start).to_string().len();
        let filling = size.saturating_sub(empty);
        let text = start + &if self.noise { noise(number, filling) } else { "x".repeat(filling) };
        frames::assistant(self.started.session(), &text).to_string()
    }

    fn flood(&mut self, amount: usize, size: usize) {
        const BATCH: usize = 256 * 1024;
        let template = self.numbered(0, size) + "\n";
        let at = template.find("00000000").unwrap_or(0);
        let mut batch = Vec::with_capacity(BATCH + template.len());
        for number in 0..amount / template.len() {
            let from = batch.len();
            batch.extend_from_slice(template.as_bytes());
            batch[from + at..from + at + 8].copy_from_slice(format!("{number:08}").as_bytes());
            if batch.len() >= BATCH {
                self.out.raw(&batch);
                batch.clear();
            }
        }
        self.out.raw(&batch);
    }

    fn drip(&mut self, count: &str, pause: &str, size: usize) -> Next {
        for number in 0..count.parse().unwrap_or(0) {
            match self.pause(pause) {
                Next::Go => self.out.line(&self.numbered(number, size)),
                next => return next,
            }
        }
        Next::Go
    }

    fn pause(&mut self, milliseconds: &str) -> Next {
        let until = Instant::now() + Duration::from_millis(milliseconds.parse().unwrap_or(0));
        self.wait_until(|| Instant::now() >= until)
    }

    fn wait_until(&mut self, mut reached: impl FnMut() -> bool) -> Next {
        while !reached() {
            let Some(message) = self.inbox.next_within(STEP) else { continue };
            if self.is_interrupt(&message) {
                return Next::Interrupted;
            }
            if message["type"] == "user" {
                let input = message["uuid"].as_str().unwrap_or_default();
                self.out.frame(&frames::lifecycle(self.started.session(), input, "queued"));
                self.pending.push_back(message);
            }
        }
        Next::Go
    }

    /// Whether the message is an interrupt that is obeyed; it is answered then.
    fn is_interrupt(&mut self, message: &Value) -> bool {
        let interrupt = message["request"]["subtype"] == "interrupt" && self.stubborn.is_none();
        if interrupt {
            let id = message["request_id"].as_str().unwrap_or_default();
            self.out.frame(&frames::reply(id, &json!({"still_queued": []})));
        }
        interrupt
    }

    fn attack(&mut self, argument: &str) {
        let text = attack(argument);
        self.attacks.push(serde_json::from_str(&text).unwrap_or_else(|_| Value::from(text.as_str())));
        self.out.frame(&frames::assistant(self.started.session(), &text));
    }

    fn ask_permission(&mut self) {
        let request = json!({"subtype": "can_use_tool", "tool_name": "Bash", "input": {"command": "ls"}});
        self.out.frame(&json!({"type": "control_request", "request_id": "fake-1", "request": request}));
        let said = match self.inbox.next() {
            Input::Message(message) => message["response"].to_string(),
            Input::End => "nothing".to_owned(),
        };
        self.out.frame(&frames::assistant(self.started.session(), &format!("permission: {said}")));
    }

    fn ask_guard(&mut self, argument: &str) -> Next {
        let mut words = argument.splitn(3, ' ');
        let mut word = || words.next().unwrap_or_default();
        let (count, kind, command) = (word().parse().unwrap_or(0), word(), word());
        let callback = self.initialize["request"]["hooks"]["PreToolUse"][0]["hookCallbackIds"][0].clone();
        for number in 0..count {
            self.out.frame(&question(number, kind, callback.as_str().unwrap_or_default(), command));
        }
        let mut answers = Answers::default();
        while answers.len() < count {
            match self.inbox.next() {
                Input::Message(message) if self.is_interrupt(&message) => return Next::Interrupted,
                Input::Message(message) => answers.add(&message),
                Input::End => break,
            }
        }
        self.out.frame(&frames::assistant(self.started.session(), &answers.text()));
        Next::Go
    }

    /// A handler in place of the default action: the signal then does nothing.
    fn ignore_sigterm(&mut self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let signal = {
            let _guard = runtime.enter();
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).expect("a handler")
        };
        self.stubborn = Some((runtime, signal));
    }
}

/// Adds a line to a file, in one piece: a word, and which run this is.
fn mark(file: &str, word: &str) {
    let run = std::env::vars().find(|(name, _)| name == "ASKD_RUN_MARKER").map_or_else(String::new, |(_, run)| run);
    let opened = File::options().append(true).create(true).open(file);
    opened.and_then(|mut file| file.write_all(format!("{word} {run}\n").as_bytes())).expect("the mark can be made");
}

/// Text that does not compress, the same for the same number.
fn noise(number: usize, length: usize) -> String {
    let mut state = number as u64 + 1;
    let letters = std::iter::repeat_with(|| {
        // Xorshift: a few instructions for a letter.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let letter = b'0' + state.to_le_bytes()[4] % 64;
        // A backslash would be two bytes in JSON.
        char::from(if letter < b'\\' { letter } else { letter + 1 })
    });
    letters.take(length).collect()
}

/// Starts a shell that would live on, and notes its pid.
fn spawn(kind: &str) {
    const LIVE_ON: &str = "echo $$ >> pids; while :; do sleep 1000; done";
    let (program, args): (&str, Vec<&str>) = match kind {
        "setsid" => ("setsid", vec!["sh", "-c", LIVE_ON]),
        "nohup" => {
            ("sh", vec!["-c", "nohup setsid sh -c 'echo $$ >> pids; while :; do sleep 1000; done' >/dev/null 2>&1 &"])
        }
        "stripped" => ("env", vec!["-i", "PATH=/usr/bin:/bin", "setsid", "sh", "-c", LIVE_ON]),
        "stubborn" => ("setsid", vec!["sh", "-c", "trap '' TERM; echo $$ >> pids; while :; do sleep 1000; done"]),
        _ => ("sh", vec!["-c", LIVE_ON]),
    };
    let lines = || fs::read_to_string("pids").unwrap_or_default().lines().count();
    let before = lines();
    #[expect(clippy::disallowed_methods, reason = "what an agent's tools do")]
    let started = std::process::Command::new(program).args(args).stdin(std::process::Stdio::null()).spawn();
    // Not waited for: a tool that daemonises is not either.
    std::mem::forget(started.expect("the process starts"));
    while lines() == before {
        std::thread::sleep(STEP);
    }
}

/// What the attacker says, or why it could not be asked.
fn attack(arguments: &str) -> String {
    let attacker = std::env::current_exe().unwrap_or_default().with_file_name("attacker");
    #[expect(clippy::disallowed_methods, reason = "what an agent's tools do")]
    let mut command = std::process::Command::new(attacker);
    let output = command.args(arguments.split_whitespace()).stdin(std::process::Stdio::null()).output();
    match output {
        Ok(output) if output.stdout.is_empty() => {
            format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr))
        }
        Ok(output) => String::from_utf8_lossy(&output.stdout).trim_end().to_owned(),
        Err(error) => format!("the attacker cannot be started: {error}"),
    }
}

/// The null device, so often, or as often as the process may.
fn open_null(count: &str) -> Vec<File> {
    let count = count.parse().unwrap_or(0);
    std::iter::repeat_with(|| File::open("/dev/null")).map_while(Result::ok).take(count).collect()
}

/// Deeper than any path can say: each folder is entered before the next one is made.
fn dig(home: &str, depth: &str) {
    std::env::set_current_dir(home).expect("there is a home");
    for _ in 0..depth.parse().unwrap_or(0) {
        fs::create_dir("d").and_then(|()| std::env::set_current_dir("d")).expect("there is room for a folder");
    }
}

fn close_stdout() {
    let null = File::options().write(true).open("/dev/null").expect("the null device");
    rustix::stdio::dup2_stdout(&null).expect("the descriptor is replaced");
}

/// SIGKILL, from itself.
pub(crate) fn kill_self() {
    drop(std::io::stdout().flush());
    kill_process(getpid(), Signal::KILL).expect("a process may kill itself");
}
