//! Settings of what agents work with and what they may do.

use std::time::Duration;

use claude::permission_mode::PermissionMode;

use super::LONGEST;
use crate::settings::choices::{ConfigChanges, ProjectConfig};
use crate::settings::declaration::Fallback::{Required, Unset, Value};
use crate::settings::declaration::Kind::{
    Bool, Choice, Duration as Period, Folders, Model, Models, Secret, Text, User, VariableNames,
};
use crate::settings::declaration::Setting;

pub(super) const KEYS_AND_CREDENTIALS: &[Setting] = &[
    Setting::new(
        "api_key",
        "API_KEY",
        Secret,
        Required,
        "The key that clients send as `x-api-key`. Any text that is not empty is accepted; fewer than 8 characters bring a warning.",
    ).reloadable(),
    Setting::new(
        "config_changes",
        "ASKD_CONFIG_CHANGES",
        Choice(ConfigChanges::WORDS),
        Value("all"),
        "What keys may change over `/config` and `/v1/config`: `all`; `texts`, and nothing that can run programs; `none`. Settings and MCP servers are shown only where `all` may be changed.",
    ).reloadable(),
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

pub(super) const WHAT_AN_AGENT_MAY_DO: &[Setting] = &[
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
    )
    .reloadable(),
    Setting::new(
        "default_model",
        "ASKD_DEFAULT_MODEL",
        Model,
        Unset,
        "Model of a run that does not name one; unset, the CLI chooses.",
    )
    .reloadable(),
    Setting::new(
        "child_env",
        "ASKD_CHILD_ENV",
        VariableNames,
        Value(""),
        "Further environment variables to pass to the CLI, by name, such as `GH_TOKEN`. An agent can read them.",
    ),
];
