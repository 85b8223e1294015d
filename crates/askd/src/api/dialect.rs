//! What a route calls the options of a run.

use crate::settings::suggest::closest;

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

    /// All names of all fields.
    pub(super) fn all(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().flat_map(|(_, names)| names.iter().copied())
    }

    /// Whether there is a field of this name.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.0.iter().any(|(_, names)| names.contains(&name))
    }

    /// What is probably meant by a name that is none of a field: that of another route, or another spelling.
    pub(super) fn meant(&self, name: &str) -> Option<String> {
        let called = |field: &str| format!("it is called `{field}` here");
        if let Some(field) = self.spelt_like(name) {
            return Some(called(self.name(field)));
        }
        let is_of_run = [&ASK, &RUNS].into_iter().any(|route| std::ptr::eq(route, self));
        let field = [&ASK, &RUNS].into_iter().filter(|_| is_of_run).find_map(|route| route.spelt_like(name))?;
        Some(match self.names(field).first() {
            Some(field) => called(field),
            None if field == "stream" => "a stream is asked for by the header accept: text/event-stream".to_owned(),
            None => format!("POST /v1/runs has it, as `{}`", RUNS.name(field)),
        })
    }

    /// The field that has a name like this one.
    fn spelt_like(&self, name: &str) -> Option<&'static str> {
        self.0.iter().find(|(_, names)| names.iter().any(|known| same_name(known, name))).map(|(field, _)| *field)
    }

    /// The name that differs from this one by a slip of the finger, or the only one that it is the beginning of.
    pub(super) fn like(&self, name: &str) -> Option<&'static str> {
        let ends_a_word = |rest: &str| rest.starts_with(|c: char| c == '_' || c.is_ascii_uppercase());
        let is_begun = |known: &&str| !name.is_empty() && known.strip_prefix(name).is_some_and(ends_a_word);
        closest(name, self.all()).or_else(|| {
            let mut begun = self.all().filter(is_begun);
            begun.next().filter(|_| begun.next().is_none())
        })
    }

    /// All preferred names.
    pub(super) fn list(&self) -> String {
        let names: Vec<_> = self.0.iter().filter_map(|(_, names)| names.first().copied()).collect();
        names.join(", ")
    }
}

/// Whether two names differ in nothing but case, `_` and `-`: `maxTurns` and `max_turns`.
pub(super) fn same_name(one: &str, other: &str) -> bool {
    let plain = |name: &str| -> String {
        name.chars().filter(|c| !matches!(c, '_' | '-')).map(|c| c.to_ascii_lowercase()).collect()
    };
    plain(one) == plain(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_another_route_or_spelling_is_told_as_the_one_that_it_has_here() {
        for (dialect, name, told) in [
            (&RUNS, "maxTurns", "it is called `max_turns` here"),
            (&RUNS, "allowedTools", "it is called `allowed_tools` here"),
            (&RUNS, "systemPrompt", "it is called `system_prompt` here"),
            (&RUNS, "jsonSchema", "it is called `output_schema` here"),
            (&RUNS, "mcpServers", "it is called `mcp_servers` here"),
            (&RUNS, "add-dirs", "it is called `additional_folders` here"),
            (&RUNS, "stream", "a stream is asked for by the header accept: text/event-stream"),
            (&ASK, "max_turns", "it is called `maxTurns` here"),
            (&ASK, "session_id", "it is called `resume` here"),
            (&ASK, "output_schema", "it is called `jsonSchema` here"),
            (&ASK, "tools", "POST /v1/runs has it, as `tools`"),
            (&ASK, "addDirs", "POST /v1/runs has it, as `additional_folders`"),
            (&KEY, "expiresAt", "it is called `expires_at` here"),
        ] {
            assert_eq!(dialect.meant(name).as_deref(), Some(told), "{name}");
        }
        for (dialect, name) in [(&RUNS, "effort_level"), (&ASK, "x"), (&KEY, "tools"), (&RUNS, "_")] {
            assert_eq!(dialect.meant(name), None, "{name}");
        }
    }

    #[test]
    fn a_misspelt_name_and_the_beginning_of_one_is_told_as_the_whole() {
        for (dialect, name, told) in [
            (&RUNS, "promt", Some("prompt")),
            (&RUNS, "max_budget", Some("max_budget_usd")),
            (&RUNS, "timeout", Some("timeout_seconds")),
            (&ASK, "permission", Some("permissionMode")),
            (&KEY, "scope", Some("scopes")),
            (&RUNS, "max", None),
            (&RUNS, "effort_level", None),
            (&RUNS, "", None),
            (&DOCUMENT, "mode", None),
        ] {
            assert_eq!(dialect.like(name), told, "{name}");
        }
    }

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
