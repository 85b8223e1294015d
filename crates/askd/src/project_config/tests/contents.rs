//! What a file may and may not hold.

use super::*;

const SKILL: &str = "repo/.claude/skills/s/SKILL.md";
const AGENT: &str = "repo/.claude/agents/a.md";
const SETTINGS: &str = "repo/.claude/settings.json";

#[test]
fn every_allowed_text_loads() {
    loads(&[("repo/CLAUDE.md", "Read @docs/a.md and @/etc/passwd; `!x`.")]);
    loads(&[("repo/AGENTS.md", "text")]);
    loads(&[("repo/.claude/CLAUDE.md", "text")]);
    loads(&[("repo/.claude/rules/a/b.md", "---\npaths: [\"**/*.rs\"]\ndescription: d\n---\ntext")]);
    loads(&[(AGENT, "---\nname: a\ndescription: d\nmodel: opus\ntools: Bash\ncolor: red\nmaxTurns: 3\n---\nbody")]);
    loads(&[("repo/.claude/commands/x/y.md", "---\ndescription: d\nargument-hint: a\n---\nDo $ARGUMENTS.")]);
    loads(&[("repo/.claude/output-styles/s.md", "---\nname: s\ndescription: d\n---\nbody")]);
    loads(&[(SKILL, "---\nname: s\ndescription: d\nmetadata:\n  version: 1\npaths: a\n---\nUse `vec!`.")]);
    loads(&[
        (SKILL, "no frontmatter"),
        ("repo/.claude/skills/s/forms.md", "!`not expanded here`"),
        ("repo/.claude/skills/s/scripts/run.py", "print()"),
        ("repo/.claude/skills/s/assets/deep/data.json", "{}"),
        ("repo/.claude/.gitignore", "x"),
    ]);
    loads(&[(
        SETTINGS,
        r#"{"$schema":"s","permissions":{"deny":["Read(.env)"],"ask":[]},"outputStyle":"s","language":"de"}"#,
    )]);
}

