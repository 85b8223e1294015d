//! Just enough of Prometheus' language to find out which metrics and labels an expression names.

use std::iter::Peekable;
use std::str::Chars;

/// What an expression names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Named {
    /// Metrics, each with what its labels are asked for.
    pub(crate) selectors: Vec<(String, Vec<Matcher>)>,
    /// Labels that results are grouped or matched by.
    pub(crate) groupings: Vec<String>,
    /// Functions and aggregations.
    pub(crate) functions: Vec<String>,
}

/// What a label is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Matcher {
    pub(crate) label: String,
    /// The words of it; of a pattern all that stand between its bars.
    pub(crate) words: Vec<String>,
}

const GROUPINGS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
const OPERATORS: [&str; 6] = ["and", "or", "unless", "bool", "offset", "atan2"];

/// Reads an expression.
pub(crate) fn named(expression: &str) -> Named {
    let mut named = Named::default();
    let mut rest = expression.chars().peekable();
    while let Some(&next) = rest.peek() {
        if is_beginning(next) {
            let word = word(&mut rest);
            skip_spaces(&mut rest);
            if GROUPINGS.contains(&&*word) {
                assert_eq!(rest.next(), Some('('), "{word} without labels in {expression}");
                let list: String = rest.by_ref().take_while(|letter| *letter != ')').collect();
                named
                    .groupings
                    .extend(list.split(',').map(|label| label.trim().to_owned()).filter(|it| !it.is_empty()));
            } else if OPERATORS.contains(&&*word) {
            } else if rest.peek() == Some(&'(') || rest_groups(&rest) {
                named.functions.push(word);
            } else {
                let labels = if rest.next_if_eq(&'{').is_some() { matchers(&mut rest, expression) } else { Vec::new() };
                named.selectors.push((word, labels));
            }
        } else if next.is_ascii_digit() {
            // A number or a duration.
            while rest.next_if(|it| it.is_ascii_alphanumeric() || *it == '.').is_some() {}
        } else if next == '[' {
            assert!(rest.any(|it| it == ']'), "a range without end in {expression}");
        } else if matches!(next, '"' | '\'') {
            drop(string(&mut rest, expression));
        } else {
            rest.next();
        }
    }
    named
}

/// `sum by (…) (…)`: an aggregation whose labels come first.
fn rest_groups(rest: &Peekable<Chars<'_>>) -> bool {
    let mut ahead = rest.clone();
    is_grouping(&mut ahead)
}

fn is_grouping(ahead: &mut Peekable<Chars<'_>>) -> bool {
    if !ahead.peek().copied().is_some_and(is_beginning) {
        return false;
    }
    matches!(&*word(ahead), "by" | "without")
}

fn is_beginning(letter: char) -> bool {
    letter.is_ascii_alphabetic() || matches!(letter, '_' | ':')
}

fn word(rest: &mut Peekable<Chars<'_>>) -> String {
    let mut word = String::new();
    while let Some(letter) = rest.next_if(|it| it.is_ascii_alphanumeric() || matches!(it, '_' | ':')) {
        word.push(letter);
    }
    word
}

fn skip_spaces(rest: &mut Peekable<Chars<'_>>) {
    while rest.next_if(|it| it.is_whitespace()).is_some() {}
}

fn string(rest: &mut Peekable<Chars<'_>>, expression: &str) -> String {
    let quote = rest.next();
    let mut text = String::new();
    loop {
        match rest.next() {
            Some('\\') => text.extend(rest.next()),
            None => panic!("a text without end in {expression}"),
            end if end == quote => return text,
            Some(letter) => text.push(letter),
        }
    }
}

/// After the bracket, to the one that closes.
fn matchers(rest: &mut Peekable<Chars<'_>>, expression: &str) -> Vec<Matcher> {
    let mut labels = Vec::new();
    loop {
        skip_spaces(rest);
        match rest.peek() {
            Some('}') => {
                rest.next();
                return labels;
            }
            Some(',') => drop(rest.next()),
            Some(letter) if is_beginning(*letter) => {
                let label = word(rest);
                let mut operator = String::new();
                while let Some(sign) = rest.next_if(|it| matches!(it, '=' | '!' | '~' | ' ')) {
                    operator.push(sign);
                }
                assert!(matches!(operator.trim(), "=" | "!=" | "=~" | "!~"), "{operator} in {expression}");
                let text = string(rest, expression);
                let is_pattern = operator.contains('~');
                let words = if is_pattern { text.split('|').map(str::to_owned).collect() } else { vec![text] };
                labels.push(Matcher { label, words });
            }
            other => panic!("{other:?} among the labels of {expression}"),
        }
    }
}

#[test]
fn metrics_labels_and_functions_are_told_apart() {
    let found = named(
        r#"histogram_quantile(0.99, sum by (le, instance) (rate(a_b_bucket{x="}", y=~'p|q'}[5m]))) > 1.5e3 and on (z) c:d == bool 3"#,
    );
    let matcher = |(label, words): &(&str, &[&str])| Matcher {
        label: (*label).to_owned(),
        words: words.iter().map(ToString::to_string).collect(),
    };
    let asked: [(&str, &[&str]); 2] = [("x", &["}"]), ("y", &["p", "q"])];
    let selectors = [("a_b_bucket".to_owned(), asked.iter().map(matcher).collect()), ("c:d".to_owned(), Vec::new())];
    assert_eq!(found.selectors, selectors);
    assert_eq!(found.groupings, ["le", "instance", "z"]);
    assert_eq!(found.functions, ["histogram_quantile", "sum", "rate"]);
}
