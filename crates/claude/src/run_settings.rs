//! The settings file of one run: its tool rules, kept out of argv.

use std::path::{Path, PathBuf};

use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::environment::{CONFIG_FOLDER, PROJECT_DIR_NAME};
use crate::managed::{Disable, Models};

/// Variables that files of settings must not set: with `CLAUDE_CODE_SIMPLE` in the `env` of a `settings.json`, also of one that
/// a run writes into its home while it works, the CLI silently asks no guard any more. What the file of `--settings` says of
/// a variable wins (checked; nothing else does, neither the variable itself nor managed settings). With it, none of the
/// other names of the CLI's own families keeps it from asking (checked: some 1,650 of 2.1.330, in `settings.json`, set to 1).
const FIXED_VARIABLES: [(&str, &str); 1] = [("CLAUDE_CODE_SIMPLE", "0")];

/// The content of the file that `--settings` names.
#[derive(Debug, Default, PartialEq)]
pub struct RunSettings {
    /// Tool rules of this run.
    pub permissions: Permissions,
    /// The CLI reads project settings again during a run: with this, hooks that are written meanwhile do not run
    /// (checked). It silences the operator's hooks too.
    pub disable_all_hooks: bool,
    /// Which models it may use: see [`crate::managed`], which holds where this is widened.
    pub models: Option<Models>,
    /// Commands in the texts of skills are not run.
    pub disable_skill_shell_execution: bool,
    /// Settings of the operator that a run has although its CLI does not read the operator's file. Where both say
    /// something, the fields above win.
    pub kept: Map<String, Value>,
}

impl Serialize for RunSettings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Own<'a> {
            env: Map<String, Value>,
            permissions: &'a Permissions,
            #[serde(skip_serializing_if = "std::ops::Not::not")]
            disable_all_hooks: bool,
            #[serde(flatten)]
            models: &'a Option<Models>,
            #[serde(skip_serializing_if = "std::ops::Not::not")]
            disable_skill_shell_execution: bool,
        }
        let own = Own {
            env: FIXED_VARIABLES.map(|(name, value)| (name.to_owned(), value.into())).into_iter().collect(),
            permissions: &self.permissions,
            disable_all_hooks: self.disable_all_hooks,
            models: &self.models,
            disable_skill_shell_execution: self.disable_skill_shell_execution,
        };
        if self.kept.is_empty() {
            return own.serialize(serializer);
        }
        let mut settings = serde_json::to_value(own).map_err(S::Error::custom)?;
        if let Value::Object(settings) = &mut settings {
            add(settings, &self.kept);
        }
        settings.serialize(serializer)
    }
}

/// Adds what is not there yet, and to objects that are in both what is not in them.
fn add(settings: &mut Map<String, Value>, more: &Map<String, Value>) {
    for (name, value) in more {
        match (settings.get_mut(name), value) {
            (Some(Value::Object(there)), Value::Object(more)) => add(there, more),
            (Some(_), _) => {}
            (None, _) => drop(settings.insert(name.clone(), value.clone())),
        }
    }
}

/// Rules in the CLI's own language, e.g. `Bash(git status:*)`. A deny beats an allow.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Permissions {
    /// Calls that need no approval.
    pub allow: Vec<String>,
    /// Calls that are refused in every mode.
    pub deny: Vec<String>,
    /// Calls that somebody would have to approve: a run refuses them, since nobody can.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ask: Vec<String>,
    /// Folders that count as the run's own, besides its working folder: in `acceptEdits` files in them may be changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub additional_directories: Vec<PathBuf>,
    /// `bypassPermissions` becomes `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_bypass_permissions_mode: Option<Disable>,
}

/// Characters that mean something in the CLI's path rules.
const PATTERN_CHARACTERS: &[char] = &['*', '?', '[', ']', '{', '}', '(', ')', '!', '\\', ',', '\n'];

/// Whether a path rule means this very path, and nothing else.
pub fn can_be_named(path: &Path) -> bool {
    path.to_str().is_some_and(|text| !text.contains(PATTERN_CHARACTERS))
}

impl RunSettings {
    /// Denies reading and changing everything below `folder`.
    pub fn deny_folder(&mut self, folder: &Path) {
        for tool in ["Read", "Edit"] {
            self.permissions.deny.push(rule(tool, folder, "**"));
        }
    }

    /// Denies changing anything below `folder`. A folder whose name no rule can give is passed over: what keeps it as it is
    /// has to be more than a rule anyway.
    pub fn deny_changes(&mut self, folder: &Path) {
        if can_be_named(folder) {
            self.permissions.deny.push(rule("Edit", folder, "**"));
        }
    }

