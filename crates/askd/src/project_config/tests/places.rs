//! Where files count, links, limits and policies.

use super::*;

const HOOKS: &str = r#"{"hooks":{}}"#;

#[test]
fn folders_above_count_up_to_the_workspace_root() {
    let files = [("a/b/f", ""), (".claude/settings.json", HOOKS), ("a/.claude/agents/x.md", "---\nhooks: {}\n---\n")];
    let root = workspace(&files);
    let found = shown(&checked(&root, "a/b", &ProjectConfigPolicy::Auto, &patient()));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with(".claude/settings.json:1: "), "{found:?}");
    assert!(found[1].starts_with("a/.claude/agents/x.md:2: "), "{found:?}");
    let root = workspace(&[("CLAUDE.md", "x"), ("a/f", ""), ("b/.claude/settings.json", HOOKS)]);
    assert_eq!(checked(&root, "a", &ProjectConfigPolicy::Auto, &patient()), Assessment::Load);
    assert!(matches!(checked(&root, "", &ProjectConfigPolicy::Auto, &patient()), Assessment::LeaveOut { .. }));
}

#[test]
fn folders_below_count_wherever_they_are() {
    for folder in ["src", "node_modules/p", ".hidden/x", ".git/x", "a/b/c/d/e"] {
        let path = format!("repo/{folder}/.claude/skills/s/SKILL.md");
        refused(&[(&path, "!`id`")], &format!("{path}:1: "));
        loads(&[(&path, "text")]);
    }
    refused(&[("repo/x/.mcp.json", "{}")], "repo/x/.mcp.json: ");
}

#[test]
fn links_in_the_place_of_configuration_are_refused() {
    let text = ("outside/CLAUDE.md", "x");
    for link in [
        "CLAUDE.md",
        "AGENTS.md",
        ".claude",
        ".claude/rules",
        ".claude/rules/r.md",
        ".claude/skills/s",
        ".claude/skills/s/SKILL.md",
        ".claude/skills/s/scripts/x",
        ".claude/settings.json",
        "sub/CLAUDE.md",
    ] {
        let path = format!("repo/{link}");
        let up = "../".repeat(link.matches('/').count() + 1);
        refused(&[text, (&path, &format!("-> {up}outside"))], &format!("{path}: "));
        refused(&[text, (&path, "-> nowhere")], &format!("{path}: "));
    }
    refused(&[("repo/.mcp.json", "-> nowhere")], "repo/.mcp.json: ");
}

#[test]
fn a_link_to_a_folder_counts_when_it_leads_out() {
    let skill = ("outside/.claude/skills/s/SKILL.md", "text");
    refused(&[skill, ("repo/sub/ln", "-> ../../outside")], "repo/sub/ln: a link to a folder outside");
    refused(&[("repo/ln", "-> /usr")], "repo/ln: a link to a folder outside");
    loads(&[("repo/CLAUDE.md", "x"), ("repo/a/f", ""), ("repo/b/ln", "-> ../a"), ("repo/up", "-> .")]);
    loads(&[("repo/CLAUDE.md", "x"), ("repo/f", "-> /etc/passwd"), ("repo/dangling", "-> /nowhere/at/all")]);
}

#[test]
fn a_linked_worktree_is_refused() {
    refused(&[("repo/CLAUDE.md", "x"), ("repo/.git", "gitdir: /elsewhere\n")], "repo/.git: a linked git worktree");
    refused(&[("repo/CLAUDE.md", "x"), ("repo/.git", "-> /elsewhere")], "repo/.git: ");
    refused(&[("repo/CLAUDE.md", "x"), ("repo/.git/commondir", "/elsewhere")], "repo/.git: ");
    refused(&[("repo/CLAUDE.md", "x"), (".git", "gitdir: x")], ".git: ");
    loads(&[("repo/CLAUDE.md", "x"), ("repo/.git/config", ""), ("repo/sub/.git", "gitdir: ../.git/modules/sub")]);
}

#[test]
fn checkouts_that_the_cli_made_for_its_agents_are_folders_like_any_other() {
    let text = ("repo/CLAUDE.md", "x");
    let checkout = "repo/.claude/worktrees/one";
    let path = |file: &str| format!("{checkout}/{file}");
    loads(&[text, (&path(".git"), "gitdir: ../../../.git/worktrees/one"), (&path("src/main.rs"), "")]);
    loads(&[text, (&path("CLAUDE.md"), "x"), (&path(".claude/skills/s/SKILL.md"), "text")]);
    assert_eq!(auto(&[(&path("f"), "")]), Assessment::Nothing, "they are no configuration by themselves");
    // The CLI loads skills of a checkout, and of the folder of all of them, as soon as a file in it is read (checked).
    for file in [path(".claude/skills/s/SKILL.md"), "repo/.claude/worktrees/.claude/skills/s/SKILL.md".to_owned()] {
        refused(&[text, (&file, "!`id`")], &format!("{file}:1: "));
    }
    refused(&[text, (&path(".mcp.json"), "{}")], &path(".mcp.json: "));
    refused(&[text, (&path(".claude/settings.json"), HOOKS)], &path(".claude/settings.json:1: "));
    refused(&[text, ("repo/sub/.claude/worktrees/a/.mcp.json", "{}")], "repo/sub/.claude/worktrees/a/.mcp.json: ");
    refused(&[text, ("repo/.claude/worktrees", "-> /usr")], "repo/.claude/worktrees: a symbolic link");
    refused(&[text, ("repo/.claude/worktrees", "")], "repo/.claude/worktrees: not a file");
    refused(&[text, (&path("ln"), "-> /usr")], &path("ln: a link to a folder outside"));
    // Of those above nothing is loaded (checked).
    loads(&[text, (".claude/worktrees/one/.mcp.json", "{}")]);
    refused(&[text, (".claude/worktrees", "-> /usr")], ".claude/worktrees: a symbolic link");
}

