//! Every setting, declared once. Flags, environment, settings file, listing and reference page come
//! from here.

use std::time::Duration;

use claude::permission_mode::PermissionMode;

use super::choices::{IsolationPolicy, LogFormat, ProjectConfig, SqliteSynchronous, WriteRoot};
use super::declaration::Fallback::{DataHome, Required, Unset, Value};
use super::declaration::Kind::{
    Address, Bool, Cgroup, Choice, Duration as Period, Folders, Integer, LogFilter, Model, Models, Path, Places,
    Program, Secret, Size, Text, User, VariableNames,
};
use super::declaration::{Section, Setting};

/// Timers far in the future overflow on some platforms; thirty days is longer than any run.
const LONGEST: Duration = Duration::from_hours(30 * 24);

/// Zero would mean "at once" to some readers and "never" to others, so it is refused.
const SOME_TIME: super::declaration::Kind = Period(Duration::from_millis(1), LONGEST);

/// How long something on disk is kept.
const KEPT: super::declaration::Kind = Period(Duration::from_mins(1), Duration::from_hours(24 * 3650));

/// The settings file itself. It is not in [`SECTIONS`]: the file cannot name itself.
pub const CONFIG: Setting = Setting::new(
    "config",
    "ASKD_CONFIG",
    Path,
    Unset,
    "TOML file with settings. Flags and environment variables win over it.",
);

/// Every setting, by heading.
pub const SECTIONS: &[Section] = &[
    Section { title: "Server", settings: SERVER },
    Section { title: "Keys and credentials", settings: KEYS_AND_CREDENTIALS },
    Section { title: "Files and folders", settings: FILES_AND_FOLDERS },
    Section { title: "Store", settings: STORE },
    Section { title: "Runs and the queue", settings: RUNS_AND_THE_QUEUE },
    Section { title: "What an agent may do", settings: WHAT_AN_AGENT_MAY_DO },
    Section { title: "What a run may reach", settings: WHAT_A_RUN_MAY_REACH },
    Section { title: "What a run may use up", settings: WHAT_A_RUN_MAY_USE_UP },
    Section { title: "Output of a run", settings: OUTPUT_OF_A_RUN },
    Section { title: "Stopping", settings: STOPPING },
    Section { title: "Logging", settings: LOGGING },
];

/// Every setting, in the order of the documentation.
pub fn all() -> impl Iterator<Item = &'static Setting> {
    SECTIONS.iter().flat_map(|section| section.settings)
}

const SERVER: &[Setting] = &[
    Setting::new("listen", "ASKD_LISTEN", Address, Value("127.0.0.1:3000"), "Address and port to listen on."),
    Setting::new(
        "max_connections",
        "ASKD_MAX_CONNECTIONS",
        Integer(1, 1_000_000),
        Value("1024"),
        "Connections open at the same time; further ones wait to be accepted.",
    ),
    Setting::new(
        "header_timeout",
        "ASKD_HEADER_TIMEOUT",
        SOME_TIME,
        Value("10s"),
        "How long a client may take to send a request's headers.",
    ),
    Setting::new(
        "write_timeout",
        "ASKD_WRITE_TIMEOUT",
        SOME_TIME,
        Value("30s"),
        "A client that takes no bytes for this long is dropped.",
    ),
    Setting::new(
        "last_byte_timeout",
        "ASKD_LAST_BYTE_TIMEOUT",
        SOME_TIME,
        Value("5m"),
        "How long a client may take for the rest of an answer that is complete, however steadily it reads. Then it is dropped.",
    ),
    Setting::new(
        "heartbeat",
        "ASKD_HEARTBEAT",
        SOME_TIME,
        Value("15s"),
        "A silent stream gets a comment this often, so that proxies keep it open.",
    ),
    Setting::new(
        "max_body",
        "ASKD_MAX_BODY",
        Size(1 << 10, 1 << 30),
        Value("2MiB"),
        "Largest request body. The default holds the longest prompt together with the longest system prompt, escaped.",
    ),
    Setting::new(
        "body_timeout",
        "ASKD_BODY_TIMEOUT",
        SOME_TIME,
        Value("30s"),
        "How long a client may take to send a request's body.",
    ),
    Setting::new(
        "max_headers",
        "ASKD_MAX_HEADERS",
        Size(8 << 10, 1 << 20),
        Value("64KiB"),
        "Largest head of a request, its first line and all its headers together; roughly, since it is checked piece by piece as it arrives.",
    ),
    Setting::new(
        "max_wait",
        "ASKD_MAX_WAIT",
        SOME_TIME,
        Value("10m"),
        "The most that `?wait=` may ask: how long a request is held open until its run has ended.",
    ),
    Setting::new(
        "legacy_lenient",
        "ASKD_LEGACY_LENIENT",
        Bool,
        Value("false"),
        "Drops unknown fields and coerces wrong types on `/ask`, as the Node server did, instead of answering 400.",
    ),
];

