//! The server's own options: flags over environment over settings file, each declared once.
//!
//! The declarations are in [`table`]; everything else comes from them: flags, variables, keys of the
//! file, the listing of `askd settings` and the reference page. A value that is wrong, or a name that
//! does not exist, keeps the server from starting, and all of them are reported at once.
//!
//! ```text
//! flags > environment > file > default     sources, file
//!    raw texts with origins > checked       declaration, value, units     unknown names: unknown, suggest
//!    > contradictions, warnings             checks
//!    > Settings + origins                   build, groups                 printed: render, reference
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use secrecy::SecretString;

pub mod child_env;
pub mod choices;
pub mod declaration;
pub mod groups;
pub mod network;
pub mod otlp;
pub mod secret_key;
pub mod suggest;
pub mod table;
pub mod tls;

mod build;
mod checks;
mod door;
mod file;
mod flags;
mod in_force;
mod load;
mod problem;
mod reference;
mod reload;
mod render;
mod sources;
#[cfg(test)]
mod tests;
mod units;
mod unknown;
mod value;
mod values;

pub use choices::{ConfigChanges, ForwardedHeader, IsolationPolicy, LogFormat, ProjectConfig, WriteRoot};
pub use door::Door;
pub use flags::add_flags;
pub use in_force::InForce;
pub use problem::{Origin, Problem, SettingsErrors};
pub use reference::reference_markdown;
pub use reload::Reloaded;
pub use render::{render_json, render_text};
pub use sources::Sources;
pub use units::show_size;

use groups::{
    Auth, Child, Configuration, Credentials, Deadlines, Health, Isolation, Limits, Logging, Models, Network, Output,
    Paths, Permissions, RunLimits, Server, Stopping, Store, Traces, Uploads,
};
use secret_key::SecretKey;

/// The effective settings. `Debug` redacts secrets.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The listener and its connections.
    pub server: Server,
    /// Who may reach the server from where, and how often.
    pub network: Network,
    /// Who may call.
    pub auth: Auth,
    /// What the CLI uses upstream.
    pub credentials: Credentials,
    /// Files and folders.
    pub paths: Paths,
    /// Where runs are kept, and how long.
    pub store: Store,
    /// What keys may upload for their runs.
    pub uploads: Uploads,
    /// The configuration of the CLI that clients manage.
    pub configuration: Configuration,
    /// How many runs there may be.
    pub limits: Limits,
    /// What makes the server ready.
    pub health: Health,
    /// How long a run may take.
    pub deadlines: Deadlines,
    /// What an agent may do.
    pub permissions: Permissions,
    /// What a run may reach.
    pub isolation: Isolation,
    /// What a run may use up.
    pub run_limits: RunLimits,
    /// Which models requests may name.
    pub models: Models,
    /// What is passed to the CLI as it is.
    pub child: Child,
    /// How much of a run's output is read and kept.
    pub output: Output,
    /// How long each step of an end is waited for.
    pub stopping: Stopping,
    /// Log lines.
    pub logging: Logging,
    /// Metrics.
    pub metrics: groups::Metrics,
    /// Traces.
    pub traces: Traces,
}

/// Settings together with where they came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Where each came from, by key.
    pub origins: BTreeMap<&'static str, Origin>,
    /// What works and is probably not meant, to be logged at start.
    pub warnings: Vec<String>,
    values: values::Values,
    environment: Vec<load::Passed>,
}

impl Loaded {
    /// Where a setting came from.
    pub fn origin(&self, key: &str) -> &Origin {
        self.origins.get(key).unwrap_or(&Origin::Default)
    }
}

impl Settings {
    /// Reads all sources; reports everything that is wrong with them at once.
    pub fn load(sources: &Sources) -> Result<Loaded, SettingsErrors> {
        load::load(sources)
    }

    /// Values that no client may see, besides [`Settings::credentials`]: askd's own keys and database, and of the variables
    /// that the CLI gets those that are secret, the operator's own ones included.
    pub fn secrets(&self) -> Vec<SecretString> {
        let is_plain = |name: &str| child_env::PASSED.iter().any(|passed| !passed.secret && passed.name == name);
        let passed = self.child.environment.iter().filter(|(name, _)| !is_plain(name));
        let own = [&self.auth.api_key].into_iter().chain(&self.store.database_url);
        let own = own.chain(self.store.secret_key.as_ref().map(SecretKey::written));
        let own = own.chain(self.traces.headers.iter().map(|(_, value)| value));
        passed.map(|(_, value)| value).chain(own).cloned().collect()
    }

    /// Defaults for a test: a free port on loopback, [`Settings::TEST_API_KEY`], and the folders
    /// `config`, `workspace` and `data` below `root`, which it does not create.
    ///
    /// # Panics
    /// When `root` is not valid UTF-8.
    pub fn for_testing(root: &Path) -> Self {
        let below = |folder: &str| root.join(folder).to_str().expect("a temporary path is UTF-8").to_owned();
        let env = [
            ("API_KEY", Self::TEST_API_KEY.to_owned()),
            ("ASKD_LISTEN", "127.0.0.1:0".to_owned()),
            ("CONFIG_DIR", below("config")),
            ("WORKSPACE_DIR", below("workspace")),
            ("ASKD_DATA_DIR", below("data")),
            ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
            // Scripted runs note process ids, which are others in a namespace; tests of isolation turn it on.
            ("ASKD_ISOLATION", "off".to_owned()),
            ("ASKD_CGROUP", "off".to_owned()),
            // Tests ask as fast as they can; those of the limits turn them on.
            ("ASKD_RATE_ASK", "0".to_owned()),
            ("ASKD_RATE_CONFIG", "0".to_owned()),
            ("ASKD_RATE_RUNS", "0".to_owned()),
            ("ASKD_RATE_V1", "0".to_owned()),
            ("ASKD_RATE_FAILURES", "0".to_owned()),
        ];
        let sources = Sources {
            env: env.map(|(name, value)| (name.to_owned(), value)).into(),
            current_dir: root.to_owned(),
            ..Sources::default()
        };
        Self::load(&sources).expect("the settings for tests are valid").settings
    }

    /// The `API_KEY` of [`Settings::for_testing`].
    pub const TEST_API_KEY: &str = "a-key-for-tests";
}

/// The environment of this process, for [`Sources`]. Nothing else reads it.
///
/// Bytes that are not UTF-8 become U+FFFD: an error in a setting's value, and nothing in a variable
/// that does not concern us.
pub fn process_environment() -> Vec<(String, String)> {
    let text = |os: std::ffi::OsString| os.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
}