#[test]
fn what_the_cli_never_loads_is_passed_over() {
    let local = ("repo/.claude/settings.local.json", r#"{"hooks":{}}"#);
    assert_eq!(auto(&[local, ("repo/CLAUDE.local.md", "x"), ("repo/src/a.rs", "")]), Assessment::Nothing);
    assert_eq!(auto(&[]), Assessment::Nothing);
}

#[test]
fn settings_that_do_anything_are_named_with_their_line() {
    for key in ["hooks", "env", "apiKeyHelper", "model", "statusLine", "enabledPlugins", "autoMemoryDirectory"] {
        let text = format!("{{\n  \"language\": \"de\",\n  \"{key}\": {{}}\n}}");
        refused(&[(SETTINGS, &text)], &format!("{SETTINGS}:3: setting `{key}` is not known"));
    }
    for key in ["allow", "defaultMode", "additionalDirectories"] {
        let text = format!("{{\"permissions\": {{\n\"{key}\": []}}}}");
        refused(&[(SETTINGS, &text)], &format!("{SETTINGS}:2: setting `permissions.{key}`"));
    }
}

#[test]
fn settings_that_cannot_be_understood_are_refused() {
    refused(&[(SETTINGS, "{\n  // comment\n}")], "repo/.claude/settings.json:2: not a JSON object");
    for text in
        ["", "[]", "{\"permissions\": []}", "\u{feff}{}", "{\"language\": {}}", "{\"permissions\":{\"deny\":{}}}"]
    {
        refused(&[(SETTINGS, text)], SETTINGS);
    }
    refused(
        &[(SETTINGS, "{\"language\":\"a\",\n\"language\":\"b\"}")],
        "repo/.claude/settings.json:1: setting `language` is given twice",
    );
    refused(&[(SETTINGS, r#"{"h\u006foks": {}}"#)], "repo/.claude/settings.json: setting `hooks`");
    let deep = format!("{{\"language\":{}", "[".repeat(100_000));
    refused(&[(SETTINGS, &deep)], SETTINGS);
}

#[test]
fn frontmatter_keys_that_grant_or_run_are_named_with_their_line() {
    for key in ["allowed-tools", "hooks", "shell", "unheard-of", "<<", "Hooks"] {
        let text = format!("---\r\nname: s\r\n{key}: {{}}\r\n---\r\n");
        refused(&[(SKILL, &text)], &format!("{SKILL}:3: frontmatter key `{key}`"));
    }
    for key in ["hooks", "mcpServers", "permissionMode", "memory", "isolation", "initialPrompt", "skills"] {
        let text = format!("\u{feff}---\nname: a\ndescription: d\n\"{key}\": x\n---\n");
        refused(&[(AGENT, &text)], &format!("{AGENT}:4: frontmatter key `{key}`"));
    }
    refused(&[("repo/.claude/rules/r.md", "---\ntools: x\n---\n")], "repo/.claude/rules/r.md:2: ");
    refused(&[(SKILL, "---\nmetadata:\n  hooks: x\n---\n")], &format!("{SKILL}:3: `hooks:` within"));
    refused(&[(SKILL, "---\n1: x\n---\n")], &format!("{SKILL}:1: a frontmatter key that is not a text"));
}

#[test]
fn frontmatter_that_cannot_be_read_is_refused() {
    refused(&[(AGENT, "---\nname: a\ndescription: a: b\nhooks: {}\n---\n")], &format!("{AGENT}:3: frontmatter"));
    refused(&[(AGENT, "---\nname: a\n")], &format!("{AGENT}:1: frontmatter"));
    refused(&[(AGENT, "\n---\nhooks: {}\n---\n")], &format!("{AGENT}:2: frontmatter"));
    let root = workspace(&[(AGENT, "")]);
    fs::write(root.path().join(AGENT), b"\xff\xfe").unwrap();
    let found = shown(&checked(&root, "repo", &ProjectConfigPolicy::Auto, &patient()));
    assert_eq!(found, [format!("{AGENT}: not UTF-8")]);
}

#[test]
fn inline_commands_are_refused_in_skills_commands_and_agents() {
    for path in [SKILL, AGENT, "repo/.claude/commands/c.md", "repo/.claude/skills/s/docs/SKILL.md"] {
        refused(&[(path, "---\nname: n\n---\n\nNow !`id`\n")], &format!("{path}:5: an inline command"));
        refused(&[(path, "a\r\n```!\r\nid\r\n```\r\n")], &format!("{path}:2: an inline command"));
    }
}

#[test]
fn mentions_of_outside_files_are_refused_in_skills_and_commands() {
    refused(&[(SKILL, "a\n@/etc/passwd")], &format!("{SKILL}:2: an `@` mention of a file outside"));
    refused(&[("repo/.claude/commands/c.md", "see @../x")], "repo/.claude/commands/c.md:1: an `@` mention");
    refused(
        &[(SKILL, "see @notes/l.md, please"), ("repo/notes/l.md", "-> /etc/passwd")],
        &format!("{SKILL}:1: an `@` mention of a symbolic link"),
    );
    loads(&[(SKILL, "see @notes/a.md and @scope/pkg"), ("repo/notes/a.md", "x"), (AGENT, "@/etc/passwd")]);
    refused(&[(SKILL, &"@a\n".repeat(201))], &format!("{SKILL}:201: too many"));
}

#[test]
fn unknown_things_in_the_folder_are_refused() {
    for path in [
        "hooks/h.sh",
        "workflows/w.js",
        "plugins/p/x",
        "agent-memory/a/MEMORY.md",
        "loop.md",
        "scheduled_tasks.json",
        "Settings.json",
        "rules/x.txt",
        "agents/.hidden/a.md",
        "skills/flat.md",
        "skills/s/x.json",
        "skills/s/.claude-plugin/plugin.json",
        "skills/s/hooks/hooks.json",
        "skills/s/.mcp.json",
        "CLAUDE.md/x",
        "skills/s/scripts/.x",
        "settings.json/x",
        "commands/noext",
    ] {
        let path = format!("repo/.claude/{path}");
        let found = shown(&auto(&[(&path, "x")]));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(path.starts_with(found[0].split(':').next().unwrap()), "{found:?}");
    }
    refused(&[("repo/.claude", "a file")], "repo/.claude: cannot be checked");
    refused(&[("repo/.mcp.json", "{}")], "repo/.mcp.json: names MCP servers");
}

#[test]
fn names_cannot_forge_lines_of_a_warning() {
    let found = shown(&auto(&[("repo/.claude/x\nok\u{202e}", "x")]));
    assert!(found[0].starts_with("repo/.claude/x\u{fffd}ok\u{fffd}: "), "{found:?}");
}