const KEYS_AND_CREDENTIALS: &[Setting] = &[
    Setting::new(
        "api_key",
        "API_KEY",
        Secret,
        Required,
        "The key that clients send as `x-api-key`. Any text that is not empty is accepted; fewer than 8 characters bring a warning.",
    ),
    Setting::new("anthropic_api_key", "ANTHROPIC_API_KEY", Secret, Unset, "API key with which the CLI works."),
    Setting::new(
        "anthropic_auth_token",
        "ANTHROPIC_AUTH_TOKEN",
        Secret,
        Unset,
        "Bearer token with which the CLI works; the CLI prefers it to an API key.",
    ),
    Setting::new(
        "claude_code_oauth_token",
        "CLAUDE_CODE_OAUTH_TOKEN",
        Secret,
        Unset,
        "Long-lived token of `claude setup-token`, for one person's own server.",
    ),
    Setting::new(
        "api_key_helper",
        "ASKD_API_KEY_HELPER",
        Text,
        Unset,
        "Command that prints the API key of the CLI; askd runs it and keeps the answer for a while.",
    ),
    Setting::new(
        "api_key_helper_ttl",
        "ASKD_API_KEY_HELPER_TTL",
        Period(Duration::from_secs(1), LONGEST),
        Value("5m"),
        "How long the helper's answer is used before it is run again.",
    ),
];

const FILES_AND_FOLDERS: &[Setting] = &[
    Setting::new(
        "config_dir",
        "CONFIG_DIR",
        Path,
        Value("/home/node/.claude"),
        "Folder of the CLI's configuration: agents, skills, rules, `CLAUDE.md`.",
    ),
    Setting::new(
        "workspace_dir",
        "WORKSPACE_DIR",
        Path,
        Value("/workspace"),
        "Folder in which agents work; each folder directly below it is a workspace.",
    ),
    Setting::new(
        "data_dir",
        "ASKD_DATA_DIR",
        Path,
        DataHome,
        "Folder of askd's own data. Agents must not be able to read it.",
    ),
    Setting::new(
        "session_retention",
        "ASKD_SESSION_RETENTION",
        KEPT,
        Value("720h"),
        "How long a session's transcript is kept after its last run; then the session cannot be continued.",
    ),
    Setting::new(
        "sessions_max_size",
        "ASKD_SESSIONS_MAX_SIZE",
        Size(1 << 20, 1 << 50),
        Value("10GiB"),
        "Most disk that all transcripts together may take; beyond it those go that were not used for the longest time. Looked after every hour.",
    ),
    Setting::new(
        "max_config",
        "ASKD_MAX_CONFIG",
        Size(1 << 10, 1 << 32),
        Value("64MiB"),
        "How much of `CONFIG_DIR` (agents, skills, rules) a run's home may be given.",
    ),
    Setting::new(
        "max_session",
        "ASKD_MAX_SESSION",
        Size(1 << 10, 1 << 36),
        Value("1GiB"),
        "How large a session's transcript may be to be continued.",
    ),
    Setting::new("claude_bin", "ASKD_CLAUDE_BIN", Program, Value("claude"), "The Claude Code CLI."),
];

