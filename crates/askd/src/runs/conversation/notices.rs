//! What a person wants to know of the run, as far as the CLI says it: each notice becomes a `run.warning`.

use claude::frame::Frame;
use claude::notice::{Kind, Notice};
use claude::version::{Standing, TESTED};
use jiff::Timestamp;

use super::{EventBody, Talk, Warning, WarningCode};

impl Talk<'_> {
    /// Tells what this message says of that.
    pub(super) fn tell_notices(&mut self, frame: &Frame) {
        for notice in self.notices.hear(frame) {
            self.tell(notice);
        }
        if let Some(question) = self.notices.question() {
            self.say(question);
        }
    }

    /// Tells what was counted up to the end.
    pub(super) fn tell_rest(&mut self) {
        for notice in self.notices.rest() {
            self.tell(notice);
        }
    }

    /// Tells that this CLI is not the one that askd was tested with. What it lacks is in `GET /v1/info`.
    pub(super) fn tell_version(&self) {
        let version = self.conversation.cli_version;
        let message = match version.standing() {
            Standing::Tested => return,
            Standing::Older => format!("this server has Claude Code CLI {version}, which is older than {TESTED}"),
            Standing::Newer => {
                format!("this server has Claude Code CLI {version}, which is newer than {TESTED} and was not tested")
            }
        };
        self.warn(Warning::new(WarningCode::CliVersion, message));
    }

    fn tell(&self, Notice { kind, message, until }: Notice) {
        let until = until.and_then(|until| Timestamp::from_second(until).ok());
        let message = until.map_or_else(|| message.clone(), |until| format!("{message}; it is renewed at {until}"));
        self.warn(Warning::new(code(kind), message));
    }

    pub(super) fn warn(&self, warning: Warning) {
        self.conversation.log.append_now(self.conversation.ambient.now(), &EventBody::Warning(warning));
    }
}

fn code(kind: Kind) -> WarningCode {
    match kind {
        Kind::Denied => WarningCode::ToolsDenied,
        Kind::Compacted => WarningCode::Compacted,
        Kind::ModelFallback => WarningCode::ModelFallback,
        Kind::Retried => WarningCode::UpstreamRetried,
        Kind::RateLimit => WarningCode::RateLimit,
        Kind::Continued => WarningCode::AnswerContinued,
        Kind::Subagent => WarningCode::SubagentFailed,
        Kind::McpServer => WarningCode::McpServerFailed,
        Kind::LeftOut => WarningCode::LeftOut,
        Kind::Hook => WarningCode::HookFailed,
        Kind::TranscriptLost => WarningCode::TranscriptLost,
        Kind::Other => WarningCode::Other,
    }
}
