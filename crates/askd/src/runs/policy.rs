//! What the policy of a key means for one run: which wishes of its request it may have, and what the CLI is held to.
//!
//! A request is refused for what it asks for. What a run then does is not left to that: agents, skills and settings ask for
//! more by themselves. The CLI is given the [`Terms`] on its command line and as managed settings, it asks before each call
//! of a tool ([`Terms::objection`]), and what it says of its work is looked at ([`Terms::breach`]).

mod asked;
mod models;
mod tools;
mod watch;

use claude::managed::{Disable, ManagedSettings, Models as HeldModels, Permissions};
use claude::permission_mode::PermissionMode;
use claude::profile::Profile;
use claude::run_settings::RunSettings;
use claude::version::capabilities::{Capabilities, Feature};

use super::request::RunRequest;
use super::resolve::{Refusal, Why, refuse};
use super::secrets::RunSecrets;
use crate::keys::Policy;
use crate::keys::policy::tools::tool_of;
use crate::keys::priority::Priority;
use crate::settings::Settings;
use models::Models;
use tools::Tools;

/// What one run is held to. Nothing, if its key has no policy and its request takes no tools away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    models: Option<Models>,
    modes: Option<Vec<PermissionMode>>,
    tools: Option<Tools>,
    denied: Vec<String>,
    no_project_config: bool,
    /// Some of it is of the key's policy, which nobody may widen.
    is_of_policy: bool,
}

/// What of a request depends on the policy of its key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Agreed {
    pub(super) terms: Terms,
    pub(super) profile: Profile,
    pub(super) permission_mode: PermissionMode,
    pub(super) model: Option<String>,
}

/// Whether the request may have what it asks for, and what it gets where it asks for nothing.
pub(super) fn agree(
    policy: &Policy,
    request: &RunRequest,
    secrets: &RunSecrets,
    settings: &Settings,
) -> Result<Agreed, Refusal> {
    let profile = profile(policy, request)?;
    let permission_mode = permission_mode(policy, request, profile, settings)?;
    let model = model(policy, request, settings)?;
    asked::fallbacks(policy, request, model.as_deref(), settings)?;
    let tools = asked::tools(policy, request, profile)?;
    rules(policy, tools.as_ref(), &request.allowed_tools)?;
    asked::rules(request, profile)?;
    asked::agents(policy, request, profile, tools.as_ref(), settings)?;
    asked::servers(policy, request, secrets)?;
    asked::variables(policy, request)?;
    budget(policy, request)?;
    priority(policy, request)?;
    let terms = Terms {
        models: policy.models.as_deref().map(|models| Models::new(models, &settings.child)),
        modes: policy.permission_modes.clone(),
        tools,
        denied: policy.denied_tools.iter().chain(&request.disallowed_tools).cloned().collect(),
        no_project_config: policy.project_config == Some(false),
        is_of_policy: policy.models.is_some()
            || policy.permission_modes.is_some()
            || policy.tools.is_some()
            || !policy.denied_tools.is_empty(),
    };
    Ok(Agreed { terms, profile, permission_mode, model })
}

/// What the run has of configuration and tools.
fn profile(policy: &Policy, request: &RunRequest) -> Result<Profile, Refusal> {
    const FIELD: &str = "profile";
    let Some(profiles) = &policy.profiles else { return Ok(request.profile.unwrap_or_default()) };
    let Some(asked) = request.profile else {
        let usual = Profile::default();
        let profile = if profiles.contains(&usual) { usual } else { profiles.first().copied().unwrap_or(usual) };
        // A profile that is asked for is compared with the agent where the request is read.
        let of_file = request.agent.as_ref().filter(|agent| !request.agents.contains_key(*agent));
        return match of_file {
            Some(agent) if profile != usual => {
                let message = format!(
                    "{} is of the configuration, of which runs of this key have nothing (profile {}); give it in agents",
                    shown(agent),
                    profile.as_str()
                );
                Err(refuse("agent", Why::Policy, message))
            }
            _ => Ok(profile),
        };
    };
    if profiles.contains(&asked) {
        return Ok(asked);
    }
    Err(beyond(FIELD, asked.as_str(), profiles.iter().map(|profile| profile.as_str())))
}

