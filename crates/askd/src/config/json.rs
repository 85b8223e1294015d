//! JSON as the CLI reads its settings: strict, and with the line of every value.

use std::fmt;

use jsonc_parser::ast::{self, Object, ObjectProp};
use jsonc_parser::common::Ranged as _;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use serde_json::Value;

use super::problem::Problem;

/// How many problems of one document are told. Whoever mends these sees the rest.
pub const MAX_PROBLEMS: usize = 20;

/// A JSON text, and where in it everything stands.
#[derive(Debug)]
pub struct Json<'a> {
    text: &'a str,
    root: ast::Value<'a>,
    value: Value,
}

/// One step on the way to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A member of an object.
    Key(String),
    /// An item of a list, from 0.
    Index(usize),
}

/// The way to a value. It is shown as `permissions.deny[2]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Path(pub Vec<Step>);

impl Path {
    /// To a member of what this leads to.
    #[must_use]
    pub fn key(&self, name: &str) -> Self {
        self.with(Step::Key(name.to_owned()))
    }

    /// To an item of what this leads to.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.with(Step::Index(index))
    }

    fn with(&self, step: Step) -> Self {
        Self(self.0.iter().cloned().chain([step]).collect())
    }
}

impl<const N: usize> From<[&str; N]> for Path {
    fn from(keys: [&str; N]) -> Self {
        Self(keys.into_iter().map(|key| Step::Key(key.to_owned())).collect())
    }
}

/// The longest key that is shown whole; a stranger chose it.
const MAX_SHOWN_KEY: usize = 80;

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => {
                    if number > 0 {
                        f.write_str(".")?;
                    }
                    let plain = |character: char| !character.is_control();
                    f.write_str(&key.chars().filter(|c| plain(*c)).take(MAX_SHOWN_KEY).collect::<String>())?;
                }
            }
        }
        Ok(())
    }
}

/// Nothing beyond JSON itself: the CLI drops a file with a comment or a trailing comma (checked).
const STRICT: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

impl<'a> Json<'a> {
    /// Reads an object. A key that is given twice is an error: the CLI takes the last one, and with it a second, empty
    /// `permissions` (checked).
    pub fn object(text: &'a str) -> Result<Self, Vec<Problem>> {
        // The CLI passes over it, too (checked).
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        // First, since it is the stricter of the two, and bounds the depth: the other's tree is walked by recursion.
        let value: Value = serde_json::from_str(text).map_err(|error| vec![not_json(&error)])?;
        if !value.is_object() {
            let found = kind_of(&value);
            return Err(vec![Problem::new(format!("must be an object in braces, not {found}")).at(first_line(text))]);
        }
        let parsed = parse_to_ast(text, &CollectOptions::default(), &STRICT);
        let root = match parsed.map(|parsed| parsed.value) {
            Ok(Some(root)) => root,
            Ok(None) => return Err(vec![Problem::new("is empty")]),
            Err(error) => {
                let message = format!("is not valid JSON: {}", error.kind());
                return Err(vec![Problem::new(message).at(line_at(text, error.range().start))]);
            }
        };
        let json = Self { text, root, value };
        let mut twice = Vec::new();
        json.find_repeated(&json.root, &Path::default(), &mut twice);
        if twice.is_empty() { Ok(json) } else { Err(twice) }
    }

    /// What it says.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The line, from 1, of a member's key or of an item; of the innermost that is there.
    pub fn line(&self, path: &Path) -> u32 {
        let (mut at, mut here) = (self.root.start(), &self.root);
        for step in &path.0 {
            match (here, step) {
                (ast::Value::Object(object), step) => {
                    let Some(member) = member(object, step) else { break };
                    (at, here) = (member.start(), &member.value);
                }
                (ast::Value::Array(array), Step::Index(index)) => {
                    let Some(item) = array.elements.get(*index) else { break };
                    (at, here) = (item.start(), item);
                }
                _ => break,
            }
        }
        line_at(self.text, at)
    }

    /// A problem with the value there.
    pub fn problem(&self, path: &Path, message: impl Into<String>) -> Problem {
        let problem = Problem::new(message).at(self.line(path));
        if path.0.is_empty() { problem } else { problem.of(path.to_string()) }
    }

    fn find_repeated(&self, here: &ast::Value<'_>, path: &Path, found: &mut Vec<Problem>) {
        if found.len() >= MAX_PROBLEMS {
            return;
        }
        match here {
            ast::Value::Object(object) => {
                let mut seen = std::collections::HashSet::new();
                for member in &object.properties {
                    let path = path.key(member.name.as_str());
                    if !seen.insert(member.name.as_str()) && found.len() < MAX_PROBLEMS {
                        let message = "is given twice, and the CLI would forget the first; keep one";
                        found.push(Problem::new(message).at(line_at(self.text, member.start())).of(path.to_string()));
                    }
                    self.find_repeated(&member.value, &path, found);
                }
            }
            ast::Value::Array(array) => {
                for (index, item) in array.elements.iter().enumerate() {
                    // Most items are texts, and a path for each would be for nothing.
                    if matches!(item, ast::Value::Object(_) | ast::Value::Array(_)) {
                        self.find_repeated(item, &path.index(index), found);
                    }
                }
            }
            _ => {}
        }
    }
}

