//! The names of the CLI's own tools.

/// Tools that the CLI has, or has where its settings, its platform or a flag bring them (checked with 2.1.330). A later
/// version may have more: a name that is not here is unknown, and not wrong.
pub const BUILT_IN: &[&str] = &[
    "Agent",
    "AskUserQuestion",
    "Bash",
    "BashOutput",
    "CronCreate",
    "CronDelete",
    "CronList",
    "Edit",
    "EnterPlanMode",
    "EnterWorktree",
    "ExitPlanMode",
    "ExitWorktree",
    "Glob",
    "Grep",
    "KillShell",
    "ListAgents",
    "ListMcpResourcesTool",
    "LSP",
    "Monitor",
    "NotebookEdit",
    "PowerShell",
    "Read",
    "ReadMcpResourceTool",
    "ReportFindings",
    "ScheduleWakeup",
    "SendMessage",
    "Skill",
    "StructuredOutput",
    "Task",
    "TaskCreate",
    "TaskGet",
    "TaskList",
    "TaskOutput",
    "TaskStop",
    "TaskUpdate",
    "TodoWrite",
    "ToolSearch",
    "WebFetch",
    "WebSearch",
    "Workflow",
    "Write",
];

/// Whether the CLI is known to have a tool of this name, which is case-sensitive.
pub fn is_known(name: &str) -> bool {
    BUILT_IN.contains(&name)
}

/// The tools that a run with `--restricted` is left: those that the CLI leaves it (checked with 2.1.261, 2.1.276 and 2.1.330)
/// but for `EnterWorktree`, which makes a checkout with git and moves the run into it, and `ExitWorktree`. With a list of tools
/// the CLI leaves all that are in the list, `Bash` too, which is not confined then (checked): so no other one may be in it.
const OF_RESTRICTED: &[&str] = &[
    "Agent",
    "AskUserQuestion",
    "CronDelete",
    "CronList",
    "Edit",
    "Glob",
    "Grep",
    "ListAgents",
    "ListMcpResourcesTool",
    "NotebookEdit",
    "Read",
    "ReadMcpResourceTool",
    "ReportFindings",
    "ScheduleWakeup",
    "SendMessage",
    "Skill",
    "StructuredOutput",
    "Task",
    "TaskCreate",
    "TaskGet",
    "TaskList",
    "TaskOutput",
    "TaskStop",
    "TaskUpdate",
    "TodoWrite",
    "ToolSearch",
    "WebSearch",
    "Write",
];

/// Whether a restricted run may have a tool: none that runs programs, loads code or fetches pages.
pub fn of_restricted(name: &str) -> bool {
    OF_RESTRICTED.contains(&name)
}

/// The tools that a restricted run must not have. `--restricted` leaves some of them (checked); rules that deny them do not.
pub fn not_of_restricted() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().copied().filter(|name| !of_restricted(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_tool_of_a_restricted_run_runs_programs_or_fetches_pages() {
        for name in [
            "Bash",
            "BashOutput",
            "EnterWorktree",
            "ExitWorktree",
            "KillShell",
            "LSP",
            "Monitor",
            "PowerShell",
            "WebFetch",
            "Workflow",
            "REPL",
        ] {
            assert!(!of_restricted(name), "{name}");
        }
        assert!(not_of_restricted().any(|name| name == "Bash") && not_of_restricted().all(|name| name != "Read"));
        assert!(of_restricted("Read") && OF_RESTRICTED.iter().all(|name| is_known(name)));
    }

    #[test]
    fn names_are_known_as_they_are_written() {
        assert!(is_known("Read") && is_known("Task") && !is_known("read") && !is_known("mcp__x"));
    }
}
