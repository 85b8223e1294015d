//! MCP servers that come with a request. Their entries may hold credentials: no text from here has a value of them.

use serde_json::{Map, Value, json};

use super::super::error::ApiError;
use super::super::fields::Fields;
use super::spot::Spot;
use crate::config::validate::mcp;

/// Servers of one request. Each is a process, or a connection that the first turn waits for.
pub(in crate::api) const MAX_SERVERS: usize = 20;

/// A name that the CLI connects, and gives none of the tools of (checked).
const WITHOUT_TOOLS: &str = "ide";

/// The servers by name, in the form of `.mcp.json`.
pub(super) fn servers(fields: &mut Fields) -> Result<Map<String, Value>, ApiError> {
    const FIELD: &str = "mcp_servers";
    let Some(servers) = fields.object(FIELD)? else { return Ok(Map::new()) };
    let spot = Spot::of(fields, FIELD);
    spot.at_most(MAX_SERVERS, servers.len(), "servers")?;
    let file = json!({ mcp::SERVERS: servers });
    let report = mcp::check(&file.to_string());
    // What merely has no effect in a file is a mistake here: whoever sent it waits for the answer.
    if let Some(problem) = report.errors.into_iter().chain(report.warnings).next() {
        let field = problem.field.unwrap_or_default();
        return Err(match field.strip_prefix(mcp::SERVERS).and_then(|rest| rest.strip_prefix('.')) {
            Some(rest) => spot.below(rest).wrong(problem.message),
            None => spot.wrong(problem.message),
        });
    }
    for (name, server) in &servers {
        let spot = spot.member(name);
        if name == WITHOUT_TOOLS {
            return Err(spot.wrong("is a name of which the CLI passes on no tools; use another one"));
        }
        if let Some((key, _)) = server.as_object().into_iter().flatten().find(|(_, value)| has_variable(value)) {
            let what = "has `${`: the CLI would put in variables of the server's; write the value itself";
            return Err(spot.member(key).wrong(what));
        }
    }
    Ok(servers)
}

/// `${TOKEN}` and `${TOKEN:-default}`, which the CLI replaces in every text by what its own environment has (checked).
fn has_variable(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("${"),
        Value::Array(items) => items.iter().any(has_variable),
        Value::Object(members) => members.iter().any(|(name, value)| name.contains("${") || has_variable(value)),
        _ => false,
    }
}