/// A number may be a key as well: validators do not tell these apart.
fn member<'o, 'a>(object: &'o Object<'a>, step: &Step) -> Option<&'o ObjectProp<'a>> {
    let name = match step {
        Step::Key(name) => name.clone(),
        Step::Index(index) => index.to_string(),
    };
    object.properties.iter().find(|member| member.name.as_str() == name)
}

fn not_json(error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or_default();
    let hint = match what {
        "trailing comma" => "; take the comma away",
        "key must be a string" | "expected value" | "expected `,` or `}`" | "expected `,` or `]`" => {
            "; JSON has no comments, and its texts and keys stand in double quotes"
        }
        _ => "",
    };
    let line = u32::try_from(error.line()).unwrap_or(u32::MAX).max(1);
    Problem::new(format!("is not valid JSON: {what} (column {}){hint}", error.column())).at(line)
}

/// What a value is, with its article.
pub fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn first_line(text: &str) -> u32 {
    line_at(text, text.len() - text.trim_start().len())
}

fn line_at(text: &str, offset: usize) -> u32 {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    u32::try_from(memchr::memchr_iter(b'\n', before).count() + 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn errors(text: &str) -> Vec<String> {
        Json::object(text).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_value_has_its_line() {
        let text = "\u{feff}{\n  \"a\": {\n    \"b\": [1,\n      {\"0\": 2}]\n  },\n  \"c\": 3\n}";
        let json = Json::object(text).unwrap();
        let a = Path::from(["a"]);
        let b = a.key("b");
        let lines = [Path::default(), a, b.clone(), b.index(0), b.index(1), b.index(1).index(0), Path::from(["c"])];
        assert_eq!(lines.map(|path| json.line(&path)), [1, 2, 3, 3, 4, 4, 6]);
        assert_eq!(b.index(1).key("x").to_string(), "a.b[1].x");
        assert_eq!(json.line(&b.key("missing")), 3, "what is not there is in the line of what holds it");
    }

    #[test]
    fn what_only_looks_like_json_is_refused_with_its_line() {
        insta::assert_snapshot!(
            ["", "[]", "\n\n 5", "{\n// c\n}", "{\"a\": 1,\n}", "{'a': 1}", "{\"a\" 1}", "{\"a\": NaN}", "{\"a\": 01}", "{} {}", "{\"a\": \"\\x41\"}"]
                .map(|text| format!("{text:?}: {}", errors(text).join("; ")))
                .join("\n"),
            @r#"
        "": line 1: is not valid JSON: EOF while parsing a value (column 0)
        "[]": line 1: must be an object in braces, not a list
        "\n\n 5": line 3: must be an object in braces, not a number
        "{\n// c\n}": line 2: is not valid JSON: key must be a string (column 1); JSON has no comments, and its texts and keys stand in double quotes
        "{\"a\": 1,\n}": line 2: is not valid JSON: trailing comma (column 1); take the comma away
        "{'a': 1}": line 1: is not valid JSON: key must be a string (column 2); JSON has no comments, and its texts and keys stand in double quotes
        "{\"a\" 1}": line 1: is not valid JSON: expected `:` (column 6)
        "{\"a\": NaN}": line 1: is not valid JSON: expected value (column 7); JSON has no comments, and its texts and keys stand in double quotes
        "{\"a\": 01}": line 1: is not valid JSON: invalid number (column 8)
        "{} {}": line 1: is not valid JSON: trailing characters (column 4)
        "{\"a\": \"\\x41\"}": line 1: is not valid JSON: invalid escape (column 9)
        "#
        );
    }

    #[test]
    fn a_key_given_twice_is_an_error_wherever_it_stands() {
        assert_eq!(
            errors("{\n\"a\": {\"b\": 1,\n\"\\u0062\": 2},\n\"a\": [{\"c\":1,\"c\":1}]}"),
            [
                "line 3: `a.b`: is given twice, and the CLI would forget the first; keep one",
                "line 4: `a`: is given twice, and the CLI would forget the first; keep one",
                "line 4: `a[0].c`: is given twice, and the CLI would forget the first; keep one"
            ]
        );
    }

    #[test]
    fn depth_and_problems_are_bounded() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000));
        assert!(errors(&deep)[0].contains("recursion limit"), "{:?}", errors(&deep));
        let many = format!("{{{}}}", vec!["\"a\":1"; 1000].join(","));
        assert_eq!(errors(&many).len(), MAX_PROBLEMS);
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in ".*") {
            let _ = Json::object(&text);
        }

        /// Both parsers agree: what one reads, the other does not refuse.
        #[test]
        fn what_serde_reads_has_places(text in r#"\{("a": ?(1e5|-0\.1|"\\u00e9\\n"|\[null, ?true\]|\{"b":\[ \]\})){0,1}\}"#) {
            let json = Json::object(&text).unwrap();
            prop_assert_eq!(json.line(&Path::from(["a"])), 1);
        }
    }
}