fn permission_mode(
    policy: &Policy,
    request: &RunRequest,
    profile: Profile,
    settings: &Settings,
) -> Result<PermissionMode, Refusal> {
    const FIELD: &str = "permission_mode";
    let usual = settings.permissions.default_mode;
    let of_policy = policy.permission_modes.as_deref();
    let by_itself = || match of_policy {
        Some(modes) if !modes.contains(&usual) => modes.first().copied().unwrap_or(usual),
        _ => usual,
    };
    let mode = request.permission_mode.unwrap_or_else(by_itself);
    if mode == PermissionMode::BypassPermissions && !settings.permissions.allow_bypass {
        let message = "bypassPermissions is not allowed on this server (ASKD_ALLOW_BYPASS)";
        return Err(refuse(FIELD, Why::Value, message));
    }
    if mode == PermissionMode::BypassPermissions && profile == Profile::Restricted {
        // The CLI would end at once (checked).
        return Err(refuse("profile", Why::Value, "restricted cannot be had with bypassPermissions"));
    }
    match of_policy.filter(|modes| !modes.contains(&mode)) {
        Some(modes) => Err(beyond(FIELD, mode.as_str(), modes.iter().map(|mode| mode.as_str()))),
        None => Ok(mode),
    }
}

fn model(policy: &Policy, request: &RunRequest, settings: &Settings) -> Result<Option<String>, Refusal> {
    const FIELD: &str = "model";
    let (allowed, usual) = (&settings.models, settings.models.default.as_ref());
    if let Some(model) = request.model.as_deref().filter(|model| !allowed.allows(model)) {
        return Err(refuse(FIELD, Why::Value, format!("{} {}", shown(model), asked::NO_MODEL)));
    }
    let Some(of_policy) = &policy.models else { return Ok(request.model.clone().or_else(|| usual.cloned())) };
    match &request.model {
        Some(model) if !of_policy.contains(model) => Err(beyond(FIELD, model, of_policy.iter().map(String::as_str))),
        Some(model) => Ok(Some(model.clone())),
        None => {
            // Settings may have changed since the key was made.
            let usual = usual.filter(|model| of_policy.contains(model));
            let first = usual.or_else(|| of_policy.iter().find(|model| allowed.allows(model)));
            let none = "none of the models that the policy of this key allows is allowed on this server (ASKD_MODELS)";
            first.cloned().map(Some).ok_or_else(|| refuse(FIELD, Why::Policy, none))
        }
    }
}

/// The rules of a request: a rule lets calls pass that would have to be approved otherwise.
fn rules(policy: &Policy, tools: Option<&Tools>, rules: &[String]) -> Result<(), Refusal> {
    const FIELD: &str = "allowed_tools";
    for rule in rules {
        if let Some(allowed) = policy.allowed_tools.as_ref().filter(|allowed| !allowed.contains(rule)) {
            return Err(beyond(FIELD, rule, allowed.iter().map(String::as_str)));
        }
        if let Some(tools) = tools.filter(|tools| !tools.has(tool_of(rule))) {
            return Err(beyond(FIELD, rule, tools.names()));
        }
    }
    Ok(())
}

/// Without a wish it is the usual one, or the highest that the policy allows.
fn priority(policy: &Policy, request: &RunRequest) -> Result<(), Refusal> {
    let (Some(most), Some(asked)) = (policy.max_priority, request.priority) else { return Ok(()) };
    if asked <= most {
        return Ok(());
    }
    let allowed = Priority::WORDS.into_iter().take(most as usize + 1);
    Err(beyond("priority", asked.as_str(), allowed))
}

/// What a run may cost. Without a wish it is what the policy says.
fn budget(policy: &Policy, request: &RunRequest) -> Result<(), Refusal> {
    let (Some(most), Some(asked)) = (policy.max_usd_per_run, request.max_budget_usd) else { return Ok(()) };
    if asked <= most {
        return Ok(());
    }
    let message = format!("{asked} is not allowed by the policy of this key; the most is {most} US dollars");
    Err(refuse("max_budget_usd", Why::Policy, message))
}

/// The tool that reads files.
const READ: &str = "Read";

/// The most that a refusal lists.
const MAX_LISTED: usize = 20;

