//! Builds directives whose content needs quoting; a prompt is their concatenation.

use std::fmt::Display;

use serde_json::Value;

/// `[[text:…]]` for any text.
pub fn text(text: &str) -> String {
    format!("[[text:{}]]", Value::from(text))
}

/// `[[think:…]]` for any text.
pub fn think(text: &str) -> String {
    format!("[[think:{}]]", Value::from(text))
}

/// `[[tool:…]]`; the input may hold a subagent's prompt with directives of its own.
pub fn tool(name: &str, input: &Value) -> String {
    format!("[[tool:{name} {input}]]")
}

/// The parts of a script, one for each turn of the model.
pub fn turns<T: Display>(parts: impl IntoIterator<Item = T>) -> String {
    let parts: Vec<String> = parts.into_iter().map(|part| part.to_string()).collect();
    parts.join("[[then]]")
}
