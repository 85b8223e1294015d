use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::Arc;

use rustix::fs::CWD;
use uuid::Uuid;

use super::write::{Applied, Step};
use super::*;
use crate::config::change::ChangeId;

mod hostile;

/// A folder and its root.
fn root() -> (tempfile::TempDir, Root) {
    let folder = tempfile::tempdir().unwrap();
    let root = Root::user(folder.path()).unwrap().unwrap();
    (folder, root)
}

fn rule(name: &str) -> DocumentId {
    DocumentId::new(Kind::Rule, Some(name)).unwrap()
}

fn skill_id() -> DocumentId {
    DocumentId::new(Kind::Skill, Some("pdf")).unwrap()
}

fn text(text: &str) -> Content {
    Content::Text(text.to_owned())
}

fn skill(files: &[(&str, &str, bool)]) -> Content {
    let file = |(path, text, executable): &(&str, &str, bool)| {
        ((*path).to_owned(), SkillFile { bytes: text.as_bytes().to_vec(), executable: *executable })
    };
    Content::Skill(Skill { files: files.iter().map(file).collect::<BTreeMap<_, _>>() })
}

/// A step from what is there to this.
fn step(root: &Root, id: &DocumentId, after: Option<Content>) -> Step {
    let found = root.read(id, Links::Refuse).unwrap();
    Step {
        change: ChangeId(Uuid::new_v4()),
        id: id.clone(),
        before: found.as_ref().map(|found| found.etag),
        mode: found.map(|found| found.mode),
        after: after.map(Arc::new),
    }
}

fn apply(root: &Root, steps: &[Step]) -> Result<Applied, ConfigError> {
    root.apply(steps, || Ok(()))
}

fn put(root: &Root, id: &DocumentId, content: Content) {
    assert_eq!(apply(root, &[step(root, id, Some(content))]), Ok(Applied::Done));
}

fn content(root: &Root, id: &DocumentId) -> Option<Content> {
    root.read(id, Links::Refuse).unwrap().and_then(|found| found.content())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Every path below a folder.
fn tree(folder: &Path) -> Vec<String> {
    let mut paths = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            paths.push(path.strip_prefix(folder).unwrap().display().to_string());
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            }
        }
    }
    paths.sort();
    paths
}

#[test]
fn a_document_is_written_replaced_and_removed_and_nothing_else_is_left() {
    let (folder, root) = root();
    let id = rule("team/rust/style");
    put(&root, &id, text("one"));
    let file = folder.path().join("rules/team/rust/style.md");
    assert_eq!((fs::read_to_string(&file).unwrap(), mode(&file)), ("one".to_owned(), 0o644));
    assert_eq!(mode(file.parent().unwrap()), 0o755);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    put(&root, &id, text("two"));
    assert_eq!((fs::read_to_string(&file).unwrap(), mode(&file)), ("two".to_owned(), 0o640), "its permissions stay");
    put(&root, &rule("team/other"), text("three"));
    assert_eq!(apply(&root, &[step(&root, &id, None)]), Ok(Applied::Done));
    assert_eq!(tree(folder.path()), ["rules", "rules/team", "rules/team/other.md"], "the empty folder went, too");
    assert_eq!(apply(&root, &[step(&root, &rule("team/other"), None)]), Ok(Applied::Done));
    assert_eq!(tree(folder.path()), ["rules"]);
}

#[test]
fn what_may_hold_secrets_is_the_servers_alone() {
    let (folder, root) = root();
    for (kind, name) in
        [(Kind::Settings, "settings.json"), (Kind::McpServers, ".mcp.json"), (Kind::ClaudeMd, "CLAUDE.md")]
    {
        put(&root, &DocumentId::new(kind, None).unwrap(), text("{}"));
        assert_eq!(mode(&folder.path().join(name)), if kind == Kind::ClaudeMd { 0o644 } else { 0o600 }, "{name}");
    }
}

#[test]
fn a_skill_is_replaced_as_a_whole() {
    let (folder, root) = root();
    let id = skill_id();
    let old = skill(&[("SKILL.md", "old", false), ("lib/deep/a.py", "a", false), ("run.sh", "x", true)]);
    put(&root, &id, old.clone());
    assert_eq!(content(&root, &id), Some(old));
    assert_eq!(mode(&folder.path().join("skills/pdf/run.sh")), 0o755);
    let new = skill(&[("SKILL.md", "new", false), ("lib/b.py", "b", false)]);
    put(&root, &id, new.clone());
    assert_eq!(content(&root, &id), Some(new));
    let paths = ["skills", "skills/pdf", "skills/pdf/SKILL.md", "skills/pdf/lib", "skills/pdf/lib/b.py"];
    assert_eq!(tree(folder.path()), paths);
    assert_eq!(apply(&root, &[step(&root, &id, None)]), Ok(Applied::Done));
    assert_eq!(tree(folder.path()), ["skills"]);
}

