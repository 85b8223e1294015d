//! What a CLI can do, by its version, as data.
//!
//! Only what was tried counts: of a feature that one checked version lacks and the next one has, the versions between them
//! are taken to lack it.

use super::Version;

/// The versions that were looked at, from the oldest to the newest.
pub const CHECKED: [Version; 3] = [Version(2, 1, 261), Version(2, 1, 276), Version(2, 1, 330)];

/// What a CLI may or may not be able to do. The names are an interface: `GET /v1/info` tells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// Messages in blocks: texts, images, documents.
    ContentBlocks,
    /// A text after the system prompt.
    AppendSystemPrompt,
    /// `--effort`.
    Effort,
    /// `--fallback-model`.
    FallbackModel,
    /// Runs without configuration. They are not given `--bare`, with which the guard is not asked.
    ProfileBare,
    /// `--restricted`.
    ProfileRestricted,
    /// Agents in `initialize`.
    InlineAgents,
    /// A subagent with a permission mode of its own stays within that of the session. The CLI that lacks it has let one with
    /// `bypassPermissions` run commands that nobody approved (checked).
    AgentPermissionMode,
    /// An agent in `initialize` that is to answer wins over one of its name in a file. The CLI that lacks it takes the file's,
    /// without a word.
    InlineAgentAnswers,
    /// `--fork-session` together with the id of the new session.
    ForkSession,
    /// `--json-schema` by `initialize`.
    OutputSchema,
    /// MCP servers in `initialize`. The CLI that lacks it ignores them silently, and takes them by a request of their own.
    McpServersInInitialize,
    /// MCP servers by a request before the first message.
    McpServersByRequest,
    /// Settings that no other settings undo, which the policy of a key needs.
    ManagedSettings,
    /// Silence, an error or nonsense in answer to the guard's question keeps the call from being made. The CLI that lacks it
    /// takes silence alone for a no.
    GuardFailsClosed,
    /// `idle` comes only when no subagent works in the background any more.
    IdleAfterSubagents,
    /// Results say what was used since the one before.
    UsageSinceLastResult,
    /// What a process has used can be asked for at any time.
    UsageOnRequest,
    /// What an interrupted call of the model has used is counted.
    UsageOfAborted,
    /// The CLI says when it could not save a conversation.
    TellsLostTranscript,
    /// An answer that was cut off in its stream is an error, or is gone on with; the CLI that lacks it takes the part for the
    /// answer.
    TellsCutStream,
}

impl Feature {
    /// Every feature, in the order in which they are told.
    pub const ALL: [Self; 21] = [
        Self::ContentBlocks,
        Self::AppendSystemPrompt,
        Self::Effort,
        Self::FallbackModel,
        Self::ProfileBare,
        Self::ProfileRestricted,
        Self::InlineAgents,
        Self::AgentPermissionMode,
        Self::InlineAgentAnswers,
        Self::ForkSession,
        Self::OutputSchema,
        Self::McpServersInInitialize,
        Self::McpServersByRequest,
        Self::ManagedSettings,
        Self::GuardFailsClosed,
        Self::IdleAfterSubagents,
        Self::UsageSinceLastResult,
        Self::UsageOnRequest,
        Self::UsageOfAborted,
        Self::TellsLostTranscript,
        Self::TellsCutStream,
    ];

    /// Its name, for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ContentBlocks => "content_blocks",
            Self::AppendSystemPrompt => "append_system_prompt",
            Self::Effort => "effort",
            Self::FallbackModel => "fallback_model",
            Self::ProfileBare => "profile_bare",
            Self::ProfileRestricted => "profile_restricted",
            Self::InlineAgents => "inline_agents",
            Self::AgentPermissionMode => "agent_permission_mode",
            Self::InlineAgentAnswers => "inline_agent_answers",
            Self::ForkSession => "fork_session",
            Self::OutputSchema => "output_schema",
            Self::McpServersInInitialize => "mcp_servers_in_initialize",
            Self::McpServersByRequest => "mcp_servers_by_request",
            Self::ManagedSettings => "managed_settings",
            Self::GuardFailsClosed => "guard_fails_closed",
            Self::IdleAfterSubagents => "idle_after_subagents",
            Self::UsageSinceLastResult => "usage_since_last_result",
            Self::UsageOnRequest => "usage_on_request",
            Self::UsageOfAborted => "usage_of_aborted",
            Self::TellsLostTranscript => "tells_lost_transcript",
            Self::TellsCutStream => "tells_cut_stream",
        }
    }

    /// The oldest checked version that has it.
    pub fn since(self) -> Version {
        let [oldest, middle, newest] = CHECKED;
        match self {
            Self::ContentBlocks
            | Self::AppendSystemPrompt
            | Self::Effort
            | Self::FallbackModel
            | Self::ProfileBare
            | Self::ProfileRestricted
            | Self::InlineAgents
            | Self::ForkSession
            | Self::OutputSchema
            | Self::McpServersByRequest
            | Self::UsageOnRequest => oldest,
            Self::AgentPermissionMode | Self::IdleAfterSubagents => middle,
            Self::InlineAgentAnswers
            | Self::McpServersInInitialize
            | Self::ManagedSettings
            | Self::GuardFailsClosed
            | Self::UsageSinceLastResult
            | Self::UsageOfAborted
            | Self::TellsLostTranscript
            | Self::TellsCutStream => newest,
        }
    }
}

/// What a CLI of one version can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities(Version);

impl Capabilities {
    /// Of the CLI of this version. One that is newer than any that was looked at is taken to have lost nothing.
    pub fn of(version: Version) -> Self {
        Self(version)
    }

    /// Whether it has the feature.
    pub fn has(self, feature: Feature) -> bool {
        self.lacks(feature).is_none()
    }

    /// The oldest version that is known to have the feature, if this one is not.
    pub fn lacks(self, feature: Feature) -> Option<Version> {
        let since = feature.since();
        (self.0 < since).then_some(since)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::{MINIMUM, TESTED};
    use super::*;

    #[test]
    fn the_oldest_and_the_newest_that_were_looked_at_are_those_that_are_accepted_and_tested() {
        assert_eq!((CHECKED[0], CHECKED[2]), (MINIMUM, TESTED));
    }

    #[test]
    fn every_feature_has_a_name_of_its_own_and_the_tested_cli_lacks_none() {
        let names: BTreeSet<&str> = Feature::ALL.iter().map(|feature| feature.as_str()).collect();
        assert_eq!(names.len(), Feature::ALL.len());
        assert!(Feature::ALL.iter().all(|feature| Capabilities::of(TESTED).has(*feature)));
    }

    #[test]
    fn between_two_checked_versions_the_later_one_counts() {
        let table = [
            (Version(2, 1, 261), Some(Version(2, 1, 330)), Some(Version(2, 1, 276)), None),
            (Version(2, 1, 276), Some(Version(2, 1, 330)), None, None),
            (Version(2, 1, 329), Some(Version(2, 1, 330)), None, None),
            (Version(2, 1, 330), None, None, None),
            (Version(3, 0, 0), None, None, None),
        ];
        for (version, managed, idle, effort) in table {
            let cli = Capabilities::of(version);
            let found = (
                cli.lacks(Feature::ManagedSettings),
                cli.lacks(Feature::IdleAfterSubagents),
                cli.lacks(Feature::Effort),
            );
            assert_eq!(found, (managed, idle, effort), "{version}");
        }
    }
}
