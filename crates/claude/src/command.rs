//! The command line of a run.
//!
//! Only validated ids, names and enums go here: argv is world-readable in `/proc`, and a string in it is limited to
//! 128 KiB. Prompts, schemas and texts go over stdin ([`crate::input`]). Every value is passed as `--flag=value`,
//! because a value that starts with a dash would be read as the next flag in the two-word form.

use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::effort::Effort;
use crate::permission_mode::PermissionMode;

/// What decides the command line of one run.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct Invocation {
    /// A new session with this id, or an old one taken up again.
    pub session: Session,
    /// What happens to tool calls that no rule covers.
    pub permission_mode: PermissionMode,
    /// Whose configuration is read.
    pub sources: Sources,
    /// `sonnet`, `opus`, `haiku` or a full model id that the operator allows.
    pub model: Option<String>,
    /// Models that the CLI takes, one after the other, when that one is overloaded or not there.
    pub fallback_models: Vec<String>,
    /// How much the model thinks; `None`: as the model usually does.
    pub effort: Option<Effort>,
    /// Whether it has neither tools that run programs nor those that fetch pages, reads no files of settings but
    /// [`Self::settings_file`], and keeps to its folders. It still asks the guard (checked), unlike with `--bare`.
    pub is_restricted: bool,
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
    /// Whether the whole system prompt or a part of it is given over stdin.
    pub has_system_prompt: bool,
    /// Whether MCP servers are given over stdin.
    pub has_mcp_servers: bool,
    /// Whether [`crate::managed::ManagedSettings`] are given over stdin.
    pub has_managed_settings: bool,
    /// The file made from [`crate::run_settings::RunSettings`].
    pub settings_file: PathBuf,
}

/// Whose settings, `CLAUDE.md`, rules, agents, skills and commands the CLI reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sources {
    /// Nobody's, and not the skills that the CLI brings itself: what there is comes over stdin and in
    /// [`Invocation::settings_file`].
    None,
    /// Those in the configuration folder of the run's home.
    Home,
    /// Those, and the working folder's own.
    HomeAndProject,
}

/// Where the conversation comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Session {
    /// Starts under this id.
    New(Uuid),
    /// Continues; its transcript is in the run's home.
    Resume(Uuid),
    /// Begins with a copy of another session, which stays as it is; its transcript is in the run's home.
    Fork {
        /// The one that is copied.
        from: Uuid,
        /// The new one.
        id: Uuid,
    },
}

impl Session {
    /// The session's id, new or old.
    pub fn id(self) -> Uuid {
        match self {
            Self::New(id) | Self::Resume(id) | Self::Fork { id, .. } => id,
        }
    }

    /// Whether nothing was said in it before.
    pub fn is_new(self) -> bool {
        matches!(self, Self::New(_))
    }

    /// The session whose transcript the CLI has to find in the run's home.
    pub fn transcript(self) -> Option<Uuid> {
        match self {
            Self::New(_) => None,
            Self::Resume(id) | Self::Fork { from: id, .. } => Some(id),
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

    match invocation.session {
        Session::New(id) => args.push(format!("--session-id={id}")),
        Session::Resume(id) => args.push(format!("--resume={id}")),
        Session::Fork { from, id } => {
            args.extend([format!("--resume={from}"), "--fork-session".to_owned(), format!("--session-id={id}")]);
        }
    }
    args.push(format!("--permission-mode={}", invocation.permission_mode.as_str()));
    // Always explicit, so that a changed default of the CLI cannot let a repository's settings in.
    args.push(match invocation.sources {
        Sources::None => "--setting-sources=".to_owned(),
        Sources::Home => "--setting-sources=user".to_owned(),
        Sources::HomeAndProject => "--setting-sources=user,project".to_owned(),
    });
    if invocation.sources == Sources::None {
        args.push("--disable-slash-commands".into());
    }
    args.push(format!("--settings={}", display(&invocation.settings_file)));
    if let Some(model) = &invocation.model {
        args.push(format!("--model={model}"));
    }
    if !invocation.fallback_models.is_empty() {
        args.push(format!("--fallback-model={}", invocation.fallback_models.join(",")));
    }
    if let Some(effort) = invocation.effort {
        args.push(format!("--effort={}", effort.as_str()));
    }
    if invocation.is_restricted {
        args.push("--restricted".into());
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
    if invocation.has_system_prompt || invocation.session.transcript().is_some() {
        // With the default, `on`, a session keeps the system prompt of its first run, whatever later ones say or leave out
        // (checked).
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
            sources: Sources::Home,
            model: None,
            fallback_models: Vec::new(),
            effort: None,
            is_restricted: false,
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
            sources: Sources::HomeAndProject,
            model: Some("--dangerous".into()),
            fallback_models: vec!["haiku".into(), "sonnet".into()],
            effort: Some(Effort::XHigh),
            is_restricted: true,
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
        --fallback-model=haiku,sonnet
        --effort=xhigh
        --restricted
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
    fn a_session_that_goes_on_gets_no_system_prompt_but_that_of_its_request() {
        let id = Uuid::nil();
        for (session, is_off) in
            [(Session::New(id), false), (Session::Resume(id), true), (Session::Fork { from: id, id }, true)]
        {
            let args = arguments(&Invocation { session, ..invocation() });
            assert_eq!(args.contains(&"--system-prompt-snapshot=off".to_owned()), is_off, "{session:?}");
        }
    }

    #[test]
    fn a_fork_is_a_new_session_from_an_old_one() {
        let session = Session::Fork { from: Uuid::nil(), id: Uuid::max() };
        let args = arguments(&Invocation { session, ..invocation() });
        assert_eq!(args[6], "--resume=00000000-0000-0000-0000-000000000000");
        assert_eq!(args[7..9], ["--fork-session", "--session-id=ffffffff-ffff-ffff-ffff-ffffffffffff"]);
        assert_eq!((session.id(), session.transcript()), (Uuid::max(), Some(Uuid::nil())));
    }

    #[test]
    fn nobody_s_configuration_is_said_so_and_never_by_a_flag_that_silences_the_guard() {
        let args = arguments(&Invocation { sources: Sources::None, ..invocation() });
        assert!(
            args.contains(&"--setting-sources=".to_owned()) && args.contains(&"--disable-slash-commands".to_owned())
        );
        assert!(!args.contains(&"--bare".to_owned()));
    }

    #[test]
    fn no_tools_are_an_empty_list_and_not_the_default() {
        let none = Invocation { tools: Some(Vec::new()), ..invocation() };
        assert!(arguments(&none).contains(&"--tools=".to_owned()));
    }
}
