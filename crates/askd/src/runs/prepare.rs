//! From a run's specification to what the supervisor starts: home, settings file, command line, environment.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use claude::command::{Invocation, Sources, arguments};
use claude::environment::{CONFIG_FOLDER, STATE_FILE, TEMP_FOLDER};
use claude::profile::Profile;
use claude::tools::of_restricted;
use claude::version::capabilities::Capabilities;
use serde_json::{Map, Value};
use supervisor::spawn::Launch;

use super::ground::Gone;
use super::own_config::{self, Loading};
use super::shared::Shared;
use super::warning::{Warning, WarningCode};
use super::{RunId, RunSpec};
use crate::config::dir::SeedError;
use crate::credentials::{Granted, LOGIN_FILE};
use crate::guard::Policy;
use crate::homes::Home;
use crate::isolation::Layer;
use crate::isolation::view::RunView;
use crate::project_config::{HOW_TO_TRUST, ProjectConfigPolicy};
use crate::traces::place::Place;
use crate::workspaces::Folder;
use environment::child_environment;
use given::Given;
use rules::run_settings;

mod environment;
mod given;
mod rules;
mod servers;

/// The settings file's name in the run's configuration folder.
const SETTINGS_FILE: &str = "askd-run.json";

/// Everything is ready to start.
pub struct Prepared {
    /// For the supervisor.
    pub launch: Launch,
    /// What a person should know of it.
    pub warnings: Vec<Warning>,
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
    /// The CLI's program is not where it was.
    #[error("the CLI could not be started; the server's log says why")]
    Program(#[source] io::Error),
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
    trace: Option<&Place>,
) -> Result<Prepared, PrepareError> {
    // Held from here on: names may come to mean something else.
    let (folder, reach) = spec.ground.open(&shared.workspaces)?;
    let Given { policy, servers: of_operator, has_hooks, restrictions, kept } = Given::of(shared, spec.profile, home)?;
    let state = serde_json::to_vec(&shared.cli.state).map_err(io::Error::other);
    let state_file = home.path().join(CONFIG_FOLDER).join(STATE_FILE);
    state.and_then(|state| fs::write(state_file, state)).map_err(PrepareError::Home)?;
    if let Some(session) = spec.session.transcript() {
        shared.sessions.carry_in(session, home.path()).map_err(PrepareError::Transcript)?;
    }
    // Where it really lies: other links of `CONFIG_DIR` are not in the run's view.
    let login = granted.login.as_ref().map(fs::canonicalize).transpose().map_err(PrepareError::Home)?;
    if let Some(login) = &login {
        symlink(login, home.path().join(CONFIG_FOLDER).join(LOGIN_FILE)).map_err(PrepareError::Home)?;
    }
    let (mut left_out, mut warnings) = (Vec::new(), spec.doubts.clone());
    let project_config = project_config(shared, spec, &folder, granted.login.is_some(), &mut left_out);
    let is_trusted = project_config && matches!(shared.project_policy, ProjectConfigPolicy::Trusted(_));
    let of_project = is_trusted.then(|| servers::of_project(&folder, &mut left_out));
    let servers = servers::of_run(spec, of_operator, of_project, &mut warnings);
    let mut settings = run_settings(shared, spec, home);
    settings.permissions.deny.extend(policy.deny_rules().iter().cloned());
    settings.permissions.deny.extend(restrictions.deny);
    settings.permissions.ask.extend(restrictions.ask);
    settings.kept = kept;
    if !project_config {
        own_config::bind(&shared.project_policy, &folder, &mut settings, &mut left_out);
    }
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
        sources: match spec.profile {
            Profile::Default if project_config => Sources::HomeAndProject,
            Profile::Default => Sources::Home,
            Profile::Bare | Profile::Restricted => Sources::None,
        },
        model: spec.model.clone(),
        fallback_models: spec.fallback_models.clone(),
        effort: spec.effort,
        is_restricted: spec.profile == Profile::Restricted,
        agent: spec.agent.clone(),
        tools: own_tools(spec),
        max_budget_usd: spec.budget.map(|budget| budget.to_string()),
        max_turns: spec.max_turns,
        deltas: spec.deltas,
        has_system_prompt: spec.system_prompt.is_some() || spec.append_system_prompt.is_some(),
        has_mcp_servers: !servers.is_empty(),
        has_managed_settings: spec.terms.managed_by(Capabilities::of(shared.cli.version)).is_some(),
        settings_file,
    };
    let env = child_environment(shared, home.path(), &granted, trace, &spec.secrets, &mut warnings);
    let view = RunView {
        home: home.path(),
        temporary: &home.path().join(TEMP_FOLDER),
        reach: &reach,
        login: login.as_deref(),
    };
    // First: its file belongs to the view as well, which would fail in its stead.
    let program = program(shared).map_err(PrepareError::Program)?;
    let confinement = shared.isolation.confinement(&view).map_err(PrepareError::View)?;
    let launch = Launch {
        launcher: shared.launcher.clone(),
        program,
        args: arguments(&invocation).into_iter().map(OsString::from).collect(),
        env,
        cwd: folder.descriptor().try_clone_to_owned().map_err(PrepareError::Home)?,
        cwd_path: folder.path().to_owned(),
        secret: granted.secret,
        marker: shared.marker.of(&id.to_string()),
        confinement,
    };
    warnings.extend(left_out.into_iter().map(|left_out| Warning::new(WarningCode::ProjectConfigLeftOut, left_out)));
    Ok(Prepared { launch, warnings, policy, mcp_servers: servers })
}

/// The CLI's own tools that the run has. A list beats `--restricted` (checked), so the list keeps to it.
fn own_tools(spec: &RunSpec) -> Option<Vec<String>> {
    let mut tools = spec.terms.own_tools();
    if let (Some(tools), Profile::Restricted) = (&mut tools, spec.profile) {
        tools.retain(|tool| of_restricted(tool));
    }
    tools
}

/// The CLI as a run finds it: links that lead to it may lie in something hidden. Looked up each time, since an update may
/// have replaced the file that it was at the start.
fn program(shared: &Shared) -> io::Result<PathBuf> {
    let program = &shared.cli.program;
    match shared.isolation.layer() {
        Layer::None => Ok(program.clone()),
        Layer::Bubblewrap | Layer::Landlock => program.canonicalize().map_err(|error| {
            io::Error::new(error.kind(), format!("the CLI `{}` cannot be found: {error}", program.display()))
        }),
    }
}

/// Whether the folder's own configuration is loaded; a warning says what kept it out.
fn project_config(shared: &Shared, spec: &RunSpec, folder: &Folder, login: bool, warnings: &mut Vec<String>) -> bool {
    if spec.profile != Profile::Default {
        return false;
    }
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
