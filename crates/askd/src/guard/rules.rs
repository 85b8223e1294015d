//! Whether a call meets a rule.

use super::paths::named;
use super::policy::{Guard, Program, Rule};
use super::word::{Origin, UNKNOWN, Word};

/// How sure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Match {
    No,
    /// It depends on something that is not known.
    Maybe,
    Yes,
}

/// Options and arguments of one call.
struct Call<'a> {
    options: Vec<&'a Word>,
    /// What is no option nor an option's value.
    arguments: Vec<&'a Word>,
}

/// No look takes longer than this many letters of a word.
const MAX_LETTERS: usize = 400;

/// The rule that this call meets, and how surely.
pub(super) fn met(guard: &Guard, call: &[Word], folders: &[String]) -> Option<(usize, Match)> {
    let rules = guard.rules.iter().enumerate();
    let met = rules.map(|(index, rule)| (index, meets_rule(guard, rule, call, folders)));
    let mut best = None;
    for (index, sure) in met {
        match sure {
            Match::Yes => return Some((index, Match::Yes)),
            Match::Maybe => best = best.or(Some((index, Match::Maybe))),
            Match::No => {}
        }
    }
    best
}

fn meets_rule(guard: &Guard, rule: &Rule, call: &[Word], folders: &[String]) -> Match {
    let [program, rest @ ..] = call else { return Match::No };
    let name = program.file_name();
    let mut dashed = Vec::new();
    let (mut best, mut own) = (Match::No, rest);
    let mut known = "";
    for candidate in &rule.programs {
        let sub = name.strip_prefix(&**candidate).and_then(|rest| rest.strip_prefix('-'));
        if let Some(sub) = sub.filter(|_| guard.programs.get(candidate).is_some_and(|program| program.dashed)) {
            dashed = std::iter::once(Word::of(sub)).chain(rest.iter().cloned()).collect();
            (best, known) = (Match::Yes, candidate);
            break;
        }
        let sure = same(program, name, candidate);
        if sure > best {
            (best, known) = (sure, candidate);
        }
    }
    if best == Match::No {
        return Match::No;
    }
    if !dashed.is_empty() {
        own = &dashed;
    }
    let empty = Program::default();
    let shape = guard.programs.get(known).unwrap_or(&empty);
    let judged = |call: &Call<'_>| conditions(rule, shape, call, folders, best, program.is_blank());
    let sure = judged(&Call::of(own, shape, false));
    if shape.switches.is_empty() { sure } else { sure.max(judged(&Call::of(own, shape, true))) }
}

/// All conditions of a rule, where the program is known as surely as `program` says.
fn conditions(
    rule: &Rule,
    shape: &Program,
    call: &Call<'_>,
    folders: &[String],
    program: Match,
    is_blank: bool,
) -> Match {
    if changes_nothing(&call.options, &rule.unless_flags) {
        return Match::No;
    }
    let mut sure = vec![program];
    let mut arguments = &*call.arguments;
    if !rule.subcommands.is_empty() {
        let (found, words) = subcommand(&rule.subcommands, arguments);
        sure.push(found);
        arguments = arguments.get(words..).unwrap_or_default();
    }
    let before = sure.len();
    if !rule.flags.is_empty() {
        sure.push(best(call.options.iter().map(|option| flag(option, &rule.flags, shape))));
    }
    if !rule.arguments.is_empty() {
        sure.push(best(arguments.iter().map(|word| argument(word, &rule.arguments))));
    }
    if !rule.branches.is_empty() {
        // The first is the remote, unless an option names it.
        let remote = usize::from(!call.options.iter().any(|option| option.text.starts_with("--repo")));
        sure.push(best(arguments.iter().skip(remote).map(|word| branch(word, &rule.branches))));
    }
    if !rule.paths.is_empty() {
        sure.push(best(call.arguments.iter().map(|word| named(word, &rule.paths, folders))));
    }
    // One unknown is a risk; several are any command at all. A program of which nothing is known needs more than one word.
    let unknown = sure.iter().filter(|sure| **sure == Match::Maybe).count();
    // Nor is it a risk that any word of a program that takes files could be its one bad option: `rm "$FILE"`.
    let said_little = is_blank && sure.len() == before || sure[..] == [Match::Yes, Match::Maybe] && before == 1;
    match sure.iter().min() {
        Some(Match::Yes) => Match::Yes,
        Some(Match::Maybe) if unknown == 1 && !said_little => Match::Maybe,
        _ => Match::No,
    }
}

impl<'a> Call<'a> {
    /// With `takes_more`, long options before the subcommand of which nothing is known take a value.
    fn of(words: &'a [Word], shape: &Program, takes_more: bool) -> Self {
        let (mut options, mut arguments) = (Vec::new(), Vec::new());
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if word.text == "--" {
                arguments.extend(words.by_ref());
            } else if word.text.starts_with('-') && word.text.len() > 1 {
                options.push(word);
                let is_open = takes_more && arguments.is_empty() && word.text.starts_with("--");
                let takes = is_open && !word.text.contains('=') && !shape.switches.contains(&word.text);
                if takes || shape.value_options.contains(&word.text) {
                    words.next();
                }
            } else {
                // What is not known may be either.
                options.extend(word.text.starts_with(UNKNOWN).then_some(word));
                arguments.push(word);
            }
        }
        Self { options, arguments }
    }
}

fn best(all: impl Iterator<Item = Match>) -> Match {
    all.max().unwrap_or(Match::No)
}

