//! Per kind: what is refused, with line and field; what passes. `real/config_skips.rs` shows that the CLI does so.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::config::document::{SKILL_FILE, Skill, SkillFile};
use crate::config::json::MAX_PROBLEMS;

mod files;

fn id(kind: Kind, name: &str) -> DocumentId {
    DocumentId::new(kind, (!name.is_empty()).then_some(name)).unwrap()
}

fn of(kind: Kind, name: &str, text: &str) -> Report {
    check(&id(kind, name), &Content::Text(text.to_owned()))
}

fn agent(frontmatter: &str) -> Report {
    of(Kind::Agent, "a", &format!("---\n{frontmatter}\n---\nText\n"))
}

fn rule(frontmatter: &str) -> Report {
    of(Kind::Rule, "team/r", &format!("---\n{frontmatter}\n---\nText\n"))
}

fn command(frontmatter: &str) -> Report {
    of(Kind::Command, "c", &format!("---\n{frontmatter}\n---\nText\n"))
}

/// Line and field of every error.
fn errors(report: &Report) -> Vec<(u32, &str)> {
    let place = |problem: &'_ Problem| problem.line.unwrap_or(0);
    report.errors.iter().map(|problem| (place(problem), problem.field.as_deref().unwrap_or(""))).collect()
}

#[test]
fn an_agent_as_the_documentation_has_it_is_fine_and_a_plain_text() {
    let report = agent(
        "name: code-reviewer\ndescription: \"Reviews code: use it after changes\"\ntools: Read, Grep, mcp__git__log\n\
         disallowedTools: [Bash, Write]\nmodel: sonnet\nmaxTurns: 20\neffort: high\nskills:\n  - pdf\nbackground: true\n\
         color: blue",
    );
    assert_eq!(report, Report::default());
}

#[test]
fn an_agent_that_the_cli_would_skip_is_refused_where_it_is_wrong() {
    for (frontmatter, place) in [
        ("description: d", (1, "name")),
        ("name:\ndescription: d", (2, "name")),
        ("description: d\nname: ''", (3, "name")),
        ("name: 017\ndescription: d", (2, "name")),
        ("name: [a]\ndescription: d", (2, "name")),
        ("name: -a\ndescription: d", (2, "name")),
        ("name: a:b\ndescription: d", (2, "name")),
        ("name: a", (1, "description")),
        ("name: a\ndescription: ''", (3, "description")),
        ("name: a\ndescription: 5", (3, "description")),
        ("name: a\ndescription: [d]", (3, "description")),
        ("name: a\ndescription: x: y", (3, "")),
        ("name: a\ndescription: x---y", (3, "")),
        ("name: a\ndescription: d\nhooks: 3", (4, "hooks")),
        ("name: a\ndescription: d\nhooks:\n  PreToolUse:\n    - hooks:\n        - type: command", (7, "hooks")),
    ] {
        let report = agent(frontmatter);
        let found = errors(&report);
        let fits = found.len() == 1 && found[0].0 == place.0 && found[0].1.starts_with(place.1);
        assert!(fits, "{frontmatter:?}: {:#?}", report.errors);
    }
    for text in ["Just text", " ---\nname: a\ndescription: d\n---\n", "---\nname: a\ndescription: d\n"] {
        assert!(!of(Kind::Agent, "a", text).is_valid(), "{text:?}");
    }
}

#[test]
fn a_key_that_the_cli_would_drop_from_an_agent_is_refused() {
    for (key, field) in [
        ("tools: 5", "tools"),
        ("tools: [Read, 5]", "tools[1]"),
        ("tools: read", "tools"),
        ("tools: Bash(git:*)", "tools"),
        ("disallowedTools: {a: 1}", "disallowedTools"),
        ("disallowedTools: bash", "disallowedTools"),
        ("disallowed-tools: Bash", "disallowed-tools"),
        ("max_turns: 5", "max_turns"),
        ("allowed-tools: Read", "allowed-tools"),
        ("model: 5", "model"),
        ("model: ''", "model"),
        ("permissionMode: PLAN", "permissionMode"),
        ("maxTurns: 0", "maxTurns"),
        ("maxTurns: 1.5", "maxTurns"),
        ("maxTurns: many", "maxTurns"),
        ("effort: huge", "effort"),
        ("memory: true", "memory"),
        ("background: yes", "background"),
        ("isolation: vm", "isolation"),
        ("skills: 5", "skills"),
        ("initialPrompt: 5", "initialPrompt"),
        ("mcpServers: {git: {command: git-mcp}}", "mcpServers"),
        ("mcpServers: [{a: {command: x}, b: {command: y}}]", "mcpServers[0]"),
        ("mcpServers: [{a: {command: 5}}]", "mcpServers[0].a"),
        ("hooks: {Stop: x}", "hooks.Stop"),
        ("hooks: {Nope: []}", "hooks.Nope"),
        ("<<: {model: opus}", "<<"),
    ] {
        let report = agent(&format!("name: a\ndescription: d\n{key}"));
        let found = errors(&report);
        assert!(!found.is_empty(), "{key}");
        assert!(found.iter().all(|(line, found)| *line == 4 && found.starts_with(field)), "{key}: {found:?}");
    }
}

