//! The profiles, and that none of them gets rid of what holds runs back.

use scripted_model::prompt::{text, tool, turns};
use serde_json::{Value, json};

use super::super::World;
use super::super::mcp::{SERVER, entry, has_node, servers};
use super::{bash, tools_of};
use crate::harness::TestServerBuilder;

/// A server that has something of everything, and forbids something by a rule and something by a hook.
fn furnished(server: TestServerBuilder) -> TestServerBuilder {
    let refuse = r#"{"hookSpecificOutput": {"hookEventName": "PreToolUse", "permissionDecision": "deny"}}"#;
    let settings = json!({
        "permissions": {"deny": ["Read(//etc/hostname)"]},
        "outputStyle": "heron-style",
        "hooks": {
            "PreToolUse": [{"matcher": "Write", "hooks": [{"type": "command", "command": format!("echo '{refuse}'")}]}],
            "SessionStart": [{"hooks": [{"type": "command", "command": "echo heron-hook"}]}],
        },
    });
    server
        .file("config/settings.json", &settings.to_string())
        .file("config/CLAUDE.md", "heron-of-the-server")
        .file("config/rules/r.md", "heron-rule")
        .file("config/agents/a.md", "---\nname: a\ndescription: heron-agent\n---\nx")
        .file("config/skills/s/SKILL.md", "---\nname: s\ndescription: heron-skill\n---\nx")
        .file("config/commands/c.md", "---\ndescription: heron-command\n---\nheron-body $ARGUMENTS")
        .file("config/output-styles/h.md", "---\nname: heron-style\ndescription: d\n---\nheron-style-text")
        .file("workspace/CLAUDE.md", "heron-of-the-folder")
        .file("workspace/.claude/skills/t/SKILL.md", "---\nname: t\ndescription: heron-skill-of-the-folder\n---\nx")
        .file("workspace/a.txt", "a")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_run_has_no_configuration_but_what_holds_it_back() {
    let world = World::with(furnished).await;
    world.completed(json!({"prompt": "[[text:x]]"})).await;
    let all = ["server", "rule", "agent", "skill", "folder", "hook", "style-text"];
    for part in all {
        assert!(
            world.sent().contains(&format!("heron-{part}")) || world.sent().contains(&format!("heron-of-the-{part}")),
            "by default there is {part}"
        );
    }
    for profile in ["bare", "restricted"] {
        world.completed(json!({"prompt": "[[text:x]]", "profile": profile})).await;
        assert!(!world.sent().contains("heron"), "{profile}: {}", world.sent());
        // Its files lie in the home, but no text of a message makes the CLI take one.
        world.completed(json!({"prompt": "/c [[text:x]]", "expand": true, "profile": profile})).await;
        assert!(!world.sent().contains("heron-body"), "{profile}: {}", world.sent());
    }
    world.completed(json!({"prompt": "/c [[text:x]]", "expand": true})).await;
    assert!(world.sent().contains("heron-body"), "by default there is the command");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_s_hooks_refuse_and_record_they_do_in_every_profile() {
    let script = "echo no >&2; exit 2";
    let forbidden = "if grep -q forbidden; then echo no >&2; exit 2; fi";
    let hook = |matcher: &str, command: &str| json!([{"matcher": matcher, "hooks": [{"type": "command", "command": command}]}]);
    let settings = json!({"hooks": {
        "PreToolUse": hook("Write", "sh ~/.claude/hooks/deny.sh"),
        "UserPromptSubmit": hook("", forbidden),
        "PostToolUse": hook("Read", "touch recorded"),
    }});
    let world = World::with(|server| {
        server
            .file("config/settings.json", &settings.to_string())
            .file("config/hooks/deny.sh", script)
            .file("workspace/a.txt", "a")
    })
    .await;
    let workspace = world.server.folders.workspace();
    let (written, recorded) = (workspace.join("written"), workspace.join("recorded"));
    let read = tool("Read", &json!({"file_path": workspace.join("a.txt")}));
    let write = tool("Write", &json!({"file_path": written, "content": "x"}));
    for profile in ["default", "bare", "restricted"] {
        let prompt = turns([read.clone(), write.clone(), text("end")]);
        let run = world.completed(json!({"prompt": prompt, "profile": profile, "allowed_tools": ["Read"]})).await;
        assert!(!written.exists(), "{profile}: {run} {}", world.results());
        assert!(recorded.exists(), "{profile}: {run} {}", world.results());
        std::fs::remove_file(&recorded).unwrap();
        let run = world.server.run(json!({"prompt": "[[text:forbidden]]", "profile": profile})).await;
        assert_eq!(run["state"], "failed", "{profile}: {run}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_cannot_be_run_is_passed_over_and_the_run_says_so() {
    let hook = json!([{"matcher": "Bash", "hooks": [{"type": "command", "command": "~/.claude/hooks/gone.sh"}]}]);
    let settings = json!({"hooks": {"PreToolUse": hook}}).to_string();
    let world = World::with(|server| server.file("config/settings.json", &settings)).await;
    let prompt = turns([tool("Bash", &json!({"command": "touch made", "description": "d"})), text("end")]);
    let run = world.completed(json!({"prompt": prompt, "allowed_tools": ["Bash"]})).await;
    assert_eq!(world.server.folders.list("workspace"), ["made"], "{run}");
    let told = "a hook of PreToolUse gave no usable answer, and the CLI went on without it";
    assert_eq!(run["warnings"], json!([{"code": "hook_failed", "message": told}]));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rules_and_hooks_of_the_operator_and_the_guard_hold_in_every_profile() {
    let world = World::with(furnished).await;
    let read = tool("Read", &json!({"file_path": "/etc/hostname"}));
    let file = world.server.folders.workspace().join("written");
    let write = tool("Write", &json!({"file_path": file, "content": "x"}));
    for profile in ["default", "bare", "restricted"] {
        let prompt = turns([read.clone(), write.clone(), text("end")]);
        let run = world.completed(json!({"prompt": prompt, "profile": profile, "allowed_tools": ["Read"]})).await;
        assert_eq!(run["permission_denials"]["count"], 2, "{profile}: {run} {}", world.results());
        assert!(!file.exists(), "{profile}");
    }
    for profile in ["default", "bare"] {
        let body = json!({"prompt": bash("touch trace; git push -f"), "profile": profile, "allowed_tools": ["Bash"]});
        let run = world.completed(body).await;
        assert!(run["warnings"].to_string().contains("git-force-push"), "{profile}: {run}");
        assert_eq!(world.server.folders.list("workspace").len(), 3, "{profile}: no trace");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_key_is_held_to_holds_in_every_profile() {
    let world = World::new().await;
    // It is held to its tools by the question before each call, which a CLI that asks nobody would not put.
    let held = world.server.user(json!({"tools": ["Read", "Glob"], "permission_modes": ["acceptEdits"]})).await;
    for profile in ["default", "bare", "restricted"] {
        let run = held.run(json!({"prompt": bash("touch made"), "profile": profile})).await;
        assert_eq!(run["state"], "completed", "{profile}: {run}");
        assert_eq!(tools_of(&world.last_message()), ["Glob", "Read"], "{profile}");
        assert_eq!(world.server.folders.list("workspace"), [""; 0], "{profile}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restricted_run_runs_no_programs_and_keeps_to_its_folder() {
    let world = World::with(|server| server.file("workspace/a.txt", "inside").file("other.txt", "outside")).await;
    let workspace = world.server.folders.workspace();
    let script = turns([
        tool("Bash", &json!({"command": "touch made", "description": "d"})),
        tool("Read", &json!({"file_path": workspace.join("a.txt")})),
        tool("Read", &json!({"file_path": world.server.folders.root().join("other.txt")})),
        tool("Write", &json!({"file_path": workspace.join("b.txt"), "content": "x"})),
        text("end"),
    ]);
    let body = json!({"prompt": script, "profile": "restricted", "allowed_tools": ["Read"]});
    world.completed(body).await;
    assert_eq!(world.server.folders.list("workspace"), ["a.txt", "b.txt"]);
    let results = world.results();
    assert!(results.contains("inside") && !results.contains("outside\n"), "{results}");
    for absent in ["Bash", "Monitor", "WebFetch", "PowerShell", "EnterWorktree", "ExitWorktree"] {
        assert!(!tools_of(&world.last_message()).contains(&absent), "{absent}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_and_servers_of_the_request_work_in_every_profile_and_a_bare_run_has_no_other_server() {
    if !has_node() {
        return;
    }
    let own = servers(&json!({"own": entry(SERVER, "the-operator")}));
    let world = World::with(|server| server.file("config/.mcp.json", &own)).await;
    let prompt = |server: &str| turns([tool(&format!("mcp__{server}__say"), &json!({})), text("end")]);
    let body = |profile: &str, server: &str| {
        json!({"prompt": prompt(server), "profile": profile, "allowed_tools": ["mcp__own", "mcp__mine"],
            "agents": {"pirate": {"description": "d", "prompt": "Speak like a pirate."}}, "agent": "pirate",
            "mcp_servers": {"mine": entry(SERVER, "the-request")}, "on_disconnect": "cancel"})
    };
    for (profile, has_own) in [("default", true), ("restricted", true), ("bare", false)] {
        world.completed(body(profile, "mine")).await;
        assert!(world.last_message().system_text().contains("Speak like a pirate."), "{profile}");
        assert!(world.results().contains("hello from the-request"), "{profile}: {}", world.results());
        world.completed(body(profile, "own")).await;
        assert_eq!(world.results().contains("hello from the-operator"), has_own, "{profile}: {}", world.results());
    }
    let mut same = body("default", "own");
    same["mcp_servers"] = json!({"own": entry(SERVER, "the-request")});
    let run: Value = world.completed(same).await;
    assert!(world.results().contains("hello from the-operator"), "{}", world.results());
    assert!(run["warnings"].to_string().contains("`own` of the request was left out"), "{run}");
    world.stop().await;
}