fn beyond<'a>(field: &'static str, asked: &str, allowed: impl Iterator<Item = &'a str>) -> Refusal {
    let asked = shown(asked);
    let allowed = allowed.take(MAX_LISTED).collect::<Vec<_>>().join(", ");
    let allowed = if allowed.is_empty() { "none".to_owned() } else { allowed };
    refuse(field, Why::Policy, format!("{asked} is not allowed by the policy of this key; allowed: {allowed}"))
}

/// How much of a foreign name is told, in characters.
const MAX_SHOWN: usize = 100;

/// A foreign name in a text.
fn shown(name: &str) -> String {
    format!("`{}`", name.chars().take(MAX_SHOWN).collect::<String>())
}

/// What a request that is agreed to is held to.
#[cfg(test)]
pub(super) fn terms_of(policy: &Policy, request: &RunRequest, settings: &Settings) -> Terms {
    agree(policy, request, &RunSecrets::default(), settings).unwrap().terms
}

impl Terms {
    /// For [`claude::command::Invocation`]: the CLI's own tools that the run has; `None`: all.
    pub fn own_tools(&self) -> Option<Vec<String>> {
        self.tools.as_ref().map(Tools::of_the_cli)
    }

    /// Whether the run gets the MCP server of this name.
    pub fn has_server(&self, name: &str) -> bool {
        self.tools.as_ref().is_none_or(|tools| tools.has_server(name))
            && !self.denied.iter().any(|rule| tools::denies_server(rule, name))
    }

    /// Whether a folder's own configuration may be loaded.
    pub fn may_load_project_config(&self) -> bool {
        !self.no_project_config
    }

    /// Whether the CLI has to ask before each call of a tool.
    pub fn looks_at_calls(&self) -> bool {
        self.tools.is_some() || self.modes.is_some()
    }

    /// What the CLI is told to hold itself to, whatever any settings say; `None`: nothing.
    pub fn managed(&self) -> Option<ManagedSettings> {
        let permissions = Permissions {
            deny: self.deny_rules(),
            disable_bypass_permissions_mode: self.lacks(PermissionMode::BypassPermissions),
            disable_auto_mode: self.lacks(PermissionMode::Auto),
        };
        let settings = ManagedSettings {
            models: self.held_models(),
            permissions,
            disable_skill_shell_execution: self.has_closed_tools(),
        };
        (settings != ManagedSettings::default()).then_some(settings)
    }

    /// [`Self::managed`], as far as this CLI is given it. Only a policy needs it: a request may leave out tools for itself also
    /// with a CLI that has no managed settings, by its command line, the file of `--settings` and the look at each call.
    pub fn managed_by(&self, cli: Capabilities) -> Option<ManagedSettings> {
        self.managed().filter(|_| self.is_of_policy || cli.has(Feature::ManagedSettings))
    }

    /// The same in the file of `--settings`, where a machine's own managed settings do not displace it.
    pub fn write_into(&self, settings: &mut RunSettings) {
        settings.permissions.deny.extend(self.deny_rules());
        settings.permissions.disable_bypass_permissions_mode = self.lacks(PermissionMode::BypassPermissions);
        settings.models = self.held_models();
        settings.disable_skill_shell_execution = self.has_closed_tools();
    }

    /// The rules of the policy, and one that a list of tools does not make needless: the CLI reads files that a prompt
    /// mentions (`@file`) also when it has no tool that reads (checked).
    fn deny_rules(&self) -> Vec<String> {
        let reads = self.tools.as_ref().is_none_or(|tools| tools.has(READ));
        self.denied.iter().cloned().chain((!reads).then(|| READ.to_owned())).collect()
    }

    fn held_models(&self) -> Option<HeldModels> {
        self.models.as_ref().map(|models| HeldModels::only(models.names()))
    }

    fn lacks(&self, mode: PermissionMode) -> Option<Disable> {
        self.modes.as_ref().is_some_and(|modes| !modes.contains(&mode)).then_some(Disable::Disable)
    }

    /// Whether commands in the texts of skills would pass by what the tools are held to.
    fn has_closed_tools(&self) -> bool {
        self.tools.is_some() || !self.denied.is_empty()
    }
}

#[cfg(test)]
mod tests;