#[test]
fn what_merely_has_no_effect_is_a_warning() {
    for (key, part) in [
        ("unknown: 5", "not known"),
        ("color: mauve", "none of"),
        ("model:", "no value"),
        ("disallowedTools: Bash(rm:*)", "takes all of"),
    ] {
        let report = agent(&format!("name: a\ndescription: d\n{key}"));
        assert!(report.is_valid(), "{key}: {:?}", report.errors);
        assert!(report.warnings.iter().any(|problem| problem.message.contains(part)), "{key}: {:?}", report.warnings);
    }
    assert!(of(Kind::Agent, "a", "---\nname: A b\ndescription: ' '\n---\n").warnings.len() == 3);
}

#[test]
fn an_agent_with_more_than_texts_needs_another_permission() {
    for key in [
        "hooks: {Stop: [{hooks: [{type: command, command: x}]}]}",
        "mcpServers: [{git: {command: git-mcp}}]",
        "permissionMode: plan",
        "memory: user",
        "initialPrompt: hello",
        "isolation: worktree",
    ] {
        let report = agent(&format!("name: a\ndescription: d\n{key}"));
        assert_eq!((report.errors, report.executes.len()), (vec![], 1), "{key}");
    }
    assert_eq!(of(Kind::Agent, "a", "---\nname: a\ndescription: d\n---\nNow !`id`\n").executes.len(), 1);
    assert_eq!(command("description: d").executes.len(), 1);
    assert!(rule("paths: a").executes.is_empty());
}

#[test]
fn the_name_of_an_agent_is_the_one_in_its_frontmatter() {
    let text = "---\nname: known-as\ndescription: d\n---\nText";
    assert_eq!(agent_name(text).as_deref(), Some("known-as"));
    assert_eq!(usable_agent(text).as_deref(), Ok("known-as"));
    assert_eq!(usable_agent("---\nname: a\n---\n").unwrap_err().field.as_deref(), Some("description"));
    for text in ["", "text", "---\nname: 5\n---\n", "---\nname: -a\n---\n", "---\nname: [\n---\n"] {
        assert_eq!(agent_name(text), None, "{text:?}");
    }
}

#[test]
fn a_rule_whose_paths_match_nothing_or_are_dropped_is_refused() {
    for (paths, field) in [
        ("paths: 5", "paths"),
        ("paths: {a: b}", "paths"),
        ("paths: [5]", "paths[0]"),
        ("paths:\n  - src/**\n  - 'src/[ab'", "paths[1]"),
        ("paths: '{a,b'", "paths"),
        ("paths: './src/**'", "paths"),
        ("paths: '!src/**'", "paths"),
        ("globs: src/**", "globs"),
        ("Paths: src/**", "Paths"),
        ("hooks: {}", "hooks"),
        ("allowed-tools: Bash", "allowed-tools"),
    ] {
        let report = rule(paths);
        assert!(
            errors(&report).iter().any(|(line, found)| *line > 1 && *found == field),
            "{paths}: {:?}",
            report.errors
        );
    }
    let many = format!("paths: 'x{{{}}}'", vec!["a"; 1_001].join(","));
    let wide = format!("paths: 'x{{{}}}'", vec!["a".repeat(20); 500].join(","));
    assert!(!rule(&many).is_valid() && !rule(&wide).is_valid());
}

#[test]
fn a_rule_that_the_cli_reads_is_fine() {
    for paths in [
        "paths: src/**/*.ts",
        "paths: [\"src/**\", '!**/*.py']",
        "paths: 'src/*.{ts,tsx}, lib'",
        "paths: \"**/*\"",
        "description: d",
    ] {
        assert_eq!(rule(paths), Report::default(), "{paths}");
    }
    assert_eq!(of(Kind::Rule, "r", "Be brief.\n"), Report::default());
}

