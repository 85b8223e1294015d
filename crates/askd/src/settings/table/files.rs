//! Settings of folders, of the store, and of the configuration that clients manage.

use std::time::Duration;

use super::KEPT;
use crate::settings::choices::SqliteSynchronous;
use crate::settings::declaration::Fallback::{DataHome, Unset, Value};
use crate::settings::declaration::Kind::{Choice, Duration as Period, Integer, Path, Program, Secret, Size};
use crate::settings::declaration::Setting;

pub(super) const FILES_AND_FOLDERS: &[Setting] = &[
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
    ).reloadable(),
    Setting::new(
        "sessions_max_size",
        "ASKD_SESSIONS_MAX_SIZE",
        Size(1 << 20, 1 << 50),
        Value("10GiB"),
        "Most disk that all transcripts together may take; beyond it those go that were not used for the longest time. Looked after every hour.",
    ).reloadable(),
    Setting::new(
        "max_config",
        "ASKD_MAX_CONFIG",
        Size(1 << 10, 1 << 32),
        Value("64MiB"),
        "How much of `CONFIG_DIR` (all that is copied: `CLAUDE.md`, agents, commands, hooks, output styles, rules, skills, workflows, `settings.json`) a run's home may be given, and how much a scope of `/v1/config` may hold. Where there is more of it, no run can begin.",
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

pub(super) const STORE: &[Setting] = &[
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
    Setting::new("run_retention", "ASKD_RUN_RETENTION", KEPT, Value("720h"), "How long a run is kept after its end.")
        .reloadable(),
    Setting::new(
        "event_retention",
        "ASKD_EVENT_RETENTION",
        KEPT,
        Value("720h"),
        "How long a run's events are kept after its end; at most as long as the run itself.",
    )
    .reloadable(),
    Setting::new(
        "secret_key",
        "ASKD_SECRET_KEY",
        Secret,
        Unset,
        "32 random bytes as 64 hexadecimal digits or in base64, such as `openssl rand -base64 32` prints. They seal the variables and MCP servers of a run as long as it waits. Unset, only runs that end with their client may have some. All servers of one database need the same.",
    ),
];

pub(super) const CONFIGURATION: &[Setting] = &[
    Setting::new(
        "config_versions",
        "ASKD_CONFIG_VERSIONS",
        Integer(1, 10_000),
        Value("100"),
        "Versions of each document of the configuration whose content is kept, the newest ones; they can be put back.",
    ).reloadable(),
    Setting::new(
        "audit_retention",
        "ASKD_AUDIT_RETENTION",
        KEPT,
        Value("9600h"),
        "How long the audit is kept: who did what, and when. API keys that count no more are kept as long, and at most 30 days.",
    ).reloadable(),
];
