//! Stories from bytes: mostly sensible, often at the edge, now and then absurd.

use arbitrary::{Result, Unstructured};
use askd::config::archive::Format;
use askd::config::document::Content;
use askd::config::kind::Kind;
use askd::config::name::DocumentId;
use askd::config::scope::Scope;
use serde_json::{Value, json};

use super::WORKSPACE;
use super::content::{self, Files};

/// The most acts of a story.
const MAX_ACTS: usize = 10;

/// What happens.
#[derive(Debug)]
pub(crate) struct Story {
    pub(crate) has_traps: bool,
    pub(crate) acts: Vec<Act>,
}

/// One thing that is done.
#[derive(Debug)]
pub(crate) enum Act {
    /// A document is put. With `is_legacy` on the routes of the Node server.
    Put {
        is_legacy: bool,
        scope: Where,
        target: Target,
        text: String,
        as_object: bool,
        when: When,
    },
    /// A skill with all its files.
    PutSkill {
        scope: Where,
        target: Target,
        text: String,
        files: Files,
        when: When,
    },
    PutFile {
        scope: Where,
        target: Target,
        path: String,
        bytes: Vec<u8>,
        executable: bool,
        when: When,
    },
    RemoveFile {
        scope: Where,
        target: Target,
        path: String,
        when: When,
    },
    Remove {
        is_legacy: bool,
        scope: Where,
        target: Target,
        when: When,
    },
    PutServer {
        scope: Where,
        name: String,
        entry: Value,
        when: When,
    },
    RemoveServer {
        scope: Where,
        name: String,
        when: When,
    },
    Import {
        scope: Where,
        format: Format,
        documents: Vec<(DocumentId, Content)>,
        damage: Vec<(u16, u8)>,
        replace: bool,
        dry_run: bool,
    },
    /// The newest change but so many is restored.
    Restore {
        back: u8,
        when: When,
    },
    /// Any request at all, that is not one of those above.
    Odd {
        method: &'static str,
        path: String,
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
    },
    /// Somebody writes a file on the disk.
    ByHand {
        scope: Scope,
        id: DocumentId,
        content: Content,
    },
    RemoveByHand {
        scope: Scope,
        id: DocumentId,
    },
}

/// A scope as a request names it.
#[derive(Debug, Clone)]
pub(crate) enum Where {
    /// There is one.
    Known(Scope),
    /// There is none that can be changed.
    Odd(String),
}

/// A document as a request names it: what is put into the path, and which document it is, if it can be one.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) kind: Kind,
    pub(crate) name: Option<String>,
    pub(crate) id: Option<DocumentId>,
}

/// A condition.
#[derive(Debug, Clone)]
pub(crate) enum When {
    Always,
    Current,
    Exists,
    Absent,
    Other,
    Malformed(String),
}

pub(crate) fn story(bytes: &[u8]) -> Story {
    let mut u = Unstructured::new(bytes);
    let has_traps = u.ratio(1, 6).unwrap_or(false);
    let mut acts = Vec::new();
    while acts.len() < MAX_ACTS && !u.is_empty() {
        let Ok(act) = act(&mut u) else { break };
        acts.push(act);
    }
    Story { has_traps, acts }
}

