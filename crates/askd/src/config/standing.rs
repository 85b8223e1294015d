//! What lies in `CONFIG_DIR` when a server starts: whether runs may start with it, and what the CLI would skip.

use super::dir::ConfigDir;
use super::files::{Links, Root};
use super::hook_scripts::{self, Told};
use super::kind::Kind;
use super::limits::Limits;
use super::name::DocumentId;
use super::problem::{Problem, Report};
use super::scope::Scope;
use super::twins::{self, Names};
use super::validate::{self, settings};

/// What was found.
#[derive(Debug, Default)]
pub struct Standing {
    /// What no run may start with, since the CLI would drop rules or every run would fail.
    pub refusals: Vec<Problem>,
    /// Why no home can be given a copy of it. The server starts, and refuses every run until it is mended.
    pub uncopied: Option<Problem>,
    /// What the CLI skips, or takes and was probably not meant.
    pub warnings: Vec<Problem>,
    /// How many documents were looked at.
    pub documents: usize,
}

/// What to do where [`Standing::uncopied`] says something.
pub const TO_BE_COPIED: &str = "let the user that the server works as read it, take it out of CONFIG_DIR, or raise \
                                ASKD_MAX_CONFIG where that is the bound";

/// Looks at everything. Blocking: it reads all files.
pub fn examine(dir: &ConfigDir, limits: &Limits) -> Standing {
    Standing { refusals: refusals(dir), uncopied: uncopied(dir), ..skipped(dir, limits) }
}

/// Looks only for what no server may start with. Blocking: it reads three files.
pub fn refusals(dir: &ConfigDir) -> Vec<Problem> {
    let errors = [dir.check_settings().err(), dir.policy().err(), dir.mcp_servers().err()];
    errors.into_iter().flatten().map(|error| Problem::new(error.to_string())).collect()
}

/// Looks only for what keeps every run from its copy. Blocking: it opens all files.
pub fn uncopied(dir: &ConfigDir) -> Option<Problem> {
    dir.check_copy().err().map(|error| Problem::new(format!("no run can begin: {error}")))
}

/// Looks only for what the CLI skips. Blocking: it reads all files.
pub fn skipped(dir: &ConfigDir, limits: &Limits) -> Standing {
    let mut standing = Standing::default();
    if let Err(error) = documents(dir, limits, &mut standing) {
        standing.warnings.push(Problem::new(error.to_string()));
    }
    standing
}

fn documents(dir: &ConfigDir, limits: &Limits, standing: &mut Standing) -> Result<(), super::error::ConfigError> {
    let Some(root) = Root::user(dir.path())? else { return Ok(()) };
    let mut agents = Names::default();
    for kind in Kind::ALL {
        let listing = root.list(kind, limits.documents)?;
        for id in listing.ids {
            standing.documents += 1;
            let Report { errors, warnings, .. } = report(dir, &root, &id, &mut agents);
            let file = id.path(&Scope::User).display().to_string();
            // Each problem of a skill names its file within the skill.
            let named = |problem: Problem| match &problem.file {
                Some(inner) => Problem { file: Some(format!("{file}/{inner}")), ..problem },
                None => problem.in_file(file.clone()),
            };
            standing.warnings.extend(errors.into_iter().chain(warnings).map(named));
        }
        standing.warnings.extend(listing.foreign.into_iter().map(|(path, why)| Problem::new(why).in_file(path)));
    }
    Ok(())
}

fn report(dir: &ConfigDir, root: &Root, id: &DocumentId, agents: &mut Names) -> Report {
    // By its path, as runs get it: its link may lead anywhere.
    if id.kind() == Kind::Settings {
        let text = dir.settings_text().ok().flatten().unwrap_or_default();
        let Report { mut warnings, .. } = settings::check_standing(&text);
        warnings.extend(hook_scripts::problems(root, &text, Told::Operator));
        return Report { warnings, ..Report::default() };
    }
    let unusable = |why: String| Report { errors: vec![Problem::new(why)], ..Report::default() };
    match root.read(id, Links::Follow) {
        Ok(None) => Report::default(),
        Ok(Some(found)) => match found.content() {
            Some(content) => {
                let mut report = validate::check(id, &content);
                report.warnings.extend(agents.problem(id, &content));
                if id.kind() == Kind::Command {
                    report.warnings.extend(twins::hidden_command(root, id));
                }
                report
            }
            None => unusable("is not UTF-8 text".to_owned()),
        },
        Err(error) => unusable(error.to_string()),
    }
}

