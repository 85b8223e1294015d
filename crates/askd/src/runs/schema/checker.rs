//! The validator and the means to end it.
//!
//! A few references are enough for a check that takes years or that nests without end, and no bound on the schema's
//! text prevents that. So a keyword of ours is put in front of every reference and into every subschema that has
//! others. Whenever it is compiled or applied, it unwinds the thread if nobody waits any more, or if the stack is nearly
//! used up: an overflow would end the whole server (checked: 100 references over an answer of 120 levels overflow the
//! usual 2 MiB).

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, Keyword, PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value, json};

use super::Flaw;

/// For each thread that compiles or checks. Only what is used becomes memory.
pub(super) const STACK: usize = 32 << 20;
/// How much of it may be used where the keyword looks; the rest is for the way to the next reference.
const USABLE_STACK: usize = STACK / 2;
/// One regular expression, compiled.
pub(super) const MAX_MACHINE: usize = 256 << 10;
/// Steps to find out why an answer does not fit. The reasons are collected, and must not fill the memory.
const MAX_STEPS_TO_EXPLAIN: u64 = 100_000;
/// The longest text about a schema, in characters.
const MAX_EXPLANATION: usize = 2_000;
/// What is told of an answer: so many flaws, and of each a text of so many characters.
const MAX_FLAWS: usize = 20;
const MAX_FLAW: usize = 500;
/// All flaws are collected, by the validator, before the first one can be read. So it is only asked for them about a short
/// answer, and for so many steps that there are never more than this. A step is one part of the schema and one of the
/// answer, and finds as many flaws as one of them has parts at the most.
const MAX_BYTES_TO_EXPLAIN_ALL: usize = 32 << 10;
const MAX_FLAWS_TO_COLLECT: u64 = 200_000;
const MAX_STEPS_TO_EXPLAIN_ALL: u64 = 2_000;

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
    last: Last,
}

/// What happens at the last of so many steps.
#[derive(Debug, Clone, Copy)]
enum Last {
    /// There is none.
    Never,
    /// From then on everything is wrong, which ends a search for the first reason soon.
    TakesAllForWrong(u64),
    /// The search for all reasons is given up.
    Unwinds(u64),
}

