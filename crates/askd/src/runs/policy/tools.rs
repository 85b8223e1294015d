//! Which tools a policy allows.

use crate::keys::policy::tools::{self, MCP, canonical, is_below, tool_of};

/// The tool that `--json-schema` brings: it gives the answer its form, and does nothing.
const STRUCTURED_OUTPUT: &str = "StructuredOutput";

/// The only tools of a run, e.g. `Read`, `mcp__tracker`, `mcp__tracker__find`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tools {
    names: Vec<String>,
    is_of_request: bool,
}

impl Tools {
    /// Those that a policy allows.
    pub(super) fn of_policy(names: &[String]) -> Self {
        Self { names: names.iter().map(|name| canonical(name).to_owned()).collect(), is_of_request: false }
    }

    /// Those that a request wants, of the ones that it may have.
    pub(super) fn of_request(names: &[String]) -> Self {
        Self { is_of_request: true, ..Self::of_policy(names) }
    }

    /// Whether it was the request that left the others out.
    pub(super) fn is_of_request(&self) -> bool {
        self.is_of_request
    }

    /// The same but for some.
    pub(super) fn without(mut self, left_out: impl Fn(&str) -> bool) -> Self {
        self.names.retain(|name| !left_out(name));
        self
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Those that are not of an MCP server.
    pub(super) fn of_the_cli(&self) -> Vec<String> {
        self.names().filter(|name| !name.starts_with(MCP)).map(str::to_owned).collect()
    }

    /// Whether this tool may be called: it is named, or all tools of its server are.
    pub(super) fn has(&self, tool: &str) -> bool {
        tools::has(self.names(), tool)
    }

    /// Whether a run may have this tool at its beginning: also one of a server of which only other tools may be called. The
    /// CLI gives all tools of a server; those that may not be called are refused when they are.
    pub(super) fn may_be_listed(&self, tool: &str) -> bool {
        tool == STRUCTURED_OUTPUT
            || self.has(tool)
            || tool.starts_with(MCP) && self.names().any(|name| server(tool) == server(name))
    }

    /// The same for a call.
    pub(super) fn may_be_called(&self, tool: &str) -> bool {
        tool == STRUCTURED_OUTPUT || self.has(tool)
    }

    /// Whether the run gets the MCP server of this name.
    pub(super) fn has_server(&self, name: &str) -> bool {
        let server = in_rules(name);
        self.names().any(|tool| tool == server || is_below(tool, &server))
    }
}

/// Whether a rule is for all tools of the MCP server of this name: such a server is not given to a run that is denied it,
/// since prompts and resources of it are no tools.
pub(super) fn denies_server(rule: &str, name: &str) -> bool {
    let rule = rule.trim();
    let (server, whole) = (in_rules(name), rule.strip_suffix("__*").unwrap_or(rule));
    // `mcp__*__*` as well as `mcp__*`.
    fits(rule, &server) || fits(whole, &server)
}

/// Whether a rule denies some calls of the tool of this name.
pub(super) fn denies_tool(rule: &str, name: &str) -> bool {
    fits(canonical(tool_of(rule)), name)
}

/// Whether a text is what a pattern says, in which `*` stands for anything.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((first, pattern)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = pattern.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    let rest = parts.iter().try_fold(text, |text, part| text.split_once(part).map(|(_, rest)| rest));
    rest.is_some_and(|rest| rest.ends_with(last))
}

/// `mcp__my_tracker` for the server `my tracker`, as the CLI calls it (checked).
fn in_rules(server: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
    MCP.chars().chain(server.chars().map(plain)).collect()
}

/// `tracker` of `mcp__tracker__find`.
fn server(tool: &str) -> Option<&str> {
    let of_mcp = tool.strip_prefix(MCP)?;
    Some(of_mcp.split_once("__").map_or(of_mcp, |(server, _)| server))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools(names: &[&str]) -> Tools {
        Tools::of_policy(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_tool_is_had_by_its_name_or_its_servers() {
        let tools = tools(&["Read", "Task", "mcp__tracker", "mcp__wiki__find"]);
        for (tool, is_had, is_listed) in [
            ("Read", true, true),
            ("Agent", true, true),
            ("Task", true, true),
            ("read", false, false),
            ("Bash", false, false),
            ("mcp__tracker__close", true, true),
            ("mcp__tracker", true, true),
            ("mcp__tracker2__close", false, false),
            ("mcp__wiki__find", true, true),
            ("mcp__wiki__edit", false, true),
            ("mcp__wiki", false, true),
            ("mcp__other__x", false, false),
            ("StructuredOutput", false, true),
        ] {
            assert_eq!((tools.has(tool), tools.may_be_listed(tool)), (is_had, is_listed), "{tool}");
        }
        assert!(tools.may_be_called(STRUCTURED_OUTPUT) && !tools.may_be_called("mcp__wiki__edit"));
        assert_eq!(tools.of_the_cli(), ["Read", "Agent"]);
    }

    #[test]
    fn only_servers_that_are_named_are_given() {
        let tools = tools(&["Read", "mcp__my_tracker", "mcp__wiki__find"]);
        for (server, is_given) in
            [("my tracker", true), ("my_tracker", true), ("wiki", true), ("wik", false), ("Read", false)]
        {
            assert_eq!(tools.has_server(server), is_given, "{server}");
        }
        assert!(!Tools::of_policy(&[]).has_server(""));
    }

    #[test]
    fn a_rule_denies_a_tool_wholly_or_in_part() {
        for (rule, is_denied) in
            [("Bash", true), ("Bash(curl:*)", true), ("*", true), ("Ba*", true), ("BashOutput", false), ("Read", false)]
        {
            assert_eq!(denies_tool(rule, "Bash"), is_denied, "{rule}");
        }
    }

    #[test]
    fn a_server_is_denied_by_a_rule_for_all_of_it() {
        for (rule, server, is_denied) in [
            ("mcp__tracker", "tracker", true),
            (" mcp__tracker__* ", "tracker", true),
            ("mcp__my_tracker", "my tracker", true),
            ("mcp__*", "tracker", true),
            ("mcp__*__*", "tracker", true),
            ("mcp__tr*", "tracker", true),
            ("mcp__*ck*r", "tracker", true),
            ("mcp__*ck*x", "tracker", false),
            ("*", "tracker", true),
            ("mcp__track", "tracker", false),
            ("mcp__tracker__find", "tracker", false),
            ("mcp__tracker__find*", "tracker", false),
            ("mcp__*__find", "tracker", false),
            ("Read", "tracker", false),
        ] {
            assert_eq!(denies_server(rule, server), is_denied, "{rule} {server}");
        }
    }
}