const STORE: &[Setting] = &[
    Setting::new(
        "database_url",
        "ASKD_DATABASE_URL",
        Secret,
        Unset,
        "PostgreSQL database, such as `postgres://user:password@host/askd?sslmode=verify-full`; unset, runs are kept in `ASKD_DATA_DIR/askd.db`.",
    ),
    Setting::new(
        "sqlite_synchronous",
        "ASKD_SQLITE_SYNCHRONOUS",
        Choice(SqliteSynchronous::WORDS),
        Value("full"),
        "When a commit to `askd.db` counts: `full` once it is on the disk; `normal` is faster, and a power failure may take the last moments.",
    ),
    Setting::new(
        "store_timeout",
        "ASKD_STORE_TIMEOUT",
        Period(Duration::from_millis(100), Duration::from_hours(1)),
        Value("10s"),
        "How long a request waits for the store before it is refused. Runs that are at work wait longer.",
    ),
    Setting::new(
        "lease",
        "ASKD_LEASE",
        Period(Duration::from_secs(5), Duration::from_hours(24)),
        Value("30s"),
        "PostgreSQL only: how long a server that is not heard of keeps its runs; then another settles them.",
    ),
    Setting::new("run_retention", "ASKD_RUN_RETENTION", KEPT, Value("720h"), "How long a run is kept after its end."),
    Setting::new(
        "event_retention",
        "ASKD_EVENT_RETENTION",
        KEPT,
        Value("720h"),
        "How long a run's events are kept after its end; at most as long as the run itself.",
    ),
];

const RUNS_AND_THE_QUEUE: &[Setting] = &[
    Setting::new("max_concurrent", "MAX_CONCURRENT", Integer(1, 1_000), Value("3"), "Runs at the same time."),
    Setting::new(
        "queue_length",
        "ASKD_QUEUE_LENGTH",
        Integer(0, 1_000_000),
        Value("100"),
        "How many runs may wait for their turn; further ones are refused at once.",
    ),
    Setting::new("queue_timeout", "QUEUE_TIMEOUT", SOME_TIME, Value("30s"), "How long a run may wait for its turn."),
    Setting::new(
        "run_queue_timeout",
        "ASKD_RUN_QUEUE_TIMEOUT",
        SOME_TIME,
        Value("24h"),
        "How long a run that was submitted to `/v1/runs` may wait for its turn.",
    ),
    Setting::new("process_timeout", "PROCESS_TIMEOUT", SOME_TIME, Value("15m"), "How long a run may take."),
    Setting::new(
        "max_run_time",
        "ASKD_MAX_RUN_TIME",
        SOME_TIME,
        Value("24h"),
        "The most that `timeout_seconds` of a request may ask, and the ceiling of `PROCESS_TIMEOUT`.",
    ),
    Setting::new(
        "first_output_timeout",
        "ASKD_FIRST_OUTPUT_TIMEOUT",
        SOME_TIME,
        Value("60s"),
        "A CLI that has written nothing for this long after its start is ended.",
    ),
    Setting::new(
        "idle_timeout",
        "ASKD_IDLE_TIMEOUT",
        SOME_TIME,
        Value("15m"),
        "A CLI that writes nothing for this long in the middle of a run is ended.",
    ),
    Setting::new(
        "result_grace",
        "ASKD_RESULT_GRACE",
        SOME_TIME,
        Value("10s"),
        "How long a CLI that has given its result may take to say that nothing follows.",
    ),
];