#[test]
fn an_edit_by_hand_in_between_stops_all_steps_and_stays() {
    let (folder, root) = root();
    for name in ["a", "b", "c"] {
        put(&root, &rule(name), text("old"));
    }
    put(&root, &skill_id(), skill(&[("SKILL.md", "old", false)]));
    let paths = tree(folder.path());
    let all = || {
        vec![
            step(&root, &skill_id(), Some(skill(&[("SKILL.md", "new", false)]))),
            step(&root, &rule("new"), Some(text("new"))),
            step(&root, &rule("a"), Some(text("new"))),
            step(&root, &rule("b"), None),
        ]
    };
    for after in [Some(text("new")), None] {
        let mut steps = all();
        steps.push(step(&root, &rule("c"), after));
        fs::write(folder.path().join("rules/c.md"), "by hand").unwrap();
        assert_eq!(apply(&root, &steps), Ok(Applied::Changed));
        assert_eq!(content(&root, &rule("c")), Some(text("by hand")));
        for name in ["a", "b"] {
            assert_eq!(content(&root, &rule(name)), Some(text("old")));
        }
        assert_eq!(content(&root, &skill_id()), Some(skill(&[("SKILL.md", "old", false)])));
        assert_eq!(tree(folder.path()), paths);
        fs::write(folder.path().join("rules/c.md"), "old").unwrap();
    }
    // Something that was not there, and is now.
    let create = step(&root, &rule("d"), Some(text("new")));
    fs::write(folder.path().join("rules/d.md"), "by hand").unwrap();
    assert_eq!(apply(&root, &[create]), Ok(Applied::Changed));
    assert_eq!(content(&root, &rule("d")), Some(text("by hand")));
    // Something that was there, and is not now.
    let (replace, remove) = (step(&root, &rule("d"), Some(text("new"))), step(&root, &rule("d"), None));
    fs::remove_file(folder.path().join("rules/d.md")).unwrap();
    assert_eq!(apply(&root, &[replace]), Ok(Applied::Changed));
    assert_eq!(apply(&root, &[remove]), Ok(Applied::Changed));
    // A link to what should be there is not it.
    let replace = step(&root, &rule("a"), Some(text("new")));
    fs::rename(folder.path().join("rules/a.md"), folder.path().join("elsewhere")).unwrap();
    symlink("../elsewhere", folder.path().join("rules/a.md")).unwrap();
    assert_eq!(apply(&root, &[replace]), Ok(Applied::Changed));
    assert!(folder.path().join("rules/a.md").is_symlink());
}

#[test]
fn links_are_followed_beneath_the_folder_and_never_written_through() {
    let (folder, root) = root();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("..data/rules")).unwrap();
    fs::write(at("..data/rules/a.md"), "mounted").unwrap();
    symlink("..data/rules", at("rules")).unwrap();
    let read = |links| root.read(&rule("a"), links);
    assert_eq!(read(Links::Follow).unwrap().unwrap().content(), Some(text("mounted")));
    assert_eq!(read(Links::Refuse).unwrap_err(), ConfigError::Link { path: "rules/a.md".into() });
    assert_eq!(root.list(Kind::Rule, 10).unwrap().ids, [rule("a")]);
    let change = ChangeId(Uuid::new_v4());
    let change = Step { change, id: rule("a"), before: None, mode: None, after: Some(Arc::new(text("new"))) };
    assert!(matches!(apply(&root, &[change]), Err(ConfigError::Link { .. })));

    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    symlink(outside.path().join("secret"), at("..data/rules/b.md")).unwrap();
    symlink("../../../../etc/hostname", at("..data/rules/c.md")).unwrap();
    symlink("/proc/self/environ", at("..data/rules/d.md")).unwrap();
    for name in ["b", "c", "d"] {
        let error = root.read(&rule(name), Links::Follow).unwrap_err();
        assert!(matches!(error, ConfigError::Outside { .. }), "{name}: {error}");
    }
}

#[test]
fn in_a_workspace_no_link_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("shop/.claude/rules")).unwrap();
    fs::write(at("shop/.env"), "secret").unwrap();
    symlink("../../.env", at("shop/.claude/rules/a.md")).unwrap();
    symlink("shop", at("link")).unwrap();
    let workspaces = Workspaces::open(folder.path()).unwrap();
    let root = Root::workspace(&workspaces, "shop").unwrap();
    assert!(matches!(root.read(&rule("a"), Links::Follow), Err(ConfigError::Link { .. })));
    put(&root, &rule("b"), text("x"));
    assert_eq!(fs::read_to_string(at("shop/.claude/rules/b.md")).unwrap(), "x");
    for name in ["", ".", "..", "shop/.claude", "link", "none", "/etc", "a\0b"] {
        assert_eq!(Root::workspace(&workspaces, name).unwrap_err(), ConfigError::NoWorkspace(name.into()), "{name:?}");
    }
}

