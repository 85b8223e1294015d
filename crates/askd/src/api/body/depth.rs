//! JSON that is valid and nested deeper than is read.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::{Deserializer, Value};

/// Levels of objects and lists that are read, the body itself being one: deeper ones are a load for every program that walks
/// them.
const MAX_DEPTH: usize = 127;

/// The longest name that is told, in characters: a stranger chose it.
const MAX_NAME: usize = 60;

/// What is wrong with a body that is no value for us: the field, if it is just too deep.
pub(super) fn too_deep(body: &[u8]) -> Option<(String, String)> {
    let mut fields = Deserializer::from_slice(body);
    let mut last = Last::default();
    let error = fields.deserialize_map(&mut last).err()?;
    // The parser has no kind for it.
    if !error.to_string().starts_with("recursion limit exceeded") {
        return None;
    }
    let field: String = last.0?.chars().take(MAX_NAME).collect();
    Some((field, format!("is nested too deeply: at most {MAX_DEPTH} levels are read, the body itself being one")))
}

/// The member that was read last.
#[derive(Debug, Default)]
struct Last(Option<String>);

impl<'de> Visitor<'de> for &mut Last {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = members.next_key()? {
            self.0 = Some(name);
            members.next_value::<Value>()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(levels: usize) -> String {
        format!("{}{}", "[".repeat(levels), "]".repeat(levels))
    }

    #[test]
    fn the_field_that_is_too_deep_is_named() {
        let body = format!(r#"{{"prompt": "x", "output_schema": {}, "model": "opus"}}"#, nested(MAX_DEPTH));
        let (field, what) = too_deep(body.as_bytes()).unwrap();
        assert_eq!((field.as_str(), what.contains("at most 127 levels")), ("output_schema", true), "{what}");
        let just = format!(r#"{{"output_schema": {}}}"#, nested(MAX_DEPTH - 1));
        assert!(serde_json::from_str::<Value>(&just).is_ok() && too_deep(just.as_bytes()).is_none());
    }

    #[test]
    fn what_is_no_json_at_all_is_not_too_deep() {
        for body in ["", "{", "[[", "{\"a\": x}", "{\"a\": \"recursion limit exceeded\"", "5", &nested(200)] {
            assert_eq!(too_deep(body.as_bytes()), None, "{body}");
        }
    }
}
