//! What is known of a setting before anybody has set it.

use std::time::Duration;

use super::units::{show_duration, show_size};
use crate::usd::Usd;

/// One setting: its names, its type, its default and its documentation.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The key in the settings file; with dashes, the flag.
    pub key: &'static str,
    /// The environment variable.
    pub env: &'static str,
    /// What a value must look like.
    pub kind: Kind,
    /// What holds when nobody has set it.
    pub default: Fallback,
    /// What it does, for operators; the first sentence is the flag's help.
    pub doc: &'static str,
    /// The first version that has it.
    pub since: &'static str,
    /// Whether a server at work takes a new value on SIGHUP. Whoever uses it must ask [`InForce`](super::InForce) each time.
    pub is_reloadable: bool,
}

/// The type of a setting and the range of its values.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Any text.
    Text,
    /// Never printed, no flag, may come from a file.
    Secret,
    /// `true`, `false`, `1` or `0`.
    Bool,
    /// A whole number, both ends included.
    Integer(u64, u64),
    /// A duration, both ends included.
    Duration(Duration, Duration),
    /// A number of bytes, both ends included.
    Size(u64, u64),
    /// An amount in US dollars, both ends included, in millionths.
    Usd(u64, u64),
    /// An IP address and a port.
    Address,
    /// A path; a relative one starts at the folder of the settings file, or at the current one.
    Path,
    /// A path, or a name to be looked up on `PATH`.
    Program,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A model's alias or full id.
    Model,
    /// Full model ids.
    Models,
    /// Folders, absolute or relative to `WORKSPACE_DIR`.
    Folders,
    /// Absolute folders, none of them the root of the file system.
    Places,
    /// `auto`, `off` or an absolute folder.
    Cgroup,
    /// A user's name, or numeric ids.
    User,
    /// Hosts by name or address, each with a port or without.
    Hosts,
    /// Origins of web pages: scheme, host and port.
    Origins,
    /// IP addresses and networks.
    Networks,
    /// Names of environment variables that may be passed to the CLI.
    VariableNames,
    /// A filter for log lines, as `tracing` reads it.
    LogFilter,
    /// The address of a collector of traces.
    Collector,
    /// A part of a whole, from 0 to 1.
    Ratio,
    /// Names and values.
    Attributes,
}

/// What holds when nobody has set a setting.
#[derive(Clone, Copy, Debug)]
pub enum Fallback {
    /// This value, written as it would be in the environment.
    Value(&'static str),
    /// Nothing: the setting is optional.
    Unset,
    /// The server does not start without it.
    Required,
    /// `$XDG_DATA_HOME/askd`, else `$HOME/.local/share/askd`.
    DataHome,
}

/// Settings that are listed under one heading.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// The heading.
    pub title: &'static str,
    /// The settings, in the order of the documentation.
    pub settings: &'static [Setting],
}

impl Setting {
    /// A setting of the first version.
    pub(super) const fn new(
        key: &'static str,
        env: &'static str,
        kind: Kind,
        default: Fallback,
        doc: &'static str,
    ) -> Self {
        Self { key, env, kind, default, doc, since: "0.1.0", is_reloadable: false }
    }

    /// The same, taken anew on SIGHUP.
    pub(super) const fn reloadable(self) -> Self {
        Self { is_reloadable: true, ..self }
    }

    /// Whether its value must never be printed.
    pub fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret)
    }

    /// The flag without its two dashes, or `None`: other users of a machine can read a command line.
    pub fn flag(&self) -> Option<String> {
        (!self.is_secret()).then(|| self.key.replace('_', "-"))
    }

    /// The variable that names a file with the value; secrets only.
    pub fn file_variable(&self) -> Option<String> {
        self.is_secret().then(|| format!("{}_FILE", self.env))
    }

    /// The key that names a file with the value; secrets only.
    pub fn file_key(&self) -> Option<String> {
        self.is_secret().then(|| format!("{}_file", self.key))
    }
}

impl Kind {
    /// What to write: the end of the sentences "give …" and "expects …".
    pub fn expected(&self) -> String {
        match self {
            Self::Text => "a text".to_owned(),
            Self::Secret => "a secret without control characters".to_owned(),
            Self::Bool => "`true`, `false`, `1` or `0`".to_owned(),
            Self::Integer(min, max) => format!("a whole number from {min} to {max}"),
            Self::Duration(min, max) => format!(
                "a duration from {} to {}, such as `500ms`, `30s`, `15m`, `24h` or a bare number of milliseconds",
                show_duration(*min),
                show_duration(*max)
            ),
            Self::Size(min, max) => format!(
                "a size from {} to {}, such as `256KiB`, `64MiB` or a bare number of bytes",
                show_size(*min),
                show_size(*max)
            ),
            Self::Usd(min, max) => {
                format!(
                    "an amount in US dollars from {} to {}, such as `0.25`",
                    Usd::from_micros(*min),
                    Usd::from_micros(*max)
                )
            }
            Self::Address => "an IP address and a port, such as `127.0.0.1:3000` or `[::1]:3000`".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::Program => "a path, or a name to be looked up on `PATH`".to_owned(),
            Self::Choice(words) => format!("one of `{}`", words.join("`, `")),
            Self::Model => "a model alias or id (letters, digits and `-_.:/@[]`)".to_owned(),
            Self::Models => "model ids (letters, digits and `-_.:/@[]`)".to_owned(),
            Self::Folders => "folders, absolute or relative to `WORKSPACE_DIR`, without `..`".to_owned(),
            Self::Places => "absolute paths of folders, without `..`, none of them `/`".to_owned(),
            Self::Cgroup => "`auto`, `off` or the absolute path of a cgroup's folder".to_owned(),
            Self::User => "a user's name or id, as `USER` or `USER:GROUP,…`".to_owned(),
            Self::Hosts => "names or addresses of hosts, with or without a port, such as `askd.example.com`".to_owned(),
            Self::Origins => "origins, such as `https://app.example.com`, without a path".to_owned(),
            Self::Networks => "IP addresses and networks, such as `10.0.0.1` or `10.0.0.0/8`".to_owned(),
            Self::VariableNames => "names of environment variables that may be passed on".to_owned(),
            Self::Collector => "the address of a collector, such as `http://127.0.0.1:4318`".to_owned(),
            Self::Ratio => "a number from 0 to 1, such as `0.1`".to_owned(),
            Self::Attributes => "names and values, as `name=value,…`".to_owned(),
            Self::LogFilter => "a level or a filter, such as `info` or `askd=debug,warn`".to_owned(),
        }
    }

    /// Whether the value is a list: separated by commas, or an array in the settings file.
    pub fn is_list(&self) -> bool {
        matches!(
            self,
            Self::Models
                | Self::Folders
                | Self::Places
                | Self::Hosts
                | Self::Origins
                | Self::Networks
                | Self::VariableNames
        )
    }
}
