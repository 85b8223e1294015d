//! Rules such as `Bash(git push *)`: what the CLI drops, and what it keeps and never applies.
//!
//! Everything here was tried with CLI 2.1.330: `real/config_skips_json.rs` tries it again. What is dropped or never applies
//! is as if it were not there, and the CLI says nothing of it.

use super::settings::did_you_mean;

/// Where a rule stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    /// What needs no question. Wildcards in names of tools are narrower here.
    Allow,
    /// What is refused, or asked about, which is refused where nobody can answer.
    DenyOrAsk,
}

/// What is wrong with a rule, and what to write instead.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It has no effect at all.
    Dead(String),
    /// It has an effect, and probably not the one that is meant.
    Odd(String),
}

/// Tools whose names are often misspelt. No list of all: that changes with every version, and MCP servers add to it.
const TOOLS: [&str; 18] = [
    "Agent",
    "AskUserQuestion",
    "Bash",
    "Edit",
    "ExitPlanMode",
    "Glob",
    "Grep",
    "KillShell",
    "Monitor",
    "NotebookEdit",
    "PowerShell",
    "Read",
    "Skill",
    "Task",
    "TodoWrite",
    "WebFetch",
    "WebSearch",
    "Write",
];

/// Looks at one rule.
pub(super) fn flaw(rule: &str, list: List) -> Option<Flaw> {
    let (tool, specifier) = match parts(rule) {
        Ok(parts) => parts,
        Err(message) => return Some(Flaw::Dead(message)),
    };
    let dead = |message: String| Some(Flaw::Dead(message));
    match specifier {
        _ if tool.len() >= 5 && tool[..5].eq_ignore_ascii_case("mcp__") => mcp(tool, specifier, list),
        _ if list == List::Allow && tool.contains('*') => {
            dead("is dropped: in `allow` a `*` may only stand for the tools of one MCP server (`mcp__NAME__*`)".into())
        }
        None | Some("*") if list == List::DenyOrAsk && tool == "Edit" => Some(Flaw::Odd(
            "is about the tool `Edit` alone, and `Write` still changes files; write `Edit(//**)` for all of them"
                .into(),
        )),
        _ => name(tool).or_else(|| specifier.and_then(|specifier| of_tool(tool, specifier))),
    }
}

/// The tool of a rule, and what stands in its parentheses; or why it is no rule.
fn parts(rule: &str) -> Result<(&str, Option<&str>), String> {
    let (tool, specifier) = match rule.find('(') {
        None => (rule, None),
        Some(at) => match rule[at + 1..].strip_suffix(')') {
            Some(inner) if !ends_escaped(inner) => (&rule[..at], Some(inner)),
            _ => return Err("must end with the `)` that belongs to its first `(`".into()),
        },
    };
    if tool.is_empty() {
        return Err("names no tool; write e.g. `Bash(git push *)`".into());
    }
    if tool.trim() != tool {
        return Err("never matches: no space may stand around a tool's name".into());
    }
    match tool.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-' | '*' | '.')) {
        None => Ok((tool, specifier)),
        Some(odd) => {
            let odd = if odd.is_control() { "a control character".to_owned() } else { format!("`{odd}`") };
            Err(format!(
                "never matches: {odd} cannot stand in a tool's name; each rule is `Tool` or `Tool(what)`, one to an item"
            ))
        }
    }
}

/// Why a text is no rule at all, whatever tools and lists there are; follows the text.
pub fn broken_rule(rule: &str) -> Option<String> {
    match parts(rule) {
        Err(message) => Some(message),
        Ok((tool, Some(""))) => Some(empty(tool)),
        Ok(_) => None,
    }
}

fn empty(tool: &str) -> String {
    format!("is dropped: the parentheses are empty; write `{tool}` for all of its uses")
}

/// Why a rule that allows something would be as if it were not there; follows the rule.
pub fn dead_allow_rule(rule: &str) -> Option<String> {
    match flaw(rule, List::Allow)? {
        Flaw::Dead(message) => Some(message),
        Flaw::Odd(_) => None,
    }
}

