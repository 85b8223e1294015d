//! The arguments of a directive: `429,retry_after=2,message="try later"`.

use std::str::FromStr;

/// Arguments not yet taken: at most one positional, then named ones.
pub(crate) struct Args {
    positional: Option<String>,
    named: Vec<(String, String)>,
}

impl Args {
    /// Reads arguments up to the closing `]]`; returns them and what follows it.
    pub(crate) fn read(text: &str) -> Result<(Self, &str), String> {
        let mut args = Self { positional: None, named: Vec::new() };
        let mut rest = text.trim_start();
        loop {
            if let Some(tail) = rest.strip_prefix("]]") {
                return Ok((args, tail));
            }
            let end = rest.find(['=', ',', ']', '[']).ok_or("it is not closed with `]]`")?;
            let word = rest[..end].trim();
            if let Some(value) = rest[end..].strip_prefix('=') {
                let (value, tail) = read_value(value)?;
                if args.named.iter().any(|(key, _)| key == word) {
                    return Err(format!("{word}: given twice"));
                }
                args.named.push((word.to_owned(), value));
                rest = tail;
            } else if args.positional.is_none() && args.named.is_empty() && !word.is_empty() {
                args.positional = Some(word.to_owned());
                rest = &rest[end..];
            } else {
                return Err(format!("expected key=value, found `{word}`"));
            }
            rest = rest.trim_start();
            match rest.strip_prefix(',') {
                Some(tail) => rest = tail.trim_start(),
                None if rest.starts_with("]]") => {}
                None => return Err("expected `,` or `]]` after an argument".to_owned()),
            }
        }
    }

    /// Takes the positional argument, or the one named `name`.
    pub(crate) fn first<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, String> {
        match self.positional.take() {
            Some(word) => convert(name, &word).map(Some),
            None => self.named(name),
        }
    }

    /// Takes the argument named `name`.
    pub(crate) fn named<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, String> {
        match self.named.iter().position(|(key, _)| key == name) {
            Some(at) => convert(name, &self.named.remove(at).1).map(Some),
            None => Ok(None),
        }
    }

    /// Takes a number no larger than `most`.
    pub(crate) fn at_most(&mut self, name: &str, most: u64) -> Result<Option<u64>, String> {
        match self.named::<u64>(name)? {
            Some(number) if number > most => Err(format!("{name}: at most {most}")),
            number => Ok(number),
        }
    }

    /// Checks that every argument was taken.
    pub(crate) fn finish(self) -> Result<(), String> {
        if let Some(word) = self.positional {
            return Err(format!("unexpected argument `{word}`"));
        }
        match self.named.first() {
            Some((key, _)) => Err(format!("unknown argument `{key}`")),
            None => Ok(()),
        }
    }
}

/// A JSON string, or the bare word up to `,` or `]`.
fn read_value(text: &str) -> Result<(String, &str), String> {
    if text.starts_with('"') {
        return read_json_string(text);
    }
    let end = text.find([',', ']']).ok_or("it is not closed with `]]`")?;
    Ok((text[..end].trim().to_owned(), &text[end..]))
}

/// The JSON string at the start of `text`, and what follows it.
pub(crate) fn read_json_string(text: &str) -> Result<(String, &str), String> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<String>();
    match values.next() {
        Some(Ok(value)) => Ok((value, &text[values.byte_offset()..])),
        Some(Err(error)) => Err(format!("not a JSON string: {error}")),
        None => Err("expected a JSON string".to_owned()),
    }
}

fn convert<T: FromStr>(name: &str, word: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("{name}: `{word}` is not valid here"))
}
