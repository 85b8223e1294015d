//! The names of tools in a policy: what can be one, and which of them are known.

use claude::tools::{BUILT_IN, is_known};

use super::Policy;
use crate::settings::suggest::{closest, closest_within};

/// What the names of MCP tools begin with.
pub const MCP: &str = "mcp__";

/// Tools have other names by which the CLI takes them too, in its list of tools or in what it is given (checked).
pub fn canonical(tool: &str) -> &str {
    match tool {
        "Task" => "Agent",
        "KillBash" | "KillShell" => "TaskStop",
        "AgentOutputTool" | "BashOutput" | "BashOutputTool" => "TaskOutput",
        other => other,
    }
}

/// Whether it is a tool of this server: `mcp__tracker__find` of `mcp__tracker`.
pub fn is_below(tool: &str, server: &str) -> bool {
    tool.strip_prefix(server).is_some_and(|rest| rest.starts_with("__"))
}

/// Whether a list of names has this tool: it is named, or all tools of its server are.
pub fn has<'a>(mut names: impl Iterator<Item = &'a str>, tool: &str) -> bool {
    let tool = canonical(tool);
    names.any(|name| canonical(name) == tool || name.starts_with(MCP) && is_below(tool, name))
}

/// `Bash` of `Bash(git status:*)`.
pub fn tool_of(rule: &str) -> &str {
    rule.split_once('(').map_or(rule, |(tool, _)| tool).trim()
}

/// What the CLI would take for the name of one tool, or of all tools of an MCP server: no pattern, and none of its words
/// for many tools.
pub fn is_tool(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if let Some(of_mcp) = name.strip_prefix(MCP) {
        let (server, tool) = of_mcp.split_once("__").map_or((of_mcp, None), |(server, tool)| (server, Some(tool)));
        let is_name = |text: &str| !text.is_empty() && text.chars().all(|c| plain(c) || c == '-');
        return is_name(server) && tool.is_none_or(is_name);
    }
    let resembles_mcp = name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(MCP));
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(plain)
        && !resembles_mcp
        && name != "default"
}

/// What is wrong with something that is no tool's name; follows it. `denied` is the field for rules that deny something.
pub fn not_a_tool(name: &str, denied: &str) -> String {
    if name.contains('(') {
        return format!("must be a tool's name; rules belong into allowed_tools or {denied}");
    }
    "must be a tool's name; write e.g. `Read`, `mcp__SERVER` or `mcp__SERVER__TOOL`, without patterns".to_owned()
}

/// What is wrong with names of which the CLI is known to have none: runs would have no tool at all, which is written as an
/// empty list; follows the field.
pub fn none_is_known(names: &[String]) -> Option<String> {
    let first = names.first().filter(|_| names.iter().all(|name| is_unknown(name)))?;
    Some(format!("has no tool that the CLI is known to have: {}; `[]` is for runs without tools", called(first)))
}

/// The longest name that is compared with others or shown, in bytes. Those of the CLI have half of it.
const MAX_NAME: usize = 60;

/// Edits by which a name may differ from a known one and still be a slip. With more it may be a tool of a newer CLI.
const SLIP: usize = 2;

/// What is wrong with the name of a tool that is known in another spelling, or nearly; follows the name.
pub fn misspelt(name: &str) -> Option<String> {
    if name.len() > MAX_NAME || name.starts_with(MCP) || is_known(name) || FORMER.contains(&name) {
        return None;
    }
    let known = closest_within(SLIP, name, BUILT_IN.iter().copied())?;
    Some(format!("is no tool of the CLI; did you mean `{known}`?"))
}

/// Names of tools that the CLI has had, which are no slips: who names one has an older request.
const FORMER: [&str; 9] = [
    "AgentOutputTool",
    "BashOutputTool",
    "KillBash",
    "LS",
    "MultiEdit",
    "NotebookRead",
    "SlashCommand",
    "TodoRead",
    "ExitPlanModeTool",
];

/// A name that no tool of the CLI is known to have. Patterns, and names of MCP servers, are not judged.
pub fn is_unknown(tool: &str) -> bool {
    !tool.starts_with(MCP) && !tool.contains('*') && !is_known(tool)
}

/// What is wrong with rules for tools that a run would not have; follows the field.
pub(super) fn rule_without_tool(rules: &[String], names: &[String]) -> Option<String> {
    let names = || names.iter().map(String::as_str);
    let (index, rule) = rules.iter().enumerate().find(|(_, rule)| !has(names(), tool_of(rule)))?;
    let shown: String = rule.chars().take(60).collect();
    Some(format!("[{index}] `{shown}` is for a tool that policy.tools does not have"))
}

impl Policy {
    /// Names in `tools` that the CLI is not known to have: it takes no notice of such a name. A text for each.
    pub fn unknown_tools(&self) -> impl Iterator<Item = String> {
        let names = self.tools.iter().flatten();
        names.filter(|name| is_unknown(name)).map(|name| called(name))
    }
}

/// That no tool is called so, and which one is probably meant.
pub fn called(name: &str) -> String {
    let meant = (name.len() <= MAX_NAME).then(|| closest(name, BUILT_IN.iter().copied())).flatten();
    let meant = meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
    let shown: String = name.chars().take(MAX_NAME).collect();
    format!("no tool of the CLI is known to be called `{shown}`{meant}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_the_cli_does_not_know_is_told_with_the_one_that_is_meant() {
        let policy =
            Policy { tools: Some(["Read", "bash", "Fly", "mcp__x"].map(str::to_owned).into()), ..Policy::default() };
        let told: Vec<_> = policy.unknown_tools().collect();
        assert_eq!(
            told,
            [
                "no tool of the CLI is known to be called `bash`; did you mean `Bash`?",
                "no tool of the CLI is known to be called `Fly`"
            ]
        );
        assert_eq!(Policy::default().unknown_tools().count(), 0);
    }

    #[test]
    fn a_slip_is_told_from_a_tool_of_another_version() {
        for (name, meant) in [
            ("bash", "Bash"),
            ("BASH", "Bash"),
            ("Bsah", "Bash"),
            ("Rea", "Read"),
            ("WebFecth", "WebFetch"),
            ("web_search", "WebSearch"),
            ("exit_plan_mode", "ExitPlanMode"),
            ("task", "Task"),
        ] {
            assert_eq!(misspelt(name).unwrap(), format!("is no tool of the CLI; did you mean `{meant}`?"));
        }
        for name in [
            "Bash",
            "Task",
            "REPL",
            "LS",
            "MultiEdit",
            "KillBash",
            "TaskStart",
            "TeamCreate",
            "mcp__s__Bahs",
            "Fly",
            "",
        ] {
            assert_eq!(misspelt(name), None, "{name}");
        }
    }

    #[test]
    fn no_tool_name_can_become_several_or_a_flag() {
        proptest::proptest!(|(name in "\\PC{0,40}")| {
            if is_tool(&name) {
                proptest::prop_assert!(!name.contains([',', ' ', '*', '(']) && !name.starts_with('-'), "{name}");
            }
        });
    }
}