    /// Denies reading and changing one file, given by its absolute path.
    pub fn deny_file(&mut self, file: &Path) {
        for tool in ["Read", "Edit"] {
            self.permissions.deny.push(format!("{tool}(/{})", file.display()));
        }
    }

    /// Denies all folders beside `parent/own`, where names are lower-case hexadecimal of one length.
    ///
    /// A deny rule for `parent/**` would cover the run's own home too, and no allow rule wins against a deny. So
    /// the complement of one name is spelt out: every name that differs first at position 0, at position 1, and so on.
    /// The sets are explicit because the CLI's matcher does not negate `[!x]` (checked).
    pub fn deny_siblings(&mut self, parent: &Path, own: &str) {
        for (position, character) in own.char_indices() {
            let others: String = "0123456789abcdef".chars().filter(|c| *c != character).collect();
            let pattern = format!("{}[{others}]*/**", &own[..position]);
            for tool in ["Read", "Edit"] {
                self.permissions.deny.push(rule(tool, parent, &pattern));
            }
        }
    }

    /// Allows what the CLI itself tells the model to read in the run's home: skill files and large tool results.
    /// Without it they are unreadable under `acceptEdits` (checked).
    pub fn allow_own_files(&mut self, home: &Path, session: Uuid) {
        let config = home.join(CONFIG_FOLDER);
        let results = config.join("projects").join(PROJECT_DIR_NAME).join(session.to_string()).join("tool-results");
        for folder in [config.join("skills"), results] {
            self.permissions.allow.push(rule("Read", &folder, "**"));
        }
    }
}

/// A path rule; the CLI writes absolute paths with two slashes.
fn rule(tool: &str, folder: &Path, pattern: &str) -> String {
    format!("{tool}(/{}/{pattern})", folder.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_paths_carry_two_slashes() {
        let mut settings = RunSettings::default();
        settings.deny_folder(Path::new("/proc"));
        settings.deny_file(Path::new("/run/secrets/key"));
        settings.allow_own_files(Path::new("/homes/ab"), Uuid::nil());
        insta::assert_snapshot!(serde_json::to_string_pretty(&settings).unwrap(), @r#"
        {
          "env": {
            "CLAUDE_CODE_SIMPLE": "0"
          },
          "permissions": {
            "allow": [
              "Read(//homes/ab/.claude/skills/**)",
              "Read(//homes/ab/.claude/projects/run/00000000-0000-0000-0000-000000000000/tool-results/**)"
            ],
            "deny": [
              "Read(//proc/**)",
              "Edit(//proc/**)",
              "Read(//run/secrets/key)",
              "Edit(//run/secrets/key)"
            ]
          }
        }
        "#);
    }

    #[test]
    fn further_folders_are_the_run_s_own_and_may_be_closed_to_changes() {
        let mut settings = RunSettings::default();
        settings.permissions.additional_directories.push("/ws/lib".into());
        settings.deny_changes(Path::new("/ws/lib"));
        settings.deny_changes(Path::new("/ws/a[b]"));
        insta::assert_snapshot!(serde_json::to_string(&settings).unwrap(), @r#"{"env":{"CLAUDE_CODE_SIMPLE":"0"},"permissions":{"allow":[],"deny":["Edit(//ws/lib/**)"],"additionalDirectories":["/ws/lib"]}}"#);
    }

    #[test]
    fn what_is_kept_of_other_settings_never_wins() {
        let kept = serde_json::json!({"model": "opus", "disableAllHooks": false, "hooks": {"PreToolUse": []},
            "env": {"CLAUDE_CODE_SIMPLE": "1", "A": "b"}, "permissions": {"deny": [], "disableAutoMode": "disable"}});
        let Value::Object(kept) = kept else { unreachable!() };
        let mut settings = RunSettings { disable_all_hooks: true, kept, ..RunSettings::default() };
        settings.deny_file(Path::new("/x"));
        insta::assert_snapshot!(serde_json::to_string(&settings).unwrap(), @r#"{"disableAllHooks":true,"env":{"A":"b","CLAUDE_CODE_SIMPLE":"0"},"hooks":{"PreToolUse":[]},"model":"opus","permissions":{"allow":[],"deny":["Read(//x)","Edit(//x)"],"disableAutoMode":"disable"}}"#);
    }

    #[test]
    fn siblings_are_all_names_but_the_own() {
        let mut settings = RunSettings::default();
        settings.deny_siblings(Path::new("/homes"), "0f");
        let deny = settings.permissions.deny;
        assert_eq!(deny[0], "Read(//homes/[123456789abcdef]*/**)");
        assert_eq!(deny[2], "Read(//homes/0[0123456789abcde]*/**)");
        assert_eq!(deny.len(), 4);
    }
}
