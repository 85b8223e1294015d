//! Reads a request's messages: which prompt holds the script, and whose turn it is.

use serde_json::Value;

use crate::parse::DirectiveError;
use crate::script::{Part, parts};

const REMINDER_OPEN: &str = "<system-reminder>";
const REMINDER_CLOSE: &str = "</system-reminder>";

/// What the conversation asks of the model.
#[derive(Debug, PartialEq)]
pub(crate) struct Cue {
    /// The part to play now, if a script has one left.
    pub(crate) part: Option<Part>,
    /// The newest prompt of a conversation without any script.
    pub(crate) prompt: Option<String>,
    /// The script's text and the turn: what a fault's strikes are counted by.
    pub(crate) key: String,
}

/// Finds the newest user message with a script and the turns played since.
pub(crate) fn cue(body: &Value) -> Result<Cue, DirectiveError> {
    let messages = body["messages"].as_array().map_or(&[][..], Vec::as_slice);
    let mut turn = 0;
    for message in messages.iter().rev() {
        match message["role"].as_str() {
            Some("assistant") => turn += 1,
            // The newest block wins, not the whole message: the CLI merges a prompt that failed or
            // was interrupted before any answer into the same message as the next prompt.
            Some("user") => {
                for text in visible_blocks(message).rev() {
                    let mut parts = parts(&text)?;
                    if parts.is_empty() {
                        continue;
                    }
                    return Ok(Cue {
                        part: (turn < parts.len()).then(|| parts.swap_remove(turn)),
                        prompt: None,
                        key: format!("{turn}\n{text}"),
                    });
                }
            }
            // The CLI adds messages of the role `system` in the middle of a conversation.
            _ => {}
        }
    }
    Ok(Cue { part: None, prompt: newest_prompt(messages), key: String::new() })
}

/// The text of the newest message, when it is a user's and not a tool's result.
fn newest_prompt(messages: &[Value]) -> Option<String> {
    let newest = messages.iter().rev().find(|message| message["role"] != "system")?;
    if newest["role"] != "user" || blocks(newest).any(|block| block["type"] == "tool_result") {
        return None;
    }
    Some(visible_text(newest)).filter(|text| !text.is_empty())
}

/// The text of [`visible_blocks`].
pub(crate) fn visible_text(message: &Value) -> String {
    let texts: Vec<String> = visible_blocks(message).collect();
    texts.join("\n")
}

/// A message's text blocks without the CLI's reminders; tool results are no text blocks.
fn visible_blocks(message: &Value) -> impl DoubleEndedIterator<Item = String> {
    let whole = message["content"].as_str();
    let blocks = blocks(message).filter_map(|block| match block["type"].as_str() {
        Some("text") => block["text"].as_str(),
        _ => None,
    });
    whole
        .into_iter()
        .chain(blocks)
        .map(|text| without_reminders(text).trim().to_owned())
        .filter(|text| !text.is_empty())
}

fn blocks(message: &Value) -> impl DoubleEndedIterator<Item = &Value> {
    message["content"].as_array().into_iter().flatten()
}

fn without_reminders(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(REMINDER_OPEN) {
        kept.push_str(before);
        rest = after.split_once(REMINDER_CLOSE).map_or("", |(_, tail)| tail);
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn user(text: &str) -> Value {
        json!({"role": "user", "content": [{"type": "text", "text": text}]})
    }

    fn assistant() -> Value {
        json!({"role": "assistant", "content": [{"type": "text", "text": "[[text:not mine]]"}]})
    }

    fn result(text: &str) -> Value {
        json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": text}]})
    }

    fn played(messages: &[Value]) -> Cue {
        cue(&json!({"messages": messages})).unwrap()
    }

    #[test]
    fn assistant_messages_after_the_script_count_the_turn() {
        let script = user("[[tool:A]][[then]][[text:two]]");
        let first = played(std::slice::from_ref(&script));
        assert!(first.part.is_some_and(|part| part.calls("A")));
        let second = played(&[script.clone(), assistant(), result("[[text:no]]")]);
        assert_eq!(second.part, Some(Part::text("two")));
        let third = played(&[script, assistant(), result("x"), assistant(), user("more")]);
        assert_eq!((third.part, third.prompt), (None, None));
    }

    #[test]
    fn the_newest_script_wins() {
        let next = played(&[user("[[text:old]]"), assistant(), user("[[text:new]]")]);
        assert_eq!(next.part, Some(Part::text("new")));
    }

    #[test]
    fn a_failed_prompt_merged_into_the_next_one_is_over() {
        let merged = json!({"role": "user", "content": [
            {"type": "text", "text": "[[hang]]"},
            {"type": "text", "text": "[Request interrupted by user]"},
            {"type": "text", "text": "[[text:next]]"},
        ]});
        assert_eq!(played(&[merged]).part, Some(Part::text("next")));
    }

    #[test]
    fn reminders_hold_no_directives_and_are_no_prompt() {
        let message = user("<system-reminder>[[text:a]]</system-reminder>hi<system-reminder>[[hang]]");
        assert_eq!(played(&[message]).prompt.as_deref(), Some("hi"));
        assert_eq!(played(&[user("<system-reminder>x</system-reminder>")]).prompt, None);
    }

    #[test]
    fn plain_string_content_and_later_system_messages_are_read() {
        let message = json!({"role": "user", "content": "[[text:a]]"});
        let environment = json!({"role": "system", "content": "[[text:b]]"});
        assert_eq!(played(&[message, environment]).part, Some(Part::text("a")));
    }

    #[test]
    fn strange_bodies_are_survived() {
        for body in [json!(null), json!([]), json!({"messages": [1, null, {"role": "user"}]})] {
            assert_eq!(cue(&body).unwrap().part, None);
        }
    }
}
