//! The CLI's own schema of its settings, and what it says in words.

use std::sync::LazyLock;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::paths::{Location, LocationSegment};
use jsonschema::{ValidationError, Validator};
use serde_json::Value;

use crate::config::json::{Json, Path, Step, kind_of};

/// Keys, types and bounds as the CLI prints them; `scripts/settings-schema` writes it.
const TEXT: &str = include_str!("../../settings.schema.json");

/// The schema itself.
pub(super) static SCHEMA: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(TEXT).expect("the schema in the program is JSON"));

/// Compiled when the first settings are seen, which takes milliseconds: at the start where there are some.
static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
    // As the CLI sees URLs (checked: it drops a file with another one in a hook).
    let options = jsonschema::options().offline().should_validate_formats(true);
    let options = options.with_format("uri", |text: &str| reqwest::Url::parse(text).is_ok());
    options.build(&SCHEMA).expect("the schema in the program is a schema")
});

/// Something that the schema excludes.
#[derive(Debug)]
pub(super) struct Misfit {
    pub(super) path: Path,
    pub(super) kind: Kind,
    pub(super) message: String,
}

/// What does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A value.
    Value,
    /// A name where the CLI knows all names, which it ignores.
    Name {
        /// Whether a known one was probably meant.
        is_near_another: bool,
    },
}

/// Everything that does not fit, one after the other. Which of it matters is for the caller to say, so nothing is left out
/// here; the caller stops when it has enough.
pub(super) fn misfits<'j>(json: &'j Json<'_>) -> impl Iterator<Item = Misfit> + 'j {
    // The quick answer first: it is the usual one.
    let errors = (!VALIDATOR.is_valid(json.value())).then(|| VALIDATOR.iter_errors(json.value()));
    errors.into_iter().flatten().flat_map(|error| {
        let mut found = Vec::new();
        explain(&error, &mut found);
        found
    })
}

fn explain(error: &ValidationError<'_>, found: &mut Vec<Misfit>) {
    let mut path = path_of(error.instance_path());
    let mut misfit = Kind::Value;
    let message = match error.kind() {
        ValidationErrorKind::AnyOf { context } => return explain_choice(error, context, found),
        ValidationErrorKind::Required { property } => {
            path = path.key(property.as_str().unwrap_or_default());
            "is missing".to_owned()
        }
        ValidationErrorKind::Type { kind } => {
            format!("must be {}, not {}", one_of(&words(kind)), kind_of(error.instance()))
        }
        ValidationErrorKind::Enum { options } => must_be(options, error.instance()),
        ValidationErrorKind::Constant { expected_value } => {
            format!("must be {}", shown(expected_value))
        }
        ValidationErrorKind::Minimum { limit } => format!("must be at least {limit}"),
        ValidationErrorKind::Maximum { limit } => format!("must be at most {limit}"),
        ValidationErrorKind::ExclusiveMinimum { limit } => format!("must be more than {limit}"),
        ValidationErrorKind::ExclusiveMaximum { limit } => format!("must be less than {limit}"),
        ValidationErrorKind::MinLength { limit: 1 } | ValidationErrorKind::MinItems { limit: 1 } => {
            "must not be empty".to_owned()
        }
        ValidationErrorKind::MinLength { limit } => format!("must have at least {limit} characters"),
        ValidationErrorKind::MaxLength { limit } => format!("must have at most {limit} characters"),
        ValidationErrorKind::Pattern { pattern } => format!("must have the form `{pattern}`"),
        ValidationErrorKind::PropertyNames { error } => {
            let name = error.instance().as_str().unwrap_or_default();
            path = path.key(name);
            match error.kind() {
                ValidationErrorKind::Enum { options } => {
                    let known = options.as_array().into_iter().flatten().filter_map(Value::as_str);
                    let meant = did_you_mean(name, known);
                    misfit = Kind::Name { is_near_another: !meant.is_empty() };
                    format!("is no name that the CLI knows here{meant}")
                }
                _ => "is no name that may stand here".to_owned(),
            }
        }
        ValidationErrorKind::Format { format } if format == "uri" => "must be a whole URL".to_owned(),
        // The validator's own words, without the value, which may be a secret.
        kind => format!("does not fit (`{}`)", kind.keyword()),
    };
    found.push(Misfit { path, kind: misfit, message });
}

