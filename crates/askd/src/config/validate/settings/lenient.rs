//! Where the CLI is laxer than its schema: what it drops alone, instead of the whole file.
//!
//! Found by giving CLI 2.1.330 a wrong value of every type for every key (checked); `real/config_skips_json.rs` does so again
//! for each line here. What is not here counts as the worst: the file is dropped.

use serde_json::Value;

use super::Effect;
use crate::config::json::{Path, Step};

/// Keys whose wrong values are dropped alone, where that opens nothing. `*` is any one step.
///
/// Dropped alone as well, and not here, since they restrict: `deniedModels`, `deniedMcpServers`, `allowedMcpServers`,
/// `allowedProviders`, `gatewayInternalNetworks`, `strictPluginOnlyCustomization`, `hooks`, `permissions.deny`,
/// `permissions.ask` and what belongs to `sandbox.credentials`.
pub(super) const LOSES: [&str; 45] = [
    "additionalMarketplaces",
    "appendPlugins",
    "askUserQuestionTimeout",
    "attributionProjectPolicy",
    "autoCompactWindow",
    "availableModelsMatch",
    "bashOutputMaxChars",
    "crossSessionInbound",
    "desktopMcpServersListScope",
    "dialogExpiry",
    "editorMode",
    "effortLevel",
    "extraKnownMarketplaces",
    "footerLinksRegexes",
    "forceLoginGatewayUrl",
    "forceLoginMethod",
    "keybindingFlavor",
    "managedMcpServers",
    "maxEffortLevel",
    "maxProseWidth",
    "modelPicker",
    "modelPricing",
    "modelSettings",
    "permissions.allow.*",
    "permissions.blockReadsExemptPaths",
    "permissions.workingDirectoriesAsGiven",
    "permissions.workingDirectoriesExclude",
    "policyHelper",
    "preferredNotifChannel",
    "prependPlugins",
    "promptCacheTtl",
    "spellcheck",
    "spinnerTipsOverride",
    "sshHostCommands",
    "statusLine.refreshInterval",
    "subagentPromptCacheTtl",
    "subagentStatusLine",
    "taskOutputMaxChars",
    "teammateMode",
    "theme",
    "ultracode",
    "viewMode",
    "vimInsertModeRemaps",
    "worktree.bgIsolation",
    "worktree.location",
];

/// Keys that take `null` for their absence. With every other wrong value the file is dropped.
pub(super) const NULLS: [&str; 36] = [
    "allowManagedHooksOnly",
    "allowManagedMcpServersOnly",
    "allowManagedPermissionRulesOnly",
    "allowedMarketplaces",
    "autoContinueAtUsageLimit",
    "autoUploadSessions",
    "blockedMarketplaces",
    "channelsEnabled",
    "disableAgentView",
    "disableArtifact",
    "disableAutoMode",
    "disableBundledSkills",
    "disableClaudeAiConnectors",
    "disableCommandPluginSources",
    "disableDeepLinkRegistration",
    "disableDirectMcpSkills",
    "disableRemoteControl",
    "disableSideloadFlags",
    "disableSkillShellExecution",
    "disableWindowsBashCommandSplit",
    "disableWorkflows",
    "enableAllProjectMcpServers",
    "enableArtifact",
    "enableWorkflows",
    "enforceAvailableModels",
    "fastModePerSessionOptIn",
    "feedbackDrafts",
    "isolatePeerMachines",
    "remoteControlAtStartup",
    "skipAutoPermissionPrompt",
    "skipDangerousModePermissionPrompt",
    "skipWebFetchPreflight",
    "strictKnownMarketplaces",
    "syncClaudeAiPlugins",
    "syncClaudeAiSkills",
    "useAutoModeDuringPlan",
];

/// Keys that take one text for a list of one.
const TEXTS: [&str; 2] = ["disabledMcpjsonServers", "enabledMcpjsonServers"];

/// What the CLI makes of a value that does not fit its schema.
pub(super) fn effect_of(settings: &Value, path: &Path) -> Effect {
    let value = path.0.iter().try_fold(settings, step_into).unwrap_or(&Value::Null);
    let is_top = |keys: &[&str]| matches!(&*path.0, [Step::Key(key)] if keys.contains(&key.as_str()));
    match value {
        // A number or a word of JSON becomes a text; `null` and lists become nonsense (checked).
        Value::Number(_) | Value::Bool(_) if leads_below(path, "env.*") => Effect::Odd,
        Value::String(_) if is_top(&TEXTS) => Effect::Odd,
        Value::Bool(true) if is_top(&["attribution"]) => Effect::Loses,
        Value::Null if is_top(&NULLS) => Effect::Loses,
        _ if leads_below(path, "env.*") => Effect::Loses,
        _ if LOSES.iter().any(|keys| leads_below(path, keys)) => Effect::Loses,
        _ => Effect::Opens,
    }
}

fn step_into<'v>(value: &'v Value, step: &Step) -> Option<&'v Value> {
    match step {
        Step::Key(key) => value.get(key),
        // The validator takes every number for an index.
        Step::Index(index) => value.get(index).or_else(|| value.get(index.to_string())),
    }
}

/// Whether a path leads to one of these keys or below it.
fn leads_below(path: &Path, keys: &str) -> bool {
    let mut steps = path.0.iter();
    keys.split('.').all(|key| match steps.next() {
        Some(Step::Key(step)) => key == "*" || step == key,
        Some(Step::Index(_)) => key == "*",
        None => false,
    })
}