/// Whether one of the options says so, and none of the same name something else: `--dry-run=client --dry-run=none`.
fn changes_nothing(options: &[&Word], unless: &[String]) -> bool {
    let name = |option: &str| {
        option.split('=').next().unwrap_or_default().trim_start_matches("--no-").trim_start_matches('-').to_owned()
    };
    let is_harmless = |option: &Word| unless.contains(&option.text);
    options.iter().any(|harmless| {
        let own = name(&harmless.text);
        is_harmless(harmless) && options.iter().all(|other| name(&other.text) != own || is_harmless(other))
    })
}

/// A variable that the command does not set, in quotes: the operator's, who means a name by it.
fn is_name(word: &Word) -> bool {
    word.is_blank() && !word.splits && matches!(word.origin, Origin::Environment | Origin::Filled)
}

fn argument(word: &Word, patterns: &[String]) -> Match {
    if is_name(word) {
        return Match::No;
    }
    let (out, of): (Vec<&str>, Vec<&str>) =
        patterns.iter().map(|pattern| &**pattern).partition(|pattern| pattern.starts_with('!'));
    if out.iter().any(|pattern| same(word, &word.text, &pattern[1..]) == Match::Yes) {
        return Match::No;
    }
    best(of.iter().map(|pattern| same(word, &word.text, pattern)))
}

/// Whether the arguments begin with one of the subcommands, and how many words it has.
fn subcommand(wanted: &[String], arguments: &[&Word]) -> (Match, usize) {
    let one = |wanted: &String| {
        let parts: Vec<&str> = wanted.split_whitespace().collect();
        let sure = parts
            .iter()
            .enumerate()
            .map(|(at, part)| arguments.get(at).map_or(Match::No, |word| same(word, &word.text, part)));
        (sure.min().unwrap_or(Match::No), parts.len())
    };
    wanted.iter().map(one).max().unwrap_or((Match::No, 0))
}

fn flag(word: &Word, flags: &[String], shape: &Program) -> Match {
    if is_name(word) {
        return Match::No;
    }
    if word.text.starts_with(UNKNOWN) {
        return Match::Maybe;
    }
    let given = word.text.split('=').next().unwrap_or_default();
    let one = |flag: &String| match (flag.strip_prefix("--"), flag.strip_prefix('-')) {
        // Git and GNU programs take any beginning that is enough to tell them apart.
        (Some(_), _) if given.len() > 2 => flag.starts_with(given.trim_end_matches(UNKNOWN)),
        (Some(_), _) => false,
        (None, Some(letter)) if letter.chars().count() == 1 && !given.starts_with("--") => {
            let mut letters = given.chars().skip(1);
            let ends = |letter: char| shape.value_options.contains(&format!("-{letter}"));
            letters.by_ref().take_while(|letter| !ends(*letter)).any(|other| letter.starts_with(other))
        }
        _ => flag == given,
    };
    if flags.iter().any(one) { Match::Yes } else { Match::No }
}

/// Whether a refspec writes to one of the branches.
fn branch(word: &Word, branches: &[String]) -> Match {
    if is_name(word) {
        return Match::No;
    }
    let refspec = word.text.strip_prefix('+').unwrap_or(&word.text);
    let target = refspec.rsplit(':').next().unwrap_or_default();
    let target = target.strip_prefix("refs/heads/").or_else(|| target.strip_prefix("heads/")).unwrap_or(target);
    // `refs/heads/*` writes to all of them.
    let target =
        Word { text: target.to_owned(), has_pattern: word.has_pattern || target.contains('*'), ..word.clone() };
    best(branches.iter().map(|branch| same(&target, &target.text, branch)))
}

/// Whether a word is what a pattern with `*` says.
fn same(word: &Word, text: &str, pattern: &str) -> Match {
    if !meets(text, word.has_pattern, pattern) {
        Match::No
    } else if word.is_known() {
        Match::Yes
    } else {
        Match::Maybe
    }
}

/// Whether a text can be what a pattern with `*` says: unknown parts can be anything, and where the text is a pattern of
/// the shell, so can `*`, `?` and `[…]`.
pub(super) fn meets(text: &str, is_pattern: bool, pattern: &str) -> bool {
    let any = |letter: char| letter == UNKNOWN || is_pattern && matches!(letter, '*' | '?' | '[');
    let mut letters: Vec<char> = Vec::new();
    let mut rest = text.chars();
    while let Some(letter) = rest.next() {
        letters.push(if any(letter) { UNKNOWN } else { letter });
        if is_pattern && letter == '[' {
            rest.by_ref().find(|letter| *letter == ']');
        }
    }
    if letters.len() > MAX_LETTERS || pattern.len() > MAX_LETTERS {
        return text == pattern;
    }
    // `row[j]`: whether what was read of the text fits the first `j` letters of the pattern.
    let pattern: Vec<char> = pattern.chars().collect();
    let open = |row: &mut Vec<bool>| {
        for at in 1..row.len() {
            row[at] |= pattern[at - 1] == '*' && row[at - 1];
        }
    };
    let mut row = vec![false; pattern.len() + 1];
    row[0] = true;
    open(&mut row);
    for letter in letters {
        let mut next = vec![false; row.len()];
        if letter == UNKNOWN {
            let first = row.iter().position(|fits| *fits).unwrap_or(row.len());
            next.iter_mut().skip(first).for_each(|fits| *fits = true);
        } else {
            for at in 1..row.len() {
                let fits = pattern[at - 1] == '*' && row[at] || pattern[at - 1] == letter && row[at - 1];
                next[at] = fits;
            }
        }
        open(&mut next);
        row = next;
    }
    row[pattern.len()]
}
