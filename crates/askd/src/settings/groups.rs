//! The effective settings, typed, one struct per concern.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::header::HeaderName;
use ipnet::IpNet;
use secrecy::{ExposeSecret as _, SecretString};

use super::checks::ALIASES;
use crate::usd::Usd;
use claude::permission_mode::PermissionMode;

use super::choices::{
    ConfigChanges, Docs, ForwardedHeader, IsolationPolicy, LogFormat, ProjectConfig, SqliteSynchronous, WriteRoot,
};
use super::network::{AllowedHost, Origin, Rates};
use super::otlp::Collector;
use super::secret_key::SecretKey;
use super::tls::Tls;

/// The listener and its connections.
#[derive(Clone, Debug)]
pub struct Server {
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// Connections open at the same time.
    pub max_connections: usize,
    /// Requests of one key at work at the same time, except of `API_KEY`.
    pub max_requests_per_key: usize,
    /// How long a client may take to send a request's headers.
    pub header_timeout: Duration,
    /// A client that takes no bytes for this long is dropped.
    pub write_timeout: Duration,
    /// How long a client may take for the rest of an answer that is complete.
    pub last_byte_timeout: Duration,
    /// How often a silent stream gets a comment.
    pub heartbeat: Duration,
    /// Largest request body, in bytes.
    pub max_body: usize,
    /// Largest body of a request about configuration, in bytes.
    pub max_config_body: usize,
    /// How long a client may take to send a request's body.
    pub body_timeout: Duration,
    /// Largest head of a request, in bytes.
    pub max_headers: usize,
    /// Most headers of a request.
    pub max_header_count: usize,
    /// The longest `?wait=`.
    pub max_wait: Duration,
    /// Whether `/ask` drops unknown fields and coerces wrong types.
    pub legacy_lenient: bool,
    /// Who may see the documentation of the API.
    pub docs: Docs,
    /// Encrypted connections; `None`: connections are not encrypted.
    pub tls: Option<Tls>,
}

/// What `/docs` and `/openapi.json` ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocsAccess {
    /// Nothing.
    Open,
    /// A key.
    Key,
    /// They are not there.
    Off,
}

impl Server {
    /// Who may see the documentation of the API. A page of loopback is seen from this machine alone.
    pub fn docs_access(&self) -> DocsAccess {
        match self.docs {
            Docs::Auto if self.listen.ip().to_canonical().is_loopback() => DocsAccess::Open,
            Docs::Open => DocsAccess::Open,
            Docs::Auto | Docs::Key => DocsAccess::Key,
            Docs::Off => DocsAccess::Off,
        }
    }
}

/// Who may reach the server from where, and how often.
#[derive(Clone, Debug)]
pub struct Network {
    /// Names under which it may be called, besides those of loopback; empty and not on loopback: any.
    pub allowed_hosts: Vec<AllowedHost>,
    /// Web pages that may call it from a browser, besides its own.
    pub allowed_origins: Vec<Origin>,
    /// Proxies that say truly for whom they ask.
    pub trusted_proxies: Vec<IpNet>,
    /// The header in which they say it.
    pub forwarded_header: ForwardedHeader,
    /// Requests a minute.
    pub rates: Rates,
}

/// Who may call.
#[derive(Clone, Debug)]
pub struct Auth {
    /// The key that clients send.
    pub api_key: SecretString,
    /// What keys may change of the configuration.
    pub config_changes: ConfigChanges,
}

/// What the CLI uses upstream.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// `ANTHROPIC_API_KEY`.
    pub anthropic_api_key: Option<SecretString>,
    /// `ANTHROPIC_AUTH_TOKEN`; the CLI prefers it to the API key.
    pub anthropic_auth_token: Option<SecretString>,
    /// `CLAUDE_CODE_OAUTH_TOKEN`.
    pub claude_code_oauth_token: Option<SecretString>,
    /// Command that prints an API key.
    pub api_key_helper: Option<String>,
    /// How long the helper's answer is used.
    pub api_key_helper_ttl: Duration,
}

