//! What the CLI silently skips or drops: shown to happen, and refused by `config::validate` with line and field.
//!
//! All cases of a table lie in one home, so that a table costs one start of the CLI. The settings' and MCP servers' tables
//! are in `config_skips_json.rs`.

use askd::config::document::{Content, SKILL_FILE, Skill, SkillFile};
use askd::config::kind::Kind;
use askd::config::name::DocumentId;
use askd::config::problem::Report;
use askd::config::validate;
use serde_json::{Value, json};

use super::{Told, World};

mod tables;

use tables::Case;

/// What `check` says of a text.
fn checked(kind: Kind, name: &str, text: &str) -> Report {
    let content = match kind {
        Kind::Skill => {
            let file = SkillFile { bytes: text.as_bytes().to_vec(), executable: false };
            Content::Skill(Skill { files: [(SKILL_FILE.to_owned(), file)].into() })
        }
        _ => Content::Text(text.to_owned()),
    };
    // An agent's file need not be called like the agent.
    let name = if kind == Kind::Agent { "some-file" } else { name };
    validate::check(&DocumentId::new(kind, Some(name)).unwrap(), &content)
}

/// `check` refuses each case, and says where.
#[track_caller]
fn refused(kind: Kind, cases: &[Case]) {
    for case in cases {
        let errors = checked(kind, case.name, case.text).errors;
        let fits =
            errors.iter().any(|problem| problem.line == Some(case.line) && problem.field.as_deref() == case.field);
        assert!(fits, "{}: expected line {} and {:?} in {errors:#?}", case.name, case.line, case.field);
    }
}

#[track_caller]
fn accepted(kind: Kind, cases: &[(&str, &str)]) {
    for (name, text) in cases {
        let errors = checked(kind, name, text).errors;
        assert!(errors.is_empty(), "{name}: {errors:#?}");
    }
}

/// A world with all these documents, and one question that was asked in it.
async fn asked(prompt: &str, files: Vec<(String, String)>) -> (World, Told) {
    let world = World::with(|mut server| {
        for (path, text) in &files {
            server = server.file(path, text);
        }
        server.file("workspace/src/a.ts", "a")
    })
    .await;
    let told = world.told(json!({"prompt": prompt})).await;
    assert_eq!(told.text(), "x");
    (world, told)
}

fn files<'a>(folder: &str, texts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<(String, String)> {
    let path = |name: &str| match folder {
        "skills" => format!("config/skills/{name}/SKILL.md"),
        _ => format!("config/{folder}/{name}.md"),
    };
    texts.into_iter().map(|(name, text)| (path(name), text.to_owned())).collect()
}

