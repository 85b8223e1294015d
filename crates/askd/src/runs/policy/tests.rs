//! What a policy lets a request have, and what comes of it.

use serde_json::{Value, json};

use super::*;
use crate::usd::Usd;

fn settings() -> Settings {
    let mut settings = Settings::for_testing(std::path::Path::new("/nowhere"));
    settings.models.allowed = vec!["claude-x-1".to_owned()];
    settings
}

fn agreed(policy: &Value, request: &Value, settings: &Settings) -> Result<Agreed, Refusal> {
    let policy: Policy = serde_json::from_value(policy.clone()).unwrap();
    let mut fields = json!({"prompt": "x"});
    fields.as_object_mut().unwrap().extend(request.as_object().unwrap().clone());
    agree(&policy, &serde_json::from_value(fields).unwrap(), &RunSecrets::default(), settings)
}

fn terms(policy: &Value) -> Terms {
    agreed(policy, &json!({}), &settings()).unwrap().terms
}

#[test]
fn without_a_policy_a_run_is_held_to_nothing() {
    let agreed = agreed(&json!({}), &json!({"allowed_tools": ["Bash"], "model": "opus"}), &settings()).unwrap();
    let expected = Agreed {
        terms: Terms::default(),
        profile: Profile::Default,
        permission_mode: PermissionMode::AcceptEdits,
        model: Some("opus".to_owned()),
    };
    assert_eq!(agreed, expected);
    let terms = Terms::default();
    assert_eq!((terms.managed(), terms.own_tools(), terms.looks_at_calls()), (None, None, false));
    assert!(terms.has_server("any") && terms.may_load_project_config());
    let mut file = RunSettings::default();
    terms.write_into(&mut file);
    assert_eq!(file, RunSettings::default());
}

#[test]
fn a_run_that_names_no_profile_has_the_usual_one_or_the_first_that_its_key_may_have() {
    let profile = |policy: Value, request: Value| agreed(&policy, &request, &settings()).unwrap().profile;
    assert_eq!(profile(json!({"profiles": ["restricted", "default"]}), json!({})), Profile::Default);
    assert_eq!(profile(json!({"profiles": ["restricted", "bare"]}), json!({})), Profile::Restricted);
    assert_eq!(profile(json!({"profiles": ["restricted", "bare"]}), json!({"profile": "bare"})), Profile::Bare);
    assert_eq!(profile(json!({}), json!({"profile": "bare"})), Profile::Bare);
    let own = json!({"agent": "a", "agents": {"a": {"description": "d", "prompt": "p"}}});
    assert_eq!(profile(json!({"profiles": ["bare"]}), own), Profile::Bare);
    let held =
        agreed(&json!({"profiles": ["restricted"], "tools": ["Read", "Bash"]}), &json!({}), &settings()).unwrap();
    assert_eq!(held.terms.own_tools(), Some(vec!["Read".to_owned()]), "it is restricted as if it had asked for it");
}

#[test]
fn what_a_policy_does_not_allow_is_refused_and_the_field_named() {
    let tools = json!({"tools": ["Read", "mcp__wiki__find"]});
    let rules = json!({"allowed_tools": ["Bash(git status:*)"]});
    for (policy, request, field, message) in [
        (
            json!({"models": ["haiku"]}),
            json!({"model": "opus"}),
            "model",
            "`opus` is not allowed by the policy of this key; allowed: haiku",
        ),
        (json!({"models": ["haiku"]}), json!({"model": "claude-x-1"}), "model", "`claude-x-1`"),
        (
            json!({"permission_modes": ["dontAsk", "plan"]}),
            json!({"permission_mode": "acceptEdits"}),
            "permission_mode",
            "allowed: dontAsk, plan",
        ),
        (
            json!({"profiles": ["restricted", "bare"]}),
            json!({"profile": "default"}),
            "profile",
            "`default` is not allowed by the policy of this key; allowed: restricted, bare",
        ),
        (
            json!({"profiles": ["bare"]}),
            json!({"agent": "reviewer"}),
            "agent",
            "`reviewer` is of the configuration, of which runs of this key have nothing (profile bare)",
        ),
        (tools.clone(), json!({"allowed_tools": ["Read", "Bash(ls)"]}), "allowed_tools", "`Bash(ls)`"),
        (tools.clone(), json!({"allowed_tools": ["mcp__wiki"]}), "allowed_tools", "`mcp__wiki`"),
        (tools, json!({"allowed_tools": ["*"]}), "allowed_tools", "`*`"),
        (json!({"tools": []}), json!({"allowed_tools": ["Read"]}), "allowed_tools", "allowed: none"),
        (rules.clone(), json!({"allowed_tools": ["Bash(git:*)"]}), "allowed_tools", "allowed: Bash(git status:*)"),
        (rules, json!({"allowed_tools": ["Bash(git status:*) "]}), "allowed_tools", "is not allowed"),
        (
            json!({"max_usd_per_run": 0.5}),
            json!({"max_budget_usd": 0.51}),
            "max_budget_usd",
            "the most is 0.5 US dollars",
        ),
        (json!({"max_priority": "normal"}), json!({"priority": "high"}), "priority", "allowed: low, normal"),
        (json!({"max_priority": "low"}), json!({"priority": "normal"}), "priority", "`normal` is not allowed"),
    ] {
        let refusal = agreed(&policy, &request, &settings()).unwrap_err();
        assert_eq!((refusal.field, refusal.why), (field, Why::Policy), "{policy} {request}");
        assert!(refusal.message.contains(message), "{policy} {request}: {}", refusal.message);
    }
}

