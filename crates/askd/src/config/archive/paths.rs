//! Which document an entry of an archive is, by its path.

use super::super::kind::Kind;
use super::super::name::DocumentId;
use super::super::scope::Scope;

/// The longest path in bytes.
pub(super) const MAX_PATH: usize = 1024;
/// The longest name of one file or folder in bytes, as on disk.
const MAX_SEGMENT: usize = 255;
/// The deepest nesting: a skill's files may have folders.
const MAX_DEPTH: usize = 16;
/// The most characters of a path in a message.
const MAX_SHOWN: usize = 200;
/// What the server itself calls its unfinished files.
const UNFINISHED: &str = ".askd-";

/// Where a file belongs.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It is a document.
    Document(DocumentId),
    /// It is one file of a skill, by its path within the skill's folder.
    InSkill(DocumentId, String),
}

/// Why a file belongs nowhere.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// It lies where a document could, and is called as none can be.
    Name(String),
    /// Nothing of the configuration lies there.
    Foreign,
}

/// The path of an entry, without a `./` before it and a `/` after it; empty for the topmost folder itself.
pub(super) fn parse(name: &[u8]) -> Result<&str, String> {
    if name.len() > MAX_PATH {
        return Err(format!("the path has more than {MAX_PATH} bytes"));
    }
    let path = std::str::from_utf8(name).map_err(|_| "the path is not UTF-8".to_owned())?;
    if path.is_empty() {
        return Err("the path is empty".into());
    }
    let path = path.strip_prefix("./").unwrap_or(path);
    let path = if path == "." { "" } else { path.strip_suffix('/').unwrap_or(path) };
    if !path.is_empty() {
        check(path)?;
    }
    Ok(path)
}

/// Refuses what would be another file elsewhere, or another one on another system.
pub(super) fn check(path: &str) -> Result<(), String> {
    if path.len() > MAX_PATH {
        return Err(format!("the path has more than {MAX_PATH} bytes"));
    }
    if path.chars().any(char::is_control) {
        return Err("the path has control characters".into());
    }
    if path.contains('\\') {
        return Err("the path has a `\\`; parts are separated by `/`".into());
    }
    if path.starts_with('/') {
        return Err("the path is absolute".into());
    }
    if path.as_bytes().get(1) == Some(&b':') {
        return Err("the path begins with the letter of a drive".into());
    }
    if path.split('/').count() > MAX_DEPTH {
        return Err(format!("the path has more than {MAX_DEPTH} parts"));
    }
    path.split('/').try_for_each(|part| match part {
        "" | "." | ".." => Err("the path has an empty part, `.` or `..`".into()),
        part if part.len() > MAX_SEGMENT => Err(format!("a part of the path has more than {MAX_SEGMENT} bytes")),
        part if part.starts_with(UNFINISHED) => {
            Err(format!("names that begin with `{UNFINISHED}` are the server's own"))
        }
        _ => Ok(()),
    })
}

/// The document of this scope that a file with this path is, or is part of.
pub(super) fn place(scope: &Scope, path: &str) -> Result<Place, NoPlace> {
    for kind in Kind::ALL {
        if let Ok(id) = DocumentId::new(kind, None)
            && is_in(scope, kind)
            && id.path(scope).as_os_str() == path
        {
            return Ok(Place::Document(id));
        }
    }
    let inner = match scope {
        Scope::User => Some(path),
        Scope::Workspace(_) => path.strip_prefix(".claude/"),
    };
    let parts = inner.and_then(|inner| inner.split_once('/'));
    let kind = |folder| Kind::parse(folder).filter(|kind| !kind.is_single() && is_in(scope, *kind));
    let Some((kind, rest)) = parts.and_then(|(folder, rest)| Some((kind(folder)?, rest))) else {
        return Err(NoPlace::Foreign);
    };
    let wrong = |message: &str| NoPlace::Name(message.to_owned());
    let id = |name| DocumentId::new(kind, Some(name)).map_err(|error| wrong(&format!("its name {error}")));
    if kind == Kind::Skill {
        let (name, file) = rest.split_once('/').ok_or_else(|| wrong("a skill is a folder, and this is a file"))?;
        return Ok(Place::InSkill(id(name)?, file.to_owned()));
    }
    let name = rest.strip_suffix(".md").ok_or_else(|| wrong("its name does not end with `.md`"))?;
    Ok(Place::Document(id(name)?))
}