impl Credentials {
    /// The credentials that are set, under the names by which the CLI takes them.
    pub fn variables(&self) -> Vec<(&'static str, SecretString)> {
        let all = [
            ("ANTHROPIC_API_KEY", &self.anthropic_api_key),
            ("ANTHROPIC_AUTH_TOKEN", &self.anthropic_auth_token),
            ("CLAUDE_CODE_OAUTH_TOKEN", &self.claude_code_oauth_token),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
    }

    /// Whether there is neither a credential nor a helper. A cloud provider may still be chosen by
    /// variables of the CLI: see [`Child::get`].
    pub fn is_empty(&self) -> bool {
        self.variables().is_empty() && self.api_key_helper.is_none()
    }
}

/// Files and folders, all absolute, except for a program that is looked up on `PATH`.
#[derive(Clone, Debug)]
pub struct Paths {
    /// The CLI's configuration.
    pub config_dir: PathBuf,
    /// Where agents work.
    pub workspace_dir: PathBuf,
    /// The server's own data.
    pub data_dir: PathBuf,
    /// The CLI: an absolute path, or a name without `/`.
    pub claude_bin: PathBuf,
    /// Files that hold secrets, or may: those of the `…_FILE` forms and the settings file.
    pub private_files: Vec<PathBuf>,
    /// The home of whoever started the server (`HOME`); no run may see it.
    pub home: Option<PathBuf>,
    /// How long a transcript is kept after its last run.
    pub session_retention: Duration,
    /// How much all transcripts together may take, in bytes.
    pub sessions_max_size: u64,
    /// How much configuration a home may be given, in bytes.
    pub max_config: u64,
    /// How large a session may be to be continued, in bytes.
    pub max_session: u64,
}

/// Where runs are kept, and how long.
#[derive(Clone, Debug)]
pub struct Store {
    /// PostgreSQL; `None`: SQLite in the data folder.
    pub database_url: Option<SecretString>,
    /// When a commit to SQLite counts.
    pub sqlite_synchronous: SqliteSynchronous,
    /// How long a caller waits for the store.
    pub timeout: Duration,
    /// How long a server that is not heard of keeps its runs; PostgreSQL only.
    pub lease: Duration,
    /// How long a run is kept after its end.
    pub run_retention: Duration,
    /// How long its events are kept after its end; never longer than the run.
    pub event_retention: Duration,
    /// What seals the secrets of runs that wait; `None`: only runs that end with their client may have some.
    pub secret_key: Option<SecretKey>,
}

/// What keys may upload for their runs. Sizes are in bytes.
#[derive(Clone, Debug)]
pub struct Uploads {
    /// One upload.
    pub max_size: u64,
    /// All uploads of a key.
    pub max_of_key: u64,
    /// All uploads.
    pub max_of_all: u64,
    /// How long an upload can be used.
    pub retention: Duration,
    /// Pictures and documents of one message, uploads among them.
    pub max_content: u64,
}

/// The configuration of the CLI that clients manage.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// Versions of each document whose content is kept.
    pub versions: u64,
    /// How long changes are kept.
    pub audit_retention: Duration,
}

/// How many runs there may be.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Runs at the same time.
    pub max_concurrent: usize,
    /// Runs that may wait; 0 means that none waits.
    pub queue_length: usize,
    /// How long a run may wait.
    pub queue_timeout: Duration,
    /// How long a durable run may wait.
    pub run_queue_timeout: Duration,
    /// What one more call of the model may cost.
    pub budget_margin: Usd,
    /// How often an answer that does not fit its schema is asked for again.
    pub schema_repairs: u32,
}

/// What makes the server ready.
#[derive(Clone, Debug)]
pub struct Health {
    /// Starts of the CLI in a row that may fail; 0: any number.
    pub cli_start_failures: u32,
    /// How often the CLI's file is looked at.
    pub cli_check_every: Duration,
    /// Whether a server with a full queue is ready.
    pub ready_when_full: bool,
}

/// How long a run may take.
#[derive(Clone, Debug)]
pub struct Deadlines {
    /// For a run that does not ask for a time of its own.
    pub process_timeout: Duration,
    /// The most that a run may ask for.
    pub max_run_time: Duration,
    /// From the start to the first output.
    pub first_output: Duration,
    /// Between two lines of output.
    pub idle: Duration,
    /// From a result to the word that nothing follows.
    pub result_grace: Duration,
}

/// What an agent may do.
#[derive(Clone, Debug)]
pub struct Permissions {
    /// The mode of a run that does not ask for one.
    pub default_mode: PermissionMode,
    /// Whether `bypassPermissions` may be used.
    pub allow_bypass: bool,
    /// Whether agents may run as root.
    pub allow_root: bool,
    /// The user that a server started as root becomes: `USER` or `USER:GROUP,…`, by name or id.
    pub run_as: Option<String>,
    /// Whether a repository's own configuration is loaded.
    pub project_config: ProjectConfig,
    /// Folders where it is, when `project_config` is `Trusted`; absolute.
    pub trusted_projects: Vec<PathBuf>,
}

/// What a run may reach. All folders are absolute.
#[derive(Clone, Debug)]
pub struct Isolation {
    /// Whether a run must have a view of its own of the file system.
    pub policy: IsolationPolicy,
    /// bubblewrap: an absolute path, or a name without `/`.
    pub bwrap_bin: PathBuf,
    /// Folders that no run may see, besides the server's own.
    pub hidden_folders: Vec<PathBuf>,
    /// Folders that every run may read, though they lie in something hidden.
    pub readable_folders: Vec<PathBuf>,
    /// Folders that every run may write.
    pub writable_folders: Vec<PathBuf>,
    /// Where a run may write, if it does not ask for less.
    pub write_root: WriteRoot,
    /// Where runs get cgroups of their own.
    pub cgroup: Cgroup,
}

