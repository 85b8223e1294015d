//! What `git` runs besides itself: aliases, and commands among its arguments.

use super::items::Stdin;
use super::judge::Look;
use super::word::Word;

impl Look<'_> {
    /// What `git` runs besides itself.
    pub(super) fn git(&mut self, call: &[Word], stdin: Stdin<'_>, depth: usize, layers: usize) {
        self.steps(call, stdin, depth, layers);
        let set: Vec<(String, String)> = call
            .iter()
            .skip(1)
            .find(|word| !word.text.starts_with('-'))
            .and_then(|word| Some((word.text.clone(), self.names.aliases.get(&format!("git {}", word.text))?.clone())))
            .into_iter()
            .collect();
        let set = set.iter().map(|(name, value)| (&**name, &**value));
        let aliases = call.iter().filter_map(|word| {
            let setting = word.text.strip_prefix("-c").unwrap_or(&word.text);
            setting.strip_prefix("alias.")?.split_once('=')
        });
        for (name, value) in aliases.chain(set) {
            self.charge(10 * call.len());
            if self.is_exhausted() {
                return;
            }
            let after = call.iter().skip_while(|word| word.text != name).skip(1);
            if let Some(script) = value.strip_prefix('!') {
                let given = after.map(|word| &*word.text).collect::<Vec<_>>().join(" ");
                self.script(&format!("{script} {given}"), depth + 1);
            } else {
                let own = std::iter::once("git").chain(value.split_whitespace()).map(Word::of);
                let words: Vec<Word> = own.chain(after.cloned()).collect();
                self.call(&words, stdin, depth, layers + 1);
            }
        }
        self.program(call);
    }

    /// What it runs at each step, and aliases that it sets.
    fn steps(&mut self, call: &[Word], stdin: Stdin<'_>, depth: usize, layers: usize) {
        let after = |name: &str| call.iter().position(|word| word.text == name).map(|at| &call[at + 1..]);
        if let Some(words) = after("rebase") {
            for (at, word) in words.iter().enumerate() {
                let own = word.text.strip_prefix("--exec=").or_else(|| word.text.strip_prefix("-x"));
                match own.filter(|own| !own.is_empty()) {
                    Some(script) => self.script(script, depth + 1),
                    None if matches!(&*word.text, "-x" | "--exec") => {
                        words.get(at + 1).into_iter().for_each(|script| self.script(&script.text, depth + 1));
                    }
                    None => {}
                }
            }
        }
        if let (Some(_), Some(words)) = (after("submodule"), after("foreach")) {
            let start = words.iter().position(|word| !word.text.starts_with('-')).unwrap_or(words.len());
            self.joined(&words[start..], depth);
        }
        if let (Some(_), Some(words)) = (after("bisect"), after("run")) {
            self.call(words, stdin, depth, layers + 1);
        }
        if let Some(words) = after("config") {
            for pair in words.windows(2) {
                if let Some(name) = pair[0].text.strip_prefix("alias.") {
                    // No program has such a name.
                    self.names.aliases.insert(format!("git {name}"), pair[1].text.clone());
                }
            }
        }
    }
}