const WHAT_AN_AGENT_MAY_DO: &[Setting] = &[
    Setting::new(
        "default_permission_mode",
        "ASKD_DEFAULT_PERMISSION_MODE",
        Choice(PermissionMode::WORDS),
        Value("acceptEdits"),
        "Permission mode of a run that does not ask for one. `bypassPermissions` needs `ASKD_ALLOW_BYPASS`.",
    ),
    Setting::new(
        "allow_bypass",
        "ASKD_ALLOW_BYPASS",
        Bool,
        Value("false"),
        "Allows `bypassPermissions`, as the default and in requests. It offers no protection against prompt injection.",
    ),
    Setting::new(
        "run_as",
        "ASKD_RUN_AS",
        User,
        Unset,
        "The user that a server started as root becomes, before it listens: a name or id, and after a colon groups by name or id, the primary one first, e.g. `askd`, `1000:1000` or `askd:askd,video`. Without groups it has its primary group alone, whatever others it is in. Unset, it becomes the owner of `WORKSPACE_DIR`, if that is not root.",
    ),
    Setting::new(
        "allow_root",
        "ASKD_ALLOW_ROOT",
        Bool,
        Value("false"),
        "Lets a server started as root stay root, and with it the agents. It has no effect beside `ASKD_RUN_AS`.",
    ),
    Setting::new(
        "project_config",
        "ASKD_PROJECT_CONFIG",
        Choice(ProjectConfig::WORDS),
        Value("auto"),
        "Whether a repository's own configuration for the CLI is loaded, which can run programs: `auto` only when it holds nothing but texts, `trusted` only in `ASKD_TRUSTED_PROJECTS`, `off` never.",
    ),
    Setting::new(
        "trusted_projects",
        "ASKD_TRUSTED_PROJECTS",
        Folders,
        Value(""),
        "Folders whose own configuration may be loaded when `ASKD_PROJECT_CONFIG` is `trusted`.",
    ),
    Setting::new(
        "models",
        "ASKD_MODELS",
        Models,
        Value(""),
        "Full model ids that requests may name besides `sonnet`, `opus` and `haiku`.",
    ),
    Setting::new(
        "default_model",
        "ASKD_DEFAULT_MODEL",
        Model,
        Unset,
        "Model of a run that does not name one; unset, the CLI chooses.",
    ),
    Setting::new(
        "child_env",
        "ASKD_CHILD_ENV",
        VariableNames,
        Value(""),
        "Further environment variables to pass to the CLI, by name, such as `GH_TOKEN`. An agent can read them.",
    ),
];

const WHAT_A_RUN_MAY_REACH: &[Setting] = &[
    Setting::new(
        "isolation",
        "ASKD_ISOLATION",
        Choice(IsolationPolicy::WORDS),
        Value("best_effort"),
        "Whether runs get a view of their own of the file system and of processes: `required` (the server does not start without), `best_effort` (what this machine allows; `askd doctor` says what that is) or `off`.",
    ),
    Setting::new(
        "bwrap_bin",
        "ASKD_BWRAP_BIN",
        Program,
        Value("bwrap"),
        "bubblewrap, with which a run gets namespaces of its own. Without it Landlock is used.",
    ),
    Setting::new(
        "hidden_folders",
        "ASKD_HIDDEN_FOLDERS",
        Places,
        Value(""),
        "Folders that no run may see, besides those that are always hidden: `ASKD_DATA_DIR`, `CONFIG_DIR`, `WORKSPACE_DIR` (but for what the run works in), the home of the server's user and `/run`.",
    ),
    Setting::new(
        "readable_folders",
        "ASKD_READABLE_FOLDERS",
        Places,
        Value(""),
        "Folders that every run may read although they lie in something hidden, such as a toolchain in the home of the server's user.",
    ),
    Setting::new(
        "writable_folders",
        "ASKD_WRITABLE_FOLDERS",
        Places,
        Value(""),
        "Folders that every run may write, such as a cache that runs share. What one run leaves there, another one reads.",
    ),
    Setting::new(
        "write_root",
        "ASKD_WRITE_ROOT",
        Choice(WriteRoot::WORDS),
        Value("workspace"),
        "Where a run may write: in the `workspace` that its working folder lies in, or in the whole `root`, `WORKSPACE_DIR`. A request may ask for less as `write_root`, and for further folders of any workspace as `additional_folders`: this is what a run gets by itself, and no bound for who may ask.",
    ),
    Setting::new(
        "cgroup",
        "ASKD_CGROUP",
        Cgroup,
        Value("auto"),
        "Where each run gets a cgroup (v2) of its own: `auto` where this server was given one to divide (systemd: `Delegate=yes`), `off`, or below this folder, without which the server does not start.",
    ),
];

