//! What a client asks for, in the form in which it is stored: enough to start the run later, on a server that has been
//! restarted meanwhile.

use claude::effort::Effort;
use claude::permission_mode::PermissionMode;
use claude::profile::Profile;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::content::Block;
use crate::keys::priority::Priority;
use crate::usd::Usd;

/// The options of a run. Their form is checked (lengths, ranges); whether they fit this server is seen by
/// [`super::resolve`].
///
/// Stored as JSON. A field that is added needs a default, one that is removed must still be accepted: queued runs of an
/// earlier version are read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunRequest {
    /// The user's message; empty if it is in `content`.
    #[serde(default)]
    pub prompt: String,
    /// The user's message in blocks.
    #[serde(default)]
    pub content: Vec<Block>,
    /// The working folder, relative to the workspace root.
    #[serde(default)]
    pub cwd: String,
    /// The session to continue; `None` starts one.
    #[serde(default)]
    pub resume: Option<Uuid>,
    /// What happens to tool calls that no rule covers; `None`: as the server's setting says.
    #[serde(default)]
    pub permission_mode: Option<PermissionMode>,
    /// Tool rules that need no approval.
    #[serde(default)]
    pub allowed_tools: Vec<String>,
    /// An agent of the configuration.
    #[serde(default)]
    pub agent: Option<String>,
    /// `sonnet`, `opus`, `haiku` or an id that the operator allows.
    #[serde(default)]
    pub model: Option<String>,
    /// Turns after which the run ends as incomplete.
    #[serde(default)]
    pub max_turns: Option<u32>,
    /// Replaces the CLI's own system prompt.
    #[serde(default)]
    pub system_prompt: Option<String>,
    /// The schema that the answer must fit.
    #[serde(default)]
    pub output_schema: Option<Value>,
    /// Whether `@path` and `/command` in the prompt are expanded.
    #[serde(default)]
    pub expand: bool,
    /// Whether partial messages are wanted.
    #[serde(default)]
    pub deltas: bool,
    /// How long it may take, in seconds; `None`: as the server's setting says.
    #[serde(default)]
    pub timeout_seconds: Option<u64>,
    /// Where it may write, relative to the workspace root; `None`: as the server's setting says.
    #[serde(default)]
    pub write_root: Option<String>,
    /// Folders that it has besides its workspace.
    #[serde(default)]
    pub additional_folders: Vec<AdditionalFolder>,
    /// The most that it may cost, by the CLI's estimate; `None`: as the key's policy says.
    #[serde(default)]
    pub max_budget_usd: Option<Usd>,
    /// Its place among the waiting runs of its key; `None`: the usual one, or the highest that the key's policy allows.
    #[serde(default)]
    pub priority: Option<Priority>,
    /// Follows the CLI's own system prompt, or the one that replaces it.
    #[serde(default)]
    pub append_system_prompt: Option<String>,
    /// The only tools that the run has; `None`: all.
    #[serde(default)]
    pub tools: Option<Vec<String>>,
    /// Tool rules for calls that are always denied.
    #[serde(default)]
    pub disallowed_tools: Vec<String>,
    /// How much the model thinks.
    #[serde(default)]
    pub effort: Option<Effort>,
    /// Models for the case that the first is overloaded or not there.
    #[serde(default)]
    pub fallback_models: Vec<String>,
    /// Agents besides those of the configuration, by name, in the CLI's own form.
    #[serde(default)]
    pub agents: Map<String, Value>,
    /// The names of the MCP servers that [`super::secrets::RunSecrets`] has.
    #[serde(default)]
    pub mcp_servers: Vec<String>,
    /// The names of the variables that [`super::secrets::RunSecrets`] has.
    #[serde(default)]
    pub env: Vec<String>,
    /// What it has of configuration and tools; `None`: the usual, or the first that the key's policy allows.
    #[serde(default)]
    pub profile: Option<Profile>,
    /// How long the CLI may be silent, in seconds; `None`: as the server's setting says.
    #[serde(default)]
    pub idle_timeout_seconds: Option<u64>,
    /// How long it may wait for its turn, in seconds; `None`: as the server's setting says.
    #[serde(default)]
    pub queue_timeout_seconds: Option<u64>,
    /// Whether the session that is to be continued is copied, and stays as it is.
    #[serde(default)]
    pub fork_session: bool,
}

/// What the form of stored requests is numbered with. To be raised with every field that a server must not overlook: 2 has
/// `write_root` and `additional_folders`, 3 has `max_budget_usd`, 4 has `content`, `tools` and what came with them.
const VERSION: u32 = 4;

