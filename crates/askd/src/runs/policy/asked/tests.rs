//! What a policy lets a request bring with it.

use serde_json::json;

use super::super::{Agreed, agree};
use super::*;

fn settings(allow_bypass: bool) -> Settings {
    let mut settings = Settings::for_testing(std::path::Path::new("/nowhere"));
    settings.models.allowed = vec!["claude-x-1".to_owned()];
    settings.permissions.allow_bypass = allow_bypass;
    settings
}

fn agreed(policy: &Value, request: &Value) -> Result<Agreed, Refusal> {
    let policy: Policy = serde_json::from_value(policy.clone()).unwrap();
    let mut request = request.clone();
    let servers = request["mcp_servers"].take();
    let names: Vec<_> = servers.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
    request["mcp_servers"] = json!(names);
    let secrets = RunSecrets { mcp_servers: servers.as_object().cloned().unwrap_or_default(), ..RunSecrets::default() };
    agree(&policy, &serde_json::from_value(request).unwrap(), &secrets, &settings(false))
}

fn tracker() -> Value {
    json!({"tracker": {"command": "node"}})
}

fn remote() -> Value {
    json!({"tracker": {"type": "http", "url": "https://example.com"}})
}

#[test]
fn a_policy_bounds_what_a_request_brings_and_the_field_is_named() {
    let helper = json!({"tracker": {"type": "http", "url": "https://example.com", "headersHelper": "x"}});
    let agent = |field: &str, value: Value| json!({"agents": {"a": {field: value}}});
    for (policy, request, field, message) in [
        (json!({"tools": ["Read"]}), json!({"tools": ["Read", "Bash"]}), "tools", "`Bash` is not allowed"),
        (json!({"tools": ["mcp__s__find"]}), json!({"tools": ["mcp__s"]}), "tools", "`mcp__s`"),
        (json!({"tools": []}), json!({"tools": ["Read"]}), "tools", "allowed: none"),
        (
            json!({"models": ["haiku"]}),
            json!({"fallback_models": ["opus"]}),
            "fallback_models",
            "`opus` is not allowed",
        ),
        (json!({"models": ["haiku"]}), agent("model", json!("opus")), "agents", "a.model: `opus` is not allowed"),
        (
            json!({"permission_modes": ["acceptEdits"]}),
            agent("permissionMode", json!("auto")),
            "agents",
            "a.permission_mode: `auto` is not allowed",
        ),
        (
            json!({"tools": ["Read"]}),
            agent("tools", json!(["Read", "Bash"])),
            "agents",
            "a.tools: `Bash` is not allowed",
        ),
        (
            json!({"tools": ["Bash"]}),
            json!({"mcp_servers": tracker()}),
            "mcp_servers",
            "does not have the tool mcp__tracker",
        ),
        (
            json!({"tools": ["Bash", "mcp__tracker__find"]}),
            json!({"mcp_servers": tracker()}),
            "mcp_servers",
            "does not have the tool mcp__tracker",
        ),
        (json!({"tools": ["mcp__tracker"]}), json!({"mcp_servers": tracker()}), "mcp_servers", "starts a program"),
        (json!({"tools": ["mcp__tracker"]}), json!({"mcp_servers": helper.clone()}), "mcp_servers", "starts a program"),
        (json!({"denied_tools": ["Bash(curl:*)"]}), json!({"mcp_servers": tracker()}), "mcp_servers", "bounds Bash"),
        (json!({"denied_tools": ["*"]}), json!({"mcp_servers": remote()}), "mcp_servers", "denies it"),
        (json!({"denied_tools": ["mcp__tracker"]}), json!({"mcp_servers": remote()}), "mcp_servers", "denies it"),
        (json!({"allowed_tools": ["mcp__tracker"]}), json!({"mcp_servers": remote()}), "mcp_servers", "beyond it"),
        (json!({"tools": ["mcp__tracker"]}), json!({"mcp_servers": remote()}), "mcp_servers", "bounds WebFetch"),
        (
            json!({"denied_tools": ["Bash", "WebFetch", "WebSearch"]}),
            json!({"mcp_servers": remote()}),
            "mcp_servers",
            "`tracker` is at an address, and the policy of this key bounds WebFetch",
        ),
        (
            json!({"denied_tools": ["WebFetch(domain:example.com)"]}),
            json!({"mcp_servers": remote()}),
            "mcp_servers",
            "bounds WebFetch",
        ),
        (json!({"tools": ["Bash", "mcp__tracker"]}), json!({"mcp_servers": helper}), "mcp_servers", "bounds WebFetch"),
        (json!({"profiles": ["restricted"]}), json!({"mcp_servers": remote()}), "mcp_servers", "bounds WebFetch"),
        (json!({"profiles": ["restricted"]}), json!({"mcp_servers": tracker()}), "mcp_servers", "bounds Bash"),
        (
            json!({"tools": ["Read", "mcp__github"]}),
            json!({"env": ["GITHUB_HOST"]}),
            "env",
            "`GITHUB_HOST` is not in `env` of the policy of this key, which bounds Bash",
        ),
        (json!({"denied_tools": ["Bash(curl:*)"]}), json!({"env": ["A"]}), "env", "bounds Bash"),
        (json!({"profiles": ["restricted"]}), json!({"env": ["A"]}), "env", "bounds Bash"),
        (
            json!({"env": []}),
            json!({"env": ["A"]}),
            "env",
            "`A` is not allowed by the policy of this key; allowed: none",
        ),
        (
            json!({"env": ["A"]}),
            json!({"env": ["A", "B"]}),
            "env",
            "`B` is not allowed by the policy of this key; allowed: A",
        ),
    ] {
        let refusal = agreed(&policy, &request).unwrap_err();
        assert_eq!((refusal.field, refusal.why), (field, Why::Policy), "{policy} {request}");
        assert!(refusal.to_string().contains(message), "{policy} {request}: {refusal}");
    }
}

