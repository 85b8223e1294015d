//! What is taken, and what becomes of it.

use claude::effort::Effort;
use claude::profile::Profile;
use uuid::Uuid;

use super::*;
use crate::runs::request::AdditionalFolder;

#[test]
fn tools_and_rules_about_them() {
    for (field, value) in [
        ("tools", json!([])),
        ("tools", json!(["Read", "Task", "mcp__my-tracker", "mcp__tracker__find", "FromTomorrow"])),
        ("disallowed_tools", json!(["Bash", "Bash(*)", "Bash(git log, x)", "Edit", "*", "mcp__*", "mcp__s__find"])),
        ("disallowed_tools", json!("Bash(rm:*), WebFetch(domain:example.com)")),
    ] {
        assert!(with(field, value.clone()).is_ok(), "{field} {value}");
    }
    let (request, _) = parse(json!({
        "prompt": "x", "tools": ["Read", "mcp__s"], "allowed_tools": ["Read", "mcp__s__find"],
        "disallowed_tools": "Read(//etc/**), mcp__s__drop", "mcp_servers": {"s": {"command": "x"}},
    }))
    .unwrap();
    assert_eq!(request.tools, Some(vec!["Read".into(), "mcp__s".into()]));
    assert_eq!(request.disallowed_tools, ["Read(//etc/**)", "mcp__s__drop"]);
    assert_eq!(with("tools", json!([])).unwrap().0.tools, Some(vec![]));
    assert_eq!(parse(json!({"prompt": "x"})).unwrap().0.tools, None);
}

#[test]
fn words_numbers_and_models() {
    let (request, _) = parse(json!({
        "prompt": "x", "effort": "xhigh", "profile": "restricted", "fallback_model": ["sonnet", "haiku"],
        "idle_timeout_seconds": 5, "queue_timeout_seconds": 7, "append_system_prompt": "a", "fork_session": true,
        "session_id": "00000000-0000-0000-0000-000000000007",
    }))
    .unwrap();
    assert_eq!((request.effort, request.profile), (Some(Effort::XHigh), Some(Profile::Restricted)));
    assert_eq!(request.fallback_models, ["sonnet", "haiku"]);
    assert_eq!((request.idle_timeout_seconds, request.queue_timeout_seconds), (Some(5), Some(7)));
    assert_eq!(request.append_system_prompt.as_deref(), Some("a"));
    assert_eq!((request.resume, request.fork_session), (Some(Uuid::from_u128(7)), true));
    assert_eq!(with("fallback_model", json!("haiku")).unwrap().0.fallback_models, ["haiku"]);
    assert_eq!(parse(json!({"prompt": "x"})).unwrap().0.profile, None);
}

#[test]
fn folders_are_paths_or_objects_by_either_name() {
    for name in ["additional_folders", "add_dirs"] {
        let (request, _) = with(name, json!(["lib", {"path": "out", "writable": true}])).unwrap();
        let folder = |path: &str, writable| AdditionalFolder { path: path.into(), writable };
        assert_eq!(request.additional_folders, [folder("lib", false), folder("out", true)]);
    }
}

#[test]
fn agents_leave_in_the_form_of_the_cli() {
    let agents = json!({
        "reviewer": {
            "description": "Reviews.", "prompt": "You review.\n---\n!`ls`", "tools": ["Read", "Agent(other)"],
            "disallowed_tools": ["Bash(rm:*)"], "model": "haiku", "effort": "low", "max_turns": 3,
            "permission_mode": "plan", "skills": ["style"], "background": true,
        },
        "other": {"description": "\"Other\": # {x}", "prompt": "Other.", "tools": "Read"},
    });
    let mut given = agents.clone();
    given["other"]["tools"] = json!(["*"]);
    let (request, _) = parse(json!({"prompt": "x", "agents": given, "agent": "other", "profile": "bare"})).unwrap();
    assert_eq!(
        Value::Object(request.agents),
        json!({
            "reviewer": {
                "description": "Reviews.", "prompt": "You review.\n---\n!`ls`", "tools": ["Read", "Agent(other)"],
                "disallowedTools": ["Bash(rm:*)"], "model": "haiku", "effort": "low", "maxTurns": 3,
                "permissionMode": "plan", "skills": ["style"], "background": true,
            },
            "other": {"description": "\"Other\": # {x}", "prompt": "Other.", "tools": ["*"]},
        })
    );
}

#[test]
fn variables_that_nothing_but_the_callers_own_tools_go_by() {
    for name in [
        "NODE_ENV",
        "API_TOKEN",
        "API_URL",
        "GH_TOKEN",
        "DATABASE_URL",
        "GIT_AUTHOR_NAME",
        "GIT_AUTHOR_EMAIL",
        "GIT_AUTHOR_DATE",
        "GIT_COMMITTER_NAME",
        "GIT_COMMITTER_EMAIL",
        "GIT_COMMITTER_DATE",
    ] {
        assert!(with("env", json!({name: "v"})).is_ok(), "{name}");
    }
}

#[test]
fn secrets_leave_by_a_way_of_their_own() {
    let (request, secrets) = parse(json!({
        "prompt": "x", "env": {"DATABASE_URL": "postgres://secret-1", "EMPTY": ""},
        "mcp_servers": {
            "local": {"command": "node", "args": ["x.js"], "env": {"TOKEN": "secret-2"}},
            "web": {"type": "http", "url": "https://example.com/mcp", "headers": {"Authorization": "Bearer secret-3"}},
        },
    }))
    .unwrap();
    assert_eq!(
        (request.env, request.mcp_servers),
        (vec!["DATABASE_URL".into(), "EMPTY".into()], vec!["local".into(), "web".into()])
    );
    assert_eq!(secrets.env["DATABASE_URL"].expose_secret(), "postgres://secret-1");
    assert_eq!(secrets.mcp_servers["web"]["headers"]["Authorization"], "Bearer secret-3");
    assert!(!format!("{secrets:?}").contains("secret-"));
}

#[test]
fn labels_are_another_name_of_metadata_and_ask_knows_none_of_this() {
    assert_eq!(RUNS.names("metadata"), ["metadata", "labels"]);
    let known: Vec<_> = ["content", "tools", "env", "mcp_servers", "agents", "profile", "effort", "labels"]
        .into_iter()
        .filter(|name| super::super::super::dialect::ASK.knows(name))
        .collect();
    assert_eq!(known, [""; 0]);
}
