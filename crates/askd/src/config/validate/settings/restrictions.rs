//! What settings forbid, for runs that get nothing else of them.

use std::path::Path;

use claude::run_settings::can_be_named;
use serde_json::Value;

use super::check_standing;
use crate::config::json::Json;
use crate::config::problem::Problem;

/// Rules that only take something away.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Restrictions {
    /// Calls that are refused.
    pub deny: Vec<String>,
    /// Calls that somebody would have to approve: where nobody can, they are refused.
    pub ask: Vec<String>,
}

/// The `permissions.deny` and `permissions.ask` of the settings of `folder` (in its `.claude`), so that they mean the same in
/// the settings file of a run there. An error where the CLI would drop the file, or one of these rules.
pub fn restrictions(text: &str, folder: &Path) -> Result<Restrictions, Problem> {
    if let Some(problem) = check_standing(text).errors.into_iter().next() {
        return Err(problem);
    }
    // A file that cannot be read has just been an error.
    let Ok(json) = Json::object(text) else { return Ok(Restrictions::default()) };
    Ok(of_sound(json.value(), folder))
}

/// The same of settings of which is known that the CLI would take them.
pub fn of_sound(settings: &Value, folder: &Path) -> Restrictions {
    let rules = |list: &str| {
        let rules = settings.pointer(&format!("/permissions/{list}")).and_then(Value::as_array);
        rules.into_iter().flatten().filter_map(|rule| moved(rule.as_str()?, folder)).collect()
    };
    Restrictions { deny: rules("deny"), ask: rules("ask") }
}

/// A rule of a project's settings as it must stand in a file elsewhere: only a path with one `/` at its beginning means the
/// folder of the settings there; others are relative to the run's folder in either place (checked with CLI 2.1.330).
fn moved(rule: &str, folder: &Path) -> Option<String> {
    let path = rule.split_once('(').filter(|(tool, _)| matches!(*tool, "Read" | "Edit"));
    let Some((tool, path)) = path else { return Some(rule.to_owned()) };
    // `!` takes back what another rule of the same file forbids (checked), and that could be one of ours.
    if path.trim_start_matches(['.', '/', '~', ' ']).starts_with('!') {
        return None;
    }
    match path.strip_prefix('/') {
        Some(below) if !below.starts_with('/') => Some(match folder.to_str().filter(|_| can_be_named(folder)) {
            Some(folder) => format!("{tool}(/{folder}/{below}"),
            // No rule can name the folder. Without the `/` it forbids the same, and more deeper down.
            None => format!("{tool}({below}"),
        }),
        _ => Some(rule.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deny(rules: &str) -> Vec<String> {
        let text = format!("{{\"permissions\": {{\"deny\": {rules}, \"allow\": [\"Bash\"]}}, \"hooks\": {{}}}}");
        restrictions(&text, Path::new("/ws/shop")).unwrap().deny
    }

    #[test]
    fn rules_keep_their_meaning_in_a_file_elsewhere() {
        let rules = deny(
            r#"["Bash(ls:*)", "Bash(/bin/ls)", "WebFetch", "Read(./secret/**)", "Read(x)", "Edit(/x/**)", "Edit(//x)"]"#,
        );
        let expected = [
            "Bash(ls:*)",
            "Bash(/bin/ls)",
            "WebFetch",
            "Read(./secret/**)",
            "Read(x)",
            "Edit(//ws/shop/x/**)",
            "Edit(//x)",
        ];
        assert_eq!(rules, expected);
    }

    #[test]
    fn in_a_folder_that_no_rule_can_name_a_path_forbids_more_rather_than_nothing() {
        assert_eq!(moved("Edit(/x/**)", Path::new("/ws/a[b]")).unwrap(), "Edit(x/**)");
    }

    #[test]
    fn a_rule_that_takes_another_back_is_left_out() {
        assert_eq!(
            deny(r#"["Read(!x)", "Read(./!x)", "Edit(/!x)", "Read(//!proc/**)", "Read(~/!x)", "Read(a!b)"]"#),
            ["Read(a!b)"]
        );
    }

    #[test]
    fn only_what_forbids_is_taken_and_nothing_of_what_the_cli_would_drop() {
        let text =
            r#"{"permissions": {"ask": ["WebFetch"], "allow": ["Bash"], "defaultMode": "plan"}, "env": {"A": "b"}}"#;
        let taken = restrictions(text, Path::new("/ws")).unwrap();
        assert_eq!(taken, Restrictions { deny: Vec::new(), ask: vec!["WebFetch".to_owned()] });
        for text in ["{", "[]", r#"{"permissions": {"deny": [5]}}"#, r#"{"permissions": {"deny": ["bash(x)"]}}"#] {
            assert!(restrictions(text, Path::new("/ws")).is_err(), "{text}");
        }
        assert_eq!(restrictions("{}", Path::new("/ws")).unwrap(), Restrictions::default());
    }
}
