//! What some commands print, where that can be told without running them.

use brush_parser::ast::{Command, CommandPrefixOrSuffixItem, SimpleCommand};

use super::items::{Stdin, last};
use super::judge::Look;
use super::text::parse;
use super::word::{UNKNOWN, Word, decode};

impl Look<'_> {
    /// What a script of one command prints.
    pub(super) fn printed(&mut self, script: &str, depth: usize) -> Option<String> {
        self.charge(script.len() + 100);
        let program = parse(script).ok()?;
        let [list] = &*program.complete_commands else { return None };
        self.printed_by(last(list)?, depth)
    }

    pub(super) fn printed_by(&mut self, command: &Command, depth: usize) -> Option<String> {
        let Command::Simple(simple) = command else { return None };
        let mut ways = self.calls_of(simple, depth);
        let call = (ways.len() == 1).then(|| ways.pop()).flatten()?;
        if call.len() == 1 && call[0].text == "cat" {
            return self.text_of(stdin_of(simple), depth);
        }
        printed_text(&call)
    }

    /// What comes in at standard input.
    pub(super) fn text_of(&mut self, stdin: Stdin<'_>, depth: usize) -> Option<String> {
        match stdin {
            Stdin::None => None,
            Stdin::Pipe(command) => self.printed_by(command, depth),
            Stdin::Document(document) if document.requires_expansion => self.document(&document.doc.value, depth),
            Stdin::Document(document) => Some(document.doc.value.clone()),
            Stdin::Text(word) => self.one_text(&word.value, depth),
        }
    }
}

/// Programs whose output is a script of somebody else's, which is no more looked at than a script in a file: downloads, and
/// what prints settings for a shell.
const FOREIGN: [&str; 36] = [
    "asdf",
    "brew",
    "conda",
    "curl",
    "dbus-launch",
    "dircolors",
    "direnv",
    "docker-machine",
    "fnm",
    "fzf",
    "gh",
    "gnome-keyring-daemon",
    "helm",
    "jenv",
    "keychain",
    "kubectl",
    "mamba",
    "micromamba",
    "minikube",
    "mise",
    "nodenv",
    "npm",
    "opam",
    "poetry",
    "pyenv",
    "rbenv",
    "register-python-argcomplete",
    "rustup",
    "ssh-agent",
    "starship",
    "tmuxifier",
    "uv",
    "volta",
    "wget",
    "zoxide",
    "goenv",
];

impl Look<'_> {
    /// Whether a command prints a script that others wrote.
    pub(super) fn is_foreign(&mut self, command: &Command, depth: usize) -> bool {
        let Command::Simple(simple) = command else { return false };
        let mut calls = self.calls_of(simple, depth).into_iter();
        let is_foreign = |call: &Vec<Word>| call.first().is_some_and(|program| FOREIGN.contains(&program.file_name()));
        calls.len() > 0 && calls.all(|call| is_foreign(&call))
    }

    /// The same for a script that is one command.
    pub(super) fn prints_foreign(&mut self, script: &str, depth: usize) -> bool {
        self.charge(script.len() + 100);
        let Ok(program) = parse(script) else { return false };
        let [list] = &*program.complete_commands else { return false };
        last(list).is_some_and(|command| self.is_foreign(command, depth))
    }
}

/// Names of files below the folders that it looks into.
fn found(words: &[&str]) -> Option<String> {
    const OTHER: [&str; 4] = ["-printf", "-fprintf", "-exec", "-execdir"];
    if words.iter().any(|word| OTHER.contains(word)) {
        return None;
    }
    let folders: Vec<&str> = words.iter().copied().take_while(|word| !word.starts_with(['-', '(', '!'])).collect();
    let folders = if folders.is_empty() { vec!["."] } else { folders };
    Some(folders.iter().map(|folder| format!("{folder}/{UNKNOWN}")).collect::<Vec<_>>().join("\n"))
}

fn stdin_of(simple: &SimpleCommand) -> Stdin<'_> {
    use brush_parser::ast::IoRedirect::{HereDocument, HereString};
    let parts = simple.prefix.iter().flat_map(|list| &list.0).chain(simple.suffix.iter().flat_map(|list| &list.0));
    let mut stdin = Stdin::None;
    for part in parts {
        match part {
            CommandPrefixOrSuffixItem::IoRedirect(HereDocument(_, document)) => stdin = Stdin::Document(document),
            CommandPrefixOrSuffixItem::IoRedirect(HereString(_, word)) => stdin = Stdin::Text(word),
            _ => {}
        }
    }
    stdin
}

fn printed_text(call: &[Word]) -> Option<String> {
    let texts: Vec<&str> = call.iter().map(|word| &*word.text).collect();
    let (program, rest) = texts.split_first()?;
    match (*program, rest) {
        ("echo", rest) => {
            let is_option = |word: &&&str| {
                word.len() > 1 && word.strip_prefix('-').is_some_and(|rest| rest.chars().all(|c| "neE".contains(c)))
            };
            let options: Vec<_> = rest.iter().take_while(is_option).collect();
            let text = rest[options.len()..].join(" ");
            Some(if options.iter().any(|option| option.contains('e')) { decode(&text) } else { text })
        }
        ("printf", ["--", format, values @ ..] | [format, values @ ..]) => formatted(format, values),
        ("which", [name]) | ("command", ["-v", name]) | ("type", ["-p" | "-P", name]) => Some((*name).to_owned()),
        ("find", rest) => found(rest),
        ("ls", ["-d" | "-1d" | "-d1", names @ ..]) if !names.is_empty() => Some(names.join("\n")),
        // Names without their folder.
        ("ls", rest) if rest.iter().all(|word| !word.contains('d') || !word.starts_with('-')) => {
            Some(format!("./{UNKNOWN}"))
        }
        ("git", ["ls-files", ..] | ["diff", "--name-only", ..]) => Some(format!("./{UNKNOWN}")),
        ("pwd", _) | ("git", ["rev-parse", "--show-toplevel"]) => Some(".".into()),
        ("mktemp", _) => Some("/tmp/mktemp".into()),
        // The branch that is checked out: which one, is no more known than at a plain `git push`.
        (
            "git",
            ["branch", "--show-current"] | ["rev-parse", "--abbrev-ref", "HEAD"] | ["symbolic-ref", "--short", "HEAD"],
        ) => Some("HEAD".into()),
        _ => None,
    }
}

/// `printf` with a format of `%s` and `%b` only.
fn formatted(format: &str, values: &[&str]) -> Option<String> {
    if format.starts_with('-') {
        return None;
    }
    let mut values = values.iter();
    let mut out = String::new();
    loop {
        let mut rest = format;
        let before = values.len();
        while let Some((text, tail)) = rest.split_once('%') {
            out.push_str(&decode(text));
            let directive = tail.chars().next()?;
            match directive {
                '%' => out.push('%'),
                's' | 'b' => out.push_str(&decode(values.next().unwrap_or(&""))),
                _ => return None,
            }
            rest = tail.get(1..)?;
        }
        out.push_str(&decode(rest));
        // The format is used again for what is left.
        if values.len() == 0 || values.len() == before || out.len() > 100_000 {
            return Some(out);
        }
    }
}
