//! What the values of known keys must be, and what to make of other keys.

use serde_norway::Value;

use super::head::{Head, shown};
use crate::config::validate::permission_rule::{self, Flaw, List};

/// What a value must be, for the CLI to take it as it is meant.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    /// A text; anything else is dropped.
    Text,
    /// A text or what the CLI writes out as one; a mapping or a list of mappings becomes nonsense.
    Words,
    /// `true` or `false`, also in quotes; the rest is dropped.
    Flag,
    /// As before, and `yes`, `on`, `no`, `off`, `1`, `0`; the rest counts as false.
    Switch,
    /// Names of tools that restrict, in a list or between commas or blanks.
    Restricts,
    /// The same, of tools that are granted.
    Grants,
    /// The only tools that an agent has.
    Only,
    /// Names, in a list or between commas or blanks.
    Names,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// A whole number from 1.
    Count,
    /// An effort: a level's name in any case, or a whole number.
    Effort,
    /// A mapping.
    Map,
    /// Looked at elsewhere.
    Elsewhere,
}

/// The keys of a kind.
pub(super) struct Keys {
    /// Those that the CLI reads.
    pub(super) known: &'static [(&'static str, Form)],
    /// What people write instead of them, so that the CLI reads nothing.
    pub(super) mistaken: &'static [(&'static str, &'static str)],
}

/// Keys with an effect somewhere: where they have none, somebody relies on what does not happen.
const POWERFUL: [&str; 10] = [
    "hooks",
    "allowed-tools",
    "disallowed-tools",
    "disallowedTools",
    "tools",
    "mcpServers",
    "permissionMode",
    "initialPrompt",
    "memory",
    "isolation",
];
const EFFORTS: [&str; 5] = ["low", "medium", "high", "xhigh", "max"];

/// Checks the keys and the types of their values.
pub(super) fn check(head: &mut Head<'_>, keys: &Keys) {
    let found: Vec<(Value, Value)> = head.keys().iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    for (key, value) in found {
        let Some(key) = key.as_str() else {
            head.error("", "a key must be a text");
            continue;
        };
        match keys.known.iter().find(|(known, _)| *known == key) {
            None => unknown(head, keys, key),
            Some(_) if value.is_null() => {
                head.warn(key, "has no value, which counts as if it were not there; remove it");
            }
            Some((_, form)) => one(head, key, &value, *form),
        }
    }
}

fn unknown(head: &mut Head<'_>, keys: &Keys, key: &str) {
    if key == "<<" {
        return head.error(key, "YAML merge keys are not accepted; write the keys out");
    }
    let plain =
        |text: &str| text.chars().filter(|c| !matches!(c, '-' | '_' | ' ')).flat_map(char::to_lowercase).collect();
    let wanted: String = plain(key);
    let spelt = keys.known.iter().map(|(known, _)| *known).find(|known| plain(known) == wanted);
    let mistaken = || keys.mistaken.iter().find(|(wrong, _)| plain(wrong) == wanted).map(|(_, right)| *right);
    if let Some(right) = spelt.or_else(mistaken) {
        if head.get(right).is_some() {
            return head.warn(key, format!("is not read by the CLI, which reads `{right}`"));
        }
        head.error(key, format!("is not read by the CLI; write `{right}`"));
    } else if POWERFUL.contains(&key) {
        head.error(key, "has no effect here, since the CLI does not read it in this kind of file; remove it");
    } else {
        head.warn(key, "is not known, and the CLI ignores it");
    }
}

fn one(head: &mut Head<'_>, key: &str, value: &Value, form: Form) {
    match form {
        Form::Text => text(head, key, value),
        Form::Words => words(head, key, value),
        Form::Flag => flag(head, key, value),
        Form::Switch => switch(head, key, value),
        Form::Restricts | Form::Grants | Form::Only | Form::Names => names(head, key, value, form),
        Form::OneOf(known) => one_of(head, key, value, known),
        Form::Count => count(head, key, value),
        Form::Effort => effort(head, key, value),
        Form::Map => {
            if !value.is_mapping() {
                head.warn(key, "should be a list of keys and values");
            }
        }
        Form::Elsewhere => {}
    }
}

fn text(head: &mut Head<'_>, key: &str, value: &Value) {
    if value.as_str().is_none() || head.is_number_to_the_cli(key) {
        head.error(key, "must be a text, or the CLI drops it; put it into quotes");
    } else if value.as_str().is_some_and(str::is_empty) {
        head.error(key, "is empty, and the CLI drops it; give a value or remove the key");
    }
}

fn words(head: &mut Head<'_>, key: &str, value: &Value) {
    let is_scalar = |value: &Value| value.is_string() || value.is_number() || value.is_bool();
    let is_fine = match value {
        Value::Sequence(items) => key != "description" && key != "name" && items.iter().all(is_scalar),
        other => is_scalar(other),
    };
    if !is_fine {
        head.error(key, "must be a text; put it into quotes");
    }
}