#[test]
fn a_request_may_ask_for_what_its_policy_has() {
    let policy = json!({
        "models": ["haiku"], "permission_modes": ["plan"], "tools": ["Bash", "mcp__wiki"], "max_usd_per_run": 0.5,
        "max_priority": "low",
    });
    let request = json!({
        "model": "haiku", "permission_mode": "plan", "allowed_tools": ["Bash(ls:*)", "mcp__wiki__find"], "max_budget_usd": 0.5,
        "priority": "low",
    });
    let agreed = agreed(&policy, &request, &settings()).unwrap();
    assert_eq!((agreed.model.as_deref(), agreed.permission_mode), (Some("haiku"), PermissionMode::Plan));
}

#[test]
fn what_the_server_does_not_allow_no_policy_does() {
    let bypass = json!({"permission_modes": ["bypassPermissions"]});
    let refusal = agreed(&bypass, &json!({}), &settings()).unwrap_err();
    assert_eq!((refusal.field, refusal.why), ("permission_mode", Why::Value));
    let refusal = agreed(&json!({"models": ["gone-1"]}), &json!({}), &settings()).unwrap_err();
    assert_eq!((refusal.field, refusal.why), ("model", Why::Policy));
    assert!(refusal.message.contains("ASKD_MODELS"));
    let refusal = agreed(&json!({"models": ["gone-1"]}), &json!({"model": "gone-1"}), &settings()).unwrap_err();
    assert_eq!((refusal.field, refusal.why), ("model", Why::Value));
}

#[test]
fn what_a_request_does_not_name_is_the_servers_if_the_policy_has_it_else_the_first() {
    let usual = |policy: Value, default: Option<&str>| {
        let mut settings = settings();
        settings.models.default = default.map(str::to_owned);
        let agreed = agreed(&policy, &json!({}), &settings).unwrap();
        (agreed.model, agreed.permission_mode.as_str())
    };
    let some = |model: &str| Some(model.to_owned());
    assert_eq!(usual(json!({}), None), (None, "acceptEdits"));
    assert_eq!(usual(json!({"models": ["opus", "haiku"]}), Some("haiku")), (some("haiku"), "acceptEdits"));
    assert_eq!(usual(json!({"models": ["opus", "haiku"]}), Some("sonnet")), (some("opus"), "acceptEdits"));
    assert_eq!(usual(json!({"models": ["gone-1", "haiku"]}), None), (some("haiku"), "acceptEdits"));
    assert_eq!(usual(json!({"permission_modes": ["plan", "dontAsk"]}), None), (None, "plan"));
    assert_eq!(usual(json!({"permission_modes": ["plan", "acceptEdits"]}), None), (None, "acceptEdits"));
}