fn texts(cases: &'static [Case]) -> impl Iterator<Item = (&'static str, &'static str)> {
    cases.iter().map(|case| (case.name, case.text))
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().filter_map(Value::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_that_the_cli_skips_are_refused_and_others_are_not() {
    let all = texts(tables::SKIPPED_AGENTS)
        .chain(tables::AGENTS.iter().copied())
        .chain(tables::STRICTER_AGENTS.iter().map(|(name, text, _)| (*name, *text)));
    let (world, told) = asked("[[text:x]]", files("agents", all)).await;
    let init = told.init();
    let known = names(&init["agents"]);
    for case in tables::SKIPPED_AGENTS {
        assert!(!known.contains(&case.name), "{} is known to the CLI", case.name);
    }
    for (name, _) in tables::AGENTS {
        assert!(known.contains(name), "{name} is not known to the CLI: {known:?}");
    }
    for (name, text, why) in tables::STRICTER_AGENTS {
        assert!(known.contains(name), "{name} is not known to the CLI and belongs to the other table");
        assert!(!checked(Kind::Agent, name, text).is_valid(), "{name} is accepted: {why}");
    }
    refused(Kind::Agent, tables::SKIPPED_AGENTS);
    accepted(Kind::Agent, tables::AGENTS);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_agents_that_the_cli_drops_are_refused() {
    let (world, _) = asked("[[text:x]]", files("agents", texts(tables::UNRESTRICTED_AGENTS))).await;
    let sent = world.sent();
    // What the model is told of an agent names the tools it has.
    let tools_of = |name: &str| {
        let (_, rest) = sent.split_once(&format!("\\n- {name}: ")).unwrap_or_else(|| panic!("no {name} in {sent}"));
        rest.split_once("(Tools: ").unwrap().1.split(")\\n").next().unwrap().to_owned()
    };
    assert_eq!(tools_of("restricted"), "All tools except Bash");
    for case in &tables::UNRESTRICTED_AGENTS[1..] {
        let tools = tools_of(case.name);
        assert!(!tools.contains("except Bash") && tools != "Read", "{}: {tools}", case.name);
    }
    assert!(checked(Kind::Agent, "restricted", tables::UNRESTRICTED_AGENTS[0].text).is_valid());
    refused(Kind::Agent, &tables::UNRESTRICTED_AGENTS[1..]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn skills_that_the_cli_skips_or_cuts_are_refused() {
    let mut all = files("skills", texts(tables::LISTED_SKILLS).chain(tables::SKILLS.iter().copied()));
    all.push(("config/skills/lower/skill.md".to_owned(), "---\ndescription: d\n---\nText\n".to_owned()));
    all.push(("config/skills/missing/notes.md".to_owned(), "---\ndescription: d\n---\nText\n".to_owned()));
    let long = format!("---\ndescription: {}\n---\nText\n", "w".repeat(1_537));
    all.push(("config/skills/long/SKILL.md".to_owned(), long.clone()));
    let (world, told) = asked("[[text:x]]", all).await;
    let (init, sent) = (told.init(), world.sent());
    let commands = names(&init["slash_commands"]);
    for name in ["lower", "missing"] {
        assert!(!commands.contains(&name) && !sent.contains(&format!("- {name}: ")), "{name} is known to the CLI");
    }
    // Each was to be hidden from the model.
    for case in tables::LISTED_SKILLS {
        assert!(sent.contains(&format!("\\n- {}: d", case.name)), "{} is hidden", case.name);
    }
    assert!(!sent.contains("- hidden: "), "a skill that is hidden from models is told to one");
    for (name, _) in tables::SKILLS {
        assert!(commands.contains(name), "{name} is not known to the CLI: {commands:?}");
    }
    assert!(!sent.contains(&"w".repeat(1_537)) && sent.contains(&"w".repeat(1_500)), "the description is not cut");
    assert_eq!(checked(Kind::Skill, "long", &long).errors[0].field.as_deref(), Some("description"));
    refused(Kind::Skill, tables::LISTED_SKILLS);
    accepted(Kind::Skill, tables::SKILLS);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_whose_paths_are_dropped_or_match_nothing_are_refused() {
    let file = |name: &str, text: &str| (format!("config/rules/{name}.md"), format!("{text}RULE-{name}-END\n"));
    let cases = tables::UNMATCHED_RULES.iter().chain(tables::UNCONDITIONAL_RULES);
    let mut all: Vec<_> = cases.map(|case| file(case.name, case.text)).collect();
    all.extend(tables::RULES.iter().map(|(name, text)| file(name, text)));
    let (world, _) = asked("[[tool:Read {\"file_path\": \"src/a.ts\"}]] [[then]] [[text:x]]", all).await;
    let requests = world.model.messages();
    let at = |index: usize| String::from_utf8_lossy(requests[index].raw_body()).into_owned();
    let (first, last) = (at(0), at(requests.len() - 1));
    let marker = |name: &str| format!("RULE-{name}-END");
    for case in tables::UNMATCHED_RULES {
        assert!(!last.contains(&marker(case.name)), "{} was read", case.name);
    }
    for case in tables::UNCONDITIONAL_RULES {
        assert!(first.contains(&marker(case.name)), "{} was not read at once", case.name);
    }
    for (name, _) in tables::RULES {
        assert!(last.contains(&marker(name)), "{name} was not read");
    }
    refused(Kind::Rule, tables::UNMATCHED_RULES);
    refused(Kind::Rule, tables::UNCONDITIONAL_RULES);
    let whole: Vec<_> = tables::RULES.iter().map(|(name, text)| (*name, format!("{text}Text\n"))).collect();
    accepted(Kind::Rule, &whole.iter().map(|(name, text)| (*name, text.as_str())).collect::<Vec<_>>());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_named_skill_hides_its_neighbours_and_claude_md_loses_what_looks_like_frontmatter() {
    let claude_md = "---\nLOST between dashes\n---\nKEPT below\n";
    let mut all = files("commands", [("team/skill", "Text"), ("team/other", "Text"), ("alone", "Text")]);
    all.push(("config/CLAUDE.md".to_owned(), claude_md.to_owned()));
    let (world, told) = asked("[[text:x]]", all).await;
    let init = told.init();
    let commands = names(&init["slash_commands"]);
    assert!(commands.contains(&"alone") && !commands.contains(&"team:other"), "{commands:?}");
    assert_eq!(checked(Kind::Command, "team/skill", "Text").errors[0].field.as_deref(), Some("name"));

    let sent = world.sent();
    assert!(sent.contains("KEPT below") && !sent.contains("LOST between"), "{sent}");
    let id = DocumentId::new(Kind::ClaudeMd, None).unwrap();
    assert_eq!(validate::check(&id, &Content::Text(claude_md.into())).errors[0].line, Some(1));
    world.stop().await;
}
