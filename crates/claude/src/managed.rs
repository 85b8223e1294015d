//! Settings that a run cannot widen: the CLI takes them as those of its machine's administrator.
//!
//! They go over stdin with `initialize` and are held in the CLI's memory. Settings of the user and of a repository do not add to
//! them, also when a run writes such files while it is under way (checked); the same settings in the file of `--settings`
//! would be widened by that. A CLI that cannot use them exits (checked). Where the machine has managed settings of its own
//! (`/etc/claude-code`), those win, and these count only beside them if they say `parentSettingsBehavior: "merge"`: therefore
//! what can be said in [`crate::run_settings::RunSettings`] is said there, too.

use serde::Serialize;

/// The families of models that the CLI has aliases for.
const FAMILIES: &[&str] = &["sonnet", "opus", "haiku", "fable"];

/// What the CLI is held to.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ManagedSettings {
    /// Which models it may use.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub models: Option<Models>,
    /// What it may do.
    #[serde(skip_serializing_if = "Permissions::is_empty")]
    pub permissions: Permissions,
    /// Commands in the texts of skills are not run: they pass by the hook that asks before tools are called (checked).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub disable_skill_shell_execution: bool,
}

/// A list of models that holds for everything: the conversation, commands and skills that name a model, subagents by their
/// frontmatter or by the parameter of the `Agent` tool, `/model`, and hooks that ask a model (checked). What asks for
/// another model silently gets an allowed one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Models {
    #[serde(rename = "availableModels")]
    available: Vec<String>,
    /// Without it the list binds only those who name a model (checked).
    #[serde(rename = "enforceAvailableModels")]
    is_enforced: bool,
    /// Else an id would allow all ids that begin with it.
    #[serde(rename = "availableModelsMatch")]
    matched: &'static str,
    /// For requests that choose a model by themselves, such as hooks: the list does not bind those (checked).
    #[serde(rename = "deniedModels", skip_serializing_if = "Vec::is_empty")]
    denied: Vec<String>,
}

impl Models {
    /// Aliases and ids.
    pub fn only(models: &[String]) -> Self {
        let is_denied = |family: &&&str| !models.iter().any(|model| model.contains(**family));
        Self {
            available: models.to_vec(),
            is_enforced: true,
            matched: "exact",
            denied: FAMILIES.iter().filter(is_denied).map(|family| (*family).to_owned()).collect(),
        }
    }
}

/// What it may do.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Permissions {
    /// Calls that are refused in every mode.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
    /// `bypassPermissions` becomes `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_bypass_permissions_mode: Option<Disable>,
    /// The same for `auto`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_auto_mode: Option<Disable>,
}

impl Permissions {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The word with which the CLI's settings switch something off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Disable {
    /// Off.
    Disable,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_said_of_what_is_not_held() {
        assert_eq!(serde_json::to_string(&ManagedSettings::default()).unwrap(), "{}");
    }

    #[test]
    fn families_that_no_entry_names_are_denied() {
        let settings = ManagedSettings {
            models: Some(Models::only(&["haiku".into(), "claude-opus-5-5".into()])),
            permissions: Permissions {
                deny: vec!["Bash(curl:*)".into()],
                disable_bypass_permissions_mode: Some(Disable::Disable),
                disable_auto_mode: None,
            },
            disable_skill_shell_execution: true,
        };
        insta::assert_snapshot!(serde_json::to_string(&settings).unwrap(), @r#"{"availableModels":["haiku","claude-opus-5-5"],"enforceAvailableModels":true,"availableModelsMatch":"exact","deniedModels":["sonnet","fable"],"permissions":{"deny":["Bash(curl:*)"],"disableBypassPermissionsMode":"disable"},"disableSkillShellExecution":true}"#);
    }
}