#[test]
fn what_the_server_does_not_have_is_a_wrong_value() {
    let agent = |field: &str, value: Value| json!({"agents": {"a": {field: value}}});
    let mut with_tools = agent("tools", json!(["Bash"]));
    with_tools["tools"] = json!(["Read"]);
    for (request, field, message) in [
        (json!({"fallback_models": ["gpt"]}), "fallback_models", "`gpt` is not allowed; use sonnet"),
        (json!({"model": "opus", "fallback_models": ["haiku", "opus"]}), "fallback_models", "`opus` is the model"),
        (agent("model", json!("gpt")), "agents", "agents.a.model: `gpt` is not allowed; use sonnet"),
        (
            agent("permissionMode", json!("bypassPermissions")),
            "agents",
            "agents.a.permission_mode: bypassPermissions is not",
        ),
        (with_tools, "agents", "agents.a.tools: has `Bash`, which `tools` of the request does not have"),
        (
            json!({"profile": "restricted", "tools": ["Read", "Bash"]}),
            "tools",
            "has `Bash`, which runs with the profile",
        ),
        (json!({"profile": "restricted", "tools": ["EnterWorktree"]}), "tools", "has `EnterWorktree`, which runs with"),
        (
            json!({"profile": "restricted", "allowed_tools": ["Read", "Bash(ls:*)"]}),
            "allowed_tools",
            "allowed_tools[1]: has `Bash(ls:*)`, and runs with the profile restricted do not have the tool",
        ),
        (json!({"profile": "restricted", "allowed_tools": ["WebFetch"]}), "allowed_tools", "[0]: has `WebFetch`, and"),
        (
            json!({"profile": "restricted", "agents": {"a": {"tools": ["Bash"]}}}),
            "agents",
            "agents.a.tools: has `Bash`",
        ),
        (
            json!({"disallowed_tools": ["mcp__*"], "mcp_servers": remote()}),
            "mcp_servers",
            "which disallowed_tools denies",
        ),
    ] {
        let refusal = agreed(&json!({}), &request).unwrap_err();
        assert_eq!((refusal.field, refusal.why), (field, Why::Value), "{request}");
        assert!(refusal.to_string().contains(message), "{request}: {refusal}");
    }
    let request: RunRequest =
        serde_json::from_value(json!({"profile": "restricted", "permission_mode": "bypassPermissions"})).unwrap();
    let refusal = agree(&Policy::default(), &request, &RunSecrets::default(), &settings(true)).unwrap_err();
    assert_eq!((refusal.field, refusal.why), ("profile", Why::Value));
}

