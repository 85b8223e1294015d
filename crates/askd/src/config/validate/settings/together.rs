//! What no schema says: values that must fit each other. All of it is in `sandbox.credentials`, and all of it makes the CLI
//! drop the file (checked with 2.1.330).

use std::collections::HashSet;

use serde_json::Value;

use crate::config::json::{Json, MAX_PROBLEMS, Path};
use crate::config::problem::Problem;

/// At most [`MAX_PROBLEMS`]; each is as bad as the others.
pub(super) fn problems(json: &Json<'_>) -> Vec<Problem> {
    let credentials = &json.value()["sandbox"]["credentials"];
    let here = Path::from(["sandbox", "credentials"]);
    let mut found = Vec::new();
    for list in ["files", "envVars"] {
        for (index, entry) in items(&credentials[list]).filter(|(_, entry)| entry["mode"] == "mask") {
            if found.len() >= MAX_PROBLEMS {
                break;
            }
            masked(json, entry, &here.key(list).index(index), list == "envVars", &mut found);
        }
    }
    let mut named = HashSet::new();
    for (index, pair) in items(&credentials["awsPairs"]) {
        for key in ["accessKeyIdVar", "secretAccessKeyVar", "sessionTokenVar"] {
            if found.len() < MAX_PROBLEMS && pair[key].as_str().is_some_and(|name| !named.insert(name)) {
                let path = here.key("awsPairs").index(index).key(key);
                found.push(json.problem(&path, "names a variable that another pair or key here names already"));
            }
        }
    }
    found.truncate(MAX_PROBLEMS);
    found
}

fn items(list: &Value) -> impl Iterator<Item = (usize, &Value)> {
    list.as_array().into_iter().flatten().enumerate()
}

fn masked(json: &Json<'_>, entry: &Value, path: &Path, is_variable: bool, found: &mut Vec<Problem>) {
    let decodes = entry.get("decode").is_some();
    if let Some(pattern) = entry["extract"].as_str() {
        let message = match has_group(pattern) {
            _ if decodes && is_variable => Some("cannot stand beside `decode` for a variable; keep one of the two"),
            Some(true) => None,
            Some(false) => Some("must have a group in parentheses, which is what is masked"),
            None => Some("must be a regular expression: a parenthesis or bracket in it is not closed"),
        };
        found.extend(message.map(|message| json.problem(&path.key("extract"), message)));
    }
    if let Some(claims) = entry["maskClaims"].as_array() {
        let message = match claims.iter().any(|claim| claim.as_str().is_some_and(|claim| !claim.is_empty())) {
            _ if !decodes => Some("needs `decode`"),
            false => Some("must name a claim; leave it out to mask all"),
            true => None,
        };
        found.extend(message.map(|message| json.problem(&path.key("maskClaims"), message)));
    }
}

/// Whether a regular expression of JavaScript has a capturing group; `None` when its brackets do not match. That is not all
/// that can be wrong with one.
fn has_group(pattern: &str) -> Option<bool> {
    let (mut depth, mut in_class, mut found) = (0_usize, false, false);
    let mut rest = pattern.chars();
    while let Some(next) = rest.next() {
        match next {
            '\\' => {
                rest.next()?;
            }
            ']' => in_class = false,
            _ if in_class => {}
            '[' => in_class = true,
            '(' => {
                depth += 1;
                let after = rest.as_str();
                let is_named = after.starts_with("?<") && !after.starts_with("?<=") && !after.starts_with("?<!");
                found |= !after.starts_with('?') || is_named;
            }
            ')' => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    (depth == 0 && !in_class).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_told_from_what_only_has_parentheses() {
        for pattern in ["(a)", "(?<n>a)", "((a))", "[(](a)"] {
            assert_eq!(has_group(pattern), Some(true), "{pattern}");
        }
        for pattern in ["", "a", "(?:a)", "(?=a)", "(?<=a)", "(?<!a)", r"\(a\)", "[(a)]"] {
            assert_eq!(has_group(pattern), Some(false), "{pattern}");
        }
        for pattern in ["(a", "a)", "[a", "\\"] {
            assert_eq!(has_group(pattern), None, "{pattern}");
        }
    }

    #[test]
    fn values_that_exclude_each_other_are_told() {
        let text = r#"{"sandbox": {"credentials": {
            "files": [{"path": "/x", "mode": "mask", "extract": "a"}, {"path": "/x", "mode": "deny", "extract": "a"}],
            "envVars": [{"name": "A", "mode": "mask", "extract": "(a)", "decode": "jwt"},
                {"name": "A", "mode": "mask", "maskClaims": ["x"]}, {"name": "A", "mode": "mask", "decode": "jwt", "maskClaims": []}],
            "awsPairs": [{"accessKeyIdVar": "A", "secretAccessKeyVar": "A"}, {"accessKeyIdVar": "B", "secretAccessKeyVar": "C"}]
        }}}"#;
        let told: Vec<_> = problems(&Json::object(text).unwrap()).iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(told.join("\n"), @r#"
        line 2: `sandbox.credentials.files[0].extract`: must have a group in parentheses, which is what is masked
        line 3: `sandbox.credentials.envVars[0].extract`: cannot stand beside `decode` for a variable; keep one of the two
        line 4: `sandbox.credentials.envVars[1].maskClaims`: needs `decode`
        line 4: `sandbox.credentials.envVars[2].maskClaims`: must name a claim; leave it out to mask all
        line 5: `sandbox.credentials.awsPairs[0].secretAccessKeyVar`: names a variable that another pair or key here names already
        "#);
    }
}
