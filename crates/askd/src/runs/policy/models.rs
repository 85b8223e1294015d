//! Whether a model is one of those that a policy allows, by all the names that it goes by.

use secrecy::ExposeSecret;

use crate::settings::groups::{self, Child};

/// The models of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Models {
    /// Aliases and ids; those that the operator's environment maps aliases to among them.
    names: Vec<String>,
}

impl Models {
    /// `child` is what the operator gives the CLI: `ANTHROPIC_DEFAULT_SONNET_MODEL` says what `sonnet` is.
    pub(super) fn new(of_policy: &[String], child: &Child) -> Self {
        let mut names = of_policy.to_vec();
        for alias in of_policy {
            let variable = format!("ANTHROPIC_DEFAULT_{}_MODEL", alias.to_ascii_uppercase());
            if let Some(id) = child.get(&variable).map(ExposeSecret::expose_secret)
                && !id.is_empty()
                && !names.iter().any(|name| name == id)
            {
                names.push(id.to_owned());
            }
        }
        Self { names }
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether the model of this name may be used: an alias covers its family, an id its version, whatever its date.
    pub(super) fn has(&self, model: &str) -> bool {
        self.names.iter().any(|name| covers(name, model))
    }

    /// Whether one of them has a name of which nobody can tell how the provider calls it: an inference profile, a
    /// gateway's own name.
    pub(super) fn has_opaque_name(&self) -> bool {
        self.names.iter().any(|name| !groups::Models::is_alias(name) && !name.contains("claude"))
    }
}

fn covers(name: &str, model: &str) -> bool {
    if name == model {
        return true;
    }
    let (name, model) = (version(name), version(model));
    if groups::Models::is_alias(name) { model.split('-').any(|part| part == name) } else { name == model }
}

/// `claude-opus-4-5` of `us.anthropic.claude-opus-4-5-20251101-v1:0`, `claude-opus-4-5@20251101` and
/// `claude-opus-4-5[1m]`: providers have names of their own for the same.
fn version(name: &str) -> &str {
    let name = name.find("claude").map_or(name, |at| &name[at..]);
    let end = name.find(['[', '@', ':']).unwrap_or(name.len());
    let name = &name[..end];
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let without = |name: &'_ str, is_suffix: &dyn Fn(&str) -> bool| {
        name.rfind('-').filter(|at| is_suffix(&name[at + 1..])).unwrap_or(name.len())
    };
    let name = &name[..without(name, &|last| last.strip_prefix('v').is_some_and(number))];
    &name[..without(name, &|last| last.len() == 8 && number(last))]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn models(names: &[&str], environment: &[(&str, &str)]) -> Models {
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned().into()));
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        Models::new(&names, &Child { environment: environment.collect() })
    }

    #[test]
    fn an_alias_covers_its_family_and_an_id_its_version_by_every_name() {
        for (name, model, is_covered) in [
            ("opus", "claude-opus-5-5", true),
            ("opus", "us.anthropic.claude-opus-4-5-20251101-v1:0", true),
            ("opus", "claude-3-opus-20240229", true),
            ("opus", "claude-opus-5-5[1m]", true),
            ("opus", "claude-haiku-5-5", false),
            ("opus", "opusculum", false),
            ("claude-opus-4-5", "claude-opus-4-5-20251101", true),
            ("claude-opus-4-5-20251101", "claude-opus-4-5", true),
            ("us.anthropic.claude-opus-4-5-20251101-v1:0", "claude-opus-4-5-20251101", true),
            ("claude-opus-4-5@20251101", "claude-opus-4-5", true),
            ("claude-opus-4-5", "claude-opus-4-6", false),
            ("claude-opus-5", "claude-opus-5-5", false),
            ("claude-opus-5-5", "claude-opus-5", false),
            ("my-model", "my-model", true),
            ("my-model", "my-model-2", false),
            ("claude-opus-4-5", "", false),
        ] {
            assert_eq!(models(&[name], &[]).has(model), is_covered, "{name} {model}");
        }
    }

    #[test]
    fn an_alias_is_what_the_operator_says_it_is() {
        let models = models(&["sonnet"], &[("ANTHROPIC_DEFAULT_SONNET_MODEL", "of-the-gateway"), ("X", "y")]);
        assert_eq!(models.names(), ["sonnet", "of-the-gateway"]);
        assert!(models.has("of-the-gateway") && models.has_opaque_name() && !models.has("claude-opus-5-5"));
    }
}
