//! Which documents may hold keys of services, so that not everybody who may read texts may read them.

use crate::config::document::Content;
use crate::config::kind::Kind;
use crate::frontmatter;

/// Keys of frontmatter whose values are programs with their environments, and requests with their headers.
const KEYS: [&str; 2] = ["hooks", "mcpServers"];

/// Whether every document of a kind may.
pub fn all_may_hold_secrets(kind: Kind) -> bool {
    matches!(kind, Kind::Settings | Kind::McpServers)
}

/// Whether this document may: its kind, or what its frontmatter has. One that cannot be read may, since some parser or
/// person reads it after all.
pub fn may_hold_secrets(kind: Kind, content: &Content) -> bool {
    match kind {
        Kind::Settings | Kind::McpServers => true,
        Kind::Agent | Kind::Skill | Kind::Command => match content.text().map(frontmatter::parse) {
            Some(Ok(document)) => KEYS.iter().any(|key| document.frontmatter.contains_key(key)),
            Some(Err(_)) | None => true,
        },
        // The CLI knows no such keys there.
        Kind::Rule | Kind::OutputStyle | Kind::ClaudeMd | Kind::Policy => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_servers_or_hooks_may_hold_secrets_and_so_may_what_nobody_can_read() {
        for (kind, text, may) in [
            (Kind::Settings, "{}", true),
            (Kind::McpServers, "{}", true),
            (Kind::Policy, "{}", false),
            (Kind::Rule, "---\nmcpServers: []\n---\n", false),
            (Kind::Agent, "---\nname: a\n---\nhooks: and mcpServers: as words", false),
            (Kind::Agent, "---\nname: a\nmcpServers:\n  - x: {command: y, env: {TOKEN: z}}\n---\n", true),
            (Kind::Agent, "---\n\"mcp\\x53ervers\": []\n---\n", true),
            (Kind::Agent, "---\na: b: c\n---\n", true),
            (Kind::Command, "---\nhooks: {}\n---\n", true),
            (Kind::Command, "plain", false),
        ] {
            assert_eq!(may_hold_secrets(kind, &Content::Text(text.to_owned())), may, "{kind:?} {text}");
        }
        assert!(may_hold_secrets(Kind::Skill, &Content::Skill(crate::config::document::Skill::default())));
    }
}
