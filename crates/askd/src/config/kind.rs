//! The kinds of configuration.

/// What a document is to the CLI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `agents/NAME.md`.
    Agent,
    /// `skills/NAME/SKILL.md` with what lies beside it.
    Skill,
    /// `rules/NAME.md`, in folders if need be.
    Rule,
    /// `commands/NAME.md`, in folders if need be.
    Command,
    /// `output-styles/NAME.md`.
    OutputStyle,
    /// `CLAUDE.md`.
    ClaudeMd,
    /// `settings.json`.
    Settings,
    /// `.mcp.json`.
    McpServers,
    /// `askd-policy.json`: what askd's own guard refuses. The CLI does not read it.
    Policy,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Agent,
        Self::Skill,
        Self::Rule,
        Self::Command,
        Self::OutputStyle,
        Self::ClaudeMd,
        Self::Settings,
        Self::McpServers,
        Self::Policy,
    ];

    /// As it is called in paths of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agents",
            Self::Skill => "skills",
            Self::Rule => "rules",
            Self::Command => "commands",
            Self::OutputStyle => "output-styles",
            Self::ClaudeMd => "claude-md",
            Self::Settings => "settings",
            Self::McpServers => "mcp-servers",
            Self::Policy => "policy",
        }
    }

    /// The kind that is called so.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Whether there is at most one of it in a scope, which therefore has no name.
    pub fn is_single(self) -> bool {
        matches!(self, Self::ClaudeMd | Self::Settings | Self::McpServers | Self::Policy)
    }

    /// Whether names may hold folders.
    pub fn is_nested(self) -> bool {
        matches!(self, Self::Rule | Self::Command)
    }

    /// Whether a workspace may have it, too.
    pub fn is_in_workspaces(self) -> bool {
        self != Self::Policy
    }
}
