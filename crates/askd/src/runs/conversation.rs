//! The talk with one process, from `initialize` to the end of the run.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use claude::input::{Content, Initialize, guard_answer, initialize, user_message};
use claude::notice::Notices;
use claude::outcome::Ending;
use claude::progress::Progress;
use claude::version::Version;
use claude::version::capabilities::Capabilities;
use futures_util::FutureExt;
use serde_json::{Map, Value};
use supervisor::deadlines::{DeadlineLimits, Deadlines};
use supervisor::input::{Stdin, StdinError};
use supervisor::output::Lines;
use supervisor::process::Process;
use supervisor::stderr_tail::StderrTail;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::alarm::Alarm;
use super::event::EventBody;
use super::judge::{Call, Judges, Judging};
use super::live::Command;
use super::log::RunLog;
use super::schema::{self, AnswerSchema};
use super::spending::Spending;
use super::warning::{Warning, WarningCode};
use super::{Finished, RunErrorKind, RunSpec};
use crate::ambient::Ambient;
use crate::cli::health::CliHealth;
use crate::guard::{self, Policy, Verdict};
use message::Message;
use pipes::{Outgoing, exited, next_line, write_lines};
use repair::Repair;

mod agents;
mod commands;
mod hear;
pub(super) mod message;
mod notices;
mod pipes;
mod repair;
mod room;
mod servers;
mod terms;
mod time;

/// How a conversation is bounded.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// From the start to the end.
    pub total: Duration,
    /// From the start to the first line.
    pub first_output: Duration,
    /// From one line to the next.
    pub idle: Duration,
    /// From a result to the CLI's word that it is done.
    pub result_grace: Duration,
    /// All lines together, in bytes.
    pub max_output: u64,
    /// How often an answer that does not fit its schema is asked for again.
    pub schema_repairs: u32,
}

/// Refusals of the guard are told to the reader, each once and so many in all.
const MAX_NOTICES: usize = 50;

/// What is kept of a call's id, in characters: enough to tell calls apart.
const MAX_ID: usize = 100;

/// What the conversation works with.
pub struct Conversation<'a> {
    /// What is asked.
    pub spec: &'a RunSpec,
    /// Where events go.
    pub log: &'a RunLog,
    /// The time.
    pub ambient: &'a Ambient,
    /// What its tools are kept from.
    pub policy: &'a Policy,
    /// Where that is looked at.
    pub judges: &'a Judges,
    /// What it is given besides the CLI's own tools.
    pub mcp_servers: &'a Map<String, Value>,
    /// Its limits.
    pub bounds: Bounds,
    /// The CLI's version.
    pub cli_version: Version,
    /// What is told of it when it begins.
    pub cli_health: &'a CliHealth,
    /// When its process was to be started.
    pub begun: std::time::Instant,
    /// Ends it.
    pub cancelled: &'a CancellationToken,
    /// Ends it because of what it uses up.
    pub alarm: &'a Alarm,
}

/// How it ended.
pub struct Ended {
    /// In what way.
    pub ending: Ending,
    /// An end that needs no judging: the agent is unknown.
    pub refused: Option<Finished>,
    /// Whether it has said a word of its own: it was started as it should be.
    pub spoke: bool,
    /// Whether the CLI was ready, so that there is a turn which can be interrupted.
    pub ready: bool,
    /// How far the CLI came.
    pub progress: Progress,
    /// How often in a row the provider had not answered when it ended.
    pub unanswered: u32,
    /// Whether the answer fits its schema, if there is one and it was looked at.
    pub verdict: Option<schema::verdict::Verdict>,
    /// The process's input, unless a line is stuck in it.
    pub stdin: Option<Stdin>,
    /// What the guard may still be looking at.
    pub judging: Judging,
    /// What it had cost, as far as the CLI was asked.
    pub spending: Spending,
}

/// What the loop keeps.
struct Talk<'a> {
    conversation: &'a Conversation<'a>,
    progress: Progress,
    initialized: bool,
    /// For the word that the policy of its key counts; until then it has no prompt.
    waits_to_be_held: bool,
    /// For the word that its MCP servers are taken; until then it has no prompt.
    waits_for_servers: bool,
    deadlines: Deadlines,
    last_moment: Instant,
    answered_at: Option<Instant>,
    output: u64,
    line_warnings: u32,
    /// Ids of calls whose refusal was told.
    noticed: BTreeSet<String>,
    notices: Notices,
    commands: u32,
    /// Further messages that the CLI may still have to work on, with their bytes.
    open_inputs: Vec<(Uuid, usize)>,
    /// Calls of tools that wait for the guard.
    judging: Judging,
    to_child: mpsc::UnboundedSender<Outgoing>,
    spending: Spending,
    /// An answer that has to fit a schema.
    repair: Repair<'a>,
    refused: Option<Finished>,
    /// The first message, until it is given; `None` for a prompt that is a text.
    message: Option<Message>,
}