/// What to do about a file or folder that is not there in this scope.
pub(super) fn hint(scope: &Scope, path: &str) -> &'static str {
    match scope {
        Scope::User if path == ".claude" || path.starts_with(".claude/") => {
            "there is no `.claude` here: what lies in one belongs to the top of the archive, so pack inside of it: \
             tar cf config.tar -C .claude CLAUDE.md settings.json agents skills rules commands output-styles"
        }
        Scope::User => {
            "pack only what is configuration, of this what there is: \
             tar cf config.tar CLAUDE.md settings.json agents skills rules commands output-styles"
        }
        Scope::Workspace(_) => {
            "pack only what is configuration, of this what there is: tar cf config.tar CLAUDE.md .mcp.json \
             .claude/settings.json .claude/agents .claude/skills .claude/rules .claude/commands .claude/output-styles"
        }
    }
}

fn is_in(scope: &Scope, kind: Kind) -> bool {
    *scope == Scope::User || kind.is_in_workspaces()
}

/// Whether files of the configuration could lie in this folder.
pub(super) fn is_folder(scope: &Scope, path: &str) -> bool {
    let is_top = path.is_empty() || (path == ".claude" && scope.workspace().is_some());
    is_top || ["a.md", "a/a.md"].iter().any(|file| place(scope, &format!("{path}/{file}")).is_ok())
}

/// A path for a message, however odd it is.
pub(super) fn shown(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name.get(..MAX_PATH).unwrap_or(name));
    let shown: String = text.chars().take(MAX_SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX_SHOWN).is_some() { format!("{shown}…") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace() -> Scope {
        Scope::Workspace("shop".into())
    }

    #[test]
    fn every_document_is_found_by_the_path_that_it_has_on_disk() {
        for scope in [Scope::User, workspace()] {
            for kind in Kind::ALL.into_iter().filter(|kind| is_in(&scope, *kind)) {
                let id = DocumentId::new(kind, (!kind.is_single()).then_some("a-name")).unwrap();
                let path = id.path(&scope).to_str().unwrap().to_owned();
                let expected = if kind == Kind::Skill {
                    (format!("{path}/docs/a b.txt"), Place::InSkill(id, "docs/a b.txt".into()))
                } else {
                    (path, Place::Document(id))
                };
                assert_eq!(place(&scope, &expected.0), Ok(expected.1));
            }
        }
    }

    #[test]
    fn what_is_no_document_of_the_scope_has_no_place() {
        for path in [
            "README.md",
            "agents",
            "agents/a",
            "agents/a.txt",
            "agents/A.md",
            "agents/a/b.md",
            "skills/a",
            "skills/synced/x",
            "rules/.md",
            "claude-md/x.md",
            "projects/x.md",
            ".credentials.json",
            ".claude.json",
            ".claude/agents/a.md",
            "settings.local.json",
            "claude.md",
            "__MACOSX/agents/a.md",
            "agents/._a.md",
        ] {
            assert!(place(&Scope::User, path).is_err(), "{path}");
        }
        for path in
            ["agents/a.md", "settings.json", ".claude/CLAUDE.md", ".claude/.mcp.json", ".claude/askd-policy.json"]
        {
            assert!(place(&workspace(), path).is_err(), "{path}");
        }
    }

    #[test]
    fn folders_are_those_that_documents_lie_in() {
        for path in ["", "agents", "skills", "skills/a", "skills/a/docs/x", "rules", "rules/team/rust", "output-styles"]
        {
            assert!(is_folder(&Scope::User, path), "{path}");
        }
        for path in ["projects", "agents/team", "skills/A", "rules/Team", ".claude", "rules/a/b/c/d/e/f"] {
            assert!(!is_folder(&Scope::User, path), "{path}");
        }
        assert!(is_folder(&workspace(), ".claude") && is_folder(&workspace(), ".claude/agents"));
        assert!(!is_folder(&workspace(), "agents"));
    }

    #[test]
    fn a_path_that_could_mean_another_file_is_refused() {
        let long = ["a"; 600].join("/");
        for name in [
            "",
            "/etc/passwd",
            "../a",
            "a/../b",
            "a//b",
            "a/./b",
            "a\\b",
            "C:/a",
            "c:a",
            "a\0b",
            "a\nb",
            "//",
            "./",
            "a//",
            "././a",
            ".askd-x",
            "skills/a/.askd-1",
            &long,
            &"a".repeat(256),
            &"a".repeat(2000),
        ] {
            let refused = parse(name.as_bytes());
            assert!(refused.is_err() || refused == Ok(""), "{name:?}");
        }
        assert!(parse(b"agents/\xff.md").is_err());
        assert_eq!((parse(b"./"), parse(b"."), parse(b"./agents/")), (Ok(""), Ok(""), Ok("agents")));
    }
}
