//! What a request may ask of the workspaces, and what it is told of the rest.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;

/// Workspaces `shop` (with `web` and `doc/old`) and `other`.
fn workspaces() -> (tempfile::TempDir, Workspaces) {
    let root = tempfile::tempdir().unwrap();
    for path in ["shop/web", "shop/doc/old", "other"] {
        fs::create_dir_all(root.path().join(path)).unwrap();
    }
    fs::write(root.path().join("shop/file"), "").unwrap();
    symlink("/etc", root.path().join("shop/out")).unwrap();
    symlink("../other", root.path().join("shop/beside")).unwrap();
    let workspaces = Workspaces::open(root.path()).unwrap();
    (root, workspaces)
}

fn wanted(cwd: &str, write_root: Option<&str>, additional: &[(&str, bool)]) -> Wanted {
    let folder = |(path, writable): &(&str, bool)| AdditionalFolder { path: (*path).to_owned(), writable: *writable };
    Wanted {
        cwd: cwd.to_owned(),
        write_root: write_root.map(str::to_owned),
        additional: additional.iter().map(folder).collect(),
        bounds: Bounds::default(),
    }
}

/// Workspace and write root, relative to the workspace root.
fn found(wanted: &Wanted, allowed: WriteRoot) -> Result<(String, String), (&'static str, String)> {
    let (_root, workspaces) = workspaces();
    let text = |folder: &Place| folder.relative().display().to_string();
    match wanted.find(&workspaces, allowed, Layer::Bubblewrap) {
        Ok(Found { ground, .. }) => Ok((text(&ground.workspace), text(&ground.write_root))),
        Err(refusal) => {
            let whole = format!("{}{}", refusal.field, refusal.part);
            assert!(refusal.message.starts_with(&whole) || refusal.why != Why::Folder, "{refusal}");
            Err((refusal.field, refusal.message))
        }
    }
}

#[test]
fn by_itself_a_run_may_write_its_workspace_or_what_the_setting_says() {
    for (cwd, workspace, root) in [("shop/web", "shop", ""), ("shop", "shop", ""), ("", "", "")] {
        let plain = wanted(cwd, None, &[]);
        assert_eq!(found(&plain, WriteRoot::Workspace).unwrap(), (workspace.into(), workspace.into()), "{cwd}");
        assert_eq!(found(&plain, WriteRoot::Root).unwrap(), (workspace.into(), root.into()), "{cwd}");
    }
}

#[test]
fn a_request_may_ask_for_less() {
    for (cwd, write_root, allowed) in [
        ("shop", "shop/web", WriteRoot::Workspace),
        ("shop/doc", "shop/doc", WriteRoot::Workspace),
        ("shop/doc/old", "shop/doc", WriteRoot::Workspace),
        ("shop/doc/old", "shop", WriteRoot::Root),
        ("", "shop/web", WriteRoot::Workspace),
    ] {
        let less = wanted(cwd, Some(write_root), &[]);
        assert_eq!(found(&less, allowed).unwrap().1, write_root, "{cwd}");
    }
    assert_eq!(found(&wanted("shop", Some("."), &[]), WriteRoot::Root).unwrap().1, "");
}

#[test]
fn further_folders_may_be_written_in_any_workspace() {
    let (_root, workspaces) = workspaces();
    let further = wanted("shop/web", Some("shop/web"), &[("other", true)]);
    let found = further.find(&workspaces, WriteRoot::Workspace, Layer::Bubblewrap).unwrap();
    let (folder, access) = &found.ground.additional[0];
    assert_eq!((folder.workspace(), *access), (Some("other"), Access::ReadWrite));
}

#[test]
fn what_it_must_not_ask_for_is_named() {
    for (cwd, write_root, part) in [
        ("shop", ".", "must lie in the workspace of cwd (ASKD_WRITE_ROOT)"),
        ("shop", "other", "must lie in the workspace of cwd"),
        ("shop", "shop/beside", "must lie in the workspace of cwd"),
        ("shop/web", "shop/doc", "must lie in cwd or contain it"),
        ("shop", "shop/out", "write_root must stay inside the workspace root"),
        ("shop", "shop/absent", "write_root does not exist in the workspace root"),
        ("shop", "shop/file", "write_root is not a folder"),
    ] {
        let (field, message) = found(&wanted(cwd, Some(write_root), &[]), WriteRoot::Workspace).unwrap_err();
        assert!(field == "write_root" && message.contains(part), "{write_root}: {message}");
    }
    for (additional, part) in [
        (&[("shop/out", false)][..], "additional_folders[0].path must stay inside the workspace root"),
        (&[("other", false), ("absent", true)], "additional_folders[1].path does not exist"),
        (&[("other", false), ("shop/beside", true)], "additional_folders[1] names the same folder as one before it"),
        (&[("shop", true)], "additional_folders[0] is the write root already"),
    ] {
        let (field, message) = found(&wanted("shop", None, additional), WriteRoot::Workspace).unwrap_err();
        assert!(field == "additional_folders" && message.contains(part), "{message}");
    }
    assert_eq!(found(&wanted("absent", None, &[]), WriteRoot::Root).unwrap_err().0, "cwd");
}

