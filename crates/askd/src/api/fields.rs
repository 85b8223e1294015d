//! Takes typed fields out of a JSON object; what is wrong names the field as the route calls it.

use std::fmt;

use serde_json::{Map, Value};

use super::dialect::Dialect;
use super::error::ApiError;

/// The fields of a request that were not taken yet.
#[derive(Debug)]
pub(super) struct Fields {
    object: Map<String, Value>,
    dialect: &'static Dialect,
    /// Drops unknown fields and coerces wrong types, as the Node server did.
    lenient: bool,
    /// Fields that came by another name than the preferred one.
    aliases: Vec<&'static str>,
}

type Taken<T> = Result<Option<T>, ApiError>;

impl Fields {
    /// Refuses what is not among the dialect's fields: a misspelt field is not a missing one.
    pub(super) fn new(object: Map<String, Value>, dialect: &'static Dialect, lenient: bool) -> Result<Self, ApiError> {
        match object.keys().find(|name| !dialect.knows(name)) {
            Some(name) if !lenient => {
                let like = || dialect.like(name).map(|like| format!("did you mean `{like}`?"));
                let meant = dialect.meant(name).or_else(like);
                let meant = meant.unwrap_or_else(|| format!("the fields are {}", dialect.list()));
                let name: String = name.chars().take(60).collect();
                Err(ApiError::request(format!("there is no field `{name}`; {meant}")).with_param(&name))
            }
            _ => Ok(Self { object, dialect, lenient, aliases: Vec::new() }),
        }
    }

    pub(super) fn string(&mut self, field: &'static str) -> Taken<String> {
        self.take(field, "a string", |value, lenient| match value {
            Value::String(text) => Some(text),
            Value::Number(number) if lenient => Some(number.to_string()),
            Value::Bool(flag) if lenient => Some(flag.to_string()),
            _ => None,
        })
    }

    pub(super) fn bool(&mut self, field: &'static str) -> Taken<bool> {
        self.take(field, "true or false", |value, lenient| match value {
            Value::Bool(flag) => Some(flag),
            Value::String(text) if lenient => text.parse().ok(),
            _ => None,
        })
    }

    pub(super) fn integer(&mut self, field: &'static str) -> Taken<i64> {
        self.take(field, "a whole number", |value, lenient| match value {
            Value::Number(number) => number.as_i64(),
            Value::String(text) if lenient => text.trim().parse().ok(),
            _ => None,
        })
    }

    pub(super) fn number(&mut self, field: &'static str) -> Taken<f64> {
        self.take(field, "a number", |value, lenient| match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) if lenient => text.trim().parse().ok(),
            _ => None,
        })
    }

    pub(super) fn object(&mut self, field: &'static str) -> Taken<Map<String, Value>> {
        self.take(field, "an object", |value, lenient| match value {
            Value::Object(object) => Some(object),
            Value::String(text) if lenient => serde_json::from_str(&text).ok(),
            _ => None,
        })
    }

    /// Whatever it is.
    pub(super) fn any(&mut self, field: &'static str) -> Taken<Value> {
        self.take(field, "given", |value, _| Some(value))
    }

    /// A list of whatever it is.
    pub(super) fn list(&mut self, field: &'static str) -> Taken<Vec<Value>> {
        self.take(field, "a list", |value, _| match value {
            Value::Array(items) => Some(items),
            _ => None,
        })
    }

    /// A list of objects.
    pub(super) fn objects(&mut self, field: &'static str) -> Taken<Vec<Map<String, Value>>> {
        self.take(field, "a list of objects", |value, _| match value {
            Value::Array(items) => {
                let objects = items.into_iter().map(|item| match item {
                    Value::Object(object) => Some(object),
                    _ => None,
                });
                objects.collect()
            }
            _ => None,
        })
    }

    /// A list of strings, or one string, which the caller takes apart.
    pub(super) fn strings(&mut self, field: &'static str) -> Taken<Strings> {
        self.take(field, "a list of strings or one string", |value, _| match value {
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

    /// Whether values of the wrong form are passed over.
    pub(super) fn is_lenient(&self) -> bool {
        self.lenient
    }

    /// An error about a field, by the name that the client used for it.
    pub(super) fn wrong(&self, field: &'static str, what: impl fmt::Display) -> ApiError {
        ApiError::param(self.name(field), what)
    }

    /// The name that the client used for a field.
    pub(super) fn name(&self, field: &'static str) -> &'static str {
        let used = self.aliases.iter().find(|alias| self.dialect.names(field).contains(alias));
        used.copied().unwrap_or_else(|| self.dialect.name(field))
    }

    fn take<T>(&mut self, field: &'static str, wanted: &str, read: impl FnOnce(Value, bool) -> Option<T>) -> Taken<T> {
        let mut given = None;
        for (index, name) in self.dialect.names(field).iter().enumerate() {
            let Some(value) = self.object.remove(*name) else { continue };
            if given.is_some() {
                let other = self.dialect.name(field);
                return Err(ApiError::param(name, format_args!("is another name of {other}: give one of them")));
            }
            if index > 0 {
                self.aliases.push(name);
            }
            given = Some(value);
        }
        let Some(value) = given else { return Ok(None) };
        match read(value, self.lenient) {
            Some(value) => Ok(Some(value)),
            None if self.lenient => Ok(None),
            None => Err(self.wrong(field, format_args!("must be {wanted}"))),
        }
    }
}

/// See [`Fields::strings`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Strings {
    One(String),
    List(Vec<String>),
}
