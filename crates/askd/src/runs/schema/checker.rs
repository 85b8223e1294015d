//! The validator and the means to end it.
//!
//! A few references are enough for a check that takes years or that nests without end, and no bound on the schema's
//! text prevents that. So a keyword of ours is put in front of every reference and into every subschema that has
//! others. Whenever it is compiled or applied, it unwinds the thread if nobody waits any more, or if the stack is nearly
//! used up: an overflow would end the whole server (checked: 100 references over an answer of 120 levels overflow the
//! usual 2 MiB).

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, Keyword, PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value, json};

/// For each thread that compiles or checks. Only what is used becomes memory.
pub(super) const STACK: usize = 32 << 20;
/// How much of it may be used where the keyword looks; the rest is for the way to the next reference.
const USABLE_STACK: usize = STACK / 2;
/// One regular expression, compiled.
pub(super) const MAX_MACHINE: usize = 256 << 10;
/// Steps to find out why an answer does not fit. The reasons are collected, and must not fill the memory.
const MAX_STEPS_TO_EXPLAIN: u64 = 100_000;
/// The longest explanation; the validator likes to quote the whole answer.
const MAX_EXPLANATION: usize = 2_000;

/// A name that nobody else uses.
const WATCHED: &str = "!askd-watched";

/// Keywords that lead elsewhere.
pub(super) const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];
/// What data must not hold.
const HIDDEN: [&str; 5] = ["$ref", "$dynamicRef", "$recursiveRef", "unevaluatedItems", "unevaluatedProperties"];
/// Keywords whose values are data and not schemas.
const DATA: [&str; 5] = ["enum", "const", "required", "dependentRequired", "$vocabulary"];
/// Keywords without effect on a check; taken away, so that no reference leads into them.
const ANNOTATIONS: [&str; 2] = ["default", "examples"];
/// Keywords whose values are objects of schemas, by names that are no keywords.
const BY_NAME: [&str; 6] =
    ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"];
/// What is kept beside a `$ref` in drafts that ignore what stands beside it.
const BESIDE_REFERENCE: [&str; 3] = ["$schema", "$defs", "definitions"];

/// Says from outside when to end, and from inside why it ended.
#[derive(Debug, Default)]
pub(super) struct Watch {
    stopped: AtomicBool,
    too_deep: AtomicBool,
    /// Where the stack begins.
    base: AtomicUsize,
    steps: AtomicU64,
}

