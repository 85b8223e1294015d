//! What documents hold: valid, nearly so, and not at all.

use std::collections::BTreeMap;

use arbitrary::{Result, Unstructured};
use askd::config::document::{Content, SKILL_FILE, Skill, SkillFile};
use askd::config::kind::Kind;
use askd::config::name::DocumentId;
use serde_json::{Value, json};

/// A skill's files besides its text: path, bytes, executable or not.
pub(crate) type Files = Vec<(String, Vec<u8>, bool)>;

/// A text for such a document.
pub(crate) fn text(u: &mut Unstructured<'_>, kind: Kind) -> Result<String> {
    Ok(match u.int_in_range(0..=9)? {
        0 => u.arbitrary::<&str>()?.to_owned(),
        1 => frontmatter(u)?,
        2 => damaged(valid_text(u, kind)?, u)?,
        _ => valid_text(u, kind)?,
    })
}

fn valid_text(u: &mut Unstructured<'_>, kind: Kind) -> Result<String> {
    let n: u8 = u.arbitrary()?;
    Ok(match kind {
        Kind::Agent => format!("---\nname: agent-{n}\ndescription: Number {n}.\n---\nText.\n"),
        Kind::Skill | Kind::Command => format!("---\ndescription: Number {n}.\n---\nText {n}.\n"),
        Kind::Rule if n.is_multiple_of(2) => format!("---\npaths: [\"src/**/*.rs\", \"{n}/*\"]\n---\nText.\n"),
        Kind::OutputStyle => format!("---\nname: style-{n}\ndescription: d\n---\nText.\n"),
        Kind::Rule | Kind::ClaudeMd => format!("Text {n}, with @import and é.\n"),
        Kind::Settings => json!({"permissions": {"deny": [format!("Bash(x{n}:*)")]}, "env": {"A": n.to_string()}}).to_string(),
        Kind::McpServers => json!({"mcpServers": {"a": {"command": "x", "args": [n.to_string()]}}}).to_string(),
        Kind::Policy => json!({"version": 1, "permissions": {"deny": [format!("Bash(x{n}:*)")]}, "guard": {"on_unreadable": "deny", "rules": []}}).to_string(),
    })
}

const KEYS: [&str; 14] = [
    "name",
    "description",
    "paths",
    "tools",
    "model",
    "hooks",
    "mcpServers",
    "permissionMode",
    "allowed-tools",
    "<<",
    "a b",
    "color",
    "maxTurns",
    "disable-model-invocation",
];
const VALUES: [&str; 16] = [
    "x",
    "\"x\"",
    "[a, b]",
    "{a: b}",
    "1",
    "true",
    "~",
    "|\n  text",
    ">-\n  text",
    "&a x",
    "*a",
    "!!int x",
    "[",
    "'",
    "2026-11-23",
    "-x:y",
];

fn frontmatter(u: &mut Unstructured<'_>) -> Result<String> {
    let mut text = String::from(*u.choose(&["---\n", "--- \n", "\u{feff}---\n", "\n---\n", "---\r\n", ""])?);
    for _ in 0..u.int_in_range(0..=6)? {
        text.extend([*u.choose(&KEYS)?, ": ", *u.choose(&VALUES)?, "\n"]);
    }
    Ok(text
        + u.choose(&["---\n", "---", "...\n", "", "--- x\n"])?
        + u.choose(&["Text.\n", "", "!`ls`\n", "@../../x\n"])?)
}

fn damaged(mut text: String, u: &mut Unstructured<'_>) -> Result<String> {
    for _ in 0..u.int_in_range(1..=3)? {
        let at = u.int_in_range(0..=text.len())?;
        let at = (at..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
        if u.arbitrary()? {
            text.insert(at, u.arbitrary()?);
        } else {
            text.truncate(at);
        }
    }
    Ok(text)
}

pub(crate) fn bytes(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    Ok(match u.int_in_range(0..=4)? {
        0 => Vec::new(),
        1 => vec![u.arbitrary()?; u.int_in_range(1..=5000)?],
        2 => u.arbitrary::<&[u8]>()?.to_vec(),
        _ => format!("#!/bin/sh\necho {}\n", u.arbitrary::<u8>()?).into_bytes(),
    })
}

const FILE_PATHS: [&str; 7] = ["run.sh", "docs/a.md", "docs/deep/b.txt", "SKILL.md", "a b", "x", "data.bin"];
const ODD_PATHS: [&str; 16] = [
    "",
    "..",
    "../a",
    "docs/../a",
    "/etc/passwd",
    "docs//a",
    "docs/",
    "docs",
    "x/y",
    "RUN.SH",
    "Docs/a",
    ".askd-x",
    "a\0",
    "a\\b",
    "skill.md",
    "inner.md",
];

pub(crate) fn file_path(u: &mut Unstructured<'_>) -> Result<String> {
    Ok(match u.int_in_range(0..=7)? {
        0 => (*u.choose(&ODD_PATHS)?).to_owned(),
        1 => u.arbitrary::<&str>()?.to_owned(),
        _ => (*u.choose(&FILE_PATHS)?).to_owned(),
    })
}

pub(crate) fn files(u: &mut Unstructured<'_>) -> Result<Files> {
    let mut files = Vec::new();
    for _ in 0..u.int_in_range(0..=3)? {
        files.push((file_path(u)?, bytes(u)?, u.arbitrary()?));
    }
    Ok(files)
}

/// What the server may take of such a document; nothing that it would not write itself.
pub(crate) fn valid(u: &mut Unstructured<'_>, id: &DocumentId) -> Result<Content> {
    let text = valid_text(u, id.kind())?;
    if id.kind() != Kind::Skill {
        return Ok(Content::Text(text));
    }
    let mut files = BTreeMap::new();
    files.insert(SKILL_FILE.to_owned(), SkillFile { bytes: text.into_bytes(), executable: u.arbitrary()? });
    for _ in 0..u.int_in_range(0..=2)? {
        files.insert(
            (*u.choose(&FILE_PATHS[..3])?).to_owned(),
            SkillFile { bytes: bytes(u)?, executable: u.arbitrary()? },
        );
    }
    Ok(Content::Skill(Skill { files }))
}

pub(crate) fn documents(u: &mut Unstructured<'_>, is_user: bool) -> Result<Vec<(DocumentId, Content)>> {
    let mut documents = BTreeMap::new();
    for _ in 0..u.int_in_range(0..=4)? {
        let kind = *u.choose(if is_user { &Kind::ALL } else { &Kind::ALL[..8] })?;
        let name = if kind.is_single() { None } else { Some(*u.choose(&["a", "b", "c"])?) };
        let id = DocumentId::new(kind, name).unwrap();
        let content =
            if u.ratio(1, 8)? && kind != Kind::Skill { Content::Text(text(u, kind)?) } else { valid(u, &id)? };
        documents.insert(id, content);
    }
    Ok(documents.into_iter().collect())
}

pub(crate) fn server(u: &mut Unstructured<'_>) -> Result<Value> {
    let n: u8 = u.arbitrary()?;
    Ok(match u.int_in_range(0..=7)? {
        0 => json!({}),
        1 => json!({"type": "odd", "url": "x"}),
        2 => json!({"command": 7}),
        3 => json!({"type": "http", "url": format!("http://localhost/{n}"), "headers": {"a": "b"}}),
        4 => json!([]),
        _ => json!({"command": "x", "args": [n.to_string()], "env": {"A": "b"}}),
    })
}