impl Conversation<'_> {
    /// Holds the conversation. It ends when the CLI is done, or a bound is met, or somebody asks. Commands that come
    /// later find their channel closed. `message` is the first message, `None` for a prompt that is a text.
    pub async fn hold(
        &self,
        message: Option<Message>,
        stdin: Stdin,
        lines: &mut Lines,
        stderr: &StderrTail,
        process: &Process,
        mut commands: mpsc::Receiver<Command>,
    ) -> Ended {
        // Unbounded in form only: a few lines of ours, one for each request of the CLI, whose output is bounded, and one
        // for each command: their number is bounded, and the bytes of those that the CLI has not worked on (`commands`).
        let (to_child, inbox) = mpsc::unbounded_channel();
        let mut writer = pin!(write_lines(stdin, inbox).fuse());
        let start = Instant::now();
        let limits = DeadlineLimits {
            first_output: Some(self.bounds.first_output),
            idle: Some(self.bounds.idle),
            total: Some(self.bounds.total),
        };
        let mut talk = Talk {
            conversation: self,
            progress: Progress::of(Capabilities::of(self.cli_version)),
            initialized: false,
            waits_to_be_held: false,
            waits_for_servers: false,
            deadlines: Deadlines::new(start.into_std(), limits),
            last_moment: start + self.bounds.total,
            answered_at: None,
            output: 0,
            line_warnings: 0,
            noticed: BTreeSet::new(),
            notices: Notices::default(),
            commands: 0,
            open_inputs: Vec::new(),
            judging: Judging::new(self.judges.clone(), self.policy.clone()),
            to_child,
            spending: Spending::new(self.spec.budget, self.spec.session.transcript().is_some()),
            repair: Repair::new(self.spec.schema.as_ref(), self.bounds.schema_repairs),
            refused: None,
            message,
        };
        let managed = self.spec.terms.managed_by(Capabilities::of(self.cli_version));
        let schema = self.spec.schema.as_ref().map(AnswerSchema::for_cli);
        talk.say(initialize(Initialize {
            system_prompt: self.spec.system_prompt.as_deref(),
            append_system_prompt: self.spec.append_system_prompt.as_deref(),
            agents: (!self.spec.agents.is_empty()).then_some(&self.spec.agents),
            json_schema: schema.as_ref(),
            guarded_tools: self.guarded_tools(),
            mcp_servers: (!self.mcp_servers.is_empty()).then_some(self.mcp_servers),
            managed_settings: managed.as_ref(),
        }));
        if !self.holds_back() {
            // Together, so that the CLI finds it when it is ready.
            talk.give_prompt();
        }

        let mut stdin = None;
        let ending = loop {
            let step = tokio::select! {
                biased;
                () = self.cancelled.cancelled() => Some(Ending::Cancelled { by: "request".into() }),
                breach = self.alarm.raised() => Some(breach.ending()),
                () = sleep_until(talk.deadline()) => Some(talk.expired()),
                written = &mut writer => match written {
                    Ok(back) => { stdin = Some(back); None }
                    // The process may have ended with something to say: its output tells.
                    Err(StdinError::Closed) => None,
                    Err(error) => Some(Ending::Broken { what: error.to_string() }),
                },
                Some(command) = commands.recv(), if talk.is_ready() => { talk.obey(command); None }
                () = talk.spending.due() => { let question = talk.spending.question(); talk.say(question); None }
                (call, verdict) = talk.judging.next() => { talk.answer(call, verdict); None }
                verdict = talk.repair.checked() => talk.heed(verdict),
                line = next_line(lines, process) => match line {
                    Some(line) => talk.hear_all(line, lines).await,
                    None => Some(exited(process, stderr, self.log).await),
                },
            };
            if let Some(ending) = step.and_then(|ending| talk.end(ending)) {
                break ending;
            }
        };
        let unanswered = talk.notices.unanswered();
        talk.tell_rest();
        let (spoke, ready) = (talk.initialized, talk.is_ready());
        let Talk { progress, judging, to_child, refused, spending, repair, .. } = talk;
        drop(to_child);
        // All lines are written by now, unless the child does not read.
        if stdin.is_none() {
            stdin = writer.now_or_never().and_then(Result::ok);
        }
        let verdict = repair.verdict();
        Ended { ending, refused, spoke, ready, progress, unanswered, verdict, stdin, judging, spending }
    }

    /// Whether the prompt waits until the CLI has said something: that it knows the agents, is held, has its MCP servers.
    fn holds_back(&self) -> bool {
        let has_agents = self.spec.agent.is_some() || !self.spec.agents.is_empty();
        has_agents || self.must_be_held() || self.servers_follow()
    }

    /// Whether somebody wants the end, so that no further line is looked at.
    fn is_to_end(&self) -> bool {
        self.cancelled.is_cancelled() || self.alarm.breach().is_some()
    }
}

