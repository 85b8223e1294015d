//! What of the operator's settings a run keeps that is to have nothing of the configuration (a bare or restricted one): all
//! but what brings something into it. Whoever asks for such a run must not get rid of what holds runs back, and a key
//! that nobody here has heard of may do that.

use serde_json::{Map, Value};

/// Keys that bring texts, agents, skills, plugins, MCP servers, or what askd itself says of each run.
const LEFT_OUT: [&str; 22] = [
    "$schema",
    "additionalMarketplaces",
    "agent",
    "allowAllClaudeAiMcps",
    "allowedChannelPlugins",
    "appendPlugins",
    "channelsEnabled",
    "claudeMd",
    "companyAnnouncements",
    "enableAllProjectMcpServers",
    "enabledMcpjsonServers",
    "enabledPlugins",
    "extraKnownMarketplaces",
    "managedMcpServers",
    "outputStyle",
    "pluginConfigs",
    "prependPlugins",
    "skillOverrides",
    "statusLine",
    "subagentStatusLine",
    "syncClaudeAiPlugins",
    "syncClaudeAiSkills",
];

/// Of `permissions`: what lets calls pass, what askd says of each run, and the rules that
/// [`super::restrictions`] takes, since paths in them are to be moved.
const PERMISSIONS_LEFT_OUT: [&str; 5] = ["additionalDirectories", "allow", "ask", "defaultMode", "deny"];

/// Events whose hooks can stop nothing, whatever they answer (checked): they bring texts and prepare things. Those of all
/// others stay, also of an event that nobody here has heard of: they may refuse, or record what was done.
const HOOKS_LEFT_OUT: [&str; 1] = ["SessionStart"];

/// The keys that stay.
pub fn kept(settings: &Map<String, Value>) -> Map<String, Value> {
    let mut kept = settings.clone();
    kept.retain(|key, _| !LEFT_OUT.contains(&key.as_str()));
    if let Some(Value::Object(permissions)) = kept.get_mut("permissions") {
        permissions.retain(|key, _| !PERMISSIONS_LEFT_OUT.contains(&key.as_str()));
    }
    if let Some(Value::Object(hooks)) = kept.get_mut("hooks") {
        hooks.retain(|event, _| !HOOKS_LEFT_OUT.contains(&event.as_str()));
    }
    kept
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_holds_a_run_back_stays_and_what_brings_something_goes() {
        let settings = json!({
            "model": "opus", "env": {"A": "b"}, "sandbox": {"enabled": true}, "availableModels": ["opus"],
            "a key of tomorrow": 1, "outputStyle": "Pirate", "agent": "reviewer", "enabledPlugins": {"p": true},
            "permissions": {"allow": ["Bash"], "deny": ["Read"], "ask": [], "defaultMode": "plan",
                "additionalDirectories": ["/x"], "disableBypassPermissionsMode": "disable"},
            "hooks": {"SessionStart": [1], "PreToolUse": [2], "UserPromptSubmit": [3], "PostToolUse": [4],
                "Stop": [5], "AnEventOfTomorrow": [6]},
        });
        let expected = json!({
            "model": "opus", "env": {"A": "b"}, "sandbox": {"enabled": true}, "availableModels": ["opus"],
            "a key of tomorrow": 1, "permissions": {"disableBypassPermissionsMode": "disable"},
            "hooks": {"PreToolUse": [2], "UserPromptSubmit": [3], "PostToolUse": [4], "Stop": [5],
                "AnEventOfTomorrow": [6]},
        });
        assert_eq!(Value::Object(kept(settings.as_object().unwrap())), expected);
    }
}
