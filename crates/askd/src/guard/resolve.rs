//! What a shell makes of a word before it runs anything, as far as that is known.

use super::braces::braces;
use super::judge::{Look, MAX_DEPTH};
use super::pieces::{Piece, Value, Variable, pieces, pieces_of_document};
use super::text::parse;
use super::word::{Origin, UNKNOWN, Word};

/// Ways in which one word can come out. More than a person means by it; beyond, it is not known.
const MAX_WAYS: usize = 16;

/// A part of a word.
#[derive(Clone)]
struct Chunk {
    text: String,
    kind: Kind,
    is_output: bool,
    origin: Origin,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// As it stands there; `*` and `?` are patterns.
    Plain,
    Quoted,
    /// The value of something: it becomes several words at its white space.
    Splits,
}

impl Chunk {
    fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), kind: Kind::Plain, is_output: false, origin: Origin::Command }
    }

    fn quoted(text: impl Into<String>) -> Self {
        Self { text: text.into(), kind: Kind::Quoted, is_output: false, origin: Origin::Command }
    }

    fn of(value: &Word, is_quoted: bool) -> Self {
        let kind = if is_quoted { Kind::Quoted } else { Kind::Splits };
        Self { text: value.text.clone(), kind, is_output: value.is_output, origin: value.origin }
    }
}

type Chunks = Vec<Chunk>;

impl Look<'_> {
    /// The ways in which a word can come out; each is one word, none or several.
    pub(super) fn words(&mut self, word: &str, depth: usize) -> Vec<Vec<Word>> {
        self.charge(word.len() + 20);
        if self.is_exhausted() {
            return vec![vec![Word::unknown()]];
        }
        let mut ways = vec![Vec::new()];
        for word in braces(word) {
            let next = if let Some(pieces) = pieces(&word) {
                self.sequence(&pieces, false, depth).iter().map(|way| fields(way)).collect()
            } else {
                if word.contains("$(") || word.contains('`') {
                    self.doubt("its shell syntax is not understood");
                }
                vec![vec![Word::unknown()]]
            };
            ways = product(ways, next, Word::unknown(), MAX_WAYS);
        }
        ways
    }

    /// A word as one text, if there is only one way.
    pub(super) fn one_text(&mut self, word: &str, depth: usize) -> Option<String> {
        let mut ways = self.words(word, depth);
        let way = (ways.len() == 1).then(|| ways.pop()).flatten()?;
        Some(way.iter().map(|word| &*word.text).collect::<Vec<_>>().join(" "))
    }

    /// The text of a here-document in which variables are replaced.
    pub(super) fn document(&mut self, text: &str, depth: usize) -> Option<String> {
        self.charge(text.len());
        let ways = self.sequence(&pieces_of_document(text)?, true, depth);
        let [way] = &*ways else { return None };
        Some(way.iter().map(|chunk| &*chunk.text).collect())
    }

    fn sequence(&mut self, parts: &[Piece], quoted: bool, depth: usize) -> Vec<Chunks> {
        let mut ways = vec![Vec::new()];
        for part in parts {
            self.charge(20 * ways.len());
            let next = if let Piece::Double(parts) = part {
                // Even an empty one is a word.
                let mut ways = self.sequence(parts, true, depth);
                for way in &mut ways {
                    way.push(Chunk::quoted(""));
                }
                ways
            } else {
                self.piece(part, quoted, depth)
            };
            ways = product(ways, next, Chunk::of(&Word::unknown(), quoted), MAX_WAYS);
        }
        ways
    }

    fn piece(&mut self, piece: &Piece, quoted: bool, depth: usize) -> Vec<Chunks> {
        let one = |chunk: Chunk| vec![vec![chunk]];
        match piece {
            Piece::Plain(text) => one(Chunk::plain(text)),
            Piece::Quoted(text) => one(Chunk::quoted(text)),
            Piece::Tilde(name) => one(Chunk::quoted(match &**name {
                "" => "~".to_owned(),
                "+" => ".".to_owned(),
                "root" => "/root".to_owned(),
                other if other.starts_with(|c: char| c.is_ascii_digit() || "+-".contains(c)) => UNKNOWN.to_string(),
                user => format!("/home/{user}"),
            })),
            Piece::Value(value) => {
                let values = self.values(value, depth);
                values.iter().map(|value| vec![Chunk::of(value, quoted && !value.splits)]).collect()
            }
            Piece::Script(script) => one(Chunk::of(&self.output(script, depth), quoted)),
            Piece::Arithmetic(expression) => {
                self.arithmetic(expression, depth);
                one(Chunk::quoted("0"))
            }
            // Taken apart before.
            Piece::Double(_) => Vec::new(),
        }
    }

    /// Looks for programs within a calculation.
    pub(super) fn arithmetic(&mut self, expression: &str, depth: usize) {
        if expression.contains(['$', '`']) {
            self.words(expression, depth);
        }
        // The grammar takes `( (git push) )` for a calculation, and a shell at times `$((git push))` for a command.
        if parse(expression).is_ok() {
            self.script(expression, depth + 1);
        }
    }

    /// What a script prints; it is looked at by itself as well.
    fn output(&mut self, script: &str, depth: usize) -> Word {
        self.script(script, depth + 1);
        let printed = if depth < MAX_DEPTH { self.printed(script, depth + 1) } else { None };
        match printed {
            Some(text) => Word::of(text.trim_end_matches('\n')),
            None if self.prints_foreign(script, depth + 1) => {
                Word { is_output: true, origin: Origin::Foreign, ..Word::unknown() }
            }
            None => Word { is_output: true, ..Word::unknown() },
        }
    }

    /// The values that an expansion can have.
    fn values(&mut self, value: &Value, depth: usize) -> Vec<Word> {
        match value {
            Value::Of(variable) => self.value(variable),
            Value::Default { variable, word, is_set } => {
                let mut values = self.value(variable);
                let own = self.texts(word, depth);
                if let (true, Variable::Named(name)) = (is_set, variable) {
                    for value in &own {
                        self.set(name, value.clone());
                    }
                }
                values.extend(own);
                values
            }
            Value::Instead(word) => {
                let mut values = self.texts(word, depth);
                values.push(Word::of(""));
                values
            }
            Value::Filled(variable) => {
                let filled = |value: Word| match value.origin {
                    Origin::Environment => Word { origin: Origin::Filled, ..value },
                    _ => value,
                };
                self.value(variable).into_iter().map(filled).collect()
            }
            Value::Length => vec![Word::of("0")],
            Value::Other(inner) => {
                // Its parts may hold commands, though what comes of it is not known.
                if let Some(at) = inner.find(['$', '`']) {
                    self.words(&inner[at..], depth);
                }
                vec![Word { splits: false, ..Word::unknown() }]
            }
        }
    }

    fn texts(&mut self, word: &str, depth: usize) -> Vec<Word> {
        let ways = self.words(word, depth);
        ways.iter().map(|way| Word::of(way.iter().map(|word| &*word.text).collect::<Vec<_>>().join(" "))).collect()
    }

    fn value(&self, variable: &Variable) -> Vec<Word> {
        let all = |values: Vec<Word>| values.into_iter().map(|value| Word { splits: true, ..value }).collect();
        match variable {
            Variable::Named(name) => self.variable(name),
            Variable::All(name) => all(self.variable(name)),
            Variable::Element(name) => {
                let whole = self.variable(name);
                whole.iter().flat_map(|value| value.text.split_whitespace()).take(MAX_WAYS).map(Word::of).collect()
            }
            Variable::Arguments => all(self.given("@")),
            Variable::Argument => self.given("1"),
            Variable::Number => vec![Word::of("0")],
        }
    }

    /// What functions and `set` are given in the command itself; else it is not known.
    fn given(&self, name: &str) -> Vec<Word> {
        let values = self.names.variables.get(name).cloned();
        values.unwrap_or_else(|| vec![Word { splits: false, ..Word::unknown() }])
    }

    fn variable(&self, name: &str) -> Vec<Word> {
        match (self.names.variables.get(name), name) {
            (Some(values), _) => values.clone(),
            (None, "HOME") => vec![Word::of("~")],
            (None, "PWD") => vec![Word::of(".")],
            (None, "IFS") => vec![Word::of(" ")],
            (None, "TMPDIR") => vec![Word::of("/tmp")],
            (None, _) => vec![Word { splits: false, origin: Origin::Environment, ..Word::unknown() }],
        }
    }
}