impl Talk<'_> {
    /// Whether it has its prompt.
    fn is_ready(&self) -> bool {
        self.initialized && !self.waits_to_be_held && !self.waits_for_servers
    }

    fn say(&self, line: String) {
        self.send(Outgoing { line, room: None });
    }

    fn send(&self, outgoing: Outgoing) {
        // The receiver is gone only if writing failed, which ends the conversation by itself.
        drop(self.to_child.send(outgoing));
    }

    /// The CLI is ready. An agent that it does not know never gets the prompt.
    fn start(&mut self, reply: Result<claude::reply::Initialized, String>) -> Option<Ending> {
        let reply = match reply {
            Ok(reply) => reply,
            Err(reason) => {
                return Some(Ending::Broken { what: format!("the CLI refused to start the run: {reason}") });
            }
        };
        if !self.conversation.guarded_tools().is_empty() && reply.hooks_applied == Some(false) {
            return Some(Ending::Broken { what: "the CLI does not ask the guard before it calls tools".into() });
        }
        if let Some(ending) = self.see_to_servers(&reply) {
            return Some(ending);
        }
        if let Some(ending) = self.see_to_agents(&reply) {
            return Some(ending);
        }
        let started = EventBody::Started { cli_version: self.conversation.cli_version.to_string() };
        self.conversation.log.append_now(self.conversation.ambient.now(), &started);
        self.conversation.log.trace_prompt(&self.conversation.spec.prompt);
        self.tell_version();
        if self.conversation.must_be_held() {
            return self.ask_whether_held(&reply);
        }
        self.go_on();
        None
    }

    /// The CLI has said one of the things that the prompt waits for: with the last of them it gets it.
    fn go_on(&mut self) {
        if self.is_ready() && self.conversation.holds_back() {
            self.give_prompt();
        }
    }

    /// Says whether a tool may be called.
    fn answer(&mut self, call: Call, verdict: Verdict) {
        // While it waited for us, its silence does not count.
        self.deadlines.on_output(std::time::Instant::now());
        let Call { request_id, tool_use_id, tool, .. } = call;
        match verdict {
            Verdict::Pass => self.say(guard_answer(&request_id, None)),
            Verdict::Deny { rule, message } => {
                self.say(guard_answer(&request_id, Some(&format!("{message} (rule {rule})"))));
                let id: String = tool_use_id.unwrap_or(request_id).chars().take(MAX_ID).collect();
                self.notice(&format!("call {id}"), WarningCode::ToolsDenied, terms::told(&tool, &rule, &message));
            }
        }
    }

    /// Tells the reader something once.
    fn notice(&mut self, id: &str, code: WarningCode, message: String) {
        if self.noticed.len() < MAX_NOTICES && self.noticed.insert(id.to_owned()) {
            self.warn(Warning::new(code, message));
        }
    }

    fn give_prompt(&mut self) {
        let (spec, uuid) = (self.conversation.spec, self.conversation.ambient.uuid());
        if let Some(question) = self.spending.begin() {
            self.say(question);
        }
        self.progress.accept_input(uuid);
        let Some(Message { blocks, room }) = self.message.take() else {
            return self.say(user_message(Content::Text(&spec.prompt), uuid, spec.expand, None));
        };
        let line = user_message(Content::Written(&blocks), uuid, spec.expand, None);
        self.send(Outgoing { line, room: Some(room) });
    }
}
