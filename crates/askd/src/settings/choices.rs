//! Settings that are one of a few words.

/// Declares an enum whose variants are written as given, so that a word appears in one place.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// The accepted words, in the order of the documentation.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word as it is written in settings.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// The variant that `word` names.
            pub fn from_word(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

choice! {
    /// Whether a repository's own configuration for the CLI is loaded.
    ProjectConfig {
        /// When a check by allow-list finds only texts in it.
        Auto = "auto",
        /// Only in the folders of `ASKD_TRUSTED_PROJECTS`.
        Trusted = "trusted",
        /// Never.
        Off = "off",
    }
}

choice! {
    /// What keys may change of the configuration.
    ConfigChanges {
        /// Everything.
        All = "all",
        /// Texts that cannot run anything.
        Texts = "texts",
        /// Nothing.
        None = "none",
    }
}

choice! {
    /// Whether runs must have a view of their own of the file system.
    IsolationPolicy {
        /// The server does not start unless it can give them one.
        Required = "required",
        /// The best that this machine has.
        BestEffort = "best_effort",
        /// None.
        Off = "off",
    }
}

choice! {
    /// Who may see the documentation of the API.
    Docs {
        /// Everybody, where the server listens on loopback; else who has a key.
        Auto = "auto",
        /// Everybody.
        Open = "open",
        /// Who has a key.
        Key = "key",
        /// Nobody.
        Off = "off",
    }
}

choice! {
    /// Where a run may write, if it does not ask for less.
    WriteRoot {
        /// In the workspace that its working folder lies in.
        Workspace = "workspace",
        /// In all of `WORKSPACE_DIR`.
        Root = "root",
    }
}

choice! {
    /// In which header a proxy says for whom it asks.
    ForwardedHeader {
        /// The usual one, a list of addresses.
        XForwardedFor = "x-forwarded-for",
        /// That of RFC 7239.
        Forwarded = "forwarded",
    }
}

choice! {
    /// When a commit to SQLite counts.
    SqliteSynchronous {
        /// Once it is on the disk.
        Full = "full",
        /// Once the kernel has it; on the disk at the next checkpoint.
        Normal = "normal",
    }
}

choice! {
    /// How log lines are written.
    LogFormat {
        /// For people on a terminal, else JSON.
        Auto = "auto",
        /// For people.
        Human = "human",
        /// One JSON object a line.
        Json = "json",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_names_a_variant_that_prints_as_that_word() {
        for word in ProjectConfig::WORDS {
            assert_eq!(ProjectConfig::from_word(word).unwrap().to_string(), *word);
        }
        assert_eq!(ProjectConfig::from_word("Auto"), None);
        assert_eq!(ProjectConfig::WORDS, ["auto", "trusted", "off"]);
        assert_eq!(LogFormat::WORDS, ["auto", "human", "json"]);
        assert_eq!(IsolationPolicy::WORDS, ["required", "best_effort", "off"]);
        assert_eq!(ConfigChanges::WORDS, ["all", "texts", "none"]);
        assert_eq!(WriteRoot::WORDS, ["workspace", "root"]);
    }
}
