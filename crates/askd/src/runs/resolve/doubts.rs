//! Tools and rules of a request that will probably not do what was meant: told in the run, since it may be the request of
//! an older client, or a tool of a newer CLI.

use serde_json::Value;

use crate::config::validate::{dead_allow_rule, dead_deny_rule};
use crate::keys::policy::tools::{called, is_unknown, tool_of};
use crate::runs::request::RunRequest;
use crate::runs::warning::{Warning, WarningCode};

/// Names and rules that one warning tells of.
const MAX_TOLD: usize = 8;

/// The longest rule that is shown whole, in characters.
const MAX_SHOWN: usize = 60;

/// What is to be told of a request; at most one warning of each kind.
pub(super) fn of(request: &RunRequest) -> Vec<Warning> {
    let mut unknown = Told::default();
    let mut dead = Told::default();
    for name in request.tools.iter().flatten() {
        unknown.name(name);
    }
    for (rules, flaw) in
        [(&request.allowed_tools, dead_allow_rule as fn(&str) -> _), (&request.disallowed_tools, dead_deny_rule)]
    {
        for rule in rules {
            if !unknown.name(tool_of(rule))
                && let Some(what) = flaw(rule)
            {
                let shown: String = rule.chars().take(MAX_SHOWN).collect();
                dead.add(format!("the rule `{shown}` {what}"));
            }
        }
    }
    for agent in request.agents.values() {
        let names = ["tools", "disallowedTools"].iter().filter_map(|list| agent[list].as_array()).flatten();
        for rule in names.filter_map(Value::as_str) {
            unknown.name(tool_of(rule));
        }
    }
    let warnings = [(WarningCode::UnknownTool, unknown), (WarningCode::LeftOut, dead)];
    warnings.into_iter().filter_map(|(code, told)| Some(Warning::new(code, told.text()?))).collect()
}

/// What one warning tells of.
#[derive(Debug, Default)]
struct Told {
    texts: Vec<String>,
    more: usize,
}

impl Told {
    /// Whether the CLI is not known to have a tool of this name.
    fn name(&mut self, name: &str) -> bool {
        // `Bash (ls)` and the like are rules that are none.
        let is_unknown = is_unknown(name) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if is_unknown {
            self.add(called(name));
        }
        is_unknown
    }

    fn add(&mut self, text: String) {
        if self.texts.contains(&text) {
            return;
        }
        if self.texts.len() == MAX_TOLD {
            self.more += 1;
        } else {
            self.texts.push(text);
        }
    }

    fn text(self) -> Option<String> {
        let texts = Some(self.texts.join("; ")).filter(|texts| !texts.is_empty())?;
        Some(if self.more == 0 { texts } else { format!("{texts}; and {} more", self.more) })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(request: Value) -> Vec<(WarningCode, String)> {
        let request = serde_json::from_value(request).unwrap();
        of(&request).into_iter().map(|warning| (warning.code, warning.message)).collect()
    }

    #[test]
    fn of_a_name_that_no_tool_is_known_by_it_is_told_wherever_it_stands() {
        let unknown =
            |text: &str| vec![(WarningCode::UnknownTool, format!("no tool of the CLI is known to be called {text}"))];
        for request in [
            json!({"tools": ["Read", "Foo"]}),
            json!({"allowed_tools": ["Foo(x)", "Foo"]}),
            json!({"disallowed_tools": ["Foo"]}),
            json!({"agents": {"a": {"tools": ["Foo"]}, "b": {"disallowedTools": ["Foo(y)"]}}}),
        ] {
            assert_eq!(told(request.clone()), unknown("`Foo`"), "{request}");
        }
        assert_eq!(told(json!({"allowed_tools": ["bash"]})), unknown("`bash`; did you mean `Bash`?"));
    }

    #[test]
    fn a_rule_without_effect_is_told_with_what_to_write() {
        let found =
            told(json!({"allowed_tools": ["Write(a)", "Bash(x"], "disallowed_tools": ["WebFetch(example.com)"]}));
        let [(WarningCode::LeftOut, message)] = found.as_slice() else { panic!("{found:?}") };
        for part in
            ["the rule `Write(a)` never matches: write `Edit(a)`", "`Bash(x` must end", "`WebFetch(example.com)` is"]
        {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn of_what_is_known_or_cannot_be_judged_nothing_is_said() {
        let request = json!({
            "tools": ["Read", "Task", "mcp__s__Foo"], "allowed_tools": ["mcp__s", "Bash(git log:*)", "Agent(x)"],
            "disallowed_tools": ["*", "Web*", "mcp__*", "Edit"], "agents": {"a": {"tools": ["*", "mcp__x"]}},
        });
        assert_eq!(told(request), []);
        assert_eq!(told(json!({})), []);
    }

    #[test]
    fn a_request_that_is_all_wrong_makes_no_long_text() {
        let rules: Vec<_> = (0..200).map(|n| format!("Foo{n}{}({})", "x".repeat(500), "y".repeat(400))).collect();
        let found = told(json!({ "allowed_tools": rules }));
        let [(WarningCode::UnknownTool, message)] = found.as_slice() else { panic!("{found:?}") };
        assert!(message.ends_with("and 192 more") && message.len() < 2_000, "{message}");
    }
}
