//! From a run's specification to what the supervisor starts: home, settings file, command line, environment.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use claude::command::{Invocation, Session, arguments};
use claude::environment::{CONFIG_FOLDER, PROVIDER_MANAGED_BY_HOST, STATE_FILE, TEMP_FOLDER, of_home};
use claude::run_settings::RunSettings;
use rustix::fs::{Mode, OFlags, openat};
use serde_json::{Map, Value};
use supervisor::confinement::Access;
use supervisor::spawn::Launch;

use super::ground::{Gone, Ground};
use super::own_config::{self, Loading};
use super::shared::Shared;
use super::{RunId, RunSpec};
use crate::config::dir::{MCP_FILE, SeedError, Seeded, mcp_servers};
use crate::credentials::{Granted, LOGIN_FILE};
use crate::guard::Policy;
use crate::homes::Home;
use crate::isolation::Layer;
use crate::isolation::view::RunView;
use crate::programs::environment;
use crate::project_config::{HOW_TO_TRUST, ProjectConfigPolicy};
use crate::small_file;
use crate::workspaces::Folder;

/// The settings file's name in the run's configuration folder.
const SETTINGS_FILE: &str = "askd-run.json";

/// A repository's list of MCP servers, in bytes: a text that a person wrote.
const MAX_MCP_FILE: u64 = 1 << 20;

/// Everything is ready to start.
pub struct Prepared {
    /// For the supervisor.
    pub launch: Launch,
    /// What a person should know of it.
    pub warnings: Vec<String>,
    /// What its tools are kept from.
    pub policy: Policy,
    /// What it is given over stdin.
    pub mcp_servers: Map<String, Value>,
}

