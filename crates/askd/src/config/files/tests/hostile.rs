//! A workspace as an agent makes it that means harm.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use super::*;

/// A workspace, its folder of the configuration, and its root.
fn workspace() -> (tempfile::TempDir, PathBuf, Root) {
    let folder = tempfile::tempdir().unwrap();
    let claude = folder.path().join("shop/.claude");
    fs::create_dir_all(claude.join("rules")).unwrap();
    fs::create_dir_all(claude.join("skills")).unwrap();
    let root = Root::workspace(&Workspaces::open(folder.path()).unwrap(), "shop").unwrap();
    (folder, claude, root)
}

fn sparse(path: &Path, size: u64) {
    File::create(path).unwrap().set_len(size).unwrap();
}

#[test]
fn of_what_is_too_large_nothing_is_read() {
    let (_folder, claude, root) = workspace();
    let root = root.for_a_look(64 << 20);
    for number in 0..100 {
        sparse(&claude.join(format!("rules/a{number}.md")), 16 << 20);
    }
    sparse(&claude.join("rules/just-right.md"), MAX_TEXT_BYTES);
    let ids = root.list(Kind::Rule, 1_000).unwrap().ids;
    let read = ids.iter().filter(|id| root.read(id, Links::Refuse).is_ok()).count();
    assert_eq!((ids.len(), read, root.budget.bytes_read()), (101, 1, MAX_TEXT_BYTES));
    fs::create_dir(claude.join("skills/pdf")).unwrap();
    for name in ["a", "b", "c"] {
        sparse(&claude.join("skills/pdf").join(name), 6 << 20);
    }
    let error = root.read(&skill_id(), Links::Refuse).unwrap_err();
    assert_eq!(error.to_string(), format!("`.claude/skills/pdf` is larger than {MAX_READ} bytes"));
    assert_eq!(root.budget.bytes_read(), MAX_TEXT_BYTES + (12 << 20));
    assert_eq!(root.within_budget(), Ok(()));
}

#[test]
fn a_look_stops_when_it_has_read_enough() {
    let (_folder, claude, root) = workspace();
    let root = root.for_a_look(1 << 20);
    for number in 0..50 {
        sparse(&claude.join(format!("rules/a{number}.md")), 1_900_000);
    }
    let ids = root.list(Kind::Rule, 1_000).unwrap().ids;
    let read = ids.iter().filter(|id| root.read(id, Links::Refuse).is_ok()).count();
    // The size of the scope twice, and of the largest skill.
    assert_eq!(read, (18 << 20) / 1_900_000);
    assert!(matches!(root.within_budget(), Err(ConfigError::TooLarge { unit: "bytes", .. })));
    assert!(root.list(Kind::Rule, 1_000).is_err(), "the look is over");
}

#[test]
fn a_look_comes_by_so_many_entries_only() {
    let (_folder, claude, root) = workspace();
    let root = Root { budget: Budget::of(50, 0), ..root };
    for number in 0..60 {
        fs::create_dir_all(claude.join(format!("skills/pdf/{number}"))).unwrap();
    }
    for look in [
        root.measure(100).map(drop),
        root.list(Kind::Skill, 100).map(drop),
        root.read(&skill_id(), Links::Refuse).map(drop),
        root.within_budget(),
    ] {
        assert!(matches!(look, Err(ConfigError::TooLarge { unit: "files and folders", .. })), "{look:?}");
    }
}

#[test]
fn the_folders_of_a_skill_count_as_its_files_do() {
    let (_folder, claude, root) = workspace();
    for number in 0..=MAX_FILES {
        fs::create_dir_all(claude.join(format!("skills/pdf/{number}"))).unwrap();
    }
    let error = root.read(&skill_id(), Links::Refuse).unwrap_err();
    assert_eq!(error.to_string(), format!("`.claude/skills/pdf` is larger than {MAX_FILES} files and folders"));
}

#[test]
fn permissions_that_an_agent_gave_do_not_come_to_a_file_of_the_servers() {
    let (_folder, claude, root) = workspace();
    let id = DocumentId::new(Kind::ClaudeMd, None).unwrap();
    let (file, rule_file) = (claude.parent().unwrap().join("CLAUDE.md"), claude.join("rules/a.md"));
    let all = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    put(&root, &skill_id(), skill(&[("SKILL.md", "old", false), ("run.sh", "x", true)]));
    for (path, id) in [(&file, &id), (&rule_file, &rule("a"))] {
        fs::write(path, "old").unwrap();
        all(path, 0o6777);
        put(&root, id, text("new"));
        assert_eq!(mode(path), 0o644);
    }
    for name in ["skills/pdf", "skills/pdf/SKILL.md", "skills/pdf/run.sh"] {
        all(&claude.join(name), 0o7777);
    }
    put(&root, &skill_id(), skill(&[("SKILL.md", "new", false), ("run.sh", "x", true)]));
    let modes = ["skills/pdf", "skills/pdf/SKILL.md", "skills/pdf/run.sh"].map(|name| mode(&claude.join(name)));
    assert_eq!(modes, [0o755, 0o644, 0o755]);

    let (folder, root) = super::root();
    for (id, name, old, new) in [
        (DocumentId::new(Kind::ClaudeMd, None).unwrap(), "CLAUDE.md", 0o6777, 0o755),
        (DocumentId::new(Kind::ClaudeMd, None).unwrap(), "CLAUDE.md", 0o640, 0o640),
        (DocumentId::new(Kind::Settings, None).unwrap(), "settings.json", 0o4664, 0o600),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, "old").unwrap();
        all(&path, old);
        put(&root, &id, text("new"));
        assert_eq!(mode(&path), new, "{name}");
    }
}

#[test]
fn what_an_agent_puts_into_a_folder_that_goes_keeps_nobody_from_changes() {
    let (_folder, claude, root) = workspace();
    put(&root, &skill_id(), skill(&[("SKILL.md", "old", false)]));
    let change = step(&root, &skill_id(), Some(skill(&[("SKILL.md", "new", false)])));
    // More than goes at once.
    let beside = |end: &str| claude.join(format!("skills/.askd-{}{end}", change.change));
    let gone = beside(".gone");
    fs::create_dir(&gone).unwrap();
    for number in 0..10_100 {
        File::create(gone.join(number.to_string())).unwrap();
    }
    assert_eq!(apply(&root, std::slice::from_ref(&change)), Ok(Applied::Done));
    assert!(!beside("").exists());
    assert_eq!(fs::read_dir(&gone).unwrap().count(), 100);
    root.remove_temporary(change.change, &skill_id()).unwrap();
    assert!(!gone.exists());
    // A link under that name leads nowhere else.
    symlink(claude.join("rules"), &gone).unwrap();
    root.remove_temporary(change.change, &skill_id()).unwrap();
    assert!(claude.join("rules").exists());
}

#[test]
fn in_a_workspace_it_is_not_even_asked_where_a_link_leads() {
    let (folder, claude, root) = workspace();
    fs::create_dir(folder.path().join("elsewhere")).unwrap();
    symlink(folder.path().join("elsewhere"), claude.join("skills/link")).unwrap();
    let listing = root.list(Kind::Skill, 10).unwrap();
    assert_eq!(listing.ids, []);
    assert_eq!(listing.foreign, [(".claude/skills/link".to_owned(), "is not a folder, so it is no skill")]);
}