#[test]
fn the_cli_is_told_what_the_request_names() {
    let (_root, workspaces) = workspaces();
    let named = |wanted: Wanted| {
        let found = wanted.find(&workspaces, WriteRoot::Workspace, Layer::Bubblewrap).unwrap();
        let relative = |path: &PathBuf| path.strip_prefix(workspaces.path()).unwrap().display().to_string();
        found.named.iter().map(relative).collect::<Vec<_>>()
    };
    assert_eq!(named(wanted("shop/web", None, &[])), [""; 0]);
    assert_eq!(named(wanted("shop/web", Some("shop"), &[("other", true)])), ["shop", "other"]);
}

#[test]
fn without_a_layer_nothing_of_it_could_be_kept() {
    let (_root, workspaces) = workspaces();
    let find =
        |wanted: Wanted| wanted.find(&workspaces, WriteRoot::Workspace, Layer::None).map_err(|refusal| refusal.field);
    assert_eq!(find(wanted("shop", Some("shop/web"), &[])).unwrap_err(), "write_root");
    assert_eq!(find(wanted("shop", None, &[("other", false)])).unwrap_err(), "additional_folders");
    assert!(find(wanted("shop", None, &[])).is_ok());
}

#[test]
fn landlock_cannot_take_away_what_it_has_given() {
    let (_root, workspaces) = workspaces();
    let find = |additional: &[(&str, bool)]| {
        wanted("shop", None, additional).find(&workspaces, WriteRoot::Workspace, Layer::Landlock).map(drop)
    };
    let refusal = find(&[("other", false), ("shop/doc", false)]).unwrap_err();
    assert!(refusal.message.starts_with("additional_folders[1] lies in a folder that the run may write"), "{refusal}");
    assert!(find(&[("other", false)]).is_ok() && find(&[("other", true), ("shop/doc", true)]).is_ok());
}

/// The same for a key with a policy.
fn held(wanted: Wanted, workspaces: &[&str], write_root: Option<&str>) -> Wanted {
    let workspaces = workspaces.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let workspaces = (!workspaces.is_empty()).then_some(workspaces);
    Wanted { bounds: Bounds { workspaces, write_root: write_root.map(str::to_owned) }, ..wanted }
}

#[test]
fn a_policy_bounds_the_workspaces_of_every_folder_and_what_is_elsewhere_is_not_told() {
    let (_root, workspaces) = workspaces();
    let find = |wanted: &Wanted| wanted.find(&workspaces, WriteRoot::Root, Layer::Bubblewrap);
    for (wanted, field) in [
        (wanted("", None, &[]), CWD),
        (wanted(".", None, &[]), CWD),
        (wanted("other", None, &[]), CWD),
        (wanted("other/absent", None, &[]), CWD),
        (wanted("absent", None, &[]), CWD),
        (wanted("shop/../other", None, &[]), CWD),
        (wanted("shop/beside", None, &[]), CWD),
        (wanted("/etc", None, &[]), CWD),
        (wanted("shop", Some(""), &[]), WRITE_ROOT),
        (wanted("shop", None, &[("shop/web", false), ("other", false)]), ADDITIONAL),
        (wanted("shop", None, &[("shop/beside", false)]), ADDITIONAL),
        (wanted("shop", None, &[("", false)]), ADDITIONAL),
    ] {
        let held = held(wanted, &["shop", "third"], None);
        let refusal = find(&held).unwrap_err();
        assert_eq!((refusal.field, refusal.why), (field, Why::Policy), "{held:?}");
        assert!(refusal.message.ends_with("not be the root of all: shop, third"), "{}", refusal.message);
    }
    let inside = find(&held(wanted("./shop/web", None, &[("shop/doc", true)]), &["shop"], None)).unwrap();
    // The server would let others write in the whole root.
    assert_eq!(inside.ground.write_root.relative(), Path::new("shop"));
}