impl Watched {
    fn goes_on(&self) -> bool {
        self.watch.look();
        let steps = self.watch.steps.load(Ordering::Relaxed);
        match self.last {
            Last::Unwinds(last) if steps >= last => resume_unwind(Box::new("too much to explain")),
            Last::TakesAllForWrong(last) => steps < last,
            Last::Never | Last::Unwinds(_) => true,
        }
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
    validator(schema, watch, Last::Never)
}

/// Checks an answer; the inner error says what does not fit, the outer one what is wrong with the schema.
pub(super) fn check(schema: &Value, answer: &Value, watch: &Arc<Watch>) -> Result<Result<(), Vec<Flaw>>, String> {
    if compile(schema, watch)?.is_valid(answer) {
        return Ok(Ok(()));
    }
    // All of them, if there cannot be too many, or else the first.
    let some = all_flaws(schema, answer, watch)?;
    if !some.is_empty() {
        return Ok(Err(some));
    }
    watch.steps.store(0, Ordering::Relaxed);
    let explained = validator(schema, watch, Last::TakesAllForWrong(MAX_STEPS_TO_EXPLAIN))?;
    let flaw = match explained.validate(answer) {
        Err(error) => flaw(&error),
        Ok(()) => None,
    };
    Ok(Err(vec![flaw.unwrap_or_else(|| Flaw::of_whole("it does not fit, and why takes too long to find"))]))
}

/// Everything that does not fit, up to a bound; nothing if that takes too long.
fn all_flaws(schema: &Value, answer: &Value, watch: &Arc<Watch>) -> Result<Vec<Flaw>, String> {
    if answer.to_string().len() > MAX_BYTES_TO_EXPLAIN_ALL {
        return Ok(Vec::new());
    }
    watch.steps.store(0, Ordering::Relaxed);
    let steps = (MAX_FLAWS_TO_COLLECT / count(schema).max(count(answer))).min(MAX_STEPS_TO_EXPLAIN_ALL);
    let explained = validator(schema, watch, Last::Unwinds(steps))?;
    let collect = || {
        let mut flaws = Vec::new();
        for flaw in explained.iter_errors(answer).filter_map(|error| flaw(&error)) {
            if flaws.len() < MAX_FLAWS && !flaws.contains(&flaw) {
                flaws.push(flaw);
            }
        }
        flaws
    };
    let flaws = catch_unwind(AssertUnwindSafe(collect)).unwrap_or_default();
    // The end of all work unwinds as well.
    watch.look();
    Ok(flaws)
}

/// How many values there are in a value.
fn count(value: &Value) -> u64 {
    match value {
        Value::Array(items) => 1 + items.iter().map(count).sum::<u64>(),
        Value::Object(members) => 1 + members.values().map(count).sum::<u64>(),
        _ => 1,
    }
}

/// What an error says; nothing if it is only the end of the search.
fn flaw(error: &ValidationError<'_>) -> Option<Flaw> {
    if matches!(error.kind(), ValidationErrorKind::Custom { .. }) {
        return None;
    }
    // The text of this one quotes the schema, with our keywords.
    let message = if matches!(error.kind(), ValidationErrorKind::Not { .. }) {
        "the value is one that `not` excludes".to_owned()
    } else {
        let text = error.to_string();
        // The validator likes to quote the whole answer, and says what is wrong with it after that.
        if text.len() > MAX_FLAW { error.masked_with("the value").to_string() } else { text }
    };
    Some(Flaw { path: shortened(error.instance_path().as_str(), MAX_FLAW), message: shortened(&message, MAX_FLAW) })
}

fn validator(schema: &Value, watch: &Arc<Watch>, last: Last) -> Result<Validator, String> {
    let watched = watched(schema, Draft::default(), matches!(last, Last::Unwinds(_)))?;
    let watch = Arc::clone(watch);
    // Without back-references and looking around, a match takes time in proportion to the text.
    let patterns = PatternOptions::regex().size_limit(MAX_MACHINE).dfa_size_limit(MAX_MACHINE);
    let options = jsonschema::options().offline().with_pattern_options(patterns);
    // In every draft alike: who writes a format means it. Only an answer that is itself a regular expression is not
    // compiled, since it may be one that takes all memory.
    let options = options.should_validate_formats(true).with_format("regex", |_| true);
    let options = options.with_keyword(WATCHED, move |_, _, _| {
        watch.look();
        Ok(Box::new(Watched { watch: Arc::clone(&watch), last }))
    });
    options.build(&watched).map_err(|error| {
        let text = error.to_string();
        let hint = if text.ends_with("is not a \"regex\"") {
            "; a pattern has no look-around and no back-references, and is small when it is compiled"
        } else {
            ""
        };
        shortened(
            &format!("is not a valid JSON Schema: {text} (at `{}`){hint}", error.instance_path()),
            MAX_EXPLANATION,
        )
    })
}

/// The schema with the keyword in every object that a reference can make a schema of and that has others in it, or in each.
///
/// The validator applies a keyword that it does not know after all others, but `allOf` before all that can apply a
/// subschema in vain (`anyOf`, `not`, …) and before references (checked: jsonschema 0.61). So the keyword comes in an
/// `allOf`, and a `$ref` moves behind it there, which means the same.
fn watched(value: &Value, draft: Draft, each: bool) -> Result<Value, String> {
    let members = match value {
        Value::Array(items) => {
            let items = items.iter().map(|item| watched(item, draft, each));
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
                let schemas = schemas.iter().map(|(name, schema)| Ok((name.clone(), watched(schema, draft, each)?)));
                Value::Object(schemas.collect::<Result<_, String>>()?)
            }
            _ => watched(member, draft, each)?,
        };
        all.insert(name.to_owned(), member);
    }
    let has_others = each
        || members
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

fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some(_) => text.chars().take(most - 1).chain(['…']).collect(),
        None => text.to_owned(),
    }
}
