//! What a request brings with it, or asks for besides: tools, models for the worst case, agents, servers, variables.

use claude::permission_mode::PermissionMode;
use claude::profile::Profile;
use claude::tools::of_restricted;
use serde_json::Value;

use super::tools::{Tools, denies_server, denies_tool};
use super::{Refusal, Why, beyond, refuse, shown};
use crate::keys::Policy;
use crate::keys::policy::tools::{MCP, tool_of};
use crate::runs::request::RunRequest;
use crate::runs::secrets::RunSecrets;
use crate::settings::Settings;
use crate::settings::groups;

/// The tool by which a run may start any program. Who must not have it must not bring programs along.
const BASH: &str = "Bash";

/// The tool by which a run may reach any address. Who must not have it must not bring addresses along.
const WEB_FETCH: &str = "WebFetch";

/// Whether a restricted run has not this tool, though the CLI has. It would get those that `--tools` names (checked).
fn not_if_restricted(tool: &str) -> bool {
    !of_restricted(tool) && !tool.starts_with(MCP) && tool != "*"
}

/// What is wrong with a tool that a restricted run has not.
const RESTRICTED: &str = "runs with the profile restricted do not have";

/// The tools of the run: those of the policy, or fewer.
pub(super) fn tools(policy: &Policy, request: &RunRequest, profile: Profile) -> Result<Option<Tools>, Refusal> {
    const FIELD: &str = "tools";
    let of_policy = policy.tools.as_deref().map(Tools::of_policy);
    let Some(names) = &request.tools else {
        // What the policy has and the profile has not.
        let is_restricted = profile == Profile::Restricted;
        return Ok(of_policy.map(|tools| if is_restricted { tools.without(not_if_restricted) } else { tools }));
    };
    if let Some(of_policy) = &of_policy
        && let Some(name) = names.iter().find(|name| !of_policy.has(name))
    {
        return Err(beyond(FIELD, name, of_policy.names()));
    }
    let asked = Tools::of_request(names);
    if profile == Profile::Restricted
        && let Some(tool) = names.iter().find(|tool| not_if_restricted(tool))
    {
        return Err(refuse(FIELD, Why::Value, format!("has {}, which {RESTRICTED}", shown(tool))));
    }
    Ok(Some(asked))
}

/// Rules of the request for tools that its profile does not have. The CLI would pass over them without a word (checked).
pub(super) fn rules(request: &RunRequest, profile: Profile) -> Result<(), Refusal> {
    if profile != Profile::Restricted {
        return Ok(());
    }
    let mut rules = request.allowed_tools.iter().enumerate();
    match rules.find(|(_, rule)| not_if_restricted(tool_of(rule))) {
        Some((index, rule)) => {
            let message = format!("has {}, and {RESTRICTED} the tool", shown(rule));
            Err(refuse("allowed_tools", Why::Value, message).at(format!("[{index}]")))
        }
        None => Ok(()),
    }
}

/// Models for the case that the first cannot answer.
pub(super) fn fallbacks(
    policy: &Policy,
    request: &RunRequest,
    model: Option<&str>,
    settings: &Settings,
) -> Result<(), Refusal> {
    const FIELD: &str = "fallback_models";
    for fallback in &request.fallback_models {
        if !settings.models.allows(fallback) {
            return Err(refuse(FIELD, Why::Value, format!("{} {NO_MODEL}", shown(fallback))));
        }
        if let Some(models) = policy.models.as_ref().filter(|models| !models.contains(fallback)) {
            return Err(beyond(FIELD, fallback, models.iter().map(String::as_str)));
        }
        if model == Some(fallback.as_str()) {
            let message = format!("{} is the model that the run has already", shown(fallback));
            return Err(refuse(FIELD, Why::Value, message));
        }
    }
    Ok(())
}

/// What is wrong with a model that requests must not name.
pub(super) const NO_MODEL: &str = "is not allowed; use sonnet, opus, haiku or an id of ASKD_MODELS";

