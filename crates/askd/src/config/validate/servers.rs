//! `mcpServers` in the frontmatter of agents: a list of names, and of servers that come with the agent.

use serde_norway::Value;

use super::head::Head;
use super::{mcp, places};

/// Servers of an agent that are looked at.
const MAX_SERVERS: usize = 100;

/// Checks the value of `mcpServers`.
pub(super) fn check(head: &mut Head<'_>, value: &Value) {
    let Some(items) = value.as_sequence() else {
        // A mapping works in `.mcp.json` and not here (checked).
        return head.error("mcpServers", "must be a list, or the CLI drops it; write each as `- NAME: {command: …}`");
    };
    if items.len() > MAX_SERVERS {
        return head.error("mcpServers", format!("has more than {MAX_SERVERS} servers"));
    }
    for (index, item) in items.iter().enumerate() {
        let field = places::item("mcpServers", index);
        match item {
            Value::String(name) if !name.is_empty() => {}
            // An item of two servers is dropped as a whole (checked).
            Value::Mapping(server) if server.len() == 1 => one(head, &field, item),
            Value::Mapping(_) => {
                head.error(&field, "must be one server, or the CLI drops it; give each an item of its own");
            }
            _ => head.error(&field, "must be the name of a server or `NAME: {command: …}`, or the CLI drops it"),
        }
    }
}

fn one(head: &mut Head<'_>, field: &str, server: &Value) {
    match serde_json::to_value(server) {
        Ok(server) => {
            let found = mcp::check(&serde_json::json!({ "mcpServers": server }).to_string());
            head.adopt(found, "mcpServers", field);
        }
        Err(_) => head.error(field, "must have a text as its name"),
    }
}
