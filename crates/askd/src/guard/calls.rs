//! From a command of a script to the programs that it starts: wrappers are taken off, scripts within are read.

use brush_parser::ast::{
    AssignmentName, AssignmentValue, CommandPrefixOrSuffixItem, IoFileRedirectTarget, IoRedirect, SimpleCommand,
    SubshellCommand,
};

use super::items::{Item, Stdin, last};
use super::judge::{Look, MAX_VALUES};
use super::resolve::product;
use super::word::{UNKNOWN, Word};
use super::wrappers::{Wrapper, is_shell, wrapper};

/// Ways in which all words of a command can come out together.
const MAX_WAYS: usize = 48;

/// Words that come in through a pipe, which are put in one by one.
const MAX_GIVEN: usize = 20;

/// Wrappers around one command.
const MAX_WRAPPERS: usize = 20;

impl Look<'_> {
    pub(super) fn item(&mut self, item: &Item<'_>, depth: usize) {
        match item {
            Item::Simple(simple, stdin) => {
                self.assignments(simple, depth);
                for call in self.calls_of(simple, depth) {
                    self.call(&call, *stdin, depth, 0);
                }
            }
            Item::For(name, words) => {
                let ways: Vec<_> = words.iter().flat_map(|word| self.words(&word.value, depth)).collect();
                if words.is_empty() {
                    self.set(name, Word::unknown());
                }
                ways.into_iter().flatten().for_each(|value| self.set(name, value));
            }
            Item::Function(name) => drop(self.names.functions.insert((*name).to_owned())),
            Item::Word(word) => drop(self.words(&word.value, depth)),
            Item::Document(document) if document.requires_expansion => {
                drop(self.document(&document.doc.value, depth));
            }
            Item::Document(_) => {}
            Item::Arithmetic(expression) => self.arithmetic(expression, depth),
        }
    }

    /// What becomes of the words of a command, in every way in which they can come out.
    pub(super) fn calls_of(&mut self, simple: &SimpleCommand, depth: usize) -> Vec<Vec<Word>> {
        let mut ways: Vec<Vec<Word>> = vec![Vec::new()];
        if let Some(name) = &simple.word_or_name {
            ways = self.words(&name.value, depth);
        }
        for part in simple.suffix.iter().flat_map(|suffix| &suffix.0) {
            let next = match part {
                CommandPrefixOrSuffixItem::Word(word) | CommandPrefixOrSuffixItem::AssignmentWord(_, word) => {
                    self.words(&word.value, depth)
                }
                CommandPrefixOrSuffixItem::ProcessSubstitution(_, shell) => {
                    vec![vec![self.file_of(shell, depth)]]
                }
                CommandPrefixOrSuffixItem::IoRedirect(_) => continue,
            };
            ways = product(ways, next, Word::unknown(), MAX_WAYS);
        }
        self.charge(ways.iter().map(|way| way.len() * 10).sum());
        ways
    }

    fn file_of(&mut self, shell: &SubshellCommand, depth: usize) -> Word {
        let Some(command) = last(&shell.list) else {
            return Word { content: Some(UNKNOWN.into()), ..Word::of("/dev/fd/63") };
        };
        let content = match self.printed_by(command, depth) {
            None if self.is_foreign(command, depth) => None,
            content => Some(content.unwrap_or_else(|| UNKNOWN.into())),
        };
        Word { content, ..Word::of("/dev/fd/63") }
    }

    fn assignments(&mut self, simple: &SimpleCommand, depth: usize) {
        let parts = simple.prefix.iter().flat_map(|list| &list.0).chain(simple.suffix.iter().flat_map(|list| &list.0));
        for part in parts {
            match part {
                CommandPrefixOrSuffixItem::AssignmentWord(assignment, _) => {
                    let (AssignmentName::VariableName(name) | AssignmentName::ArrayElementName(name, _)) =
                        &assignment.name;
                    let values = match &assignment.value {
                        AssignmentValue::Scalar(word) => self.words(&word.value, depth),
                        AssignmentValue::Array(words) => {
                            let texts = words
                                .iter()
                                .map(|(_, word)| self.one_text(&word.value, depth).unwrap_or_else(|| UNKNOWN.into()));
                            vec![vec![Word::of(texts.collect::<Vec<_>>().join(" "))]]
                        }
                    };
                    for value in values {
                        let is_output = value.iter().any(|word| word.is_output);
                        let text = value.iter().map(|word| &*word.text).collect::<Vec<_>>().join(" ");
                        self.assign(name, &Word { is_output, ..Word::of(text) }, assignment.append);
                    }
                }
                CommandPrefixOrSuffixItem::IoRedirect(IoRedirect::File(
                    _,
                    _,
                    IoFileRedirectTarget::ProcessSubstitution(_, shell),
                )) => drop(self.file_of(shell, depth)),
                _ => {}
            }
        }
    }

    fn assign(&mut self, name: &str, value: &Word, is_appended: bool) {
        if !is_appended {
            return self.set(name, value.clone());
        }
        let before = self.names.variables.get(name).cloned().unwrap_or_default();
        if before.is_empty() {
            self.set(name, value.clone());
        }
        for old in before.iter().filter(|old| !old.text.ends_with(&value.text)) {
            let joined = Word { text: format!("{}{}", old.text, value.text), ..value.clone() };
            self.set(name, joined);
        }
    }

    /// A program with its arguments; `layers` counts what was taken off.
    pub(super) fn call(&mut self, call: &[Word], stdin: Stdin<'_>, depth: usize, layers: usize) {
        self.charge(50 + call.len());
        let [program, rest @ ..] = call else { return };
        if self.is_exhausted() {
            return;
        }
        if layers > MAX_WRAPPERS {
            return self.doubt("too much is nested in it");
        }
        if program.is_blank() && program.splits && program.is_output {
            return self.doubt("what it runs is what another command prints");
        }
        let name = program.file_name().to_owned();
        if let Some(alias) = self.names.aliases.get(&name).cloned() {
            self.script(&alias, depth + 1);
            let own = alias.split_whitespace().map(Word::of);
            let words: Vec<Word> = own.chain(rest.iter().cloned()).collect();
            if words.first().is_some_and(|first| first.text != name) {
                self.call(&words, stdin, depth, layers + 1);
            }
        }
        if self.names.functions.contains(&name) {
            self.give(rest);
            // It may run what it is given.
            self.call(rest, stdin, depth, layers + 1);
        }
        match &*name {
            "eval" => self.joined(rest, depth),
            "trap" => rest.iter().take(1).for_each(|script| self.script(&script.text, depth + 1)),
            "source" | "." => self.file(rest.first(), stdin, depth),
            "alias" => self.alias(rest),
            "set" => {
                let given = rest.iter().skip_while(|word| word.text.starts_with(['-', '+'])).cloned();
                let given: Vec<Word> = given.collect();
                self.give(&given);
                self.call(&given, stdin, depth, layers + 1);
            }
            "cd" | "pushd" => self.go(rest),
            "read" | "mapfile" | "readarray" | "getopts" => self.take_in(rest),
            "printf" if rest.first().is_some_and(|word| word.text == "-v") => self.take_in(rest),
            "find" => self.find(call, stdin, depth, layers),
            "git" => self.git(call, stdin, depth, layers),
            "command" if rest.first().is_some_and(|word| matches!(&*word.text, "-v" | "-V")) => {}
            shell if is_shell(shell) => self.shell(rest, stdin, depth),
            other => match wrapper(other, rest) {
                Some(wrapper) => self.unwrap(wrapper, other, rest, stdin, depth, layers),
                None => self.program(call),
            },
        }
    }

    /// Sets `$@` and `$1`, which may be any of them: a loop may take one after the other.
    fn give(&mut self, words: &[Word]) {
        /// Letters of all; more is not known.
        const MOST: usize = 2_000;
        self.charge(words.len() * 10);
        let all = words.iter().map(|word| &*word.text).collect::<Vec<_>>().join(" ");
        let all = if all.len() > MOST { Word::unknown() } else { Word::of(all) };
        self.set("@", all);
        for word in words.iter().take(MAX_VALUES + 1) {
            self.set("1", Word { content: None, ..word.clone() });
        }
    }

    pub(super) fn joined(&mut self, words: &[Word], depth: usize) {
        // What follows is what `parallel` is to fill in.
        let words = words.split(|word| word.text.starts_with(":::")).next().unwrap_or_default();
        let known = words.iter().filter(|word| !word.is_foreign_script());
        let text = known.map(|word| &*word.text).collect::<Vec<_>>().join(" ");
        self.script(&text, depth + 1);
    }

    fn alias(&mut self, words: &[Word]) {
        for (name, value) in words.iter().filter_map(|word| word.text.split_once('=')) {
            self.names.aliases.insert(name.to_owned(), value.to_owned());
        }
    }

    /// Sets variables to what is not known. Values of options are taken for names as well, which does no harm.
    fn take_in(&mut self, words: &[Word]) {
        for word in words.iter().filter(|word| !word.text.starts_with('-')).take(10) {
            self.set(&word.text, Word { splits: false, ..Word::unknown() });
        }
    }

    fn go(&mut self, words: &[Word]) {
        let folder = words.iter().find(|word| !word.text.starts_with('-') || word.text == "-");
        let folder = folder.map_or("~", |word| &*word.text);
        let is_far = folder.starts_with(['/', '~', '.', UNKNOWN]);
        let folder = folder.to_owned();
        if is_far && !self.names.folders.contains(&folder) && self.names.folders.len() < 8 {
            self.names.folders.push(folder);
        }
    }

    /// A shell: its script, or what it reads.
    fn shell(&mut self, words: &[Word], stdin: Stdin<'_>, depth: usize) {
        let mut words = words.iter();
        let mut is_script = false;
        while let Some(word) = words.next() {
            match &*word.text {
                "-s" => return self.reads(stdin, depth),
                "-o" | "+o" | "-O" | "+O" | "--rcfile" | "--init-file" => drop(words.next()),
                option if option.starts_with("--") || option == "-" => {}
                option if option.starts_with(['-', '+']) && option.len() > 1 => {
                    is_script |= option.starts_with('-') && option.contains('c');
                    if option.ends_with('o') {
                        words.next();
                    }
                }
                _ if is_script && word.is_foreign_script() => return,
                script if is_script => return self.script(script, depth + 1),
                _ => return self.file(Some(word), stdin, depth),
            }
        }
        self.reads(stdin, depth);
    }

    /// A file that is run as a script. What stands in it is not looked at, unless the command writes it itself.
    fn file(&mut self, file: Option<&Word>, stdin: Stdin<'_>, depth: usize) {
        match file {
            Some(Word { content: Some(content), .. }) => self.script(content, depth + 1),
            Some(word) if matches!(&*word.text, "/dev/stdin" | "/dev/fd/0" | "/proc/self/fd/0" | "-") => {
                self.reads(stdin, depth);
            }
            _ => {}
        }
    }

    fn reads(&mut self, stdin: Stdin<'_>, depth: usize) {
        match (stdin, self.text_of(stdin, depth)) {
            (Stdin::None, _) => {}
            (_, Some(script)) => self.script(&script, depth + 1),
            (Stdin::Pipe(command), None) if self.is_foreign(command, depth) => {}
            (_, None) => self.doubt("what a shell is given to run is not known"),
        }
    }

    /// Takes a wrapper off.
    fn unwrap(&mut self, wrapper: &Wrapper, name: &str, words: &[Word], stdin: Stdin<'_>, depth: usize, layers: usize) {
        if matches!(name, "su" | "runuser") {
            self.scripts_of(words, depth);
        }
        let mut rest = words;
        let mut before = wrapper.before;
        let mut placeholder = "{}".to_owned();
        while let [word, tail @ ..] = rest {
            let text = &*word.text;
            let value = || tail.first().map(|word| word.text.clone()).unwrap_or_default();
            let folder = if name == "sudo" { ["-D", "--chdir"] } else { ["-C", "--chdir"] };
            if matches!(name, "env" | "sudo") && folder.contains(&text) {
                self.go(tail.get(..1).unwrap_or_default());
            } else if let Some(folder) = text.strip_prefix("--chdir=") {
                self.go(&[Word::of(folder)]);
            }
            if text == "--" {
                rest = tail;
                break;
            } else if text == "-" {
                rest = tail;
            } else if wrapper.script_options.contains(&text) {
                self.script(&value(), depth + 1);
                rest = tail.get(1..).unwrap_or_default();
            } else if name == "env" && (text.starts_with("-S") || text.starts_with("--split-string")) {
                let attached = text.trim_start_matches("--split-string").trim_start_matches("-S");
                let attached = attached.trim_start_matches('=');
                let own = if attached.is_empty() { value() } else { attached.to_owned() };
                let own = own.split_whitespace().map(Word::of);
                let after = if attached.is_empty() { tail.get(1..).unwrap_or_default() } else { tail };
                let all: Vec<Word> = own.chain(after.iter().cloned()).collect();
                return self.unwrap(wrapper, "env", &all, stdin, depth, layers);
            } else if wrapper.value_options.contains(&text) {
                if matches!(text, "-I" | "--replace") {
                    placeholder = value();
                }
                rest = tail.get(1..).unwrap_or_default();
            } else if wrapper.takes_next(text) {
                rest = tail.get(1..).unwrap_or_default();
            } else if text.starts_with(['-', '+']) && text.len() > 1 {
                if let Some(own) = text.strip_prefix("-I") {
                    own.clone_into(&mut placeholder);
                }
                rest = tail;
            } else if matches!(name, "env" | "sudo" | "doas") && text.contains('=') && !text.starts_with('=') {
                rest = tail;
            } else if before > 0 {
                before -= 1;
                rest = tail;
            } else {
                break;
            }
        }
        let rest = rest.get(before.min(rest.len())..).unwrap_or_default();
        if wrapper.joins {
            return self.joined(rest, depth);
        }
        if name != "xargs" || rest.is_empty() {
            return self.call(rest, stdin, depth, layers + 1);
        }
        // What comes in, if that is known: names of files, mostly.
        let text = self.text_of(stdin, depth).filter(|text| !text.trim().is_empty());
        let texts: Vec<String> = text.iter().flat_map(|text| text.split_whitespace()).map(str::to_owned).collect();
        let given = if texts.is_empty() || texts.len() > MAX_GIVEN { vec![UNKNOWN.to_string()] } else { texts };
        let has_place = !placeholder.is_empty() && rest.iter().any(|word| word.text.contains(&*placeholder));
        for given in given {
            let mut call: Vec<Word> = rest.to_vec();
            if has_place {
                for word in &mut call {
                    word.text = word.text.replace(&*placeholder, &given);
                }
            } else {
                let (splits, has_pattern) = (given.contains(UNKNOWN), given.contains('*'));
                call.push(Word { has_pattern, splits, ..Word::of(given) });
            }
            self.call(&call, Stdin::None, depth, layers + 1);
        }
    }

    /// What `su` is given to run, also after the user's name: `su - user -c …`.
    fn scripts_of(&mut self, words: &[Word], depth: usize) {
        for (at, word) in words.iter().enumerate() {
            let is_short = word.text.starts_with('-') && !word.text.starts_with("--") && word.text.ends_with('c');
            if let Some(script) = word.text.strip_prefix("--command=") {
                self.script(script, depth + 1);
            } else if let Some(script) = words.get(at + 1).filter(|_| is_short || word.text == "--command") {
                self.script(&script.text, depth + 1);
            }
        }
    }

    /// `find` runs what follows `-exec`, on what lies in the folders before it.
    fn find(&mut self, call: &[Word], stdin: Stdin<'_>, depth: usize, layers: usize) {
        let is_folder = |word: &&Word| !word.text.starts_with(['-', '(', '!']);
        let folders: Vec<&Word> = call.iter().skip(1).take_while(is_folder).collect();
        let mut rest = call;
        while let Some(at) = rest.iter().position(|word| matches!(&*word.text, "-exec" | "-execdir" | "-ok" | "-okdir"))
        {
            let own = &rest[at + 1..];
            let end = own.iter().position(|word| matches!(&*word.text, ";" | "+")).unwrap_or(own.len());
            for folder in folders.iter().take(8) {
                let put = |word: &Word| {
                    if word.text.contains("{}") {
                        Word { text: word.text.replace("{}", &folder.text), ..word.clone() }
                    } else {
                        word.clone()
                    }
                };
                let inner: Vec<Word> = own[..end].iter().map(put).collect();
                self.call(&inner, stdin, depth, layers + 1);
            }
            if folders.is_empty() {
                self.call(&own[..end], stdin, depth, layers + 1);
            }
            rest = own.get(end..).unwrap_or_default();
        }
        self.program(call);
    }
}
