//! The MCP servers of a run: the operator's, those of a repository that is trusted, and those of its request.

use std::io;

use rustix::fs::{Mode, OFlags, openat};
use serde_json::{Map, Value};

use super::super::RunSpec;
use super::super::warning::{Warning, WarningCode};
use crate::config::dir::{MCP_FILE, mcp_servers};
use crate::small_file;
use crate::workspaces::Folder;

/// A repository's list of MCP servers, in bytes: a text that a person wrote.
const MAX_MCP_FILE: u64 = 1 << 20;

/// All servers that the run has by the policy of its key. The operator's win over a repository's, and both over those of the
/// request, whose rules may name a server of the operator's; a warning says so.
pub(super) fn of_run(
    spec: &RunSpec,
    of_operator: Map<String, Value>,
    of_project: Option<Map<String, Value>>,
    warnings: &mut Vec<Warning>,
) -> Map<String, Value> {
    let mut servers = of_project.unwrap_or_default();
    servers.extend(of_operator);
    for (name, entry) in &spec.secrets.mcp_servers {
        if servers.keys().any(|there| in_rules(there) == in_rules(name)) {
            let message =
                format!("the MCP server `{name}` of the request was left out: the server has one of this name");
            warnings.push(Warning::new(WarningCode::McpServerFailed, message));
        } else {
            servers.insert(name.clone(), entry.clone());
        }
    }
    servers.retain(|name, _| spec.terms.has_server(name));
    servers
}

/// A server's name as it stands in rules: two that are the same there would be one to them (checked).
fn in_rules(name: &str) -> String {
    name.replace(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-'), "_")
}

/// Those of a repository that the operator trusts. A file that is not valid is left out, as the CLI would.
pub(super) fn of_project(folder: &Folder, warnings: &mut Vec<String>) -> Map<String, Value> {
    let file = openat(folder.descriptor(), MCP_FILE, small_file::FLAGS | OFlags::NOFOLLOW, Mode::empty());
    let bytes = file.map_err(io::Error::from).and_then(|file| small_file::beginning(file, MAX_MCP_FILE));
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other));
    mcp_servers(text).unwrap_or_else(|error| {
        tracing::warn!(%error, "a repository's MCP servers cannot be used");
        warnings.push(format!("the folder's own `{MCP_FILE}` was left out: it is not valid"));
        Map::new()
    })
}