#[test]
fn a_skill_or_command_with_a_key_that_is_dropped_is_refused() {
    for (key, field) in [
        ("disable-model-invocation: nope", "disable-model-invocation"),
        ("user-invocable: [true]", "user-invocable"),
        ("allowed-tools: 5", "allowed-tools"),
        ("allowed-tools: bash", "allowed-tools"),
        ("allowedTools: Bash", "allowedTools"),
        ("disallowed-tools: {a: 1}", "disallowed-tools"),
        ("context: Fork", "context"),
        ("shell: zsh", "shell"),
        ("effort: []", "effort"),
        ("model: [opus]", "model"),
        ("hooks: x", "hooks"),
        ("paths: '['", "paths"),
        ("when_to_use: [a]", ""),
    ] {
        let report = command(&format!("description: d\n{key}"));
        let found = errors(&report);
        if field.is_empty() {
            assert!(found.is_empty(), "{key}: {found:?}");
        } else {
            assert!(found.iter().any(|(line, found)| (*line, *found) == (3, field)), "{key}: {:?}", report.errors);
        }
    }
    let long = command(&format!("description: {}\nwhen_to_use: {}", "d".repeat(1000), "w".repeat(534)));
    assert_eq!(errors(&long), [(2, "description")]);
    assert!(command(&format!("description: {}\nwhen_to_use: {}", "d".repeat(1000), "w".repeat(533))).is_valid());
}

#[test]
fn a_command_that_would_swallow_its_neighbours_is_refused() {
    assert_eq!(errors(&of(Kind::Command, "team/skill", "Text")), [(1, "name")]);
    assert!(of(Kind::Command, "skill/team", "Text").is_valid());
}

#[test]
fn what_looks_like_frontmatter_in_claude_md_would_be_lost() {
    for text in ["---\nSome text\n---\nMore", "---\nkey: [\n---\n", "---\npaths: 5\n---\nText"] {
        assert!(!of(Kind::ClaudeMd, "", text).is_valid(), "{text:?}");
    }
    for text in ["# Title\n\n---\ntext\n---\n", "---\nno end", "\n---\ntext\n---\n", "Mail @team and @scope/package.\n"]
    {
        assert_eq!(of(Kind::ClaudeMd, "", text), Report::default(), "{text:?}");
    }
    assert_eq!(of(Kind::ClaudeMd, "", "---\npaths: src/**\n---\nText").warnings.len(), 1);
    assert_eq!(of(Kind::ClaudeMd, "", "a\nsee @docs/x.md\n").warnings[0].line, Some(2));
    assert!(of(Kind::ClaudeMd, "", "see @rules/x.md\n```\n@docs/x.md\n```\n").warnings.is_empty());
}

#[test]
fn an_output_style_goes_by_its_name() {
    let style = |text: &str| of(Kind::OutputStyle, "brief", text);
    assert_eq!(
        style("---\nname: brief\ndescription: d\nkeep-coding-instructions: true\n---\nBe brief."),
        Report::default()
    );
    assert_eq!(style("Be brief."), Report::default());
    assert!(style("---\nname: Other\n---\nBe brief.").warnings[0].message.contains("`Other`"));
    assert!(!style("---\nname: [a]\n---\nBe brief.").is_valid());
    assert!(!style("---\nname: brief\n---\n").is_valid());
    assert!(!style("---\ntools: Read\n---\nBe brief.").is_valid());
}

#[test]
fn no_text_is_empty_or_endless_or_has_hidden_characters() {
    for (text, line) in [("", None), ("a\nb\0", Some(2)), ("\u{1b}[2J", Some(1)), ("a\u{9b}", Some(1))] {
        assert_eq!(of(Kind::ClaudeMd, "", text).errors[0].line, line, "{text:?}");
    }
    assert!(of(Kind::Rule, "r", &"é".repeat(500_000)).is_valid());
    assert!(!of(Kind::Rule, "r", &"é".repeat(500_001)).is_valid());
}

#[test]
fn a_description_is_one_line() {
    let of = |kind, text: &str| description(&id(kind, "a"), &Content::Text(text.to_owned()));
    assert_eq!(of(Kind::Agent, "---\ndescription: |\n  two\n  lines\n---\n").as_deref(), Some("two lines"));
    assert_eq!(of(Kind::Rule, "---\ndescription: 5\n---\n").as_deref(), Some("5"));
    assert_eq!(of(Kind::Command, &format!("---\ndescription: {}\n---\n", "x".repeat(2000))).unwrap().len(), 1536);
    for text in
        ["", "text", "---\ndescription: [a]\n---\n", "---\ndescription: a: b\n---\n", "---\ndescription: ' '\n---\n"]
    {
        assert_eq!(of(Kind::Agent, text), None, "{text:?}");
    }
    assert_eq!(description(&id(Kind::ClaudeMd, ""), &Content::Text("---\ndescription: d\n---\n".into())), None);
}