#[test]
fn a_link_does_not_tell_what_there_is_in_other_workspaces() {
    let (root, workspaces) = workspaces();
    fs::create_dir(root.path().join("other/there")).unwrap();
    fs::write(root.path().join("other/file"), "").unwrap();
    symlink("../other/there", root.path().join("shop/to-a-folder")).unwrap();
    symlink("../other/absent", root.path().join("shop/to-nothing")).unwrap();
    symlink("../other/file", root.path().join("shop/to-a-file")).unwrap();
    for path in [
        "shop/to-a-folder",
        "shop/to-nothing",
        "shop/to-a-file",
        "shop/beside/there",
        "shop/beside/absent",
        "shop/beside/file",
        "shop/beside/file/x",
        "shop/out",
        "shop/out/passwd",
    ] {
        for (wanted, field, way) in [
            (wanted(path, None, &[]), CWD, ""),
            (wanted("shop", Some(path), &[]), WRITE_ROOT, ""),
            (wanted("shop", None, &[(path, false)]), ADDITIONAL, "[0].path"),
        ] {
            let held = held(wanted, &["shop"], None);
            let refusal = held.find(&workspaces, WriteRoot::Workspace, Layer::Bubblewrap).unwrap_err();
            assert_eq!(refusal, held.bounds.foreign(field).at(way), "{path}");
        }
    }
    for (path, part) in [("shop/absent", "does not exist"), ("shop/file", "is not a folder")] {
        let held = held(wanted(path, None, &[]), &["shop"], None);
        let refusal = held.find(&workspaces, WriteRoot::Workspace, Layer::Bubblewrap).unwrap_err();
        assert!(refusal.why == Why::Folder && refusal.message.contains(part), "{path}: {refusal}");
    }
}

#[test]
fn a_policy_bounds_where_a_run_writes_whatever_it_asks_for() {
    let (_root, workspaces) = workspaces();
    let find = |wanted: &Wanted, allowed| wanted.find(&workspaces, allowed, Layer::Bubblewrap);
    for (cwd, bound, allowed, write_root, named) in [
        ("shop/web", "shop/web", WriteRoot::Workspace, "shop/web", &[][..]),
        ("shop/web", "shop", WriteRoot::Root, "shop", &[]),
        ("shop/web", ".", WriteRoot::Workspace, "shop", &[]),
        ("shop", "shop/doc", WriteRoot::Workspace, "shop/doc", &["shop/doc"]),
        ("shop/web", "shop/doc", WriteRoot::Workspace, "shop/doc", &["shop/doc"]),
        ("other", "shop/doc", WriteRoot::Root, "shop/doc", &["shop/doc"]),
    ] {
        let found = find(&held(wanted(cwd, None, &[]), &[], Some(bound)), allowed).unwrap();
        let named: Vec<_> = named.iter().map(|path| workspaces.path().join(path)).collect();
        assert_eq!((found.ground.write_root.relative(), found.named), (Path::new(write_root), named), "{cwd} {bound}");
    }
    for (wanted, field, part) in [
        (wanted("other", None, &[]), CWD, "writing in `shop/doc` only"),
        (wanted("shop", Some("shop"), &[]), WRITE_ROOT, "must lie in `shop/doc`"),
        (wanted("shop", Some("shop/web"), &[]), WRITE_ROOT, "must lie in `shop/doc`"),
        (wanted("shop", None, &[("other", true)]), ADDITIONAL, "must lie in `shop/doc` to be written"),
    ] {
        let refusal = find(&held(wanted, &[], Some("shop/doc")), WriteRoot::Workspace).unwrap_err();
        assert_eq!((refusal.field, refusal.why), (field, Why::Policy), "{refusal}");
        assert!(refusal.message.contains(part), "{refusal}");
    }
    let less =
        held(wanted("shop", Some("shop/doc/old"), &[("other", false), ("shop/doc", true)]), &[], Some("shop/doc"));
    assert_eq!(find(&less, WriteRoot::Workspace).unwrap().ground.write_root.relative(), Path::new("shop/doc/old"));
    let gone = held(wanted("shop", None, &[]), &[], Some("shop/gone"));
    assert!(find(&gone, WriteRoot::Workspace).unwrap_err().message.contains("`shop/gone`, does not exist"));
}

#[test]
fn without_isolation_a_policys_write_root_lets_nothing_run() {
    let (_root, workspaces) = workspaces();
    let held = held(wanted("shop", None, &[]), &[], Some("shop"));
    let refusal = held.find(&workspaces, WriteRoot::Workspace, Layer::None).unwrap_err();
    assert_eq!((refusal.field, refusal.why), (CWD, Why::Policy));
}
