//! What a policy can be. One that says something which would never bind its runs is refused when the key is made: whoever
//! writes `bash` for `Bash` would learn only from the damage.

use std::path::{Component, Path};

use super::Policy;
use super::tools::{is_tool, none_is_known, not_a_tool, rule_without_tool};
use crate::config::validate::{dead_allow_rule, doubtful_deny_rule, variable_flaw};
use crate::settings::groups::Models;
use crate::usd::Usd;

/// Entries of one list.
const MAX_ENTRIES: usize = 200;

/// The longest entry, in characters: a rule may hold a whole command.
const MAX_ENTRY: usize = 1000;

/// As long as the name of a folder can be, in bytes.
const MAX_NAME: usize = 255;

/// As long as a path can be, in bytes.
const MAX_PATH: usize = 4096;

/// The largest weight: enough to prefer a key, too little to shut others out.
const MAX_WEIGHT: u32 = 100;

/// What is wrong with one field.
type Flaw = (&'static str, String);

impl Policy {
    /// What of it cannot be: the field, with dots, and what is wrong with it. `models` are those that requests may name on
    /// this server, and `margin` is what is set aside for one more call of the model besides the budget of each run.
    ///
    /// Whether a workspace is there, and whether the server allows a permission mode, is seen when a run is asked for: both
    /// may change.
    pub fn check(&self, models: &Models, margin: Usd) -> Result<(), (String, String)> {
        let checks = [
            self.folders(),
            self.modes_and_profiles(),
            self.models(models),
            self.tools(),
            self.variables(),
            self.numbers(),
            self.money(margin),
        ];
        let first: Result<(), Flaw> = checks.into_iter().collect();
        first.map_err(|(field, message)| (format!("policy.{field}"), message))
    }

    fn folders(&self) -> Result<(), Flaw> {
        if let Some(names) = &self.workspaces {
            not_empty("workspaces", names.len())?;
            each("workspaces", names, |name| {
                let fits = name.len() <= MAX_NAME && !name.contains('/') && !matches!(name, "." | "..");
                let wrong = || (!fits).then(|| "must be the name of a folder in the workspace root".to_owned());
                all_of_them(name).or_else(wrong)
            })?;
        }
        let Some(path) = &self.write_root else { return Ok(()) };
        let has = |wanted: Component<'_>| Path::new(path).components().any(|part| part == wanted);
        let wrong = if path.is_empty() {
            "must not be empty; `.` is the workspace root"
        } else if path.len() > MAX_PATH || path.chars().any(char::is_control) {
            "must be a path without control characters"
        } else if has(Component::RootDir) {
            "must be relative to the workspace root"
        } else if has(Component::ParentDir) {
            "must not contain `..`"
        } else if self.workspaces.as_ref().is_some_and(|names| !lies_in(path, names)) {
            "must lie in one of policy.workspaces, or contain them"
        } else {
            return Ok(());
        };
        Err(("write_root", wrong.to_owned()))
    }

    fn modes_and_profiles(&self) -> Result<(), Flaw> {
        let lengths = [
            ("permission_modes", self.permission_modes.as_ref().map(Vec::len)),
            ("profiles", self.profiles.as_ref().map(Vec::len)),
        ];
        lengths.into_iter().filter_map(|(field, length)| Some((field, length?))).try_for_each(|(field, length)| {
            not_empty(field, length)?;
            bounded(field, length)
        })
    }

    fn models(&self, models: &Models) -> Result<(), Flaw> {
        let Some(names) = &self.models else { return Ok(()) };
        not_empty("models", names.len())?;
        each("models", names, |name| {
            let wrong = "is not allowed; use sonnet, opus, haiku or an id of ASKD_MODELS";
            all_of_them(name).or_else(|| (!models.allows(name)).then(|| wrong.to_owned()))
        })
    }

    fn tools(&self) -> Result<(), Flaw> {
        if let Some(names) = &self.tools {
            each("tools", names, |name| {
                all_of_them(name).or_else(|| (!is_tool(name)).then(|| not_a_tool(name, "denied_tools")))
            })?;
            none_is_known(names).map_or(Ok(()), |message| Err(("tools", message)))?;
        }
        if let Some(rules) = &self.allowed_tools {
            each("allowed_tools", rules, |rule| all_of_them(rule).or_else(|| dead_allow_rule(rule)))?;
            let without = self.tools.as_ref().and_then(|names| rule_without_tool(rules, names));
            without.map_or(Ok(()), |message| Err(("allowed_tools", message)))?;
        }
        each("denied_tools", &self.denied_tools, doubtful_deny_rule)
    }

    fn variables(&self) -> Result<(), Flaw> {
        let Some(names) = &self.env else { return Ok(()) };
        each("env", names, |name| {
            let cannot = || Some(format!("cannot be set by a request: it {}", variable_flaw(name)?));
            all_of_them(name).or_else(cannot)
        })
    }

    fn numbers(&self) -> Result<(), Flaw> {
        if self.max_concurrent == Some(0) {
            return Err((
                "max_concurrent",
                "must be at least 1; a key that shall do nothing can be revoked".to_owned(),
            ));
        }
        if self.weight.is_some_and(|weight| !(1..=MAX_WEIGHT).contains(&weight)) {
            return Err(("weight", format!("must be from 1 to {MAX_WEIGHT}")));
        }
        Ok(())
    }

    fn money(&self, margin: Usd) -> Result<(), Flaw> {
        let none = |amount: Option<Usd>| amount == Some(Usd::ZERO);
        match (self.max_usd_per_run, self.max_usd_per_day) {
            (run, _) if none(run) => Err(("max_usd_per_run", "must be more than 0".to_owned())),
            (None, Some(_)) => {
                let message = "needs max_usd_per_run, which is what is set aside for each run".to_owned();
                Err(("max_usd_per_day", message))
            }
            (Some(run), Some(day)) if day < run.plus(margin) => {
                let least = run.plus(margin);
                let message = format!(
                    "must be at least {least}: for one run {run} (max_usd_per_run), and {margin} for one more call of the \
                     model (ASKD_BUDGET_MARGIN)"
                );
                Err(("max_usd_per_day", message))
            }
            _ => Ok(()),
        }
    }
}

/// What is said of the `*` of those who mean all.
fn all_of_them(entry: &str) -> Option<String> {
    (entry == "*").then(|| "stands for nothing here; leave the field out to allow all".to_owned())
}

/// Whether a folder that is given relative to the root lies in one of these workspaces, or is the root itself.
fn lies_in(path: &str, workspaces: &[String]) -> bool {
    let first = Path::new(path).components().find(|part| *part != Component::CurDir);
    first.is_none_or(|first| workspaces.iter().any(|name| first.as_os_str() == name.as_str()))
}

/// An empty list would allow nothing at all, and is rather a mistake.
fn not_empty(field: &'static str, length: usize) -> Result<(), Flaw> {
    if length > 0 { Ok(()) } else { Err((field, "must not be empty; leave it out to allow all".to_owned())) }
}

fn bounded(field: &'static str, length: usize) -> Result<(), Flaw> {
    if length <= MAX_ENTRIES {
        Ok(())
    } else {
        Err((field, format!("has {length} entries; at most {MAX_ENTRIES} are allowed")))
    }
}

/// Looks at each entry, and names the one that is wrong.
fn each(field: &'static str, entries: &[String], flaw: impl Fn(&str) -> Option<String>) -> Result<(), Flaw> {
    bounded(field, entries.len())?;
    for (index, entry) in entries.iter().enumerate() {
        let what =
            if entry.trim().is_empty() || entry.chars().count() > MAX_ENTRY || entry.chars().any(char::is_control) {
                Some(format!("must have 1 to {MAX_ENTRY} characters, and no control characters"))
            } else {
                flaw(entry)
            };
        if let Some(what) = what {
            let shown: String = entry.chars().filter(|c| !c.is_control()).take(60).collect();
            return Err((field, format!("[{index}] `{shown}` {what}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(policy: Value) -> Result<(), (String, String)> {
        let models = Models { allowed: vec!["claude-x-1".to_owned()], default: None };
        serde_json::from_value::<Policy>(policy).unwrap().check(&models, Usd::from_micros(100_000))
    }

    #[test]
    fn what_binds_runs_is_taken() {
        for policy in [
            json!({}),
            json!({"workspaces": ["shop", ".hidden", "with space"], "write_root": "shop/out"}),
            json!({"models": ["haiku", "claude-x-1"], "permission_modes": ["default", "plan"]}),
            json!({"profiles": ["restricted", "bare", "default"]}),
            json!({"tools": []}),
            json!({"tools": ["Read", "FromTomorrow"]}),
            json!({"tools": ["Task", "mcp__x"], "allowed_tools": ["Agent(reviewer)", "mcp__x__find"]}),
            json!({"workspaces": ["shop"], "write_root": "./shop/out"}),
            json!({"workspaces": ["shop"], "write_root": "."}),
            json!({"tools": ["Read", "Task", "mcp__tracker", "mcp__my-tracker__find-one"]}),
            json!({"allowed_tools": ["Bash(git status)"], "denied_tools": ["Bash(curl:*)", "Edit(//**)"]}),
            json!({"allowed_tools": [], "project_config": false}),
            json!({"env": []}),
            json!({"env": ["DATABASE_URL", "TZ_OF_TEAM"]}),
            json!({"max_concurrent": 1, "max_waiting": 0, "weight": 100, "max_priority": "low"}),
            json!({"max_usd_per_run": 0.5}),
            json!({"max_usd_per_run": 0.5, "max_usd_per_day": 0.6}),
        ] {
            assert_eq!(check(policy.clone()), Ok(()), "{policy}");
        }
    }

    #[test]
    fn what_would_not_bind_them_is_refused_and_the_field_named() {
        for (policy, field, message) in [
            (json!({"workspaces": []}), "workspaces", "must not be empty"),
            (json!({"workspaces": ["shop", "a/b"]}), "workspaces", "[1] `a/b` must be the name"),
            (json!({"workspaces": [".."]}), "workspaces", "must be the name"),
            (json!({"workspaces": [""]}), "workspaces", "must have 1 to"),
            (json!({"write_root": "/etc"}), "write_root", "relative"),
            (json!({"write_root": "a/../../b"}), "write_root", "`..`"),
            (json!({"write_root": ""}), "write_root", "empty"),
            (json!({"models": []}), "models", "empty"),
            (json!({"models": ["gpt"]}), "models", "ASKD_MODELS"),
            (json!({"permission_modes": []}), "permission_modes", "empty"),
            (json!({"profiles": []}), "profiles", "empty"),
            (json!({"tools": ["Bash(ls)"]}), "tools", "rules belong into allowed_tools or denied_tools"),
            (json!({"tools": ["default"]}), "tools", "must be a tool's name"),
            (json!({"tools": ["*"]}), "tools", "leave the field out to allow all"),
            (json!({"workspaces": ["*"]}), "workspaces", "leave the field out to allow all"),
            (json!({"models": ["*"]}), "models", "leave the field out to allow all"),
            (json!({"allowed_tools": ["*"]}), "allowed_tools", "leave the field out to allow all"),
            (json!({"tools": ["read", "Fly"]}), "tools", "did you mean `Read`?"),
            (
                json!({"tools": ["Read"], "allowed_tools": ["Read", "Bash(ls)"]}),
                "allowed_tools",
                "[1] `Bash(ls)` is for",
            ),
            (json!({"tools": [], "allowed_tools": ["Read"]}), "allowed_tools", "policy.tools does not have"),
            (json!({"workspaces": ["shop"], "write_root": "bank/out"}), "write_root", "one of policy.workspaces"),
            (json!({"tools": ["mcp__"]}), "tools", "must be a tool's name"),
            (json!({"tools": ["mcp__a__*"]}), "tools", "must be a tool's name"),
            (json!({"tools": ["MCP__a"]}), "tools", "must be a tool's name"),
            (json!({"tools": ["Read,Write"]}), "tools", "must be a tool's name"),
            (json!({"tools": ["-p"]}), "tools", "must be a tool's name"),
            (json!({"allowed_tools": ["bash"]}), "allowed_tools", "the tool is called `Bash`"),
            (json!({"denied_tools": ["bash"]}), "denied_tools", "the tool is called `Bash`"),
            (json!({"denied_tools": ["Edit"]}), "denied_tools", "`Write` still changes files"),
            (json!({"denied_tools": ["Bash(a\nb)"]}), "denied_tools", "control characters"),
            (json!({"denied_tools": vec!["Bash"; 201]}), "denied_tools", "at most 200"),
            (json!({"env": ["*"]}), "env", "leave the field out to allow all"),
            (json!({"env": ["A", "PATH"]}), "env", "[1] `PATH` cannot be set by a request"),
            (json!({"env": ["ANTHROPIC_BASE_URL"]}), "env", "cannot be set by a request"),
            (json!({"max_concurrent": 0}), "max_concurrent", "at least 1"),
            (json!({"weight": 0}), "weight", "from 1 to 100"),
            (json!({"weight": 101}), "weight", "from 1 to 100"),
            (json!({"max_usd_per_run": 0}), "max_usd_per_run", "more than 0"),
            (json!({"max_usd_per_day": 1}), "max_usd_per_day", "needs max_usd_per_run"),
            (json!({"max_usd_per_run": 2, "max_usd_per_day": 1}), "max_usd_per_day", "at least 2.1: for one run 2"),
            (json!({"max_usd_per_run": 2, "max_usd_per_day": 2}), "max_usd_per_day", "ASKD_BUDGET_MARGIN"),
        ] {
            let (named, said) = check(policy.clone()).unwrap_err();
            assert_eq!(named, format!("policy.{field}"), "{policy}");
            assert!(said.contains(message), "{policy}: {said}");
        }
    }
}
