//! Values inside of a field, each with the way to it as the client wrote it: `content[1].source.data`.

use std::fmt;

use serde_json::{Map, Value};

use super::super::dialect::same_name;
use super::super::error::ApiError;
use super::super::fields::Fields;

/// The longest name that is shown whole; a stranger chose it.
const MAX_SHOWN: usize = 60;

/// Where in a request something stands.
#[derive(Debug, Clone)]
pub(super) struct Spot(String);

impl Spot {
    /// A field itself.
    pub(super) fn of(fields: &Fields, field: &'static str) -> Self {
        Self(fields.name(field).to_owned())
    }

    /// An item of a list.
    pub(super) fn item(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// A member of an object.
    pub(super) fn member(&self, name: &str) -> Self {
        Self(format!("{}.{}", self.0, shown(name)))
    }

    /// What is further down, by a way that is fit to be shown.
    pub(super) fn below(&self, way: &str) -> Self {
        Self(format!("{}.{way}", self.0))
    }

    /// What is wrong with it; follows the way to it, which is also the `param` of the error.
    pub(super) fn wrong(&self, what: impl fmt::Display) -> ApiError {
        ApiError::param(&self.0, what)
    }

    /// The value as an object, whose members are taken out one by one.
    pub(super) fn object(self, value: Value) -> Result<Object, ApiError> {
        match value {
            Value::Object(members) => Ok(Object { spot: self, members, asked: Vec::new() }),
            _ => Err(self.wrong("must be an object")),
        }
    }

    /// The value as a text.
    pub(super) fn text(&self, value: Value) -> Result<String, ApiError> {
        match value {
            Value::String(text) => Ok(text),
            _ => Err(self.wrong("must be a string")),
        }
    }

    /// The value as a list of texts.
    pub(super) fn texts(&self, value: Value) -> Result<Vec<String>, ApiError> {
        let Value::Array(items) = value else { return Err(self.wrong("must be a list of strings")) };
        items.into_iter().enumerate().map(|(index, item)| self.item(index).text(item)).collect()
    }

    /// At most so many of something.
    pub(super) fn at_most(&self, most: usize, count: usize, what: &str) -> Result<(), ApiError> {
        if count <= most {
            return Ok(());
        }
        Err(self.wrong(format_args!("has {count} {what}; at most {most} are allowed")))
    }
}

/// An object whose members were not all taken yet.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) spot: Spot,
    members: Map<String, Value>,
    /// The names that were looked for: what such an object may have.
    asked: Vec<&'static str>,
}

impl Object {
    /// Whatever it is.
    pub(super) fn take(&mut self, name: &'static str) -> Option<(Spot, Value)> {
        self.asked.push(name);
        self.members.remove(name).map(|value| (self.spot.member(name), value))
    }

    /// What must be there.
    pub(super) fn need(&mut self, name: &'static str) -> Result<(Spot, Value), ApiError> {
        self.take(name).ok_or_else(|| self.spot.member(name).wrong("is missing"))
    }

    /// A text that may be left out.
    pub(super) fn text(&mut self, name: &'static str) -> Result<Option<(Spot, String)>, ApiError> {
        let Some((spot, value)) = self.take(name) else { return Ok(None) };
        let text = spot.text(value)?;
        Ok(Some((spot, text)))
    }

    /// A text that must be there.
    pub(super) fn need_text(&mut self, name: &'static str) -> Result<(Spot, String), ApiError> {
        let (spot, value) = self.need(name)?;
        let text = spot.text(value)?;
        Ok((spot, text))
    }

    /// A flag that may be left out.
    pub(super) fn flag(&mut self, name: &'static str) -> Result<Option<bool>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some((_, Value::Bool(flag))) => Ok(Some(flag)),
            Some((spot, _)) => Err(spot.wrong("must be true or false")),
        }
    }

    /// Refuses what nobody has looked for: a misspelt member is not a missing one.
    pub(super) fn finish(self) -> Result<(), ApiError> {
        match self.members.keys().next() {
            None => Ok(()),
            Some(name) => {
                let meant = self.asked.iter().find(|known| same_name(known, name));
                let hint = meant.map_or_else(
                    || format!("the fields are {}", self.asked.join(", ")),
                    |meant| format!("it is called `{meant}` here"),
                );
                let wrong = self.spot.wrong(format_args!("has no field `{}`; {hint}", shown(name)));
                Err(wrong.with_param(&self.spot.member(name).0))
            }
        }
    }
}

/// A name as far as it can be shown.
pub(super) fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(MAX_SHOWN).collect()
}