/// Agents of the request: they may have no more than the request itself.
pub(super) fn agents(
    policy: &Policy,
    request: &RunRequest,
    profile: Profile,
    tools: Option<&Tools>,
    settings: &Settings,
) -> Result<(), Refusal> {
    for (name, agent) in &request.agents {
        let agent = Agent { name, agent };
        agent.model(policy, &settings.models)?;
        agent.mode(policy, settings)?;
        agent.tools(tools)?;
        if profile == Profile::Restricted {
            agent.restricted()?;
        }
    }
    Ok(())
}

struct Agent<'a> {
    name: &'a str,
    agent: &'a Value,
}

impl Agent<'_> {
    const FIELD: &'static str = "agents";
    const TOOLS: &'static str = "tools";

    fn wrong(&self, part: &str, what: &str) -> Refusal {
        refuse(Self::FIELD, Why::Value, what).at(format!(".{}.{part}", self.name))
    }

    fn beyond<'a>(&self, part: &str, asked: &str, allowed: impl Iterator<Item = &'a str>) -> Refusal {
        beyond(Self::FIELD, asked, allowed).at(format!(".{}.{part}", self.name))
    }

    fn model(&self, policy: &Policy, allowed: &groups::Models) -> Result<(), Refusal> {
        const PART: &str = "model";
        // The word for the model of whoever calls it.
        let Some(model) = self.agent[PART].as_str().filter(|model| *model != "inherit") else { return Ok(()) };
        if !allowed.allows(model) {
            return Err(self.wrong(PART, &format!("{} {NO_MODEL}, or inherit", shown(model))));
        }
        match policy.models.as_ref().filter(|models| !models.iter().any(|name| name == model)) {
            Some(models) => Err(self.beyond(PART, model, models.iter().map(String::as_str))),
            None => Ok(()),
        }
    }

    fn mode(&self, policy: &Policy, settings: &Settings) -> Result<(), Refusal> {
        const PART: &str = "permission_mode";
        let Some(mode) = self.agent["permissionMode"].as_str().and_then(PermissionMode::from_word) else {
            return Ok(());
        };
        if mode == PermissionMode::BypassPermissions && !settings.permissions.allow_bypass {
            return Err(self.wrong(PART, "bypassPermissions is not allowed on this server (ASKD_ALLOW_BYPASS)"));
        }
        match policy.permission_modes.as_ref().filter(|modes| !modes.contains(&mode)) {
            Some(modes) => Err(self.beyond(PART, mode.as_str(), modes.iter().map(|mode| mode.as_str()))),
            None => Ok(()),
        }
    }

    fn rules(&self) -> impl Iterator<Item = &str> {
        self.agent[Self::TOOLS].as_array().into_iter().flatten().filter_map(Value::as_str)
    }

    /// What its profile does not have, no agent of the run has (checked).
    fn restricted(&self) -> Result<(), Refusal> {
        match self.rules().find(|rule| not_if_restricted(tool_of(rule))) {
            Some(rule) => Err(self.wrong(Self::TOOLS, &format!("has {}, which {RESTRICTED}", shown(rule)))),
            None => Ok(()),
        }
    }

    fn tools(&self, tools: Option<&Tools>) -> Result<(), Refusal> {
        let Some(tools) = tools else { return Ok(()) };
        // `*` are all that there are.
        let Some(rule) = self.rules().find(|rule| *rule != "*" && !tools.has(tool_of(rule))) else {
            return Ok(());
        };
        Err(if tools.is_of_request() {
            self.wrong(Self::TOOLS, &format!("has {}, which `tools` of the request does not have", shown(rule)))
        } else {
            self.beyond(Self::TOOLS, rule, tools.names())
        })
    }
}