fn act(u: &mut Unstructured<'_>) -> Result<Act> {
    Ok(match u.int_in_range(0..=23)? {
        0..=6 => {
            let is_legacy = u.ratio(1, 3)?;
            let (scope, target) = (place(u, is_legacy)?, target(u, None)?);
            let text = content::text(u, target.kind)?;
            Act::Put { is_legacy, scope, target, text, as_object: u.arbitrary()?, when: when(u)? }
        }
        7 | 8 => {
            let (scope, target) = (place(u, false)?, target(u, Some(Kind::Skill))?);
            let text = content::text(u, Kind::Skill)?;
            Act::PutSkill { scope, target, text, files: content::files(u)?, when: when(u)? }
        }
        9 | 10 => {
            let (scope, target) = (place(u, false)?, target(u, Some(Kind::Skill))?);
            let (path, bytes, executable) = (content::file_path(u)?, content::bytes(u)?, u.arbitrary()?);
            Act::PutFile { scope, target, path, bytes, executable, when: when(u)? }
        }
        11 => {
            let (scope, target) = (place(u, false)?, target(u, Some(Kind::Skill))?);
            Act::RemoveFile { scope, target, path: content::file_path(u)?, when: when(u)? }
        }
        12 | 13 => {
            let is_legacy = u.ratio(1, 3)?;
            Act::Remove { is_legacy, scope: place(u, is_legacy)?, target: target(u, None)?, when: when(u)? }
        }
        14 => Act::PutServer {
            scope: place(u, false)?,
            name: name(u, false)?,
            entry: content::server(u)?,
            when: when(u)?,
        },
        15 => Act::RemoveServer { scope: place(u, false)?, name: name(u, false)?, when: when(u)? },
        16 | 17 => {
            let format = if u.arbitrary()? { Format::Tar } else { Format::Zip };
            let scope = place(u, false)?;
            let documents = content::documents(u, matches!(&scope, Where::Known(Scope::User)))?;
            let damage = if u.ratio(1, 3)? { u.arbitrary_iter()?.take(4).collect::<Result<_>>()? } else { Vec::new() };
            Act::Import { scope, format, documents, damage, replace: u.arbitrary()?, dry_run: u.ratio(1, 4)? }
        }
        18 => Act::Restore { back: u.int_in_range(0..=6)?, when: when(u)? },
        19 | 20 => odd(u)?,
        21 | 22 => {
            let (scope, id) = known(u)?;
            let content = content::valid(u, &id)?;
            Act::ByHand { scope, id, content }
        }
        _ => {
            let (scope, id) = known(u)?;
            Act::RemoveByHand { scope, id }
        }
    })
}

fn place(u: &mut Unstructured<'_>, is_legacy: bool) -> Result<Where> {
    if is_legacy {
        return Ok(Where::Known(Scope::User));
    }
    Ok(match u.int_in_range(0..=9)? {
        0..=5 => Where::Known(Scope::User),
        6..=8 => Where::Known(Scope::Workspace(WORKSPACE.into())),
        _ => {
            let odd = [
                "gone",
                "trap",
                "..",
                ".",
                "",
                "shop/",
                "/",
                "../outside",
                "shop%00",
                "SHOP",
                "shop/../shop",
                "%2e%2e",
            ];
            Where::Odd((*u.choose(&odd)?).to_owned())
        }
    })
}

const NAMES: [&str; 4] = ["a", "b", "real", "code-review"];
const NESTED: [&str; 3] = ["team/a", "team/rust/b", "a/b/c/d/e/f"];
const ODD: [&str; 30] = [
    "",
    "A",
    "link",
    "linked",
    "..",
    ".",
    "../a",
    "a/../b",
    "../../outside/secret",
    "a/",
    "/a",
    "a//b",
    "a\0",
    "a\\b",
    "a.md",
    "SKILL",
    "synced",
    ".askd-a",
    "a b",
    "é",
    "a--b",
    "-a",
    "con",
    "a:b",
    "%2e%2e",
    "history",
    "a/b/c/d/e/f/g",
    "*",
    "a?b",
    "a#b",
];

fn name(u: &mut Unstructured<'_>, is_nested: bool) -> Result<String> {
    Ok(match u.int_in_range(0..=23)? {
        0 | 1 => (*u.choose(&ODD)?).to_owned(),
        2 => u.arbitrary::<&str>()?.chars().take(100).collect(),
        3 => "a".repeat(u.int_in_range(58..=300)?),
        4..=12 if is_nested => (*u.choose(&NESTED)?).to_owned(),
        _ => (*u.choose(&NAMES)?).to_owned(),
    })
}

fn target(u: &mut Unstructured<'_>, kind: Option<Kind>) -> Result<Target> {
    let kind = kind.map_or_else(|| u.choose(&Kind::ALL).copied(), Ok)?;
    let name = if kind.is_single() { None } else { Some(name(u, kind.is_nested())?) };
    let id = DocumentId::new(kind, name.as_deref()).ok();
    Ok(Target { kind, name, id })
}

/// A document that can be there.
fn known(u: &mut Unstructured<'_>) -> Result<(Scope, DocumentId)> {
    let scope = if u.ratio(2, 3)? { Scope::User } else { Scope::Workspace(WORKSPACE.into()) };
    let kind = *u.choose(&Kind::ALL[..8])?;
    let name = match kind {
        kind if kind.is_single() => None,
        kind if kind.is_nested() && u.arbitrary()? => Some(*u.choose(&NESTED)?),
        _ => Some(*u.choose(&NAMES)?),
    };
    Ok((scope, DocumentId::new(kind, name).unwrap()))
}

