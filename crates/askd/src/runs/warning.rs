//! What a person wants to know of a run although it does not end it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The content of a `run.warning`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Warning {
    /// For programs. Earlier servers have stored warnings without one.
    #[serde(default)]
    #[schema(required, value_type = String)]
    pub code: WarningCode,
    /// For people.
    pub message: String,
}

impl Warning {
    /// Of a kind, with a text.
    pub fn new(code: WarningCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// The kinds of [`Warning`]. Their names are an interface; `docs/reference/events.md` lists them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WarningCode {
    /// Calls of tools were denied.
    ToolsDenied,
    /// Configuration of the folder was left out.
    ProjectConfigLeftOut,
    /// Work in the background was ended with the run.
    BackgroundEnded,
    /// The conversation was summed up to make room.
    Compacted,
    /// Another model than the one that was asked for has answered.
    ModelFallback,
    /// The provider was asked again.
    UpstreamRetried,
    /// A limit of the provider is nearly used up.
    RateLimit,
    /// The answer was cut and went on in another one, which alone is the result.
    AnswerContinued,
    /// A subagent failed, or did not come to its end.
    SubagentFailed,
    /// An MCP server cannot be used.
    McpServerFailed,
    /// The CLI has left out something of its configuration, e.g. a plugin.
    LeftOut,
    /// A hook of the configuration failed.
    HookFailed,
    /// The conversation could not be saved whole.
    TranscriptLost,
    /// The CLI is not the one that askd was tested with.
    CliVersion,
    /// The answer did not fit the schema, and was asked for again.
    SchemaRepaired,
    /// Less than was asked for is left of a budget.
    Budget,
    /// The request names a tool that the CLI is not known to have.
    UnknownTool,
    /// The CLI wrote something that is no message.
    Output,
    /// Everything else, and what a newer server calls by a name of its own.
    #[default]
    #[serde(other)]
    Other,
}

impl WarningCode {
    /// Every code.
    pub const ALL: [Self; 19] = [
        Self::ToolsDenied,
        Self::ProjectConfigLeftOut,
        Self::BackgroundEnded,
        Self::Compacted,
        Self::ModelFallback,
        Self::UpstreamRetried,
        Self::RateLimit,
        Self::AnswerContinued,
        Self::SubagentFailed,
        Self::McpServerFailed,
        Self::LeftOut,
        Self::HookFailed,
        Self::TranscriptLost,
        Self::CliVersion,
        Self::SchemaRepaired,
        Self::Budget,
        Self::UnknownTool,
        Self::Output,
        Self::Other,
    ];

    /// Its name, as it stands in the event.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ToolsDenied => "tools_denied",
            Self::ProjectConfigLeftOut => "project_config_left_out",
            Self::BackgroundEnded => "background_ended",
            Self::Compacted => "compacted",
            Self::ModelFallback => "model_fallback",
            Self::UpstreamRetried => "upstream_retried",
            Self::RateLimit => "rate_limit",
            Self::AnswerContinued => "answer_continued",
            Self::SubagentFailed => "subagent_failed",
            Self::McpServerFailed => "mcp_server_failed",
            Self::LeftOut => "left_out",
            Self::HookFailed => "hook_failed",
            Self::TranscriptLost => "transcript_lost",
            Self::CliVersion => "cli_version",
            Self::SchemaRepaired => "schema_repaired",
            Self::Budget => "budget",
            Self::UnknownTool => "unknown_tool",
            Self::Output => "output",
            Self::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_stands_under_its_name_in_the_documentation() {
        let text = include_str!("../../../../docs/reference/events.md");
        for code in WarningCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
            assert!(text.contains(&format!("\n| `{}` | ", code.as_str())), "docs/reference/events.md lacks {code:?}");
        }
    }

    #[test]
    fn a_warning_of_a_newer_server_or_of_an_earlier_one_is_something_else() {
        for stored in [r#"{"code":"from_the_future","message":"x"}"#, r#"{"message":"x"}"#] {
            let read: Warning = serde_json::from_str(stored).unwrap();
            assert_eq!(read, Warning::new(WarningCode::Other, "x"), "{stored}");
        }
    }
}
