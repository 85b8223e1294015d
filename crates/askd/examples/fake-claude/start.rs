//! What happens before the prompt.

use std::fs;
use std::io::Write;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use crate::Started;
use crate::frames;
use crate::input::{Inbox, Input};
use crate::output::Output;
use crate::play::Player;
use crate::script::bytes;

/// The options of `FAKE_CLAUDE`.
struct Options(Vec<(String, String)>);

impl Options {
    fn of(started: &Started) -> Self {
        let text = started.variable("FAKE_CLAUDE").unwrap_or_default();
        let pairs = text.split(';').map(|option| {
            let (name, value) = option.trim().split_once(' ').unwrap_or((option.trim(), ""));
            (name.to_owned(), value.to_owned())
        });
        Self(pairs.collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// From the start to the exit.
pub(crate) fn run(started: &Started) -> ExitCode {
    let options = Options::of(started);
    let mut out = Output::new();
    if started.args.iter().any(|arg| arg == "--version") {
        out.raw(format!("{}\n", options.get("version").unwrap_or("2.1.330 (Claude Code)")).as_bytes());
        return ExitCode::SUCCESS;
    }
    let probe = started.flag("settings").is_some_and(|file| file.ends_with("probe.json"));
    let option = |name| options.get(name).filter(|_| !probe);
    if let Some(code) = option("die") {
        return ExitCode::from(code.parse::<u8>().unwrap_or(1));
    }
    if let Some(amount) = option("stderr") {
        flood_stderr(bytes(amount));
    }
    if option("junk").is_some() {
        out.raw(b"[SandboxDebug] not a message\n");
    }
    if let Some(reason) = option("startup-failure") {
        out.frame(&frames::startup_failure(started.session(), reason));
        return ExitCode::from(1);
    }
    let mut inbox = Inbox::open();
    let Input::Message(request) = inbox.next() else { return ExitCode::SUCCESS };
    if let Some(pause) = option("slow") {
        sleep(Duration::from_millis(pause.parse().unwrap_or(0)));
    }
    let id = request["request_id"].as_str().unwrap_or_default();
    if let Some(reason) = option("refuse") {
        out.frame(&frames::refusal(id, reason));
    } else if option("no-reply").is_some() {
        // Stuck: it takes nothing of what follows, either.
        loop {
            sleep(Duration::from_mins(1));
        }
    } else {
        let agents = if option("no-agents").is_some() { Vec::new() } else { agents(started, &request) };
        let key = key(started, options.get("no-descriptor").is_none());
        let mut reply = json!({"agents": agents, "account": {"apiKeySource": key.map(|(from, _)| from)}});
        if !request["request"]["managedSettings"].is_null() && option("no-managed").is_none() {
            reply["managed_settings_applied"] = true.into();
        }
        // Older ones say nothing of servers: they do not look for them there.
        if !request["request"]["mcpServers"].is_null() && options.get("version").is_none() {
            reply["mcp_servers_applied"] = option("no-servers").is_none().into();
        }
        out.frame(&frames::reply(id, &reply));
    }
    let key = key(started, options.get("no-descriptor").is_none());
    Player::new(started, out, inbox, request, key).work()
}

/// The name of the variable that the key came by, and the key.
fn key(started: &Started, by_descriptor: bool) -> Option<(&'static str, String)> {
    const DESCRIPTOR: &str = "CLAUDE_CODE_API_KEY_FILE_DESCRIPTOR";
    const VARIABLE: &str = "ANTHROPIC_API_KEY";
    static READ: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    if let Some(number) = started.variable(DESCRIPTOR).filter(|_| by_descriptor) {
        // A pipe gives its content once.
        let read = READ.get_or_init(|| fs::read_to_string(format!("/proc/self/fd/{number}")).ok());
        return read.clone().map(|key| (DESCRIPTOR, key));
    }
    started.variable(VARIABLE).map(|key| (VARIABLE, key.to_owned()))
}

/// The agents of the request, and those in the configuration folder by the `name` in their frontmatter.
fn agents(started: &Started, request: &Value) -> Vec<Value> {
    let folder = format!("{}/agents", started.variable("CLAUDE_CONFIG_DIR").unwrap_or_default());
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let texts = files.filter_map(|file| fs::read_to_string(file.path()).ok());
    let names = texts.filter_map(|text| text.lines().find_map(|line| line.strip_prefix("name: ").map(str::to_owned)));
    let of_request = request["request"]["agents"].as_object().into_iter().flatten().map(|(name, _)| name.clone());
    of_request.chain(names).map(|name| json!({"name": name, "description": "an agent"})).collect()
}

/// Writes this much on standard error.
pub(crate) fn flood_stderr(mut amount: usize) {
    let line = [&[b'e'; 1023][..], b"\n"].concat();
    let mut stderr = std::io::stderr().lock();
    while amount > 0 {
        let part = amount.min(line.len());
        if stderr.write_all(&line[..part]).is_err() {
            return;
        }
        amount -= part;
    }
}