/// Servers of the request. Such a server is code of the caller's, and gives tools of any name.
pub(super) fn servers(policy: &Policy, request: &RunRequest, secrets: &RunSecrets) -> Result<(), Refusal> {
    const FIELD: &str = "mcp_servers";
    let by_policy = |what: String| Err(refuse(FIELD, Why::Policy, what));
    for name in &request.mcp_servers {
        let (all, named) = (format!("mcp__{name}"), shown(name));
        if policy.tools.as_ref().is_some_and(|tools| !tools.contains(&all)) {
            return by_policy(format!("{named}: the policy of this key does not have the tool {all}"));
        }
        if policy.allowed_tools.is_some() {
            let what = "the policy of this key says which rules may be given, and servers of a request are beyond it";
            return by_policy(format!("{named}: {what}"));
        }
        if policy.denied_tools.iter().any(|rule| denies_server(rule, name)) {
            return by_policy(format!("{named}: the policy of this key denies it"));
        }
        let server = secrets.mcp_servers.get(name);
        if runs_programs(server) && bounds(policy, BASH) {
            return by_policy(format!("{named} starts a program, and the policy of this key bounds {BASH}"));
        }
        // The CLI itself asks it, with whatever the URL and the headers say, before any tool is called (checked).
        if is_remote(server) && bounds(policy, WEB_FETCH) {
            return by_policy(format!("{named} is at an address, and the policy of this key bounds {WEB_FETCH}"));
        }
        if request.disallowed_tools.iter().any(|rule| denies_server(rule, name)) {
            return Err(refuse(FIELD, Why::Value, format!("has {named}, which disallowed_tools denies")));
        }
    }
    Ok(())
}

/// A `headersHelper` is a command for a shell, too (checked). A server that is not known is taken for a program at an
/// address.
fn runs_programs(server: Option<&Value>) -> bool {
    server.is_none_or(|server| ["command", "headersHelper"].iter().any(|key| server.get(key).is_some()))
}

fn is_remote(server: Option<&Value>) -> bool {
    server.is_none_or(|server| server.get("command").is_none())
}

/// Whether a policy takes away the tool, or some of its calls. No profile but `restricted` takes away tools.
fn bounds(policy: &Policy, tool: &str) -> bool {
    let is_restricted = |profiles: &Vec<Profile>| profiles.iter().all(|profile| *profile == Profile::Restricted);
    policy.tools.as_ref().is_some_and(|tools| tools.iter().all(|name| name != tool))
        || policy.denied_tools.iter().any(|rule| denies_tool(rule, tool))
        || policy.profiles.as_ref().is_some_and(is_restricted) && not_if_restricted(tool)
}

/// Whether a run of the key can have `Bash` called: by a rule, where the policy says which ones there may be.
fn may_start_programs(policy: &Policy) -> bool {
    let has_rule = |rules: &Vec<String>| rules.iter().any(|rule| tool_of(rule) == BASH);
    let only_plans = |modes: &Vec<PermissionMode>| modes.iter().all(|mode| *mode == PermissionMode::Plan);
    !bounds(policy, BASH)
        && policy.allowed_tools.as_ref().is_none_or(has_rule)
        && !policy.permission_modes.as_ref().is_some_and(only_plans)
}

/// Variables of the request. They reach the operator's own MCP servers and hooks too, which may hold credentials and take
/// an address from a variable: a caller who could not start such a program may not steer one either.
pub(super) fn variables(policy: &Policy, request: &RunRequest) -> Result<(), Refusal> {
    const FIELD: &str = "env";
    let Some(allowed) = &policy.env else {
        return match request.env.first().filter(|_| !may_start_programs(policy)) {
            Some(name) => {
                let name = shown(name);
                let message = format!("{name} is not in `env` of the policy of this key, which bounds {BASH}");
                Err(refuse(FIELD, Why::Policy, message))
            }
            None => Ok(()),
        };
    };
    match request.env.iter().find(|name| !allowed.contains(name)) {
        Some(name) => Err(beyond(FIELD, name, allowed.iter().map(String::as_str))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