impl Standing {
    /// Why no server may start; `None` when it may.
    pub fn refusal(&self) -> Option<String> {
        in_one_line(&self.refusals)
    }
}

/// Refusals as one text; `None` when there are none.
pub fn in_one_line(refusals: &[Problem]) -> Option<String> {
    let told: Vec<_> = refusals.iter().map(ToString::to_string).collect();
    (!told.is_empty()).then(|| told.join("; "))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn examined(files: &[(&str, &str)]) -> Standing {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        examine(&ConfigDir::new(folder.path(), 1 << 20), &Limits::new(1 << 20))
    }

    #[test]
    fn what_would_drop_rules_or_fail_every_run_is_a_refusal_and_the_rest_a_warning() {
        let standing = examined(&[
            ("settings.json", "{\n\"model\": 5, \"themes\": 1, \"theme\": 5}"),
            ("askd-policy.json", "{"),
            (".mcp.json", "[]"),
            ("agents/broken.md", "---\nname: x\n---\n"),
            ("rules/fine.md", "text"),
        ]);
        let refusal = standing.refusal().unwrap();
        for part in ["`settings.json`", "line 2: `model`: must be a text", "`askd-policy.json`", "`.mcp.json`"] {
            assert!(refusal.contains(part), "{part}: {refusal}");
        }
        let warnings: Vec<_> = standing.warnings.iter().map(ToString::to_string).collect();
        assert!(warnings.iter().any(|text| text.starts_with("agents/broken.md: line")), "{warnings:?}");
        assert!(warnings.iter().any(|text| text.starts_with("settings.json: line 2: `themes`")), "{warnings:?}");
        assert!(warnings.iter().any(|text| text.starts_with("settings.json: line 2: `theme`")), "{warnings:?}");
        assert_eq!(standing.documents, 5);
    }

    #[test]
    fn what_no_run_can_be_given_a_copy_of_is_told() {
        let (deep, large) = (format!("hooks/{}x.sh", "d/".repeat(16)), "x".repeat((1 << 20) + 1));
        let folder = tempfile::tempdir().unwrap();
        for (name, text, part) in
            [(&*deep, "", "deeper than 16 folders"), ("hooks/data", &large, "hooks/data`: too many bytes to copy")]
        {
            let standing = examined(&[("settings.json", "{}"), (name, text)]);
            let told = standing.uncopied.unwrap().to_string();
            assert!(told.starts_with("no run can begin: ") && told.contains(part), "{told}");
            assert_eq!((standing.refusals, standing.warnings), (vec![], vec![]), "{told}");
        }
        fs::create_dir(folder.path().join("hooks")).unwrap();
        let file = folder.path().join("hooks/secret.sh");
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
        let told = examine(&ConfigDir::new(folder.path(), 1 << 20), &Limits::new(1 << 20)).uncopied;
        // Root reads everything.
        assert_eq!(told.is_some(), fs::read(&file).is_err(), "{told:?}");
    }

    #[test]
    fn nothing_and_what_is_right_are_fine() {
        for files in [&[][..], &[("settings.json", "{}"), (".mcp.json", "{\"mcpServers\": {}}"), ("CLAUDE.md", "text")]]
        {
            let standing = examined(files);
            assert_eq!((standing.refusals, standing.uncopied, standing.warnings), (vec![], None, vec![]));
        }
        let nowhere = ConfigDir::new(std::path::Path::new("/nowhere"), 1);
        assert_eq!(examine(&nowhere, &Limits::new(1)).refusal(), None);
    }
}
