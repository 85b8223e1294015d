//! What a route calls the options of a run.

/// Names by name: the one in [`crate::runs::request::RunRequest`], and those that the route knows, the preferred one
/// first.
#[derive(Debug)]
pub(super) struct Dialect(&'static [(&'static str, &'static [&'static str])]);

/// `POST /ask`: the names of the Node server.
pub(super) static ASK: Dialect = Dialect(&[
    ("prompt", &["prompt"]),
    ("cwd", &["cwd"]),
    ("stream", &["stream"]),
    ("max_turns", &["maxTurns"]),
    ("agent", &["agent"]),
    ("system_prompt", &["systemPrompt"]),
    ("model", &["model"]),
    ("allowed_tools", &["allowedTools"]),
    ("permission_mode", &["permissionMode"]),
    ("resume", &["resume"]),
    ("output_schema", &["jsonSchema"]),
]);

/// `POST /v1/runs`.
pub(super) static RUNS: Dialect = Dialect(&[
    ("prompt", &["prompt"]),
    ("content", &["content"]),
    ("cwd", &["cwd"]),
    ("max_turns", &["max_turns"]),
    ("agent", &["agent"]),
    ("system_prompt", &["system_prompt"]),
    ("model", &["model"]),
    ("allowed_tools", &["allowed_tools"]),
    ("permission_mode", &["permission_mode"]),
    ("resume", &["session_id", "resume"]),
    ("output_schema", &["output_schema", "json_schema"]),
    ("expand", &["expand"]),
    ("deltas", &["deltas"]),
    ("on_disconnect", &["on_disconnect"]),
    ("timeout_seconds", &["timeout_seconds"]),
    ("idle_timeout_seconds", &["idle_timeout_seconds"]),
    ("queue_timeout_seconds", &["queue_timeout_seconds"]),
    ("metadata", &["metadata", "labels"]),
    ("write_root", &["write_root"]),
    ("additional_folders", &["additional_folders", "add_dirs"]),
    ("max_budget_usd", &["max_budget_usd"]),
    ("priority", &["priority"]),
    ("append_system_prompt", &["append_system_prompt"]),
    ("tools", &["tools"]),
    ("disallowed_tools", &["disallowed_tools"]),
    ("effort", &["effort"]),
    ("fallback_models", &["fallback_model"]),
    ("agents", &["agents"]),
    ("mcp_servers", &["mcp_servers"]),
    ("env", &["env"]),
    ("profile", &["profile"]),
    ("fork_session", &["fork_session"]),
]);

/// `POST /v1/runs/{id}/input`.
pub(super) static INPUT: Dialect =
    Dialect(&[("message", &["message"]), ("content", &["content"]), ("priority", &["priority"])]);

/// `POST /v1/keys` and `PATCH /v1/keys/{id}`.
pub(super) static KEY: Dialect =
    Dialect(&[("name", &["name"]), ("scopes", &["scopes"]), ("policy", &["policy"]), ("expires_at", &["expires_at"])]);

/// `POST /v1/keys/{id}/rotate`.
pub(super) static ROTATE: Dialect = Dialect(&[("overlap_seconds", &["overlap_seconds"])]);

/// `POST /v1/keys/{id}/revoke`.
pub(super) static REVOKE: Dialect = Dialect(&[("runs", &["runs"])]);

/// `PUT /config/{kind}/{name}`.
pub(super) static LEGACY_CONFIG: Dialect = Dialect(&[("content", &["content"])]);

/// `PUT /v1/config/{kind}/{name}`.
pub(super) static DOCUMENT: Dialect = Dialect(&[("content", &["content"]), ("files", &["files"])]);

/// One of `files` there.
pub(super) static SKILL_FILE_FIELDS: Dialect = Dialect(&[
    ("path", &["path"]),
    ("content", &["content"]),
    ("content_base64", &["content_base64"]),
    ("executable", &["executable"]),
]);

/// Documents without files, and `PUT /v1/config/mcp-servers/{server}`.
pub(super) static CONTENT: Dialect = Dialect(&[("content", &["content"])]);

/// `POST /v1/config/validate`.
pub(super) static VALIDATE: Dialect =
    Dialect(&[("kind", &["kind"]), ("name", &["name"]), ("content", &["content"]), ("files", &["files"])]);

impl Dialect {
    /// All names of a field; none when the route does not have it.
    pub(super) fn names(&self, field: &str) -> &'static [&'static str] {
        self.0.iter().find(|(known, _)| *known == field).map_or(&[], |(_, names)| *names)
    }

    /// The name of a field in texts.
    pub(super) fn name(&self, field: &'static str) -> &'static str {
        self.names(field).first().copied().unwrap_or(field)
    }

    /// Whether there is a field of this name.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.0.iter().any(|(_, names)| names.contains(&name))
    }

    /// All preferred names.
    pub(super) fn list(&self) -> String {
        let names: Vec<_> = self.0.iter().filter_map(|(_, names)| names.first().copied()).collect();
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_a_run_has_its_line_in_the_documentation() {
        let page = include_str!("../../../../docs/run-options.md");
        let first_cells: Vec<_> =
            page.lines().filter_map(|line| line.strip_prefix("| `")?.split(" |").next()).collect();
        for name in RUNS.0.iter().flat_map(|(_, names)| names.iter()) {
            let is_there = first_cells.iter().any(|cell| cell.split('`').any(|part| part == *name));
            assert!(is_there, "docs/run-options.md does not say what `{name}` is");
        }
    }
}