const WHAT_A_RUN_MAY_USE_UP: &[Setting] = &[
    Setting::new(
        "max_memory",
        "ASKD_MAX_MEMORY",
        Size(16 << 20, 1 << 44),
        Value("4GiB"),
        "Most memory of a run, all its processes together; a run that takes more is ended.",
    ),
    Setting::new(
        "max_processes",
        "ASKD_MAX_PROCESSES",
        Integer(16, 1 << 22),
        Value("2048"),
        "Most processes and threads of a run; a run that reaches it is ended.",
    ),
    Setting::new(
        "max_open_files",
        "ASKD_MAX_OPEN_FILES",
        Integer(64, 1 << 20),
        Value("16384"),
        "Most files that one process of a run may have open; a run that reaches it is ended. A lower limit of the server's own is kept.",
    ),
    Setting::new(
        "max_home",
        "ASKD_MAX_HOME",
        Size(1 << 20, 1 << 44),
        Value("5GiB"),
        "Most disk that a run's private home may take, its temporary files included, and the largest file that a run may write; a run that takes more is ended.",
    ),
    Setting::new(
        "max_home_files",
        "ASKD_MAX_HOME_FILES",
        Integer(1_000, 10_000_000),
        Value("200000"),
        "Most files and folders in a run's private home, its temporary files included; a run that makes more is ended. The more there are, the longer each look at the home takes, and the later `ASKD_MAX_HOME` is noticed.",
    ),
    Setting::new(
        "max_cpu_percent",
        "ASKD_MAX_CPU_PERCENT",
        Integer(1, 100_000),
        Unset,
        "Most of the processor that a run gets, in percent of one: 150 is one and a half. Kept only where a run has a cgroup; it slows the run and ends nothing.",
    ),
    Setting::new(
        "min_free_disk",
        "ASKD_MIN_FREE_DISK",
        Size(0, 1 << 50),
        Value("256MiB"),
        "While less is free on the disk of `ASKD_DATA_DIR`, no new run is taken in; 0 takes runs in until nothing is left.",
    ),
];

const OUTPUT_OF_A_RUN: &[Setting] = &[
    Setting::new(
        "max_line",
        "ASKD_MAX_LINE",
        Size(1 << 10, 1 << 30),
        Value("64MiB"),
        "Longest line that is read from the CLI.",
    ),
    Setting::new(
        "max_output",
        "ASKD_MAX_OUTPUT",
        Size(1 << 10, 1 << 40),
        Value("1GiB"),
        "Most output of one run; a run that writes more is ended.",
    ),
    Setting::new(
        "ring_bytes",
        "ASKD_RING_BYTES",
        Size(1 << 10, 1 << 30),
        Value("4MiB"),
        "Events of a run that are kept in memory for its followers.",
    ),
    Setting::new(
        "pending_bytes",
        "ASKD_PENDING_BYTES",
        Size(64 << 10, 1 << 30),
        Value("3MiB"),
        "Events of a run that wait to be stored; when it is reached, the CLI pauses.",
    ),
    Setting::new(
        "stderr_tail",
        "ASKD_STDERR_TAIL",
        Size(1 << 10, 1 << 30),
        Value("64KiB"),
        "How much of the end of the CLI's error output is kept.",
    ),
];

const STOPPING: &[Setting] = &[
    Setting::new(
        "stop_soft",
        "ASKD_STOP_SOFT",
        SOME_TIME,
        Value("5s"),
        "Grace after the CLI was asked to stop, before its input is closed.",
    ),
    Setting::new(
        "stop_eof",
        "ASKD_STOP_EOF",
        SOME_TIME,
        Value("5s"),
        "Grace after its input was closed, before SIGTERM.",
    ),
    Setting::new("stop_term", "ASKD_STOP_TERM", SOME_TIME, Value("5s"), "Grace after SIGTERM, before SIGKILL."),
    Setting::new(
        "stop_kill",
        "ASKD_STOP_KILL",
        SOME_TIME,
        Value("10s"),
        "How long the end is waited for after SIGKILL before a leak is reported.",
    ),
    Setting::new(
        "shutdown_grace",
        "ASKD_SHUTDOWN_GRACE",
        SOME_TIME,
        Value("30s"),
        "How long runs may go on after the server was asked to stop.",
    ),
];

const LOGGING: &[Setting] = &[
    Setting::new("log", "ASKD_LOG", LogFilter, Value("info"), "Which log lines are written."),
    Setting::new(
        "log_format",
        "ASKD_LOG_FORMAT",
        Choice(LogFormat::WORDS),
        Value("auto"),
        "How log lines are written: `auto` is for people on a terminal, else JSON.",
    ),
];
