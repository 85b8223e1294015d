//! What a request, or the policy of its key, needs of the CLI that the CLI of this server may not have.

use claude::profile::Profile;
use claude::version::Version;
use claude::version::capabilities::{Capabilities, Feature};

use super::{Refusal, Why, refuse};
use crate::keys::Policy;
use crate::runs::policy::Terms;
use crate::runs::request::RunRequest;

/// Refuses what this CLI cannot do, and would pass over without a word or die of.
pub(super) fn check(
    policy: &Policy,
    request: &RunRequest,
    profile: Profile,
    terms: &Terms,
    version: Version,
) -> Result<(), Refusal> {
    let cli = Capabilities::of(version);
    let needed = wanted(request, profile).into_iter().filter(|(_, _, is_asked)| *is_asked);
    for (field, feature, _) in needed {
        if let Some(since) = cli.lacks(feature) {
            let which = if feature == Feature::AgentPermissionMode { "with a permission_mode: " } else { "" };
            return Err(refuse(field, Why::Value, format!("{which}{}", too_old(since, version))));
        }
    }
    match cli.lacks(Feature::ManagedSettings).filter(|_| terms.managed_by(cli).is_some()) {
        None => Ok(()),
        Some(since) => Err(not_held(policy, &too_old(since, version))),
    }
}

pub(super) fn too_old(since: Version, version: Version) -> String {
    format!("needs the Claude Code CLI {since} or newer; this server has {version}")
}

/// The options that not every CLI has.
fn wanted(request: &RunRequest, profile: Profile) -> [(&'static str, Feature, bool); 11] {
    let has_modes = request.agents.values().any(|agent| agent.get("permissionMode").is_some());
    [
        ("content", Feature::ContentBlocks, !request.content.is_empty()),
        ("append_system_prompt", Feature::AppendSystemPrompt, request.append_system_prompt.is_some()),
        ("effort", Feature::Effort, request.effort.is_some()),
        ("fallback_models", Feature::FallbackModel, !request.fallback_models.is_empty()),
        ("profile", Feature::ProfileBare, profile == Profile::Bare),
        ("profile", Feature::ProfileRestricted, profile == Profile::Restricted),
        ("agents", Feature::InlineAgents, !request.agents.is_empty()),
        ("agents", Feature::AgentPermissionMode, has_modes),
        ("fork_session", Feature::ForkSession, request.fork_session),
        ("output_schema", Feature::OutputSchema, request.output_schema.is_some()),
        ("mcp_servers", Feature::McpServersByRequest, !request.mcp_servers.is_empty()),
    ]
}

/// What keeps a run to its terms is not there.
fn not_held(policy: &Policy, too_old: &str) -> Refusal {
    let parts = [
        ("model", policy.models.is_some()),
        ("permission_mode", policy.permission_modes.is_some()),
        ("tools", policy.tools.is_some()),
    ];
    let field = parts.into_iter().find(|(_, is_bound)| *is_bound).map_or("disallowed_tools", |(field, _)| field);
    refuse(field, Why::Policy, format!("to be kept, the policy of this key {too_old}"))
}

#[cfg(test)]
mod tests {
    use claude::version::{MINIMUM, TESTED};
    use serde_json::{Value, json};

    use super::*;

    fn checked(policy: Value, request: Value, version: Version) -> Result<(), (&'static str, Why, String)> {
        let policy: Policy = serde_json::from_value(policy).unwrap();
        let request: RunRequest = serde_json::from_value(request).unwrap();
        let settings = crate::settings::Settings::for_testing(std::path::Path::new("/nowhere"));
        let terms = crate::runs::policy::terms_of(&policy, &request, &settings);
        let profile = request.profile.unwrap_or_default();
        check(&policy, &request, profile, &terms, version)
            .map_err(|refusal| (refusal.field, refusal.why, refusal.message))
    }

    #[test]
    fn the_cli_of_the_tests_has_all_of_it() {
        let request = json!({
            "content": [{"type": "text", "text": "x"}], "append_system_prompt": "x", "effort": "low",
            "fallback_models": ["haiku"], "profile": "restricted", "agents": {"a": {"permissionMode": "plan"}},
            "fork_session": true, "output_schema": {}, "mcp_servers": ["s"], "tools": [], "disallowed_tools": ["Bash"],
        });
        assert_eq!(checked(json!({"models": ["opus", "haiku"]}), request, TESTED), Ok(()));
    }

    #[test]
    fn what_an_older_cli_lacks_is_refused_with_the_version_that_has_it() {
        for (policy, request, field, why) in [
            (json!({}), json!({"agents": {"a": {"permissionMode": "plan"}}}), "agents", Why::Value),
            (json!({"denied_tools": ["Bash"]}), json!({}), "disallowed_tools", Why::Policy),
            (json!({"models": ["haiku"]}), json!({}), "model", Why::Policy),
            (json!({"tools": ["Read"]}), json!({"tools": ["Read"]}), "tools", Why::Policy),
        ] {
            let (named, kind, message) = checked(policy, request.clone(), MINIMUM).unwrap_err();
            assert_eq!((named, kind), (field, why), "{request}");
            assert!(message.contains("needs the Claude Code CLI 2.1.") && message.contains("has 2.1.261"), "{message}");
        }
    }

    #[test]
    fn what_every_cli_has_is_not() {
        let request = json!({"effort": "max", "profile": "restricted", "agents": {"a": {}}, "fork_session": true});
        assert_eq!(checked(json!({"max_usd_per_run": 1}), request, MINIMUM), Ok(()));
        let fewer_tools = json!({"tools": ["Read"], "disallowed_tools": ["Bash"]});
        assert_eq!(checked(json!({}), fewer_tools, MINIMUM), Ok(()), "it needs no managed settings");
    }
}