/// Every way of the first with every way of the second; `unknown` instead of the second where there are too many.
pub(super) fn product<T: Clone>(first: Vec<Vec<T>>, mut second: Vec<Vec<T>>, unknown: T, most: usize) -> Vec<Vec<T>> {
    if first.len() * second.len() > most {
        second = vec![vec![unknown]];
    }
    let mut ways = first;
    if let [only] = &*second {
        // The common case, of which the cost must not grow with what is there already.
        for way in &mut ways {
            way.extend_from_slice(only);
        }
        return ways;
    }
    let join = |head: &Vec<T>, tail: &Vec<T>| head.iter().chain(tail).cloned().collect();
    ways.iter().flat_map(|head| second.iter().map(move |tail| join(head, tail))).collect()
}

/// A `[` alone is a program.
fn has_pattern(text: &str) -> bool {
    text.contains(['*', '?']) || text.split_once('[').is_some_and(|(_, rest)| rest.contains(']'))
}

/// The origin of a word to which a text is added.
fn origin(word: &Word, chunk: &Chunk, added: &str) -> Origin {
    match (word.is_known(), added.contains(UNKNOWN)) {
        (true, _) => chunk.origin,
        (false, true) => word.origin.min(chunk.origin),
        (false, false) => word.origin,
    }
}

/// The words that the parts make.
fn fields(chunks: &[Chunk]) -> Vec<Word> {
    let mut words = Vec::new();
    let mut current: Option<Word> = None;
    for chunk in chunks {
        if chunk.kind != Kind::Splits {
            let word = current.get_or_insert_default();
            word.origin = origin(word, chunk, &chunk.text);
            word.text.push_str(&chunk.text);
            word.has_pattern |= chunk.kind == Kind::Plain && has_pattern(&chunk.text);
            word.is_output |= chunk.is_output;
            continue;
        }
        for (at, part) in chunk.text.split(char::is_whitespace).enumerate() {
            if at > 0 {
                words.extend(current.take());
            }
            if !part.is_empty() {
                let word = current.get_or_insert_default();
                word.origin = origin(word, chunk, part);
                word.text.push_str(part);
                word.has_pattern |= has_pattern(part);
                word.splits |= part.contains(UNKNOWN);
                word.is_output |= chunk.is_output;
            }
        }
    }
    words.extend(current);
    words
}