/// None of several forms fits. The one that was meant has the right word in the member that tells them apart (`type`,
/// `source`); what is wrong with that one is worth telling.
fn explain_choice(error: &ValidationError<'_>, forms: &[Vec<ValidationError<'_>>], found: &mut Vec<Misfit>) {
    let here = error.instance_path();
    let is_another = |form: &&Vec<ValidationError<'_>>| {
        form.iter().any(|inner| match inner.kind() {
            ValidationErrorKind::Constant { .. } => true,
            ValidationErrorKind::Type { .. } => inner.instance_path() == here,
            ValidationErrorKind::Required { property } => property == "type" || property == "source",
            _ => false,
        })
    };
    if let Some(meant) = forms.iter().find(|form| !is_another(form)) {
        for inner in meant {
            explain(inner, found);
        }
        return;
    }
    let path = path_of(here);
    let mut words_for_type = Vec::new();
    let mut constants = Vec::new();
    let (mut constant_at, mut missing) = (None, None);
    for inner in forms.iter().flatten() {
        match inner.kind() {
            ValidationErrorKind::Type { kind } if inner.instance_path() == here => words_for_type.extend(words(kind)),
            ValidationErrorKind::Constant { expected_value } => {
                constant_at = Some(path_of(inner.instance_path()));
                constants.push((**expected_value).clone());
            }
            ValidationErrorKind::Required { property } if inner.instance_path() == here => {
                missing = missing.or_else(|| property.as_str().map(str::to_owned));
            }
            _ => {}
        }
    }
    words_for_type.dedup();
    if let Some(at) = constant_at {
        let found_there = value_at(error.instance(), &path, &at).unwrap_or(&Value::Null);
        found.push(Misfit { path: at, kind: Kind::Value, message: must_be(&Value::Array(constants), found_there) });
        return;
    }
    if let Some(name) = missing {
        found.push(Misfit { path: path.key(&name), kind: Kind::Value, message: "is missing".to_owned() });
        return;
    }
    let message = if words_for_type.is_empty() {
        "has none of the forms that may stand here".to_owned()
    } else {
        format!("must be {}, not {}", one_of(&words_for_type), kind_of(error.instance()))
    };
    found.push(Misfit { path, kind: Kind::Value, message });
}

/// What lies at `inner` within a value that lies at `outer`.
fn value_at<'v>(value: &'v Value, outer: &Path, inner: &Path) -> Option<&'v Value> {
    inner.0.get(outer.0.len()..)?.iter().try_fold(value, |value, step| match step {
        Step::Key(key) => value.get(key),
        Step::Index(index) => value.get(index),
    })
}

fn path_of(location: &Location) -> Path {
    let step = |segment: LocationSegment<'_>| match segment {
        LocationSegment::Property(key) => Step::Key(key.into_owned()),
        LocationSegment::Index(index) => Step::Index(index),
    };
    Path(location.into_iter().map(step).collect())
}

fn words(kind: &TypeKind) -> Vec<&'static str> {
    let types: Vec<_> = match kind {
        TypeKind::Single(one) => vec![one.to_string()],
        TypeKind::Multiple(many) => many.iter().map(|one| one.to_string()).collect(),
    };
    types
        .iter()
        .map(|name| match name.as_str() {
            "string" => "a text",
            "integer" => "a whole number",
            "number" => "a number",
            "boolean" => "true or false",
            "array" => "a list",
            "object" => "an object",
            _ => "null",
        })
        .collect()
}

fn must_be(options: &Value, found: &Value) -> String {
    let options = options.as_array().map(Vec::as_slice).unwrap_or_default();
    let shown: Vec<_> = options.iter().map(shown).collect();
    let shown: Vec<_> = shown.iter().map(String::as_str).collect();
    let texts = options.iter().filter_map(Value::as_str);
    format!("must be {}{}", one_of(&shown), found.as_str().map(|found| did_you_mean(found, texts)).unwrap_or_default())
}

/// A word of the schema.
fn shown(word: &Value) -> String {
    match word {
        Value::String(text) => format!("`{text}`"),
        other => other.to_string(),
    }
}

fn one_of(words: &[&str]) -> String {
    match words {
        [] => "something else".to_owned(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// The name that was probably meant.
pub(in crate::config::validate) fn did_you_mean<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    // The comparison takes the product of both lengths, and no key of the CLI's is as long as this.
    let close = (name.len() <= 60).then(|| crate::settings::suggest::closest(name, known)).flatten();
    close.map(|known| format!("; did you mean `{known}`?")).unwrap_or_default()
}
