//! Skills and their files.

use super::*;

fn file(bytes: &[u8], executable: bool) -> SkillFile {
    SkillFile { bytes: bytes.to_vec(), executable }
}

fn skill(files: &[(&str, &[u8])]) -> Report {
    let files: BTreeMap<_, _> = files.iter().map(|(path, bytes)| ((*path).to_owned(), file(bytes, false))).collect();
    check(&id(Kind::Skill, "pdf"), &Content::Skill(Skill { files }))
}

const TEXT: &[u8] = b"---\nname: pdf\ndescription: d\n---\nText\n";

#[test]
fn a_skill_with_files_is_fine_and_always_executes() {
    let report = skill(&[(SKILL_FILE, TEXT), ("scripts/run.sh", b"#!/bin/sh\n"), ("assets/a_b-c.1.bin", &[0, 255])]);
    assert_eq!((report.errors, report.warnings), (vec![], vec![]));
    assert_eq!(report.executes.len(), 1);
}

#[test]
fn problems_of_a_skill_name_the_file() {
    let report = skill(&[(SKILL_FILE, b"---\ndescription: d\nhooks: 5\n---\nText\n")]);
    let problem = &report.errors[0];
    assert_eq!((problem.file.as_deref(), problem.line), (Some(SKILL_FILE), Some(3)));
    let report = skill(&[(SKILL_FILE, b"---\nname: other\ndescription: d\n---\nText\n")]);
    assert!(report.is_valid() && report.warnings[0].message.contains("`other`"), "{report:?}");
}

#[test]
fn a_skill_without_its_text_is_refused() {
    for (files, part) in [
        (vec![("notes.md", TEXT)], "is missing"),
        (vec![("skill.md", TEXT)], "rename skill.md"),
        (vec![(SKILL_FILE, b"a\n\xff" as &[u8])], "UTF-8"),
        (vec![(SKILL_FILE, b"")], "is empty"),
        (vec![(SKILL_FILE, b"a\0")], "control character"),
    ] {
        let report = skill(&files);
        assert!(report.errors.iter().any(|problem| problem.message.contains(part)), "{part}: {report:?}");
    }
    assert!(!check(&id(Kind::Skill, "pdf"), &Content::Text("Text".into())).is_valid());
    assert!(!check(&id(Kind::Rule, "r"), &Content::Skill(Skill::default())).is_valid());
}

#[test]
fn paths_are_plain_on_every_disk() {
    let (deep, long) = ("a/".repeat(8) + "b", "x".repeat(101));
    for path in [
        "../a",
        "/a",
        "a/",
        "a//b",
        "a/../b",
        ".a",
        "a/.b",
        "a\\b",
        "a b",
        "ä",
        "a\0",
        "",
        "a:b",
        "sub/SKILL.md",
        "skill.MD",
        "SKILL.md/a",
        &deep,
        &long,
    ] {
        assert!(!skill(&[(SKILL_FILE, TEXT), (path, b"x")]).is_valid(), "{path:?}");
    }
    for paths in [["a.md", "A.md"], ["a/b", "A/B"], ["a/b", "A/c"], ["a", "a/b"], ["A", "a/b"]] {
        let report = skill(&[(SKILL_FILE, TEXT), (paths[0], b"x"), (paths[1], b"x")]);
        assert_eq!(report.errors.len(), 1, "{paths:?}");
    }
}

#[test]
fn a_skill_has_its_bounds() {
    let many: BTreeMap<_, _> = (0..200).map(|n| (format!("f{n}"), file(b"x", false))).collect();
    let large = BTreeMap::from([("f".to_owned(), file(&vec![0; (1 << 20) + 1], false))]);
    let heavy: BTreeMap<_, _> = (0..9).map(|n| (format!("f{n}"), file(&vec![0; 1 << 20], false))).collect();
    for mut files in [many, large, heavy] {
        files.insert(SKILL_FILE.to_owned(), file(TEXT, false));
        let report = check(&id(Kind::Skill, "pdf"), &Content::Skill(Skill { files }));
        assert_eq!(report.errors.len(), 1, "{report:?}");
    }
}

#[test]
fn programs_of_a_skill_are_named() {
    let files = BTreeMap::from([(SKILL_FILE.to_owned(), file(TEXT, false)), ("run".to_owned(), file(b"x", true))]);
    let report = check(&id(Kind::Skill, "pdf"), &Content::Skill(Skill { files }));
    assert!(report.executes.iter().any(|why| why.starts_with("run ")), "{report:?}");
}

proptest! {
    #[test]
    fn no_path_panics(paths in proptest::collection::vec("[\\s\\S]{0,30}", 0..5)) {
        let files = paths.into_iter().map(|path| (path, file(b"x", true))).collect();
        check(&id(Kind::Skill, "pdf"), &Content::Skill(Skill { files }));
    }
}
