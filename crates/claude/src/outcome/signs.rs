//! What messages before the result say of a failure, where the result alone does not tell.

use serde::Deserialize;

use crate::frame::Frame;

/// Noted while a conversation goes on. None of it alone is an end: the CLI goes on after some of its own errors (checked).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signs {
    /// The CLI's word for the provider's failure, from a message that it has put in the place of the model's last one.
    pub refusal: Option<String>,
    /// When a limit of the provider that has refused the last request begins anew, in seconds since 1970.
    pub resets_at: Option<i64>,
    /// Whether a tool was called.
    pub used_tools: bool,
    /// Whether a hook has sent the model back to work at its end.
    pub sent_back: bool,
}

/// Stands in a message that the CLI has put in the place of the model's. A text cannot hold it: there a quotation mark
/// has a backslash before it.
const IN_PLACE: &str = r#""is_api_error_message""#;
const TOOL_RESULT: &str = r#""tool_result""#;
const SENT_BACK: &str = "Stop hook feedback:";

impl Signs {
    /// Takes a message into account. Most are looked through and not read: they may be large, and come fast.
    pub fn observe(&mut self, frame: &Frame) {
        let text = frame.as_str();
        match frame.kind.as_str() {
            "assistant" if text.contains(IN_PLACE) => self.note_refusal(frame),
            "assistant" if self.refusal.is_some() && !is_of_subagent(text) => self.refusal = None,
            "user" => {
                self.used_tools = self.used_tools || text.contains(TOOL_RESULT);
                self.sent_back = self.sent_back || text.contains(r#""isSynthetic""#) && text.contains(SENT_BACK);
            }
            "rate_limit_event" => self.resets_at = resets_at(frame),
            _ => {}
        }
    }

    fn note_refusal(&mut self, frame: &Frame) {
        #[derive(Deserialize)]
        struct Body {
            parent_tool_use_id: Option<String>,
            error: Option<String>,
        }
        // A subagent's failure is the conversation's business only if it makes it its own.
        if let Some(Body { parent_tool_use_id: None, error }) = frame.body() {
            self.refusal = error;
        }
    }
}

/// Whether a message belongs to a subagent's conversation.
fn is_of_subagent(text: &str) -> bool {
    text.contains(r#""parent_tool_use_id":""#)
}

/// Said only where the provider tells it: to logins, not to API keys (checked).
fn resets_at(frame: &Frame) -> Option<i64> {
    #[derive(Deserialize)]
    struct Body {
        rate_limit_info: Info,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Info {
        status: String,
        resets_at: i64,
    }
    let Info { status, resets_at } = frame.body::<Body>()?.rate_limit_info;
    (status == "rejected").then_some(resets_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signs(lines: &[&str]) -> Signs {
        let mut signs = Signs::default();
        for line in lines {
            signs.observe(&Frame::parse((*line).to_owned()).unwrap());
        }
        signs
    }

    const REFUSED: &str =
        r#"{"type":"assistant","parent_tool_use_id":null,"error":"server_error","is_api_error_message":true}"#;

    #[test]
    fn the_word_of_the_last_message_counts() {
        assert_eq!(signs(&[REFUSED]).refusal.as_deref(), Some("server_error"));
        let went_on = r#"{"type":"assistant","parent_tool_use_id":null,"message":{}}"#;
        assert_eq!(signs(&[REFUSED, went_on]).refusal, None, "the CLI went on");
        let subagent = r#"{"type":"assistant","parent_tool_use_id":"t","message":{}}"#;
        assert_eq!(signs(&[REFUSED, subagent]).refusal.as_deref(), Some("server_error"));
        let failed = r#"{"type":"assistant","parent_tool_use_id":"t","error":"unknown","is_api_error_message":true}"#;
        assert_eq!(signs(&[failed]).refusal, None, "a subagent's failure is not the run's");
        let text = r#"{"type":"assistant","message":{"content":"\"is_api_error_message\":true"},"error":"x"}"#;
        assert_eq!(signs(&[text]).refusal, None, "a model may write what it likes");
    }

    #[test]
    fn only_a_limit_that_has_refused_says_when_to_come_back() {
        let event = |status: &str| {
            format!(r#"{{"type":"rate_limit_event","rate_limit_info":{{"status":"{status}","resetsAt":1795428199}}}}"#)
        };
        assert_eq!(signs(&[&event("rejected")]).resets_at, Some(1_795_428_199));
        assert_eq!(signs(&[&event("allowed_warning")]).resets_at, None);
        assert_eq!(signs(&[&event("rejected"), &event("allowed")]).resets_at, None, "it has passed");
        assert_eq!(signs(&[r#"{"type":"rate_limit_event","rate_limit_info":{"status":"rejected"}}"#]).resets_at, None);
    }
}
