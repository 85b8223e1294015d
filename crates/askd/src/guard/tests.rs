//! The default policy, case by case: what it refuses, by which rule, and what passes.

mod denied;
mod forms;
mod hostile;
mod mistakes;
mod passes;

use serde_json::json;

use super::{Policy, Verdict};

/// The id of the rule that refuses a command of the Bash tool.
fn rule(command: &str) -> Option<String> {
    match Policy::of_the_house().judge("Bash", &json!({"command": command})) {
        Verdict::Pass => None,
        Verdict::Deny { rule, .. } => Some(rule),
    }
}

fn assert_denied(rule_id: &str, commands: &[&str]) {
    let wrong: Vec<_> = commands.iter().filter(|command| rule(command).as_deref() != Some(rule_id)).collect();
    let found: Vec<_> = wrong.iter().map(|command| (command, rule(command))).collect();
    assert!(wrong.is_empty(), "not refused by {rule_id}: {found:#?}");
}

fn assert_passes(commands: &[&str]) {
    let wrong: Vec<_> = commands.iter().filter_map(|command| Some((command, rule(command)?))).collect();
    assert!(wrong.is_empty(), "refused: {wrong:#?}");
}