/// Where runs get cgroups of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cgroup {
    /// Where this server was given one to divide.
    Auto,
    /// Nowhere.
    Off,
    /// Below this folder.
    Folder(PathBuf),
}

/// Which models requests may name.
#[derive(Clone, Debug)]
pub struct Models {
    /// Full ids that are allowed besides `sonnet`, `opus` and `haiku`.
    pub allowed: Vec<String>,
    /// The model of a run that names none; `None`: the CLI chooses.
    pub default: Option<String>,
}

impl Models {
    /// Whether a request may name this model.
    pub fn allows(&self, model: &str) -> bool {
        Self::is_alias(model) || self.allowed.iter().any(|allowed| allowed == model)
    }

    /// What a request may name: families of models, and full ids.
    pub fn names(&self) -> Vec<&str> {
        ALIASES.iter().copied().chain(self.allowed.iter().map(String::as_str)).collect()
    }

    /// Whether it is a name of the CLI for a family of models.
    pub fn is_alias(model: &str) -> bool {
        ALIASES.contains(&model)
    }
}

/// What is passed to the CLI as it is, without the [`Credentials`].
#[derive(Clone, Debug)]
pub struct Child {
    /// Exact names and values, each name once. Every value counts as secret: nobody needs to print it.
    pub environment: Vec<(String, SecretString)>,
}

impl Child {
    /// Where `program` is: the file itself, or the first on `PATH`, if it may be executed.
    ///
    /// Relative entries of `PATH` are skipped: they would mean a folder where agents work.
    pub fn find_program(&self, program: &Path) -> Option<PathBuf> {
        if program.is_absolute() {
            return is_executable(program).then(|| program.to_owned());
        }
        let folders = std::env::split_paths(self.get("PATH")?.expose_secret());
        let mut candidates = folders.filter(|folder| folder.is_absolute()).map(|folder| folder.join(program));
        candidates.find(|candidate| is_executable(candidate))
    }

    /// The value of a variable that is passed on.
    pub fn get(&self, name: &str) -> Option<&SecretString> {
        self.environment.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// What a run may use up, and what it must leave.
#[derive(Clone, Debug)]
pub struct RunLimits {
    /// Memory of all its processes together, in bytes.
    pub memory: u64,
    /// Its processes and threads.
    pub processes: u64,
    /// Files that one of its processes may have open.
    pub open_files: u64,
    /// Disk that its home may take with its temporary files, in bytes.
    pub home: u64,
    /// Files and folders in it.
    pub home_files: u64,
    /// Processor time, in percent of one processor; only where it has a cgroup.
    pub cpu_percent: Option<u32>,
    /// What must be free on the disk of the data folder for a new run, in bytes; 0: nothing.
    pub min_free_disk: u64,
}

/// How much of a run's output is read and kept, in bytes.
#[derive(Clone, Debug)]
pub struct Output {
    /// Longest line.
    pub max_line: usize,
    /// Most output of one run.
    pub max_output: u64,
    /// Events in memory for the followers of one run.
    pub ring_bytes: usize,
    /// Events of one run that wait to be stored.
    pub pending_bytes: usize,
    /// The end of the error output.
    pub stderr_tail: usize,
}

/// How long each step of an end is waited for.
#[derive(Clone, Debug)]
pub struct Stopping {
    /// After the CLI was asked to stop.
    pub soft: Duration,
    /// After its input was closed.
    pub eof: Duration,
    /// After SIGTERM.
    pub term: Duration,
    /// After SIGKILL.
    pub kill: Duration,
    /// From when the server was asked to stop until it takes no new work.
    pub drain_delay: Duration,
    /// For runs, after that.
    pub shutdown_grace: Duration,
}

/// Metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Where they are told without a key; `None`: nowhere.
    pub listen: Option<SocketAddr>,
    /// Connections open there at the same time.
    pub max_connections: usize,
    /// Models that are told apart.
    pub max_models: usize,
    /// Keys that are told apart.
    pub max_keys: usize,
}

/// Log lines.
#[derive(Clone, Debug)]
pub struct Logging {
    /// A filter that `tracing_subscriber::EnvFilter` accepts.
    pub filter: String,
    /// How lines are written.
    pub format: LogFormat,
}

/// Traces over OTLP.
#[derive(Clone, Debug)]
pub struct Traces {
    /// Where they go; `None`: there are none.
    pub collector: Option<Collector>,
    /// What is sent with them.
    pub headers: Vec<(HeaderName, SecretString)>,
    /// The authorities of an encrypted collector; `None`: those that browsers trust.
    pub ca: Option<PathBuf>,
    /// For one batch, and for the last ones of a server that stops.
    pub timeout: Duration,
    /// The share that is recorded, from 0 to 1.
    pub sample: f64,
    /// Spans that may wait.
    pub queue: usize,
    /// Spans of one run.
    pub run_spans: usize,
    /// Whether they hold prompts, answers, and what goes through tools.
    pub content: bool,
    /// What they say of this server.
    pub resource: Vec<(String, String)>,
}
