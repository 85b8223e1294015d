//! The default policy, case by case: what it refuses, by which rule, and what passes.

mod daily;
mod denied;
mod forms;
mod hostile;
mod mistakes;
mod passes;
mod plain;
mod tools;

use serde_json::json;

use super::{Policy, STACK, Verdict};

/// Does something where there is the stack that a judge needs.
fn with_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work).unwrap();
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The id of the rule that refuses a command of the Bash tool.
fn rule(command: &str) -> Option<String> {
    match with_stack(|| Policy::of_the_house().judge("Bash", &json!({"command": command}))) {
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