/// A request as it is stored. A server of before versions does not look at this one.
#[derive(Serialize, Deserialize)]
struct Stored<R> {
    #[serde(default)]
    version: u32,
    #[serde(flatten)]
    request: R,
}

/// Why a stored request cannot be taken up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// A newer server has stored it: it may ask for what this one knows nothing of.
    Newer,
    /// It is no request.
    Broken,
}

impl RunRequest {
    /// As it is stored.
    pub fn to_stored(&self) -> Option<String> {
        serde_json::to_string(&Stored { version: VERSION, request: self }).ok()
    }

    /// Without what may be long: lists do not show it, and must not read it.
    #[must_use]
    pub fn for_lists(&self) -> Self {
        // A clone of the whole would copy what is long.
        Self {
            cwd: self.cwd.clone(),
            resume: self.resume,
            permission_mode: self.permission_mode,
            allowed_tools: self.allowed_tools.clone(),
            agent: self.agent.clone(),
            model: self.model.clone(),
            max_turns: self.max_turns,
            expand: self.expand,
            deltas: self.deltas,
            timeout_seconds: self.timeout_seconds,
            write_root: self.write_root.clone(),
            additional_folders: self.additional_folders.clone(),
            max_budget_usd: self.max_budget_usd,
            priority: self.priority,
            tools: self.tools.clone(),
            disallowed_tools: self.disallowed_tools.clone(),
            effort: self.effort,
            fallback_models: self.fallback_models.clone(),
            mcp_servers: self.mcp_servers.clone(),
            env: self.env.clone(),
            profile: self.profile,
            idle_timeout_seconds: self.idle_timeout_seconds,
            queue_timeout_seconds: self.queue_timeout_seconds,
            fork_session: self.fork_session,
            prompt: String::new(),
            content: Vec::new(),
            system_prompt: None,
            append_system_prompt: None,
            output_schema: None,
            agents: Map::new(),
        }
    }

    /// From [`Self::to_stored`], of this version or an earlier one.
    pub fn from_stored(text: &str) -> Result<Self, Unreadable> {
        #[derive(Deserialize)]
        struct Version {
            #[serde(default)]
            version: u32,
        }
        let Version { version } = serde_json::from_str(text).map_err(|_| Unreadable::Broken)?;
        if version > VERSION {
            return Err(Unreadable::Newer);
        }
        serde_json::from_str(text).map(|Stored { request, .. }| request).map_err(|_| Unreadable::Broken)
    }
}

/// A folder that a run has besides its workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdditionalFolder {
    /// Relative to the workspace root.
    pub path: String,
    /// Whether it may be changed.
    #[serde(default)]
    pub writable: bool,
}

/// What becomes of a run whose client leaves before the answer is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDisconnect {
    /// It is ended. If the server dies while it waits, it is not begun later.
    Cancel,
    /// It goes on.
    Continue,
}

impl OnDisconnect {
    /// The words.
    pub const WORDS: [&str; 2] = ["cancel", "continue"];

    /// Its word, in the store and for clients.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Continue => "continue",
        }
    }

    /// What the word says.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Cancel, Self::Continue].into_iter().find(|choice| choice.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_back_as_it_was_and_an_older_one_too() {
        let request: RunRequest = serde_json::from_str(r#"{"prompt":"hi","permission_mode":"plan"}"#).unwrap();
        assert_eq!(request.permission_mode, Some(PermissionMode::Plan));
        assert_eq!((&request.write_root, request.additional_folders.as_slice()), (&None, &[][..]));
        let again = RunRequest::from_stored(&request.to_stored().unwrap()).unwrap();
        assert_eq!(request, again);
        assert_eq!(RunRequest::from_stored(r#"{"prompt":"hi","permission_mode":"plan"}"#), Ok(request));
    }

    #[test]
    fn what_a_newer_server_has_stored_is_not_taken_for_what_is_known_of_it() {
        let newer = format!(r#"{{"version":{},"prompt":"hi","keep_out_of":["x"]}}"#, VERSION + 1);
        assert_eq!(RunRequest::from_stored(&newer), Err(Unreadable::Newer));
        assert_eq!(RunRequest::from_stored(r#"{"version":9,"prompt":{}}"#), Err(Unreadable::Newer));
        assert_eq!(RunRequest::from_stored(r#"{"prompt":5}"#), Err(Unreadable::Broken));
    }
}