impl Watch {
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_too_deep(&self) -> bool {
        self.too_deep.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(super) fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    fn look(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
        if self.base.load(Ordering::Relaxed).abs_diff(stack_pointer()) > USABLE_STACK {
            self.too_deep.store(true, Ordering::Relaxed);
            self.stop();
        }
        if self.stopped.load(Ordering::Relaxed) {
            // Without the panic's message: this is no mistake of ours.
            resume_unwind(Box::new("the check was ended"));
        }
    }
}

#[inline(never)]
fn stack_pointer() -> usize {
    let here = 0_u8;
    std::ptr::from_ref(std::hint::black_box(&here)).addr()
}

/// The keyword.
#[derive(Debug)]
struct Watched {
    watch: Arc<Watch>,
    /// Above this many steps it takes everything for wrong, which ends a search for reasons soon.
    last_step: u64,
}

impl Watched {
    fn goes_on(&self) -> bool {
        self.watch.look();
        self.watch.steps.load(Ordering::Relaxed) < self.last_step
    }
}

impl<'i> Keyword<'i> for Watched {
    fn validate(&self, _: &'i Value) -> Result<(), ValidationError<'i>> {
        if self.goes_on() { Ok(()) } else { Err(ValidationError::custom("too much to explain")) }
    }

    fn is_valid(&self, _: &'i Value) -> bool {
        self.goes_on()
    }
}

/// Compiles the schema.
pub(super) fn compile(schema: &Value, watch: &Arc<Watch>) -> Result<Validator, String> {
    watch.base.store(stack_pointer(), Ordering::Relaxed);
    validator(schema, watch, u64::MAX)
}

/// Checks an answer; the error names what does not fit.
pub(super) fn check(schema: &Value, answer: &Value, watch: &Arc<Watch>) -> Result<(), String> {
    if compile(schema, watch)?.is_valid(answer) {
        return Ok(());
    }
    watch.steps.store(0, Ordering::Relaxed);
    let explained = validator(schema, watch, MAX_STEPS_TO_EXPLAIN)?;
    match explained.validate(answer) {
        // The text of this one quotes the schema, with our keywords.
        Err(error) if matches!(error.kind(), ValidationErrorKind::Not { .. }) => {
            Err(format!("the value is one that `not` excludes (at `{}`)", error.instance_path()))
        }
        Err(error) => Err(shortened(&format!("{error} (at `{}`)", error.instance_path()))),
        Ok(()) => Err("the reason takes too long to find".into()),
    }
}

fn validator(schema: &Value, watch: &Arc<Watch>, last_step: u64) -> Result<Validator, String> {
    let watched = watched(schema, Draft::default())?;
    let watch = Arc::clone(watch);
    // Without back-references and looking around, a match takes time in proportion to the text.
    let patterns = PatternOptions::regex().size_limit(MAX_MACHINE).dfa_size_limit(MAX_MACHINE);
    let options = jsonschema::options().offline().with_pattern_options(patterns);
    let options = options.with_keyword(WATCHED, move |_, _, _| {
        watch.look();
        Ok(Box::new(Watched { watch: Arc::clone(&watch), last_step }))
    });
    options.build(&watched).map_err(|error| {
        let text = error.to_string();
        let hint = if text.ends_with("is not a \"regex\"") {
            "; a pattern has no look-around and no back-references, and is small when it is compiled"
        } else {
            ""
        };
        shortened(&format!("is not a valid JSON Schema: {text} (at `{}`){hint}", error.instance_path()))
    })
}

/// The schema with the keyword in every object that a reference can make a schema of.
///
/// The validator applies a keyword that it does not know after all others, but `allOf` before all that can apply a
/// subschema in vain (`anyOf`, `not`, …) and before references (checked: jsonschema 0.61). So the keyword comes in an
/// `allOf`, and a `$ref` moves behind it there, which means the same.
fn watched(value: &Value, draft: Draft) -> Result<Value, String> {
    let members = match value {
        Value::Array(items) => {
            let items = items.iter().map(|item| watched(item, draft));
            return Ok(Value::Array(items.collect::<Result<_, _>>()?));
        }
        Value::Object(members) => members,
        other => return Ok(other.clone()),
    };
    let draft = if members.contains_key("$schema") { draft.detect(value) } else { draft };
    let reference = members.get("$ref").filter(|reference| reference.is_string());
    let alone = reference.is_some() && matches!(draft, Draft::Draft4 | Draft::Draft6 | Draft::Draft7);
    let mut all = Map::new();
    for (name, member) in members {
        let name = name.as_str();
        if ANNOTATIONS.contains(&name) || (alone && !BESIDE_REFERENCE.contains(&name)) {
            continue;
        }
        let member = match member {
            _ if DATA.contains(&name) => {
                refuse_hidden(name, member)?;
                member.clone()
            }
            Value::Object(schemas) if BY_NAME.contains(&name) => {
                let schemas = schemas.iter().map(|(name, schema)| Ok((name.clone(), watched(schema, draft)?)));
                Value::Object(schemas.collect::<Result<_, String>>()?)
            }
            _ => watched(member, draft)?,
        };
        all.insert(name.to_owned(), member);
    }
    let has_others = members
        .iter()
        .any(|(name, member)| member.is_object() || member.is_array() || REFERENCES.contains(&name.as_str()));
    // An `allOf` of another type is wrong, and the validator says so.
    if has_others && let Value::Array(first) = all.entry("allOf").or_insert_with(|| Value::Array(Vec::new())) {
        first.push(json!({WATCHED: {}}));
        if let Some(reference) = reference {
            first.push(json!({"$ref": reference}));
            all.remove("$ref");
        }
    }
    Ok(Value::Object(all))
}

/// A reference into data would make a schema of what is not watched. Then it must be simple.
fn refuse_hidden(keyword: &str, data: &Value) -> Result<(), String> {
    match data {
        Value::Array(items) => items.iter().try_for_each(|item| refuse_hidden(keyword, item)),
        Value::Object(members) => members.iter().try_for_each(|(name, member)| {
            if HIDDEN.contains(&name.as_str()) {
                return Err(format!("has `{name}` within `{keyword}`, which is not allowed"));
            }
            refuse_hidden(keyword, member)
        }),
        _ => Ok(()),
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_EXPLANATION) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
