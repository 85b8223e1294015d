//! The schema of an answer: a stranger's program, so it is bounded, and it is compiled and applied aside.
//!
//! It is given to the CLI in a form that the CLI can use ([`AnswerSchema::for_cli`]), and what comes back is judged by the
//! schema itself ([`verdict`]).

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::Flaw;
use crate::aside::{Gate, Unfinished};

pub mod verdict;

mod checker;
mod for_cli;
mod top;

use checker::Watch;

/// As compact JSON.
const MAX_BYTES: usize = 256 * 1024;
/// Lists and objects within each other.
const MAX_DEPTH: usize = 64;
/// Regular expressions, each of which becomes a machine of up to `MAX_MACHINE` bytes.
const MAX_PATTERNS: usize = 100;
const MAX_PATTERN: usize = 1_000;
const MAX_REFERENCES: usize = 1_000;

/// Two at once leave the other processors, if there are any, to the runs.
static GATE: Gate = Gate::new(2, Duration::from_secs(5), checker::STACK);

/// A JSON Schema within bounds. It is not kept compiled: what waits in the queue would hold a lot of memory.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerSchema {
    /// As the client sent it.
    pub schema: Value,
}

/// Why there is no verdict. The texts follow the schema's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// The schema is at fault.
    #[error("{0}")]
    Schema(String),
    /// Other schemas are in the way.
    #[error("cannot be checked now, since other schemas are being checked; try again later")]
    Busy,
}

impl AnswerSchema {
    /// Checks the bounds, and that an object can fit: the CLI takes the answer as the input of a tool. The error says what
    /// is wrong, and follows the schema's name.
    pub fn new(schema: Value) -> Result<Self, String> {
        let size = schema.to_string().len();
        if size > MAX_BYTES {
            return Err(format!("has {size} bytes; at most {MAX_BYTES} are allowed"));
        }
        let mut count = Count::default();
        count.look(&schema, 1)?;
        for (found, what, most) in
            [(count.patterns, "regular expressions", MAX_PATTERNS), (count.references, "references", MAX_REFERENCES)]
        {
            if found > most {
                return Err(format!("has {found} {what}; at most {most} are allowed"));
            }
        }
        if !top::can_be_object(&schema) {
            return Err(
                "must describe an object, since the model gives its answer as the arguments of a tool; hint: wrap it, \
                        e.g. {\"type\": \"object\", \"properties\": {\"value\": …}, \"required\": [\"value\"]}"
                    .into(),
            );
        }
        Ok(Self { schema })
    }

    /// The schema in the form in which the CLI can use it: what fits the schema fits the copy, though not always the other
    /// way round.
    pub fn for_cli(&self) -> Value {
        for_cli::for_cli(&self.schema)
    }

    /// Compiles the schema and drops what comes out, and looks whether the CLI can do with its copy.
    pub async fn compile(&self) -> Result<(), SchemaError> {
        aside(&self.schema, |schema, watch| {
            drop(checker::compile(schema, watch)?);
            for_cli::check_size(schema)
        })
        .await?
        .map_err(SchemaError::Schema)
    }

    /// Checks an answer; the inner error says part by part what does not fit, and is never empty.
    async fn check(&self, answer: Value) -> Result<Result<(), Vec<Flaw>>, SchemaError> {
        aside(&self.schema, move |schema, watch| checker::check(schema, &answer, watch))
            .await?
            .map_err(SchemaError::Schema)
    }
}

/// Does the work on a thread of its own, and ends it when nobody waits for it any more.
async fn aside<T: Send + 'static>(
    schema: &Value,
    work: impl FnOnce(&Value, &Arc<Watch>) -> T + Send + 'static,
) -> Result<T, SchemaError> {
    let (watch, schema) = (Arc::new(Watch::default()), schema.clone());
    let watch_there = Arc::clone(&watch);
    let _ends_with_this = StopOnDrop(Arc::clone(&watch));
    let done = GATE.run(move || work(&schema, &watch_there)).await;
    done.map_err(|unfinished| match unfinished {
        Unfinished::Busy => SchemaError::Busy,
        Unfinished::Late => SchemaError::Schema(format!("is too complex: it takes more than {:?}", GATE.patience())),
        Unfinished::Failed if watch.is_too_deep() => {
            SchemaError::Schema("is too complex: its references nest too deeply".into())
        }
        Unfinished::Failed => SchemaError::Schema("cannot be used: the checker failed on it".into()),
    })
}

struct StopOnDrop(Arc<Watch>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// What the bounds are about, wherever in the schema it stands: what looks like it and is not counts all the same.
#[derive(Default)]
struct Count {
    patterns: usize,
    references: usize,
}

impl Count {
    fn look(&mut self, value: &Value, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(format!("is nested too deeply; at most {MAX_DEPTH} levels are allowed"));
        }
        match value {
            Value::Array(items) => items.iter().try_for_each(|item| self.look(item, depth + 1)),
            Value::Object(members) => members.iter().try_for_each(|(name, member)| {
                match (name.as_str(), member) {
                    ("pattern", Value::String(pattern)) => self.pattern(pattern)?,
                    ("patternProperties", Value::Object(by_pattern)) => {
                        by_pattern.keys().try_for_each(|pattern| self.pattern(pattern))?;
                    }
                    (name, Value::String(_)) if checker::REFERENCES.contains(&name) => self.references += 1,
                    _ => {}
                }
                self.look(member, depth + 1)
            }),
            _ => Ok(()),
        }
    }

    fn pattern(&mut self, pattern: &str) -> Result<(), String> {
        self.patterns += 1;
        let length = pattern.chars().count();
        if length > MAX_PATTERN {
            return Err(format!("has a pattern of {length} characters; at most {MAX_PATTERN} are allowed"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
