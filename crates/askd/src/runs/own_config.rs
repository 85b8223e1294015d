//! What of a folder's own configuration its runs load, and what of it binds them all the same.

use std::sync::Arc;
use std::time::Duration;

use claude::run_settings::RunSettings;

use super::shared::Shared;
use crate::aside::Gate;
use crate::config::validate::settings::restrictions::{Restrictions, restrictions};
use crate::project_config::{Assessment, Finding, ProjectConfigPolicy, assess, settings_text};
use crate::workspaces::{Folder, Workspaces};

/// Looks at whole trees for callers of the configuration. A look takes a second, and for ever on a mount that hangs.
static LOOKS: Gate = Gate::new(4, Duration::from_secs(10), 4 << 20);

/// Whether runs load the configuration of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loading {
    /// They do.
    Loaded,
    /// There is nothing to load.
    Nothing,
    /// In no folder, and why.
    Never(&'static str),
    /// Not in this folder, because of these.
    LeftOut(Vec<Finding>),
}

/// What keeps a folder's configuration out of runs, if anything does. Blocking.
pub fn loading(workspaces: &Workspaces, policy: &ProjectConfigPolicy, uses_login: bool, folder: &Folder) -> Loading {
    if uses_login {
        // Project settings could redirect the provider's URL, and with a login the CLI would send its token there.
        return Loading::Never("runs use a login of the CLI, and project settings could send it elsewhere");
    }
    match assess(folder.descriptor(), workspaces.descriptor(), folder.relative(), policy) {
        Assessment::Load => Loading::Loaded,
        Assessment::Nothing => Loading::Nothing,
        Assessment::LeaveOut { findings } if findings.is_empty() => Loading::Never("ASKD_PROJECT_CONFIG is `off`"),
        Assessment::LeaveOut { findings } => Loading::LeftOut(findings),
    }
}

/// The same for a workspace by its name, away from the threads that serve.
pub async fn of_workspace(shared: &Shared, name: &str) -> Loading {
    let (workspaces, policy) = (Arc::clone(&shared.workspaces), shared.project_policy.clone());
    let (uses_login, wanted) = (shared.credentials.uses_login(), name.to_owned());
    let look = move || match workspaces.folder(&wanted) {
        Ok(folder) => loading(&workspaces, &policy, uses_login, &folder),
        Err(error) => unknown(wanted, error.to_string()),
    };
    let looked = LOOKS.run(look).await;
    looked.unwrap_or_else(|_| unknown(name.to_owned(), "cannot be looked at in time".to_owned()))
}

/// Nobody can tell, so that a run would leave it out.
fn unknown(path: String, what: String) -> Loading {
    Loading::LeftOut(vec![Finding { path, line: None, what }])
}

/// Gives a run that does not load its folder's configuration what that forbids: the deny and ask rules of its settings.
/// Where the operator wants nothing of any folder, nothing. Blocking.
pub fn bind(policy: &ProjectConfigPolicy, folder: &Folder, settings: &mut RunSettings, warnings: &mut Vec<String>) {
    if *policy == ProjectConfigPolicy::Off {
        return;
    }
    let text = settings_text(folder.descriptor()).map_err(|finding| finding.what);
    let rules = text.and_then(|text| match text {
        None => Ok(Restrictions::default()),
        Some(text) => restrictions(&text, folder.path()).map_err(|problem| problem.to_string()),
    });
    match rules {
        Ok(Restrictions { deny, ask }) => {
            settings.permissions.deny.extend(deny);
            settings.permissions.ask.extend(ask);
        }
        Err(why) => warnings.push(format!(
            "the deny and ask rules of the folder's own `.claude/settings.json` do not hold in this run: {why}"
        )),
    }
}