#[test]
fn what_a_policy_has_a_request_may_have() {
    let policy = json!({
        "models": ["haiku", "sonnet"], "permission_modes": ["acceptEdits", "plan"], "env": ["A", "B"],
        "tools": ["Read", "Bash", "Agent", "mcp__tracker"], "denied_tools": ["Read(//etc/**)"],
    });
    let request = json!({
        "model": "haiku", "fallback_models": ["sonnet"], "env": ["A"], "mcp_servers": tracker(),
        "tools": ["Read", "mcp__tracker", "Task"],
        "agents": {
            "a": {"model": "sonnet", "permissionMode": "plan", "tools": ["Read", "Agent(b)"]},
            "b": {"model": "inherit", "tools": ["*"]},
        },
    });
    let terms = agreed(&policy, &request).unwrap().terms;
    assert_eq!(terms.own_tools(), Some(vec!["Read".to_owned(), "Agent".to_owned()]));
    assert!(terms.has_server("tracker") && !terms.has_server("other"));
    assert!(agreed(&json!({}), &json!({"mcp_servers": tracker(), "env": ["ANY"]})).is_ok());
    for (policy, request) in [
        (json!({"tools": ["mcp__tracker", "WebFetch"]}), json!({"mcp_servers": remote()})),
        (json!({"denied_tools": ["Bash"]}), json!({"mcp_servers": remote()})),
        (json!({"denied_tools": ["WebFetch"]}), json!({"mcp_servers": tracker()})),
        (json!({"profiles": ["bare", "restricted"]}), json!({"mcp_servers": tracker(), "env": ["ANY"]})),
        (json!({"denied_tools": ["WebFetch"]}), json!({"env": ["ANY"]})),
        (json!({"tools": ["Read"], "env": ["A"]}), json!({"env": ["A"]})),
    ] {
        assert!(agreed(&policy, &request).is_ok(), "{policy} {request}");
    }
}

#[test]
fn a_run_is_held_to_the_tools_of_its_request_as_to_those_of_a_policy() {
    let terms = agreed(&json!({}), &json!({"tools": ["Read"], "disallowed_tools": ["Read(//etc/**)"]})).unwrap().terms;
    assert!(terms.looks_at_calls() && terms.managed().is_some());
    assert_eq!(terms.own_tools(), Some(vec!["Read".to_owned()]));
    assert_eq!(terms.objection("Read", None), None);
    assert_eq!(terms.objection("Bash", None).unwrap(), "the request of the run does not have the tool `Bash`");
    assert!(terms.leaves_out_by_request("Bash") && !terms.leaves_out_by_request("Read"));
    let of_policy = agreed(&json!({"tools": ["Read"]}), &json!({})).unwrap().terms;
    assert!(of_policy.objection("Bash", None).is_some() && !of_policy.leaves_out_by_request("Bash"));
    let both =
        agreed(&json!({"denied_tools": ["Bash(curl:*)"]}), &json!({"disallowed_tools": ["Write"]})).unwrap().terms;
    let managed = serde_json::to_value(both.managed()).unwrap();
    assert_eq!(managed["permissions"]["deny"], json!(["Bash(curl:*)", "Write"]));
    let none = agreed(&json!({}), &json!({"tools": []})).unwrap().terms;
    assert_eq!(none.own_tools(), Some(Vec::new()));
}

#[test]
fn a_restricted_run_gets_no_program_by_the_tools_of_a_policy() {
    let policy = json!({"tools": ["Read", "Bash", "WebFetch", "Monitor"]});
    let terms = agreed(&policy, &json!({"profile": "restricted"})).unwrap().terms;
    assert_eq!(terms.own_tools(), Some(vec!["Read".to_owned()]));
    assert!(terms.objection("Bash", None).is_some());
}
