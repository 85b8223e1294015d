//! The variables that every run gets, besides those that the operator passes through.

use std::path::Path;

/// The folder below `projects/` that holds the session's transcript, the same in every home, so that a transcript
/// can be carried from one home to the next whatever the working folder is called.
pub const PROJECT_DIR_NAME: &str = "run";

/// Names the descriptor from which the CLI reads its API key, so that the key is in no environment.
pub const KEY_DESCRIPTOR: &str = "CLAUDE_CODE_API_KEY_FILE_DESCRIPTOR";

/// Makes settings files powerless over the provider's URL and credentials, and keeps the key from tool commands.
/// It also makes a stored login inert, so it is left out when the login is all there is.
pub const PROVIDER_MANAGED_BY_HOST: (&str, &str) = ("CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST", "1");

/// The run's place in a trace, as the W3C's Trace Context writes it. With `-p` the CLI reads both (checked).
pub const TRACEPARENT: &str = "TRACEPARENT";

/// What other systems add to [`TRACEPARENT`].
pub const TRACESTATE: &str = "TRACESTATE";

/// Fixed variables: what makes the CLI quiet, and what makes it say how a run ends.
const FIXED: [(&str, &str); 17] = [
    ("CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS", "1"),
    ("CLAUDE_CODE_STARTUP_FAILURE_RESULTS", "1"),
    ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
    ("CLAUDE_CODE_DISABLE_TERMINAL_TITLE", "1"),
    ("CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL", "1"),
    // Memory would be written into a home that is removed with its run.
    ("CLAUDE_CODE_DISABLE_AUTO_MEMORY", "1"),
    ("CLAUDE_CODE_PROJECT_DIR_NAME", PROJECT_DIR_NAME),
    ("CLAUDE_AGENT_SDK_CLIENT_APP", "askd"),
    ("ENABLE_CLAUDEAI_MCP_SERVERS", "false"),
    // Schedules would fire into a session that nobody watches.
    ("CLAUDE_CODE_DISABLE_CRON", "1"),
    // `git status` needs no approval in any mode, and this setting of a repository makes it run a program (checked).
    ("GIT_CONFIG_COUNT", "1"),
    ("GIT_CONFIG_KEY_0", "core.fsmonitor"),
    ("GIT_CONFIG_VALUE_0", "false"),
    ("DISABLE_UPDATES", "1"),
    ("DISABLE_AUTOUPDATER", "1"),
    ("DISABLE_TELEMETRY", "1"),
    ("DISABLE_ERROR_REPORTING", "1"),
];

/// The variables of a run whose private home is `home`.
pub fn of_home(home: &Path) -> Vec<(String, String)> {
    let place = |name: &str, folder: &str| (name.to_owned(), home.join(folder).display().to_string());
    let mut variables = vec![
        ("HOME".to_owned(), home.display().to_string()),
        place("CLAUDE_CONFIG_DIR", CONFIG_FOLDER),
        place("CLAUDE_CODE_TMPDIR", TEMP_FOLDER),
        place("TMPDIR", TEMP_FOLDER),
        place("XDG_CONFIG_HOME", ".config"),
        place("XDG_DATA_HOME", ".local/share"),
        place("XDG_STATE_HOME", ".local/state"),
        place("XDG_CACHE_HOME", ".cache"),
    ];
    variables.extend(FIXED.map(|(name, value)| (name.to_owned(), value.to_owned())));
    variables
}

/// The CLI's configuration folder below a run's home.
pub const CONFIG_FOLDER: &str = ".claude";

/// Where the CLI writes down what it knows of itself and of folders, in its configuration folder.
pub const STATE_FILE: &str = ".claude.json";

/// The folder for temporary files below a run's home: the CLI's default is shared by all runs of a user.
pub const TEMP_FOLDER: &str = "tmp";
