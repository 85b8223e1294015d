//! What a run was asked, as clients see it: with the names of `POST /v1/runs`, and without the bytes of pictures and
//! documents. Of secrets there are only the names.

use serde_json::{Map, Value, json};

use super::run::Detail;
use crate::runs::content::{Block, Source};
use crate::runs::request::RunRequest;

/// Texts that lists leave out.
const LONG: [&str; 6] = ["prompt", "content", "system_prompt", "append_system_prompt", "output_schema", "agents"];

/// Where the stored name is not the one of the route.
const NAMES: [(&str, &str); 2] = [("resume", "session_id"), ("fallback_models", "fallback_model")];

/// The names of an agent's parts in the CLI's own form, and in the route's.
const OF_AGENTS: [(&str, &str); 3] =
    [("disallowedTools", "disallowed_tools"), ("maxTurns", "max_turns"), ("permissionMode", "permission_mode")];

/// The request; in lists without what may be long.
pub(super) fn options(request: &RunRequest, detail: Detail<'_>) -> Value {
    let mut options = serde_json::to_value(request).unwrap_or_default();
    let Value::Object(fields) = &mut options else { return options };
    fields.remove("cwd");
    fields.insert("content".into(), request.content.iter().map(block).collect());
    if let Some(Value::Object(agents)) = fields.get_mut("agents") {
        agents.values_mut().filter_map(Value::as_object_mut).for_each(|agent| rename(agent, &OF_AGENTS));
    }
    rename(fields, &NAMES);
    if matches!(detail, Detail::Listed) {
        for long in LONG {
            fields.remove(long);
        }
    }
    options
}

fn rename(fields: &mut Map<String, Value>, names: &[(&str, &str)]) {
    for (stored, shown) in names {
        if let Some(value) = fields.remove(*stored) {
            fields.insert((*shown).to_owned(), value);
        }
    }
}

/// A block with the size of what it holds in the place of its bytes.
fn block(block: &Block) -> Value {
    let mut shown = serde_json::to_value(block).unwrap_or_default();
    if let Block::Image { source: Source::Base64 { media_type, data } }
    | Block::Document { source: Source::Base64 { media_type, data }, .. } = block
    {
        shown["source"] = json!({"type": "base64", "media_type": media_type, "bytes": decoded_length(data)});
    }
    shown
}

/// How many bytes a text in padded base64 stands for.
fn decoded_length(data: &str) -> usize {
    let padding = data.bytes().rev().take_while(|byte| *byte == b'=').count();
    (data.len() / 4 * 3).saturating_sub(padding)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> RunRequest {
        serde_json::from_value(json!({
            "resume": "00000000-0000-0000-0000-000000000008", "fork_session": true, "fallback_models": ["haiku"],
            "content": [
                {"type": "text", "text": "look"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": "R0lGODlhAA=="}},
                {"type": "document", "title": "t", "source": {"type": "text", "media_type": "text/plain", "data": "d"}},
                {"type": "image", "source": {"type": "upload", "upload_id": "upl_1"}},
            ],
            "agents": {"a": {"description": "d", "prompt": "p", "disallowedTools": ["Bash"], "maxTurns": 3,
                "permissionMode": "plan"}},
            "env": ["TOKEN"], "mcp_servers": ["tracker"], "tools": ["Read"], "append_system_prompt": "s",
        }))
        .unwrap()
    }

    #[test]
    fn a_single_run_shows_what_was_asked_by_the_names_of_the_route_and_no_bytes() {
        let shown = options(&request(), Detail::Single { result: None, last_words: None });
        assert_eq!(
            shown["content"],
            json!([
                {"type": "text", "text": "look"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/gif", "bytes": 7}},
                {"type": "document", "title": "t", "source": {"type": "text", "media_type": "text/plain", "data": "d"}},
                {"type": "image", "source": {"type": "upload", "upload_id": "upl_1"}},
            ])
        );
        assert_eq!(
            shown["agents"]["a"],
            json!({"description": "d", "prompt": "p", "disallowed_tools": ["Bash"], "max_turns": 3,
                "permission_mode": "plan"})
        );
        assert_eq!((&shown["env"], &shown["mcp_servers"]), (&json!(["TOKEN"]), &json!(["tracker"])));
        assert_eq!((&shown["fallback_model"], &shown["fork_session"]), (&json!(["haiku"]), &json!(true)));
        assert_eq!(shown["session_id"], "00000000-0000-0000-0000-000000000008");
        assert!(shown.get("resume").is_none() && shown.get("fallback_models").is_none());
    }

    #[test]
    fn a_list_shows_of_the_short_form_what_it_shows_of_the_whole() {
        let whole = request();
        assert_eq!(options(&whole.for_lists(), Detail::Listed), options(&whole, Detail::Listed));
    }

    #[test]
    fn a_list_shows_no_long_texts() {
        let shown = options(&request(), Detail::Listed);
        assert!(LONG.iter().all(|long| shown.get(long).is_none()), "{shown}");
        assert_eq!(shown["tools"], json!(["Read"]));
    }
}
