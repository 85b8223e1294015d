use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use super::scan::Limits;
use super::*;

mod contents;
mod cost;
mod places;

/// A workspace with these files; a content of `-> TARGET` makes a link.
fn workspace(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match content.strip_prefix("-> ") {
            Some(target) => symlink(target, path).unwrap(),
            None => fs::write(path, content).unwrap(),
        }
    }
    root
}

fn checked(root: &TempDir, relative: &str, policy: &ProjectConfigPolicy, limits: &Limits) -> Assessment {
    let top = fs::File::open(root.path()).unwrap();
    let cwd = fs::File::open(root.path().join(relative)).unwrap();
    assess_within(cwd.as_fd(), top.as_fd(), Path::new(relative), policy, limits)
}

/// The assessment of the folder `repo` with generous time, for a busy machine.
fn auto(files: &[(&str, &str)]) -> Assessment {
    let root = workspace(files);
    fs::create_dir_all(root.path().join("repo")).unwrap();
    checked(&root, "repo", &ProjectConfigPolicy::Auto, &patient())
}

fn patient() -> Limits {
    Limits { time: Duration::from_mins(1), ..Limits::default() }
}

/// The findings as people see them.
fn shown(assessment: &Assessment) -> Vec<String> {
    match assessment {
        Assessment::LeaveOut { findings } => findings.iter().map(ToString::to_string).collect(),
        other => panic!("{other:?}"),
    }
}

/// One file, one finding that begins like this.
#[track_caller]
fn refused(files: &[(&str, &str)], start: &str) {
    let found = shown(&auto(files));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with(start), "{found:?}");
}

#[track_caller]
fn loads(files: &[(&str, &str)]) {
    assert_eq!(auto(files), Assessment::Load, "{files:?}");
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        text in "(---\n)?[a-z@!$`~\\[\\]{}:&*\"' \n/.\\\\é-]{0,200}(\n---\n)?[\\s\\S]{0,40}",
    ) {
        let root = tempfile::tempdir().unwrap();
        for (folder, file) in [("skills/s", "SKILL.md"), ("agents", "a.md"), ("rules", "r.md"), ("", "settings.json")] {
            for (repo, content) in [("repo", bytes.as_slice()), ("other", text.as_bytes())] {
                let folder = root.path().join(repo).join(".claude").join(folder);
                fs::create_dir_all(&folder).unwrap();
                fs::write(folder.join(file), content).unwrap();
            }
        }
        let _ = checked(&root, "repo", &ProjectConfigPolicy::Auto, &patient());
        let _ = checked(&root, "other", &ProjectConfigPolicy::Auto, &patient());
    }
}