#[test]
fn the_worst_texts_come_to_an_end_and_their_problems_are_bounded() {
    let mut texts = vec![
        format!("---\nname: a\ndescription: d\nmetadata: {}\n---\n", "[".repeat(60_000)),
        format!("---\nname: a\ndescription: d\nx: {}\n---\n", "- ".repeat(30_000)),
        format!("---\n{}: {}\n---\n", "k".repeat(30_000), "[a, ".repeat(60)),
        format!("---\n{}\n---\n", (0..6_000).map(|n| format!("k{n}: {n}")).collect::<Vec<_>>().join("\n")),
        format!("---\npaths: [{}]\n---\n", "'[', ".repeat(10_000)),
        format!("---\npaths: '{}'\n---\n", "{a,b}".repeat(10_000)),
        format!("---\ntools: [{}]\n---\n", "a, ".repeat(15_000)),
        format!("---\nmcpServers: [{}]\n---\n", "{a: {command: x}}, ".repeat(3_000)),
        format!("---\nhooks: {{Stop: [{}]}}\n---\n", "{hooks: [{type: x}]}, ".repeat(2_500)),
        format!("---\na: &a [x]\n{}---\n", "b: [*a, *a, *a]\n".repeat(2_000)),
    ];
    texts.push("!`".repeat(200_000));
    texts.push("$".repeat(400_000));
    texts.push("@a.md ".repeat(80_000));
    for text in texts {
        for kind in [Kind::Agent, Kind::Rule, Kind::Command, Kind::OutputStyle, Kind::ClaudeMd] {
            let report = of(kind, if kind.is_single() { "" } else { "a" }, &text);
            assert!(report.errors.len() <= MAX_PROBLEMS, "{kind:?} {}", &text[..60]);
            assert!(report.warnings.len() <= MAX_PROBLEMS, "{kind:?} {}", &text[..60]);
        }
    }
}

/// Frontmatter of known keys and odd values, as a person might write it.
fn odd_texts() -> impl Strategy<Value = String> {
    let key = proptest::sample::select(vec![
        "name",
        "description",
        "tools",
        "disallowedTools",
        "hooks",
        "mcpServers",
        "paths",
        "allowed-tools",
        "when_to_use",
        "maxTurns",
        "effort",
        "model",
        "metadata",
        "x",
        "\"q\"",
        "? [a]",
        "<<",
    ]);
    let value = prop_oneof![
        "[ -~]{0,20}",
        "[\\[\\]{}a,*&!: \"'\n|>#%@`-]{0,30}",
        Just("\n  PreToolUse:\n    - matcher: Bash\n      hooks:\n        - type: command".to_owned()),
        Just("[{a: {command: x}}, 5]".to_owned()),
        Just("[Read, 'Bash(git:*)']".to_owned()),
        any::<f64>().prop_map(|number| number.to_string()),
    ];
    let lines = proptest::collection::vec((key, value), 0..6);
    (lines, "[\\s\\S]{0,60}").prop_map(|(lines, body)| {
        let lines: Vec<_> = lines.into_iter().map(|(key, value)| format!("{key}: {value}")).collect();
        format!("---\n{}\n---\n{body}", lines.join("\n"))
    })
}

proptest! {
    #[test]
    fn no_text_panics_and_every_error_has_a_line(text in prop_oneof![odd_texts(), "[\\s\\S]{0,300}"]) {
        for kind in [Kind::Agent, Kind::Rule, Kind::Command, Kind::OutputStyle, Kind::ClaudeMd] {
            let name = if kind.is_single() { "" } else { "a" };
            let report = of(kind, name, &text);
            let lines = text.lines().count().max(1);
            for problem in report.errors.iter().chain(&report.warnings) {
                let line = problem.line.unwrap_or(1) as usize;
                prop_assert!((1..=lines + 1).contains(&line), "{problem} of {lines}");
                prop_assert!(problem.line.is_some() || text.is_empty(), "{problem}");
                prop_assert!(!problem.message.is_empty() && problem.message.len() < 600);
            }
            description(&id(kind, name), &Content::Text(text.clone()));
            agent_name(&text);
        }
    }
}