#[test]
fn what_is_no_file_is_told_and_not_waited_for() {
    let (folder, root) = root();
    fs::create_dir_all(folder.path().join("rules/folder.md")).unwrap();
    let pipe = |name: &str| {
        let path = folder.path().join(name);
        rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    };
    pipe("rules/pipe.md");
    std::os::unix::net::UnixListener::bind(folder.path().join("rules/socket.md")).unwrap();
    for name in ["folder", "pipe", "socket"] {
        let error = root.read(&rule(name), Links::Refuse).unwrap_err();
        assert!(
            matches!(&error, ConfigError::Conflict(text) if text.contains("not a regular file")),
            "{name}: {error}"
        );
    }
    fs::write(folder.path().join("skills"), "").unwrap();
    assert_eq!(
        root.read(&skill_id(), Links::Refuse).unwrap_err(),
        ConfigError::NotAFolder { path: "skills/pdf".into() }
    );
    fs::remove_file(folder.path().join("skills")).unwrap();
    fs::create_dir_all(folder.path().join("skills/pdf")).unwrap();
    pipe("skills/pdf/pipe");
    assert!(matches!(root.read(&skill_id(), Links::Refuse), Err(ConfigError::Conflict(_))));
}

#[test]
fn names_that_differ_in_case_only_are_refused() {
    let (folder, root) = root();
    fs::create_dir_all(folder.path().join("rules/Team")).unwrap();
    fs::write(folder.path().join("rules/Style.md"), "").unwrap();
    for name in ["style", "team/a"] {
        let error = apply(&root, &[step(&root, &rule(name), Some(text("x")))]).unwrap_err();
        assert!(matches!(&error, ConfigError::Conflict(text) if text.contains("upper and lower case")), "{error}");
    }
    assert_eq!(tree(folder.path()), ["rules", "rules/Style.md", "rules/Team"]);
}

#[test]
fn a_list_has_what_is_ours_and_says_what_is_not() {
    let (folder, root) = root();
    for name in ["agents/b.md", "agents/a.md", "agents/A.md", "agents/c.txt", "agents/.hidden.md", "skills/file"] {
        fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
        fs::write(folder.path().join(name), "").unwrap();
    }
    fs::create_dir_all(folder.path().join("agents/folder")).unwrap();
    fs::create_dir_all(folder.path().join("skills/pdf")).unwrap();
    fs::create_dir_all(folder.path().join("rules/a/b")).unwrap();
    fs::write(folder.path().join("rules/a/b/c.md"), "").unwrap();
    let list = |kind| root.list(kind, 10).unwrap();
    let names = |kind| list(kind).ids.iter().map(|id| id.name().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!((names(Kind::Agent), names(Kind::Skill)), (vec!["a".into(), "b".into()], vec!["pdf".into()]));
    assert_eq!(names(Kind::Rule), ["a/b/c"]);
    let foreign: Vec<_> = list(Kind::Agent).foreign.into_iter().map(|(path, _)| path).collect();
    assert_eq!(foreign, ["agents/A.md", "agents/c.txt", "agents/folder"]);
    assert_eq!(list(Kind::ClaudeMd).ids, []);
    fs::write(folder.path().join("CLAUDE.md"), "12345").unwrap();
    assert_eq!(list(Kind::ClaudeMd).ids.len(), 1);
    let cut = root.list(Kind::Agent, 1).unwrap();
    assert!(cut.is_cut && cut.ids == [DocumentId::new(Kind::Agent, Some("a")).unwrap()]);
    assert_eq!(cut.foreign[0].0, "agents", "and says so");
    let measure = root.measure(10).unwrap();
    assert_eq!((measure.documents, measure.bytes), (5, 5));
}

#[test]
fn what_is_too_large_is_not_read() {
    let (folder, root) = root();
    fs::create_dir_all(folder.path().join("rules")).unwrap();
    let file = fs::File::create(folder.path().join("rules/a.md")).unwrap();
    file.set_len(MAX_READ as u64 + 1).unwrap();
    assert!(matches!(root.read(&rule("a"), Links::Refuse), Err(ConfigError::TooLarge { .. })));
    let mut deep = folder.path().join("skills/pdf");
    deep.extend(std::iter::repeat_n("d", MAX_DEPTH + 1));
    fs::create_dir_all(deep).unwrap();
    assert!(matches!(root.read(&skill_id(), Links::Refuse), Err(ConfigError::TooLarge { .. })));
}
