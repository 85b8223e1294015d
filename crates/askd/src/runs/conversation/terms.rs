//! What the policy of the run's key has to say in the conversation.

use claude::frame::Frame;
use claude::input::{EVERY_TOOL, held_question};
use claude::outcome::Ending;
use claude::reply::{GuardedCall, Initialized};
use claude::version::capabilities::Capabilities;

use super::{Call, Conversation, Finished, RunErrorKind, Talk, Verdict, guard};

/// What stands for the rule in refusals of a call that the key's policy does not allow.
const POLICY_RULE: &str = "key-policy";

/// What stands for it in refusals of a call of a tool that the request has left out by itself.
const REQUEST_RULE: &str = "request-tools";

/// How people are told of a call that was refused.
pub(super) fn told(tool: &str, rule: &str, message: &str) -> String {
    match rule {
        POLICY_RULE | REQUEST_RULE => format!("a call of {tool} was refused: {message} (rule {rule})"),
        _ => format!("the guard refused a call of {tool}: {message} (rule {rule})"),
    }
}

impl Conversation<'_> {
    /// The tools before whose calls the CLI has to ask.
    pub(super) fn guarded_tools(&self) -> &'static [&'static str] {
        if self.spec.terms.looks_at_calls() {
            EVERY_TOOL
        } else if self.policy.has_guard() {
            &guard::TOOLS
        } else {
            &[]
        }
    }

    /// Whether the prompt is kept back until the CLI has said that the policy counts.
    pub(super) fn must_be_held(&self) -> bool {
        self.spec.terms.managed_by(Capabilities::of(self.cli_version)).is_some()
    }
}

impl Talk<'_> {
    /// The CLI has answered: asks whether it holds itself to what it was given.
    pub(super) fn ask_whether_held(&mut self, reply: &Initialized) -> Option<Ending> {
        if reply.managed_settings_applied != Some(true) {
            return Some(
                self.not_held("the CLI does not take the settings that hold the run to the policy of its key"),
            );
        }
        self.say(held_question());
        self.waits_to_be_held = true;
        None
    }

    /// Its answer. Settings of the machine's administrator put ours aside, unless they say otherwise (checked).
    pub(super) fn heed_whether_held(&mut self, is_held: bool) -> Option<Ending> {
        if !std::mem::take(&mut self.waits_to_be_held) {
            return None;
        }
        if !is_held {
            return Some(self.not_held(
                "this machine has managed settings of its own for the CLI, and they keep the policy of the run's key from \
                 counting; the operator can add \"parentSettingsBehavior\": \"merge\" to them",
            ));
        }
        self.go_on();
        None
    }

    /// Whether a tool may be called, as far as that is known already.
    pub(super) fn judge(&mut self, call: GuardedCall) -> Option<(Call, Verdict)> {
        let GuardedCall { request_id, tool, input, tool_use_id, permission_mode } = call;
        let terms = &self.conversation.spec.terms;
        let objection = terms.objection(&tool, permission_mode.as_deref());
        let rule = if terms.leaves_out_by_request(&tool) { REQUEST_RULE } else { POLICY_RULE };
        let call = Call { request_id, tool_use_id, tool, input };
        match objection {
            Some(message) => Some((call, Verdict::Deny { rule: rule.into(), message })),
            None => self.judging.take(call),
        }
    }

    /// The end of a run that does what the policy of its key does not have.
    pub(super) fn breach(&mut self, frame: &Frame) -> Option<Ending> {
        let message = self.conversation.spec.terms.breach(frame)?;
        Some(self.not_held(&message))
    }

    fn not_held(&mut self, message: &str) -> Ending {
        self.refused = Some(Finished::failed(RunErrorKind::Policy, message));
        Ending::Broken { what: message.to_owned() }
    }
}