fn when(u: &mut Unstructured<'_>) -> Result<When> {
    Ok(match u.int_in_range(0..=15)? {
        0..=10 => When::Always,
        11 => When::Current,
        12 => When::Exists,
        13 => When::Absent,
        14 => When::Other,
        _ => {
            let odd = ["", "x", "\"", "W/", "*, \"x\"", "\"x\"y", ",", "W/\"x\"", "\"\u{e9}\""];
            When::Malformed((*u.choose(&odd)?).to_owned())
        }
    })
}

const PATHS: [&str; 26] = [
    "/config",
    "/config/agents",
    "/config/agents/a",
    "/config/claude-md",
    "/config/settings",
    "/config/skills?limit=1&offset=1",
    "/config/rules/team%2Fa",
    "/v1/config",
    "/v1/config/",
    "/v1/config/agents",
    "/v1/config/agents?limit=2&page=a",
    "/v1/config/rules/team/a",
    "/v1/config/skills/a?contents=true",
    "/v1/config/skills/a/files/SKILL.md",
    "/v1/config/skills/a/files/..%2f..%2fb",
    "/v1/config/mcp-servers",
    "/v1/config/mcp-servers/a",
    "/v1/config/settings",
    "/v1/config/policy",
    "/v1/config/history",
    "/v1/config/history?kind=agents&name=a&limit=3",
    "/v1/config/history/cfg_x",
    "/v1/config/history/cfg_00000000-0000-0000-0000-000000000000/diff?to=current",
    "/v1/config/validate",
    "/v1/config/export?format=zip",
    "/v1/config/import?mode=replace",
];
const QUERIES: [&str; 14] = [
    "workspace=shop",
    "workspace=",
    "workspace=..",
    "workspace=shop&workspace=shop",
    "limit=0",
    "limit=201",
    "limit=x",
    "limit=99999999999999999999",
    "offset=18446744073709551615",
    "page=..",
    "page=%00",
    "x=1",
    "&&&",
    "contents=maybe",
];
const HEADERS: [(&str, &[&str]); 6] = [
    ("if-match", &["*", "\"x\"", "x", ""]),
    ("if-none-match", &["*", "\"x\"", "x", ""]),
    (
        "content-type",
        &["application/json", "application/x-tar", "application/zip", "text/plain", "", "application/json; charset=x"],
    ),
    ("x-askd-executable", &["true", "false", "maybe"]),
    ("content-length", &["0", "99999999999", "x"]),
    ("accept", &["*/*", "text/event-stream"]),
];

fn odd(u: &mut Unstructured<'_>) -> Result<Act> {
    let methods = ["GET", "GET", "GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS"];
    let method = *u.choose(&methods)?;
    let mut path = (*u.choose(&PATHS)?).to_owned();
    match u.int_in_range(0..=5)? {
        0 => path.push_str(&super::send::encoded(u.arbitrary::<&str>()?, u.arbitrary()?)),
        1 | 2 => path = format!("{path}{}{}", if path.contains('?') { '&' } else { '?' }, u.choose(&QUERIES)?),
        3 => path = format!("{path}/{}", super::send::encoded(u.choose(&ODD)?, u.arbitrary()?)),
        _ => {}
    }
    let mut headers = Vec::new();
    for _ in 0..u.int_in_range(0..=2)? {
        let (name, values) = u.choose(&HEADERS)?;
        headers.push((*name, (*u.choose(values)?).to_owned()));
    }
    let body = if method == "GET" { Vec::new() } else { body(u)? };
    Ok(Act::Odd { method, path, headers, body })
}

fn body(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    Ok(match u.int_in_range(0..=5)? {
        0 => Vec::new(),
        1 => u.arbitrary::<&[u8]>()?.to_vec(),
        2 => {
            let kind = u.choose(&Kind::ALL)?;
            let text = content::text(u, *kind)?;
            json!({"kind": kind.as_str(), "name": name(u, true)?, "content": text}).to_string().into_bytes()
        }
        3 => "[".repeat(u.int_in_range(1..=3000)?).into_bytes(),
        4 => {
            let odd = [
                "{}",
                "null",
                "{\"content\":1}",
                "{\"content\":\"x\",\"content\":\"y\"}",
                "{\"content\":\"\\ud800\"}",
                "{\"content\":\"x\"",
                "{\"content\":\"x\"}x",
                "{\"content\":\"x\",\"files\":{}}",
            ];
            u.choose(&odd)?.as_bytes().to_vec()
        }
        _ => json!({"content": content::text(u, Kind::Rule)?}).to_string().into_bytes(),
    })
}
