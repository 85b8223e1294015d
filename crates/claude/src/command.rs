//! The command line of a run.
//!
//! Only validated ids, names and enums go here: argv is world-readable in `/proc`, and a string in it is limited to
//! 128 KiB. Prompts, schemas and texts go over stdin ([`crate::input`]). Every value is passed as `--flag=value`,
//! because a value that starts with a dash would be read as the next flag in the two-word form.

use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::permission_mode::PermissionMode;

/// What decides the command line of one run.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct Invocation {
    /// A new session with this id, or an old one taken up again.
    pub session: Session,
    /// What happens to tool calls that no rule covers.
    pub permission_mode: PermissionMode,
    /// Whether the folder's own `.claude/`, `CLAUDE.md` and rules are read.
    pub project_config: bool,
    /// `sonnet`, `opus`, `haiku` or a full model id that the operator allows.
    pub model: Option<String>,
    /// The `name` in the agent's frontmatter.
    pub agent: Option<String>,
    /// The names of the CLI's own tools that the run has; `None`: all. MCP tools are not among them.
    pub tools: Option<Vec<String>>,
    /// What this process may cost, in USD as a decimal number: looked at between the model's answers.
    pub max_budget_usd: Option<String>,
    /// Turns after which the run ends as incomplete.
    pub max_turns: Option<u32>,
    /// Whether partial messages are sent.
    pub deltas: bool,
    /// Whether a system prompt is given over stdin.
    pub has_system_prompt: bool,
    /// Whether MCP servers are given over stdin.
    pub has_mcp_servers: bool,
    /// Whether [`crate::managed::ManagedSettings`] are given over stdin.
    pub has_managed_settings: bool,
    /// The file made from [`crate::run_settings::RunSettings`].
    pub settings_file: PathBuf,
}

/// Where the conversation comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Session {
    /// Starts under this id.
    New(Uuid),
    /// Continues; its transcript is in the run's home.
    Resume(Uuid),
}

impl Session {
    /// The session's id, new or old.
    pub fn id(self) -> Uuid {
        match self {
            Self::New(id) | Self::Resume(id) => id,
        }
    }
}

/// The arguments after the program's name.
pub fn arguments(invocation: &Invocation) -> Vec<String> {
    let mut args: Vec<String> = [
        "-p",
        "--output-format=stream-json",
        "--input-format=stream-json",
        "--verbose",
        "--strict-mcp-config",
        // Nobody answers a prompt here, and with `host` the CLI would wait for an answer for ever.
        "--permission-prompts=none",
    ]
    .map(String::from)
    .to_vec();

    args.push(match invocation.session {
        Session::New(id) => format!("--session-id={id}"),
        Session::Resume(id) => format!("--resume={id}"),
    });
    args.push(format!("--permission-mode={}", invocation.permission_mode.as_str()));
    args.push(setting_sources(invocation.project_config));
    args.push(format!("--settings={}", display(&invocation.settings_file)));
    if let Some(model) = &invocation.model {
        args.push(format!("--model={model}"));
    }
    if let Some(agent) = &invocation.agent {
        args.push(format!("--agent={agent}"));
    }
    if let Some(tools) = &invocation.tools {
        // Exact names; an empty list is none (checked).
        args.push(format!("--tools={}", tools.join(",")));
    }
    if let Some(budget) = &invocation.max_budget_usd {
        args.push(format!("--max-budget-usd={budget}"));
    }
    if let Some(turns) = invocation.max_turns {
        args.push(format!("--max-turns={turns}"));
    }
    if invocation.deltas {
        args.push("--include-partial-messages".into());
    }
    if invocation.has_system_prompt {
        // With the default, `on`, a resumed session silently keeps the system prompt of its first run.
        args.push("--system-prompt-snapshot=off".into());
    }
    if invocation.has_mcp_servers || invocation.has_managed_settings {
        // Without it the servers of `initialize` are passed over.
        args.push("--await-initialize".into());
    }
    if invocation.has_managed_settings {
        args.push("--managed-settings-in-initialize".into());
    }
    args
}

/// Always explicit, so that a changed default of the CLI cannot let a repository's settings in.
fn setting_sources(project_config: bool) -> String {
    let sources = if project_config { "user,project" } else { "user" };
    format!("--setting-sources={sources}")
}

/// Paths of askd's own making are UTF-8; the settings refuse others at start.
fn display(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invocation() -> Invocation {
        Invocation {
            session: Session::New(Uuid::nil()),
            permission_mode: PermissionMode::AcceptEdits,
            project_config: false,
            model: None,
            agent: None,
            tools: None,
            max_budget_usd: None,
            max_turns: None,
            deltas: false,
            has_system_prompt: false,
            has_mcp_servers: false,
            has_managed_settings: false,
            settings_file: "/home/run/settings.json".into(),
        }
    }

    #[test]
    fn the_smallest_run_is_explicit_about_every_source() {
        insta::assert_snapshot!(arguments(&invocation()).join("\n"), @r"
        -p
        --output-format=stream-json
        --input-format=stream-json
        --verbose
        --strict-mcp-config
        --permission-prompts=none
        --session-id=00000000-0000-0000-0000-000000000000
        --permission-mode=acceptEdits
        --setting-sources=user
        --settings=/home/run/settings.json
        ");
    }

    #[test]
    fn every_option_is_one_argument() {
        let full = Invocation {
            session: Session::Resume(Uuid::nil()),
            project_config: true,
            model: Some("--dangerous".into()),
            agent: Some("reviewer".into()),
            max_turns: Some(3),
            deltas: true,
            has_system_prompt: true,
            has_mcp_servers: true,
            has_managed_settings: true,
            tools: Some(vec!["Read".into(), "Agent".into()]),
            max_budget_usd: Some("0.25".into()),
            ..invocation()
        };
        insta::assert_snapshot!(arguments(&full)[6..].join("\n"), @r"
        --resume=00000000-0000-0000-0000-000000000000
        --permission-mode=acceptEdits
        --setting-sources=user,project
        --settings=/home/run/settings.json
        --model=--dangerous
        --agent=reviewer
        --tools=Read,Agent
        --max-budget-usd=0.25
        --max-turns=3
        --include-partial-messages
        --system-prompt-snapshot=off
        --await-initialize
        --managed-settings-in-initialize
        ");
    }

    #[test]
    fn no_tools_are_an_empty_list_and_not_the_default() {
        let none = Invocation { tools: Some(Vec::new()), ..invocation() };
        assert!(arguments(&none).contains(&"--tools=".to_owned()));
    }
}