#[test]
fn the_cli_is_told_the_whole_policy_twice() {
    let terms = terms(&json!({
        "models": ["haiku"], "permission_modes": ["default", "acceptEdits"], "tools": ["Read", "mcp__wiki"],
        "denied_tools": ["Read(//etc/**)"], "project_config": false,
    }));
    insta::assert_snapshot!(serde_json::to_string(&terms.managed()).unwrap(), @r#"{"availableModels":["haiku"],"enforceAvailableModels":true,"availableModelsMatch":"exact","deniedModels":["sonnet","opus","fable"],"permissions":{"deny":["Read(//etc/**)"],"disableBypassPermissionsMode":"disable","disableAutoMode":"disable"},"disableSkillShellExecution":true}"#);
    let mut file = RunSettings::default();
    terms.write_into(&mut file);
    insta::assert_snapshot!(serde_json::to_string(&file).unwrap(), @r#"{"env":{"CLAUDE_CODE_SIMPLE":"0"},"permissions":{"allow":[],"deny":["Read(//etc/**)"],"disableBypassPermissionsMode":"disable"},"availableModels":["haiku"],"enforceAvailableModels":true,"availableModelsMatch":"exact","deniedModels":["sonnet","opus","fable"],"disableSkillShellExecution":true}"#);
    assert_eq!(terms.own_tools(), Some(vec!["Read".to_owned()]));
    assert!(terms.has_server("wiki") && !terms.has_server("tracker") && !terms.may_load_project_config());
}

#[test]
fn reading_is_denied_where_the_tools_do_not_have_it_since_a_prompt_can_mention_files() {
    for (policy, denied) in [
        (json!({"tools": []}), json!(["Read"])),
        (json!({"tools": ["Bash"], "denied_tools": ["Bash(curl:*)"]}), json!(["Bash(curl:*)", "Read"])),
        (json!({"tools": ["Read"], "denied_tools": ["Bash(curl:*)"]}), json!(["Bash(curl:*)"])),
    ] {
        let (terms, mut file) = (terms(&policy), RunSettings::default());
        terms.write_into(&mut file);
        let managed = serde_json::to_value(terms.managed()).unwrap();
        assert_eq!(
            (&managed["permissions"]["deny"], json!(file.permissions.deny)),
            (&denied, denied.clone()),
            "{policy}"
        );
    }
    assert!(!terms(&json!({"denied_tools": ["mcp__wiki"]})).has_server("wiki"));
}

#[test]
fn a_mode_that_is_allowed_is_not_switched_off() {
    let all = json!({"permission_modes": ["bypassPermissions", "auto", "default", "acceptEdits"]});
    assert_eq!(terms(&all).managed(), None);
}

#[test]
fn calls_of_other_tools_and_in_other_modes_are_refused() {
    let held = terms(&json!({"tools": ["Read"], "permission_modes": ["dontAsk"]}));
    for (tool, mode, objection) in [
        ("Read", Some("dontAsk"), None),
        ("StructuredOutput", Some("dontAsk"), None),
        ("Bash", Some("dontAsk"), Some("the tool `Bash`")),
        ("Read", Some("acceptEdits"), Some("the permission mode `acceptEdits`")),
        ("Read", None, Some("the permission mode `unknown`")),
    ] {
        let said = held.objection(tool, mode);
        match objection {
            None => assert_eq!(said, None, "{tool} {mode:?}"),
            Some(what) => assert!(said.as_ref().is_some_and(|said| said.contains(what)), "{tool} {mode:?}: {said:?}"),
        }
    }
    assert_eq!(terms(&json!({"tools": ["Read"]})).objection("Read", None), None);
}

fn breach(policy: &Value, line: &Value) -> Option<String> {
    terms(policy).breach(&claude::frame::Frame::parse(line.to_string()).unwrap())
}

#[test]
fn what_the_cli_says_it_uses_beyond_the_policy_is_a_breach() {
    let (haiku, read, plan) =
        (json!({"models": ["haiku"]}), json!({"tools": ["Read"]}), json!({"permission_modes": ["plan"]}));
    let init = |model: &str, mode: &str, tools: &[&str]| json!({"type": "system", "subtype": "init", "model": model, "permissionMode": mode, "tools": tools});
    let message = |model: &str| json!({"type": "assistant", "message": {"model": model}});
    let result = |model: &str| json!({"type": "result", "modelUsage": {"claude-haiku-5-5": {}, model: {}}});
    for (policy, line, what) in [
        (&haiku, init("claude-haiku-5-5", "plan", &["Bash"]), None),
        (&haiku, init("claude-opus-5-5", "plan", &[]), Some("the model `claude-opus-5-5`")),
        (&haiku, message("claude-haiku-5-5-20260101"), None),
        (&haiku, message("<synthetic>"), None),
        (&haiku, message("claude-opus-5-5"), Some("the model `claude-opus-5-5`")),
        (&haiku, result("claude-haiku-4-5"), None),
        (&haiku, result("claude-sonnet-5-5"), Some("the model `claude-sonnet-5-5`")),
        (&json!({"models": ["claude-x-1"]}), message("claude-x-2"), Some("the model `claude-x-2`")),
        (&read, init("m", "plan", &["Read", "StructuredOutput"]), None),
        (&read, init("m", "plan", &["Read", "Task"]), Some("the tool `Task`")),
        (&read, init("m", "plan", &["mcp__wiki__find"]), Some("the tool `mcp__wiki__find`")),
        (&read, message("claude-opus-5-5"), None),
        (&plan, init("m", "plan", &["Bash"]), None),
        (&plan, init("m", "acceptEdits", &[]), Some("the permission mode `acceptEdits`")),
        (&json!({}), init("m", "any", &["Bash"]), None),
    ] {
        let said = breach(policy, &line);
        match what {
            None => assert_eq!(said, None, "{policy} {line}"),
            Some(what) => assert!(said.as_ref().is_some_and(|said| said.contains(what)), "{policy} {line}: {said:?}"),
        }
    }
}

#[test]
fn the_example_of_the_documentation_is_a_policy_that_a_key_can_have() {
    let page = include_str!("../../../../../docs/policies.md");
    let example = page.split("```json request=policy\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let policy: Policy = serde_json::from_str(example).unwrap();
    assert_eq!(policy.check(&settings().models, Usd::ZERO), Ok(()));
}