#[test]
fn a_huge_file_is_refused() {
    let huge = "x".repeat(1024 * 1024 + 1);
    for path in ["repo/CLAUDE.md", "repo/.claude/rules/r.md", "repo/.claude/settings.json"] {
        refused(&[(path, &huge)], &format!("{path}: larger than 1024 KiB"));
    }
}

#[test]
fn every_limit_ends_the_check_with_a_finding() {
    let names: Vec<String> = (0..12).map(|n| format!("repo/d{n}/{}CLAUDE.md", "s/".repeat(n))).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "text")).collect();
    let root = workspace(&files);
    let cases = [
        (Limits { files: 11, ..patient() }, "too many configuration files"),
        (Limits { total: 40, ..patient() }, "too much configuration"),
        (Limits { folders: 12, ..patient() }, "too many folders"),
        (Limits { entries: 12, ..patient() }, "too many files"),
        (Limits { depth: 11, ..patient() }, "nested too deeply"),
    ];
    for (limits, what) in cases {
        let found = shown(&checked(&root, "repo", &ProjectConfigPolicy::Auto, &limits));
        assert!(found.len() == 1 && found[0].contains(what), "{what}: {found:?}");
    }
    assert_eq!(checked(&root, "repo", &ProjectConfigPolicy::Auto, &patient()), Assessment::Load);
}

#[test]
fn no_time_is_a_finding_too() {
    let root = workspace(&[("repo/CLAUDE.md", "x")]);
    for n in 0..200 {
        fs::write(root.path().join(format!("repo/{n}")), "").unwrap();
    }
    let limits = Limits { time: Duration::ZERO, ..Limits::default() };
    let found = shown(&checked(&root, "repo", &ProjectConfigPolicy::Auto, &limits));
    assert!(found[0].contains("too many files to check in time"), "{found:?}");
}

#[test]
fn what_the_server_must_not_read_is_to_be_opened_and_not_removed() {
    let limits = patient();
    let mut scan = scan::Scan::new(&limits);
    scan.failed(Path::new("theirs"), Errno::ACCESS);
    let (findings, _) = scan.finish();
    let shown = findings[0].to_string();
    assert_eq!(
        shown,
        "theirs: cannot be checked: the server's user is not allowed to read it (chmod or chown mends that)"
    );
    assert!(HOW_TO_TRUST.starts_with("to load it, mend or remove what is listed"));
}

#[test]
fn findings_are_bounded() {
    let names: Vec<String> = (0..50).map(|n| format!("repo/.claude/x{n}")).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    assert_eq!(shown(&auto(&files)).len(), 20);
}

#[test]
fn trusted_folders_load_unread_and_others_never() {
    let root = workspace(&[("good/sub/.mcp.json", "{}"), ("good2/CLAUDE.md", "x"), ("empty/f", ""), ("l", "-> good")]);
    let policy = ProjectConfigPolicy::Trusted(vec![root.path().join("l"), root.path().join("missing")]);
    assert_eq!(checked(&root, "good", &policy, &patient()), Assessment::Load);
    assert_eq!(checked(&root, "good/sub", &policy, &patient()), Assessment::Load);
    assert_eq!(
        shown(&checked(&root, "good2", &policy, &patient())),
        ["good2/CLAUDE.md: this folder is not on the list of trusted ones"]
    );
    assert_eq!(checked(&root, "empty", &policy, &patient()), Assessment::Nothing);
    let off = checked(&root, "good", &ProjectConfigPolicy::Off, &patient());
    assert_eq!(off, Assessment::LeaveOut { findings: Vec::new() });
}

#[test]
fn a_folder_that_is_not_where_it_is_said_to_be_is_refused() {
    let root = workspace(&[("a/CLAUDE.md", "x"), ("b/f", ""), ("ln", "-> a")]);
    let (top, a) = (fs::File::open(root.path()).unwrap(), fs::File::open(root.path().join("a")).unwrap());
    for (relative, what) in
        [("b", "moved"), ("../x", "not a plain path"), ("/a", "not a plain path"), ("ln", "a symbolic link")]
    {
        let found = shown(&assess(a.as_fd(), top.as_fd(), Path::new(relative), &ProjectConfigPolicy::Auto));
        assert!(found.len() == 1 && found[0].contains(what), "{relative}: {found:?}");
    }
}
