//! Which draft knows which keyword, and what is said otherwise in draft 7.

use jsonschema::Draft;
use serde_json::{Map, Value};

const SINCE_6: [&str; 4] = ["const", "contains", "propertyNames", "examples"];
const SINCE_7: [&str; 8] =
    ["$comment", "readOnly", "writeOnly", "if", "then", "else", "contentEncoding", "contentMediaType"];
const SINCE_2019: [&str; 6] = [
    "dependentRequired",
    "dependentSchemas",
    "unevaluatedProperties",
    "unevaluatedItems",
    "minContains",
    "maxContains",
];
const SINCE_2020: [&str; 1] = ["prefixItems"];
const UNTIL_2019: [&str; 2] = ["additionalItems", "dependencies"];

/// Whether a draft gives a keyword a meaning. One that nobody knows counts as known.
pub(super) fn knows(draft: Draft, name: &str) -> bool {
    let (is_4, is_6) = (draft == Draft::Draft4, draft == Draft::Draft6);
    let is_old = is_4 || is_6 || draft == Draft::Draft7;
    let is_2020 = !is_old && draft != Draft::Draft201909;
    let is_missing = (is_4 && SINCE_6.contains(&name))
        || ((is_4 || is_6) && SINCE_7.contains(&name))
        || (is_old && SINCE_2019.contains(&name))
        || (!is_2020 && SINCE_2020.contains(&name))
        || (is_2020 && UNTIL_2019.contains(&name));
    !is_missing
}

/// Whether a draft ignores what stands beside a `$ref`.
pub(super) fn refers_alone(draft: Draft) -> bool {
    matches!(draft, Draft::Draft4 | Draft::Draft6 | Draft::Draft7)
}

/// The keyword by which a draft refers to what is found while it checks.
pub(super) fn dynamic(draft: Draft) -> Option<&'static str> {
    match draft {
        Draft::Draft4 | Draft::Draft6 | Draft::Draft7 => None,
        Draft::Draft201909 => Some("$recursiveRef"),
        _ => Some("$dynamicRef"),
    }
}

/// The name that a keyword has in draft 7; `None` if it stands for nothing by itself. Draft 4 says with a boolean that a
/// bound itself is excluded.
pub(super) fn of_bound<'n>(draft: Draft, name: &'n str, members: &Map<String, Value>) -> Option<&'n str> {
    if draft != Draft::Draft4 {
        return Some(name);
    }
    let is_excluded = |exclusive: &str| members.get(exclusive) == Some(&Value::Bool(true));
    match name {
        "minimum" if is_excluded("exclusiveMinimum") => Some("exclusiveMinimum"),
        "maximum" if is_excluded("exclusiveMaximum") => Some("exclusiveMaximum"),
        "exclusiveMinimum" | "exclusiveMaximum" => None,
        _ => Some(name),
    }
}
