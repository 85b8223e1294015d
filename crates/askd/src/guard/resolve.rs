//! What a shell makes of a word before it runs anything, as far as that is known.

use brush_parser::word::{Parameter, ParameterExpr, SpecialParameter, TildeExpr, WordPiece, WordPieceWithSource};

use super::judge::Look;
use super::text::{braces, parse, pieces, pieces_of_document};
use super::word::{UNKNOWN, Word, decode};

/// Ways in which one word can come out. More than a person means by it; beyond, it is not known.
const MAX_WAYS: usize = 16;

/// A part of a word.
#[derive(Clone)]
struct Chunk {
    text: String,
    kind: Kind,
    is_output: bool,
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
        Self { text: text.into(), kind: Kind::Plain, is_output: false }
    }

    fn quoted(text: impl Into<String>) -> Self {
        Self { text: text.into(), kind: Kind::Quoted, is_output: false }
    }

    fn of(value: &Word, is_quoted: bool) -> Self {
        let kind = if is_quoted { Kind::Quoted } else { Kind::Splits };
        Self { text: value.text.clone(), kind, is_output: value.is_output }
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
            let next = match pieces(&word) {
                Some(pieces) => self.sequence(&pieces, &word, false, depth).iter().map(|way| fields(way)).collect(),
                None => vec![vec![Word::unknown()]],
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
        let ways = self.sequence(&pieces_of_document(text)?, text, true, depth);
        let [way] = &*ways else { return None };
        Some(way.iter().map(|chunk| &*chunk.text).collect())
    }

    fn sequence(&mut self, parts: &[WordPieceWithSource], source: &str, quoted: bool, depth: usize) -> Vec<Chunks> {
        let mut ways = vec![Vec::new()];
        for part in parts {
            self.charge(20 * ways.len());
            let slice = source.get(part.start_index..part.end_index).unwrap_or_default();
            let next = match &part.piece {
                WordPiece::DoubleQuotedSequence(parts) | WordPiece::GettextDoubleQuotedSequence(parts) => {
                    // Even an empty one is a word.
                    let mut ways = self.sequence(parts, source, true, depth);
                    for way in &mut ways {
                        way.push(Chunk::quoted(""));
                    }
                    ways
                }
                piece => self.piece(piece, slice, quoted, depth),
            };
            ways = product(ways, next, Chunk::of(&Word::unknown(), quoted), MAX_WAYS);
        }
        ways
    }

    fn piece(&mut self, piece: &WordPiece, source: &str, quoted: bool, depth: usize) -> Vec<Chunks> {
        let one = |chunk: Chunk| vec![vec![chunk]];
        match piece {
            WordPiece::Text(text) if quoted => one(Chunk::quoted(text)),
            WordPiece::Text(text) => one(Chunk::plain(text)),
            WordPiece::SingleQuotedText(text) => one(Chunk::quoted(text)),
            WordPiece::AnsiCQuotedText(text) => one(Chunk::quoted(decode(text))),
            WordPiece::EscapeSequence(text) => {
                let text = text.strip_prefix('\\').unwrap_or(text);
                one(Chunk::quoted(text.strip_prefix('\n').unwrap_or(text)))
            }
            WordPiece::TildeExpansion(TildeExpr::Home) => one(Chunk::quoted("~")),
            WordPiece::TildeExpansion(TildeExpr::UserHome(user)) => one(Chunk::quoted(format!("/home/{user}"))),
            WordPiece::TildeExpansion(TildeExpr::WorkingDir) => one(Chunk::quoted(".")),
            WordPiece::TildeExpansion(_) => one(Chunk::quoted(UNKNOWN)),
            WordPiece::ParameterExpansion(expression) => {
                let values = self.values(expression, source, depth);
                values.iter().map(|value| vec![Chunk::of(value, quoted && !value.splits)]).collect()
            }
            WordPiece::CommandSubstitution(script) => one(Chunk::of(&self.output(script, depth), quoted)),
            WordPiece::BackquotedCommandSubstitution(script) => {
                let script = script.replace("\\`", "`").replace("\\$", "$").replace("\\\\", "\\");
                one(Chunk::of(&self.output(&script, depth), quoted))
            }
            WordPiece::ArithmeticExpression(expression) => {
                self.arithmetic(&expression.value, depth);
                one(Chunk::quoted("0"))
            }
            // Taken apart before.
            WordPiece::DoubleQuotedSequence(_) | WordPiece::GettextDoubleQuotedSequence(_) => Vec::new(),
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
        match self.printed(script, depth + 1) {
            Some(text) => Word::of(text.trim_end_matches('\n')),
            None => Word { is_output: true, ..Word::unknown() },
        }
    }

    /// The values that an expansion can have.
    fn values(&mut self, expression: &ParameterExpr, source: &str, depth: usize) -> Vec<Word> {
        match expression {
            ParameterExpr::Parameter { parameter, indirect: false }
            | ParameterExpr::IndicateErrorIfNullOrUnset { parameter, indirect: false, .. } => self.parameter(parameter),
            ParameterExpr::UseDefaultValues { parameter, indirect: false, default_value, .. }
            | ParameterExpr::AssignDefaultValues { parameter, indirect: false, default_value, .. } => {
                let mut values = self.parameter(parameter);
                let own = self.texts(default_value.as_deref().unwrap_or_default(), depth);
                if let (ParameterExpr::AssignDefaultValues { .. }, Parameter::Named(name)) = (expression, parameter) {
                    for value in &own {
                        self.set(name, value.clone());
                    }
                }
                values.extend(own);
                values
            }
            ParameterExpr::UseAlternativeValue { alternative_value, .. } => {
                let mut values = self.texts(alternative_value.as_deref().unwrap_or_default(), depth);
                values.push(Word::of(""));
                values
            }
            ParameterExpr::ParameterLength { .. } => vec![Word::of("0")],
            _ => {
                // Its parts may hold commands, though what comes of it is not known.
                if let Some(at) = source.get(2..).and_then(|text| text.find(['$', '`'])) {
                    let inner = source.get(2 + at..source.len() - 1).unwrap_or_default();
                    self.words(inner, depth);
                }
                vec![Word { splits: false, ..Word::unknown() }]
            }
        }
    }

    fn texts(&mut self, word: &str, depth: usize) -> Vec<Word> {
        let ways = self.words(word, depth);
        ways.iter().map(|way| Word::of(way.iter().map(|word| &*word.text).collect::<Vec<_>>().join(" "))).collect()
    }

    fn parameter(&mut self, parameter: &Parameter) -> Vec<Word> {
        let all = |values: Vec<Word>| values.into_iter().map(|value| Word { splits: true, ..value }).collect();
        match parameter {
            Parameter::Named(name) => self.variable(name),
            Parameter::NamedWithAllIndices { name, .. } => all(self.variable(name)),
            Parameter::NamedWithIndex { name, .. } => {
                let whole = self.variable(name);
                whole.iter().flat_map(|value| value.text.split_whitespace()).take(MAX_WAYS).map(Word::of).collect()
            }
            Parameter::Special(SpecialParameter::AllPositionalParameters { .. }) => all(vec![Word::unknown()]),
            Parameter::Special(SpecialParameter::CurrentOptionFlags | SpecialParameter::ShellName)
            | Parameter::Positional(_) => vec![Word { splits: false, ..Word::unknown() }],
            Parameter::Special(_) => vec![Word::of("0")],
        }
    }

    fn variable(&self, name: &str) -> Vec<Word> {
        match (self.names.variables.get(name), name) {
            (Some(values), _) => values.clone(),
            (None, "HOME") => vec![Word::of("~")],
            (None, "PWD") => vec![Word::of(".")],
            (None, "IFS") => vec![Word::of(" ")],
            (None, _) => vec![Word { splits: false, ..Word::unknown() }],
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

/// The words that the parts make.
fn fields(chunks: &[Chunk]) -> Vec<Word> {
    let mut words = Vec::new();
    let mut current: Option<Word> = None;
    for chunk in chunks {
        if chunk.kind != Kind::Splits {
            let word = current.get_or_insert_default();
            word.text.push_str(&chunk.text);
            word.has_pattern |= chunk.kind == Kind::Plain && chunk.text.contains(['*', '?', '[']);
            word.is_output |= chunk.is_output;
            continue;
        }
        for (at, part) in chunk.text.split(char::is_whitespace).enumerate() {
            if at > 0 {
                words.extend(current.take());
            }
            if !part.is_empty() {
                let word = current.get_or_insert_default();
                word.text.push_str(part);
                word.has_pattern |= part.contains(['*', '?', '[']);
                word.splits |= part.contains(UNKNOWN);
                word.is_output |= chunk.is_output;
            }
        }
    }
    words.extend(current);
    words
}
