//! Takes typed fields out of a JSON object; what is wrong names the field.

use serde_json::{Map, Value};

use super::super::error::ApiError;

/// The fields of a request that were not taken yet.
pub(super) struct Fields {
    object: Map<String, Value>,
    /// Drops unknown fields and coerces wrong types, as the Node server did.
    lenient: bool,
}

type Taken<T> = Result<Option<T>, ApiError>;

impl Fields {
    pub(super) fn new(object: Map<String, Value>, lenient: bool) -> Self {
        Self { object, lenient }
    }

    pub(super) fn string(&mut self, name: &str) -> Taken<String> {
        self.take(name, "a string", |value, lenient| match value {
            Value::String(text) => Some(text),
            Value::Number(number) if lenient => Some(number.to_string()),
            Value::Bool(flag) if lenient => Some(flag.to_string()),
            _ => None,
        })
    }

    pub(super) fn bool(&mut self, name: &str) -> Taken<bool> {
        self.take(name, "true or false", |value, lenient| match value {
            Value::Bool(flag) => Some(flag),
            Value::String(text) if lenient => text.parse().ok(),
            _ => None,
        })
    }

    pub(super) fn integer(&mut self, name: &str) -> Taken<i64> {
        self.take(name, "a whole number", |value, lenient| match value {
            Value::Number(number) => number.as_i64(),
            Value::String(text) if lenient => text.trim().parse().ok(),
            _ => None,
        })
    }

    pub(super) fn object(&mut self, name: &str) -> Taken<Value> {
        self.take(name, "an object", |value, lenient| match value {
            Value::Object(_) => Some(value),
            Value::String(text) if lenient => serde_json::from_str(&text).ok().filter(Value::is_object),
            _ => None,
        })
    }

    /// A list of strings, or one string, which the caller takes apart.
    pub(super) fn strings(&mut self, name: &str) -> Taken<Strings> {
        self.take(name, "a list of strings or one string", |value, _| match value {
            Value::String(text) => Some(Strings::One(text)),
            Value::Array(items) => {
                let texts = items.into_iter().map(|item| match item {
                    Value::String(text) => Some(text),
                    _ => None,
                });
                texts.collect::<Option<Vec<_>>>().map(Strings::List)
            }
            _ => None,
        })
    }

    /// Refuses what is not among the known fields. To be asked first: a misspelt field is not a missing one.
    pub(super) fn refuse_unknown(&self, known: &[&str]) -> Result<(), ApiError> {
        match self.object.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) if !self.lenient => {
                let name: String = name.chars().take(60).collect();
                let list = known.join(", ");
                Err(ApiError::request(format!("there is no field `{name}`; the fields are {list}")))
            }
            _ => Ok(()),
        }
    }

    fn take<T>(&mut self, name: &str, wanted: &str, read: impl FnOnce(Value, bool) -> Option<T>) -> Taken<T> {
        let Some(value) = self.object.remove(name) else { return Ok(None) };
        match read(value, self.lenient) {
            Some(value) => Ok(Some(value)),
            None if self.lenient => Ok(None),
            None => Err(ApiError::request(format!("{name} must be {wanted}"))),
        }
    }
}

/// See [`Fields::strings`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Strings {
    One(String),
    List(Vec<String>),
}
