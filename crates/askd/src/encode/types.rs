//! Which types of events a client wants to see.

/// More names than that are no filter.
const MAX_TYPES: usize = 50;
const MAX_LENGTH: usize = 64;

/// Names, or beginnings of names. Empty: all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Types {
    exact: Vec<String>,
    prefixes: Vec<String>,
}

impl Types {
    /// Reads a list such as `agent.assistant,run.*`; the error says what is wrong with it.
    pub fn parse(list: &str) -> Result<Self, String> {
        let mut types = Self::default();
        for name in list.split(',').map(str::trim) {
            let (word, begins) = name.strip_suffix(".*").map_or((name, false), |word| (word, true));
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
            if !(1..=MAX_LENGTH).contains(&word.len()) || !word.bytes().all(plain) {
                return Err("must be a list of types such as agent.assistant,run.*".to_owned());
            }
            if begins { types.prefixes.push(format!("{word}.")) } else { types.exact.push(word.to_owned()) }
        }
        if types.exact.len() + types.prefixes.len() > MAX_TYPES {
            return Err(format!("has more than {MAX_TYPES} types"));
        }
        Ok(types)
    }

    /// Whether an event of this type is wanted.
    pub fn want(&self, kind: &str) -> bool {
        self.want_all()
            || self.exact.iter().any(|name| name == kind)
            || self.prefixes.iter().any(|prefix| kind.starts_with(prefix))
    }

    /// Whether nothing is left out.
    pub fn want_all(&self) -> bool {
        self.exact.is_empty() && self.prefixes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_beginnings_of_names_are_wanted() {
        let table = [
            ("agent.assistant", "agent.assistant", true),
            ("agent.assistant", "agent.assistant_new", false),
            ("run.*", "run.completed", true),
            ("run.*", "running", false),
            ("run.*, agent.result", "agent.result", true),
            ("run.*", "agent.user", false),
        ];
        for (list, kind, wanted) in table {
            assert_eq!(Types::parse(list).unwrap().want(kind), wanted, "{list} {kind}");
        }
        assert!(Types::default().want("anything"));
    }

    #[test]
    fn what_is_no_list_of_types_is_refused() {
        let many = ["a"; 51].join(",");
        for list in ["", "a,,b", "*", ".*", "a b", "run*", &"x".repeat(65), &many] {
            assert!(Types::parse(list).is_err(), "{list}");
        }
    }
}
