//! `hooks` in the frontmatter of agents and skills.
//!
//! Checked with CLI 2.1.330: one hook before a tool that cannot be read, and the agent is skipped, or the skill loses
//! its hooks and its `allowed-tools`; of other events only the entry is lost. Events that it does not know it passes over.

use serde_norway::Value;

use super::head::Head;
use super::settings;
use crate::config::problem::Problem;

/// Checks the value of `hooks` by the schema that the settings have for theirs, which is the same.
pub(super) fn check(head: &mut Head<'_>, value: &Value) {
    let Some(events) = value.as_mapping() else {
        return head.error("hooks", "must be a list of events with their hooks, or the CLI drops more than the hooks");
    };
    let json = serde_json::to_value(events).map(|hooks| serde_json::json!({ "hooks": hooks }).to_string());
    match json {
        Ok(json) => {
            let mut found = settings::check(&json);
            // An event's whole entry that is passed over is one that somebody relies on.
            let is_event = |problem: &Problem| {
                problem.field.as_deref().is_some_and(|field| !field.trim_start_matches("hooks.").contains(['.', '[']))
            };
            let (events, others) = found.warnings.into_iter().partition(is_event);
            found.warnings = others;
            found.errors.extend::<Vec<_>>(events);
            head.adopt(found, "hooks", "hooks");
        }
        Err(_) => head.error("hooks", "must have texts as keys"),
    }
}