fn flag(head: &mut Head<'_>, key: &str, value: &Value) {
    if !value.is_bool() && !matches!(value.as_str(), Some("true" | "false")) {
        head.error(key, "must be `true` or `false`, or the CLI drops it");
    }
}

fn switch(head: &mut Head<'_>, key: &str, value: &Value) {
    const KNOWN: [&str; 8] = ["true", "false", "yes", "no", "on", "off", "1", "0"];
    let text = match value {
        Value::Bool(_) => return,
        Value::Number(number) => number.to_string(),
        other => other.as_str().unwrap_or_default().to_lowercase(),
    };
    if !KNOWN.contains(&text.as_str()) {
        head.error(key, "must be `true` or `false`; the CLI takes anything else for `false`");
    }
}

/// Names in a list, or in a text between commas and blanks that are not in parentheses.
pub(super) fn names_of(value: &Value) -> Option<Vec<(Option<usize>, String)>> {
    match value {
        Value::String(text) => Some(split(text).into_iter().map(|name| (None, name.to_owned())).collect()),
        Value::Sequence(items) => {
            let named = |(index, item): (usize, &Value)| Some((Some(index), item.as_str()?.to_owned()));
            items.iter().enumerate().map(named).collect()
        }
        _ => None,
    }
}

fn split(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let ends = |c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && (c == ',' || c.is_whitespace())
    };
    text.split(ends).filter(|name| !name.is_empty()).collect()
}

/// Items of a list that are looked at one by one. No list of tools is as long.
const MAX_NAMES: usize = 1_000;

fn names(head: &mut Head<'_>, key: &str, value: &Value, form: Form) {
    let Some(names) = names_of(value) else {
        if let Value::Sequence(items) = value {
            let odd = items.iter().position(|item| !item.is_string()).unwrap_or_default();
            return head.item_error(key, odd, "must be a text, or the CLI drops it; put it into quotes");
        }
        return head.error(key, "must be a list of texts, or a text with commas, or the CLI drops it");
    };
    for (index, name) in names.iter().take(MAX_NAMES) {
        let field = index.map_or_else(|| key.to_owned(), |index| super::places::item(key, index));
        tool(head, &field, name, form);
    }
}

fn tool(head: &mut Head<'_>, field: &str, name: &str, form: Form) {
    let list = match form {
        Form::Names => return,
        Form::Grants => List::Allow,
        _ => List::DenyOrAsk,
    };
    // `*` stands for all, in every one of these lists.
    if name == "*" {
        return;
    }
    match permission_rule::flaw(name, list) {
        Some(Flaw::Dead(message)) => return head.error(field, format!("{} {message}", shown(name))),
        Some(Flaw::Odd(message)) => head.warn(field, format!("{} {message}", shown(name))),
        None => {}
    }
    let Some((bare, _)) = name.split_once('(') else { return };
    match form {
        Form::Only if !matches!(bare, "Agent" | "Task" | "Skill") => head.error(
            field,
            format!(
                "{} gives all of `{bare}`: the CLI ignores what is in parentheses here; write `{bare}`",
                shown(name)
            ),
        ),
        Form::Restricts if field.starts_with("disallowedTools") => {
            head.warn(field, format!("{} takes all of `{bare}` away from an agent", shown(name)));
        }
        _ => {}
    }
}

fn one_of(head: &mut Head<'_>, key: &str, value: &Value, known: &[&str]) {
    if !value.as_str().is_some_and(|text| known.contains(&text)) {
        head.error(key, format!("must be one of {}, or the CLI drops it", known.join(", ")));
    }
}

fn count(head: &mut Head<'_>, key: &str, value: &Value) {
    let number = match value {
        Value::String(text) => text.parse::<u64>().ok(),
        other => other.as_u64(),
    };
    if number.is_none_or(|number| number == 0) {
        head.error(key, "must be a whole number from 1, or the CLI drops it");
    }
}

fn effort(head: &mut Head<'_>, key: &str, value: &Value) {
    let named = value.as_str().is_some_and(|text| {
        EFFORTS.iter().any(|effort| effort.eq_ignore_ascii_case(text)) || text.parse::<u64>().is_ok()
    });
    if !named && value.as_u64().is_none() {
        head.error(key, format!("must be one of {} or a whole number, or the CLI drops it", EFFORTS.join(", ")));
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn names_are_split_outside_of_parentheses() {
        assert_eq!(split("Bash(git add:*, x), Read  Grep"), ["Bash(git add:*, x)", "Read", "Grep"]);
        assert_eq!(split("Bash(, Read"), ["Bash(, Read"]);
        assert_eq!(split(" ,, "), [""; 0]);
    }
}
