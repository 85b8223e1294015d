//! The script in a prompt.

/// A directive's name and the rest of its line.
pub(crate) struct Directive {
    pub name: String,
    pub argument: String,
}

/// The directives of a prompt, in order, and those for the messages after it: at least one part.
pub(crate) fn parse_parts(prompt: &str) -> Vec<Vec<Directive>> {
    let mut parts = vec![Vec::new()];
    for directive in parse(prompt) {
        if directive.name == "then" {
            parts.push(Vec::new());
        } else if let Some(last) = parts.last_mut() {
            last.push(directive);
        }
    }
    parts
}

fn parse(prompt: &str) -> Vec<Directive> {
    let lines = prompt.lines().filter_map(|line| line.strip_prefix('!'));
    let directives = lines.map(|line| {
        let (name, argument) = line.split_once(' ').unwrap_or((line, ""));
        Directive { name: name.to_owned(), argument: argument.to_owned() }
    });
    directives.collect()
}

/// A number of bytes, e.g. `10`, `1k`, `200m`.
pub(crate) fn bytes(text: &str) -> usize {
    let (digits, factor) = match text.as_bytes().last() {
        Some(b'k') => (&text[..text.len() - 1], 1 << 10),
        Some(b'm') => (&text[..text.len() - 1], 1 << 20),
        _ => (text, 1),
    };
    digits.parse::<usize>().unwrap_or(0) * factor
}

/// The bytes that hexadecimal digits stand for.
pub(crate) fn hex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks_exact(2).map(|pair| std::str::from_utf8(pair).unwrap_or("00"));
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap_or(0)).collect()
}