/// Why a rule that denies something would be as if it were not there; follows the rule.
pub fn dead_deny_rule(rule: &str) -> Option<String> {
    match flaw(rule, List::DenyOrAsk)? {
        Flaw::Dead(message) => Some(message),
        Flaw::Odd(_) => None,
    }
}

/// Why a rule that denies something would not deny it, or probably not all that is meant; follows the rule.
pub fn doubtful_deny_rule(rule: &str) -> Option<String> {
    match flaw(rule, List::DenyOrAsk)? {
        Flaw::Dead(message) | Flaw::Odd(message) => Some(message),
    }
}

/// Whether the text ends with an odd number of backslashes, which takes its meaning from what follows.
fn ends_escaped(text: &str) -> bool {
    text.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

fn mcp(tool: &str, specifier: Option<&str>, list: List) -> Option<Flaw> {
    let Some(rest) = tool.strip_prefix("mcp__") else {
        return Some(Flaw::Dead("never matches: tools of MCP servers begin with `mcp__`, in lower case".into()));
    };
    if specifier.is_some() {
        let message = format!("is dropped: rules about MCP servers have no parentheses; write `{tool}`");
        return Some(Flaw::Dead(message));
    }
    let server = rest.split("__").next().unwrap_or_default();
    if server.is_empty() {
        return Some(Flaw::Dead("never matches: names no server; write `mcp__NAME` or `mcp__NAME__TOOL`".into()));
    }
    if list == List::Allow && server.contains('*') {
        return Some(Flaw::Dead("is dropped: in `allow` the server must be named; write `mcp__NAME__*`".into()));
    }
    None
}

fn name(tool: &str) -> Option<Flaw> {
    if TOOLS.contains(&tool) || tool.contains('*') {
        return None;
    }
    if let Some(known) = TOOLS.iter().find(|known| known.eq_ignore_ascii_case(tool)) {
        return Some(Flaw::Dead(format!("never matches: the tool is called `{known}`")));
    }
    let meant = did_you_mean(tool, TOOLS);
    if tool.starts_with(|first: char| first.is_ascii_lowercase()) && !tool.contains('_') {
        return Some(Flaw::Dead(format!("is dropped: names of tools begin with a capital letter{meant}")));
    }
    (!meant.is_empty()).then(|| Flaw::Odd(format!("names a tool that is not known{meant}")))
}

fn of_tool(tool: &str, specifier: &str) -> Option<Flaw> {
    if specifier.is_empty() {
        return Some(Flaw::Dead(empty(tool)));
    }
    match tool {
        "Bash" | "PowerShell" | "Monitor" => command(tool, specifier),
        "Write" | "NotebookEdit" | "MultiEdit" if specifier != "*" => Some(Flaw::Dead(format!(
            "never matches: write `Edit({specifier})`, which is about every tool that changes files"
        ))),
        "Glob" | "Grep" if specifier != "*" => Some(Flaw::Dead(format!(
            "never matches: write `Read({specifier})`, which is about every tool that reads files"
        ))),
        "Read" | "Edit" => path(tool, specifier),
        "WebFetch" if specifier != "*" => match specifier.strip_prefix("domain:") {
            Some(domain) if !domain.trim().is_empty() => None,
            Some(_) => {
                Some(Flaw::Dead("never matches: names no domain; write e.g. `WebFetch(domain:example.com)`".into()))
            }
            None => Some(Flaw::Dead(
                "is dropped: write `WebFetch(domain:HOST)`; URLs and paths cannot be told apart".into(),
            )),
        },
        "WebSearch" if specifier != "*" && specifier.contains('*') => Some(Flaw::Dead(
            "is dropped: searches are matched as a whole, without `*`; write `WebSearch` for all".into(),
        )),
        _ => None,
    }
}

fn command(tool: &str, specifier: &str) -> Option<Flaw> {
    match specifier.strip_suffix(":*") {
        Some("") => {
            Some(Flaw::Dead(format!("is dropped: there is nothing before `:*`; write `{tool}` for all commands")))
        }
        Some(prefix) if prefix.ends_with(char::is_whitespace) => Some(Flaw::Dead(format!(
            "never matches: no space may stand before `:*`; write `{tool}({}:*)`",
            prefix.trim_end()
        ))),
        None if specifier.contains(":*") => {
            Some(Flaw::Odd("has `:*` before its end, where it means just these two characters".into()))
        }
        _ => None,
    }
}

fn path(tool: &str, specifier: &str) -> Option<Flaw> {
    if specifier.ends_with(":*") {
        return Some(Flaw::Dead(format!(
            "is dropped: `:*` is for commands; a path has `**`, e.g. `{tool}(//srv/data/**)`"
        )));
    }
    if specifier.contains('{') {
        return Some(Flaw::Odd("has a brace, which stands for itself; write a rule for each path".into()));
    }
    if specifier.starts_with('/') && !specifier.starts_with("//") {
        return Some(Flaw::Odd(format!(
            "begins with one `/`, which means the folder of the settings; an absolute path is `{tool}(/{specifier})`"
        )));
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rules_that_work_are_left_alone() {
        for rule in [
            "Bash",
            "Bash(git push *)",
            "Bash(git push:*)",
            "Bash(*)",
            "Bash(echo (a))",
            "Bash(a\\\\)",
            "Edit(**)",
            "Edit(~/.ssh/**)",
            "Read(//etc/**)",
            "Read(*.pem)",
            "Write",
            "Write(*)",
            "WebFetch",
            "WebFetch(domain:example.com)",
            "WebSearch(x)",
            "mcp__github",
            "mcp__github__*",
            "mcp__my-server__get_x",
            "Task(reviewer)",
            "Agent(reviewer)",
            "Skill(pdf)",
            "SomethingNew",
            "some_tool",
        ] {
            assert_eq!(flaw(rule, List::DenyOrAsk), None, "{rule}");
            assert_eq!(flaw(rule, List::Allow), None, "{rule}");
        }
        assert!(matches!(flaw("Edit", List::DenyOrAsk), Some(Flaw::Odd(_))));
        assert_eq!(flaw("Edit", List::Allow), None);
        for rule in ["*", "Web*", "mcp__*", "mcp__a*__b"] {
            assert_eq!(flaw(rule, List::DenyOrAsk), None, "{rule}");
            assert!(matches!(flaw(rule, List::Allow), Some(Flaw::Dead(_))), "{rule}");
        }
    }

    #[test]
    fn rules_that_do_nothing_say_what_to_write() {
        let rules = [
            "",
            " ",
            "(x)",
            "Bash(",
            "Bash(x",
            "Bash(x)y",
            "Bash(a\\)",
            "Bash)",
            " Bash",
            "Bash (x)",
            "Bash\n",
            "Bash,Read",
            "Bash[x]",
            "bash",
            "bash(x)",
            "BASH",
            "Bsh(x)",
            "nope",
            "Bash()",
            "Bash(:*)",
            "Bash(echo :*)",
            "Bash(a:* b)",
            "Write(a)",
            "NotebookEdit(a)",
            "Grep(a)",
            "Read(a:*)",
            "Read(/etc/**)",
            "Edit({a,b})",
            "WebFetch(example.com)",
            "WebFetch(domain:)",
            "WebSearch(a*)",
            "mcp__",
            "mcp__s(x)",
            "MCP__s",
        ];
        let told = rules.map(|rule| match flaw(rule, List::DenyOrAsk) {
            Some(Flaw::Dead(message)) => format!("{rule:?} {message}"),
            Some(Flaw::Odd(message)) => format!("{rule:?} (odd) {message}"),
            None => panic!("{rule:?} has no flaw"),
        });
        insta::assert_snapshot!(told.join("\n"), @r#"
        "" names no tool; write e.g. `Bash(git push *)`
        " " never matches: no space may stand around a tool's name
        "(x)" names no tool; write e.g. `Bash(git push *)`
        "Bash(" must end with the `)` that belongs to its first `(`
        "Bash(x" must end with the `)` that belongs to its first `(`
        "Bash(x)y" must end with the `)` that belongs to its first `(`
        "Bash(a\\)" must end with the `)` that belongs to its first `(`
        "Bash)" never matches: `)` cannot stand in a tool's name; each rule is `Tool` or `Tool(what)`, one to an item
        " Bash" never matches: no space may stand around a tool's name
        "Bash (x)" never matches: no space may stand around a tool's name
        "Bash\n" never matches: no space may stand around a tool's name
        "Bash,Read" never matches: `,` cannot stand in a tool's name; each rule is `Tool` or `Tool(what)`, one to an item
        "Bash[x]" never matches: `[` cannot stand in a tool's name; each rule is `Tool` or `Tool(what)`, one to an item
        "bash" never matches: the tool is called `Bash`
        "bash(x)" never matches: the tool is called `Bash`
        "BASH" never matches: the tool is called `Bash`
        "Bsh(x)" (odd) names a tool that is not known; did you mean `Bash`?
        "nope" is dropped: names of tools begin with a capital letter
        "Bash()" is dropped: the parentheses are empty; write `Bash` for all of its uses
        "Bash(:*)" is dropped: there is nothing before `:*`; write `Bash` for all commands
        "Bash(echo :*)" never matches: no space may stand before `:*`; write `Bash(echo:*)`
        "Bash(a:* b)" (odd) has `:*` before its end, where it means just these two characters
        "Write(a)" never matches: write `Edit(a)`, which is about every tool that changes files
        "NotebookEdit(a)" never matches: write `Edit(a)`, which is about every tool that changes files
        "Grep(a)" never matches: write `Read(a)`, which is about every tool that reads files
        "Read(a:*)" is dropped: `:*` is for commands; a path has `**`, e.g. `Read(//srv/data/**)`
        "Read(/etc/**)" (odd) begins with one `/`, which means the folder of the settings; an absolute path is `Read(//etc/**)`
        "Edit({a,b})" (odd) has a brace, which stands for itself; write a rule for each path
        "WebFetch(example.com)" is dropped: write `WebFetch(domain:HOST)`; URLs and paths cannot be told apart
        "WebFetch(domain:)" never matches: names no domain; write e.g. `WebFetch(domain:example.com)`
        "WebSearch(a*)" is dropped: searches are matched as a whole, without `*`; write `WebSearch` for all
        "mcp__" never matches: names no server; write `mcp__NAME` or `mcp__NAME__TOOL`
        "mcp__s(x)" is dropped: rules about MCP servers have no parentheses; write `mcp__s`
        "MCP__s" never matches: tools of MCP servers begin with `mcp__`, in lower case
        "#);
    }

    #[test]
    fn what_is_no_rule_is_told_from_a_rule_without_effect() {
        for rule in ["", " ", "(x)", "Bash(", "Bash(x", "Bash(x)y", "Bash)", " Bash", "Bash (x)", "Bash,Read", "Bash()"]
        {
            assert_eq!(broken_rule(rule), dead_allow_rule(rule), "{rule}");
            assert!(broken_rule(rule).is_some(), "{rule}");
        }
        for rule in
            ["Bash", "bash", "nope", "Bash(:*)", "Write(a)", "WebFetch(example.com)", "*", "mcp__s(x)", "Read({a})"]
        {
            assert_eq!(broken_rule(rule), None, "{rule}");
        }
    }

    proptest! {
        #[test]
        fn no_rule_is_too_odd(rule in ".{0,40}") {
            let _ = flaw(&rule, List::DenyOrAsk);
            let _ = flaw(&rule, List::Allow);
        }

        #[test]
        fn nor_one_that_nearly_is_a_rule(rule in r"(Bash|mcp__|MCP__|Édit|Write|WebFetch| )?[(\\)]{0,3}[a:*é/{ ]{0,4}[(\\)]{0,3}") {
            let _ = flaw(&rule, List::DenyOrAsk);
            let _ = flaw(&rule, List::Allow);
        }
    }
}