/// Why a run could not be prepared. The texts are for the caller and name no path of the server; the sources, for the
/// log, do.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The configuration cannot be used.
    #[error("{}", .0.for_caller())]
    Seed(#[from] SeedError),
    /// The transcript cannot be copied.
    #[error("the session's transcript cannot be read; the server's log says why")]
    Transcript(#[source] io::Error),
    /// There is no cgroup for it, where runs have some.
    #[error("the run's cgroup cannot be made; the server's log says why")]
    Cgroup(#[source] io::Error),
    /// The home cannot be written.
    #[error("the run's private home cannot be prepared; the server's log says why")]
    Home(#[source] io::Error),
    /// A folder that belongs to its view cannot be opened.
    #[error("the run's view of the file system cannot be made; the server's log says why")]
    View(#[source] io::Error),
    /// A folder that the request names is not there any more, or cannot be opened.
    #[error("{0}")]
    Ground(#[from] Gone),
}

/// Fills the home and puts the launch together. Blocking: it copies files.
pub fn prepare(
    shared: &Shared,
    id: RunId,
    spec: &RunSpec,
    home: &Home,
    granted: Granted,
) -> Result<Prepared, PrepareError> {
    // Held from here on: names may come to mean something else.
    let (folder, reach) = spec.ground.open(&shared.workspaces)?;
    let Seeded { policy, mcp_servers: mut servers, has_hooks } = shared.config.seed(home.path())?;
    let state = serde_json::to_vec(&shared.cli.state).map_err(io::Error::other);
    let state_file = home.path().join(CONFIG_FOLDER).join(STATE_FILE);
    state.and_then(|state| fs::write(state_file, state)).map_err(PrepareError::Home)?;
    if let Session::Resume(session) = spec.session {
        shared.sessions.carry_in(session, home.path()).map_err(PrepareError::Transcript)?;
    }
    // Where it really lies: other links of `CONFIG_DIR` are not in the run's view.
    let login = granted.login.as_ref().map(fs::canonicalize).transpose().map_err(PrepareError::Home)?;
    if let Some(login) = &login {
        symlink(login, home.path().join(CONFIG_FOLDER).join(LOGIN_FILE)).map_err(PrepareError::Home)?;
    }
    let mut warnings = Vec::new();
    let project_config = project_config(shared, spec, &folder, granted.login.is_some(), &mut warnings);
    if project_config && matches!(shared.project_policy, ProjectConfigPolicy::Trusted(_)) {
        // The operator's own win over the repository's.
        let own = std::mem::replace(&mut servers, project_servers(&folder, &mut warnings));
        servers.extend(own);
    }
    servers.retain(|name, _| spec.terms.has_server(name));
    let mut settings = tool_rules(shared, spec, home);
    settings.permissions.deny.extend(policy.deny_rules().iter().cloned());
    spec.terms.write_into(&mut settings);
    if !project_config {
        own_config::bind(&shared.project_policy, &folder, &mut settings, &mut warnings);
    }
    settings.permissions.additional_directories.clone_from(&spec.additional_directories);
    // What was harmless at the check may have been given hooks since, by the run itself. The operator's own hooks would be
    // silenced with them, so where there are some, they stay.
    let checked = project_config && matches!(shared.project_policy, ProjectConfigPolicy::Auto);
    settings.disable_all_hooks = checked && !has_hooks;
    let settings_file = home.path().join(CONFIG_FOLDER).join(SETTINGS_FILE);
    let settings = serde_json::to_vec(&settings).map_err(io::Error::other);
    settings.and_then(|settings| fs::write(&settings_file, settings)).map_err(PrepareError::Home)?;

    let invocation = Invocation {
        session: spec.session,
        permission_mode: spec.permission_mode,
        project_config,
        model: spec.model.clone(),
        agent: spec.agent.clone(),
        tools: spec.terms.own_tools(),
        max_budget_usd: spec.budget.map(|budget| budget.to_string()),
        max_turns: spec.max_turns,
        deltas: spec.deltas,
        has_system_prompt: spec.system_prompt.is_some(),
        has_mcp_servers: !servers.is_empty(),
        has_managed_settings: spec.terms.managed().is_some(),
        settings_file,
    };
    let view = RunView {
        home: home.path(),
        temporary: &home.path().join(TEMP_FOLDER),
        reach: &reach,
        login: login.as_deref(),
    };
    let confinement = shared.isolation.confinement(&view).map_err(PrepareError::View)?;
    let launch = Launch {
        launcher: shared.launcher.clone(),
        program: program(shared).map_err(PrepareError::View)?,
        args: arguments(&invocation).into_iter().map(OsString::from).collect(),
        env: child_environment(shared, home.path(), &granted),
        cwd: folder.descriptor().try_clone_to_owned().map_err(PrepareError::Home)?,
        cwd_path: folder.path().to_owned(),
        secret: granted.secret,
        marker: shared.marker.of(&id.to_string()),
        confinement,
    };
    Ok(Prepared { launch, warnings, policy, mcp_servers: servers })
}

/// The CLI as a run finds it: links that lead to it may lie in something hidden. Looked up each time, since an update may
/// have replaced the file that it was at the start.
fn program(shared: &Shared) -> io::Result<PathBuf> {
    match shared.isolation.layer() {
        Layer::None => Ok(shared.cli.program.clone()),
        Layer::Bubblewrap | Layer::Landlock => shared.cli.program.canonicalize(),
    }
}

/// The rules that every run has, and those that it asked for.
fn tool_rules(shared: &Shared, spec: &RunSpec, home: &Home) -> RunSettings {
    let mut settings = RunSettings::default();
    settings.permissions.allow.extend(spec.allowed_tools.iter().cloned());
    settings.allow_own_files(home.path(), spec.session.id());
    // Never a parent of this home: a deny beats an allow, and the run could not read its own files.
    for folder in &shared.private_folders {
        settings.deny_folder(folder);
    }
    for file in &shared.private_files {
        settings.deny_file(file);
    }
    settings.deny_siblings(shared.homes.folder(), home.name());
    // So that the CLI says no by itself, rather than meet an error of the file system.
    for (folder, _) in spec.ground.additional.iter().filter(|(_, access)| *access == Access::ReadOnly) {
        if !has_writable_part(&spec.ground, folder.path()) {
            settings.deny_changes(folder.path());
        }
    }
    settings
}

/// Whether a folder that is to be read has a part that may be changed: a deny beats an allow, and would cover it.
fn has_writable_part(reach: &Ground, folder: &Path) -> bool {
    let additional =
        reach.additional.iter().filter(|(_, access)| *access == Access::ReadWrite).map(|(folder, _)| folder);
    additional.chain([&reach.write_root]).any(|writable| writable.path().starts_with(folder))
}

/// Whether the folder's own configuration is loaded; a warning says what kept it out.
fn project_config(shared: &Shared, spec: &RunSpec, folder: &Folder, login: bool, warnings: &mut Vec<String>) -> bool {
    match own_config::loading(&shared.workspaces, &shared.project_policy, login, folder) {
        Loading::Loaded if !spec.terms.may_load_project_config() => {
            let message = "the folder's own configuration for the CLI was left out: the policy of the key says so";
            warnings.push(message.into());
            false
        }
        Loading::Loaded => true,
        Loading::Nothing | Loading::Never(_) => false,
        Loading::LeftOut(findings) => {
            let list = findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            warnings.push(format!("the folder's own configuration for the CLI was left out: {list}; {HOW_TO_TRUST}"));
            false
        }
    }
}

/// The MCP servers of a repository that the operator trusts. A file that is not valid is left out, as the CLI would.
fn project_servers(folder: &Folder, warnings: &mut Vec<String>) -> Map<String, Value> {
    let file = openat(folder.descriptor(), MCP_FILE, small_file::FLAGS | OFlags::NOFOLLOW, Mode::empty());
    let bytes = file.map_err(io::Error::from).and_then(|file| small_file::beginning(file, MAX_MCP_FILE));
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other));
    mcp_servers(text).unwrap_or_else(|error| {
        tracing::warn!(%error, "a repository's MCP servers cannot be used");
        warnings.push(format!("the folder's own `{MCP_FILE}` was left out: it is not valid"));
        Map::new()
    })
}

fn child_environment(shared: &Shared, home: &Path, granted: &Granted) -> Vec<(OsString, OsString)> {
    let mut variables = environment(&shared.settings.child.environment);
    variables.extend(of_home(home).into_iter().map(|(name, value)| (name.into(), value.into())));
    if granted.login.is_none() {
        let (name, value) = PROVIDER_MANAGED_BY_HOST;
        variables.push((name.into(), value.into()));
    }
    variables.extend(environment(&granted.environment));
    variables
}
