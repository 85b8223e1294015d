//! What of `CONFIG_DIR` a run has that is to have nothing of it but what holds it back.

use std::path::Path;

use claude::environment::CONFIG_FOLDER;
use serde_json::{Map, Value};

use super::{ConfigDir, SEEDED, SeedError};
use crate::config::json::Json;
use crate::config::validate::settings::kept::kept;
use crate::config::validate::settings::restrictions::{self, Restrictions};
use crate::guard::Policy;

/// What such a run is given besides the files in its home.
#[derive(Debug)]
pub struct Restrained {
    /// What its tools are kept from.
    pub policy: Policy,
    /// The MCP servers that every run is given, by name. Whether an entry can be used, the CLI judges, and says.
    pub mcp_servers: Map<String, Value>,
    /// The deny and ask rules of the settings.
    pub restrictions: Restrictions,
    /// What else of the settings the run keeps.
    pub kept: Map<String, Value>,
}

impl ConfigDir {
    /// Copies the configuration into the run's home, but for the settings, and reads what such a run is given. Its CLI
    /// takes no notice of the files; a hook of the operator's may lie among them, and one that is not found refuses
    /// nothing (checked). A path in a rule means what it would mean to a run in `home` that has the settings as a file of
    /// its own.
    pub fn restrain(&self, home: &Path) -> Result<Restrained, SeedError> {
        self.copy_into(home, SEEDED)?;
        let (mut restrictions, mut rest) = (Restrictions::default(), Map::new());
        if let Some(text) = self.settings_text()? {
            self.judge_text(&text)?;
            let json = Json::object(&text).map_err(|_| SeedError::Settings("it is no object".to_owned()))?;
            restrictions = restrictions::of_sound(json.value(), &home.join(CONFIG_FOLDER));
            rest = json.value().as_object().map(kept).unwrap_or_default();
        }
        Ok(Restrained { policy: self.policy()?, mcp_servers: self.mcp_servers()?, restrictions, kept: rest })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn it_has_the_rules_the_guard_and_all_files_but_the_settings() {
        let (folder, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (name, text) in [
            ("CLAUDE.md", "hello"),
            ("hooks/deny.sh", "exit 2"),
            (".mcp.json", r#"{"mcpServers": {"own": {"command": "x"}}}"#),
            ("askd-policy.json", r#"{"version": 1}"#),
            (
                "settings.json",
                r#"{"permissions": {"deny": ["Read(//etc/**)", "Edit(/x)"], "allow": ["Bash"]}, "model": "opus"}"#,
            ),
        ] {
            fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
            fs::write(folder.path().join(name), text).unwrap();
        }
        let restrained = ConfigDir::new(folder.path(), 1 << 20).restrain(home.path()).unwrap();
        let own = format!("Edit(/{}/.claude/x)", home.path().display());
        assert_eq!(restrained.restrictions.deny, ["Read(//etc/**)".to_owned(), own]);
        assert_eq!(Value::Object(restrained.kept), serde_json::json!({"permissions": {}, "model": "opus"}));
        assert!(restrained.mcp_servers.contains_key("own") && !restrained.policy.has_guard());
        let given = home.path().join(CONFIG_FOLDER);
        assert!(given.join("CLAUDE.md").is_file() && given.join("hooks/deny.sh").is_file());
        assert!(!given.join("settings.json").exists());
    }

    #[test]
    fn settings_that_the_cli_would_drop_stop_the_run_and_so_does_a_folder_that_has_gone() {
        let (folder, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let config = ConfigDir::new(folder.path(), 1 << 20);
        fs::write(folder.path().join("settings.json"), r#"{"permissions": {"deny": [5]}}"#).unwrap();
        assert!(matches!(config.restrain(home.path()), Err(SeedError::Settings(_))));
        drop(folder);
        assert!(matches!(config.restrain(home.path()), Err(SeedError::Gone)));
        ConfigDir::new(Path::new("/nowhere"), 1).restrain(home.path()).unwrap();
    }
}
