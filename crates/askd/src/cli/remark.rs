//! What an operator should know of a CLI that is not the one that askd was tested with.

use claude::version::capabilities::{Capabilities, Feature};
use claude::version::{Standing, TESTED, Version};

/// What is to be said of a CLI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// How it differs.
    pub message: String,
    /// What to do.
    pub hint: String,
}

/// What is to be said of the CLI of this version; nothing of the tested one.
pub fn remark(version: Version) -> Option<Remark> {
    match version.standing() {
        Standing::Tested => None,
        Standing::Newer => Some(Remark {
            message: format!("Claude Code CLI {version} is newer than {TESTED}, which askd was tested with"),
            hint: format!("should runs fail in ways that nobody expects, use {TESTED}: docs/cli-versions.md"),
        }),
        Standing::Older => {
            let can = Capabilities::of(version);
            let lacking = Feature::ALL.into_iter().filter(|feature| !can.has(*feature)).map(Feature::as_str);
            let lacking = lacking.collect::<Vec<_>>().join(", ");
            let policies = if can.has(Feature::ManagedSettings) { "" } else { "; keys that have a policy cannot run" };
            Some(Remark {
                message: format!(
                    "Claude Code CLI {version} is older than {TESTED}, which askd was tested with, and lacks {lacking}{policies}"
                ),
                hint: format!("update it to {TESTED}; docs/cli-versions.md says what differs"),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_older_cli_lacks_is_named_and_the_tested_one_needs_no_remark() {
        assert_eq!(remark(TESTED), None);
        let older = remark(Version(2, 1, 276)).unwrap().message;
        assert!(
            older.contains("lacks inline_agent_answers, mcp_servers_in_initialize, managed_settings, ")
                && older.contains("cannot run")
        );
        assert!(!older.contains("idle_after_subagents"), "{older}");
        assert!(remark(Version(2, 2, 0)).unwrap().message.contains("is newer than"));
    }
}
