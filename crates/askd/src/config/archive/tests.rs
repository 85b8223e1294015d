use std::collections::BTreeMap;

use super::super::document::{SKILL_FILE, Skill, SkillFile};
use super::super::kind::Kind;
use super::*;

mod bombs;
mod by_hand;
mod properties;
mod tars;
mod zips;

const LIMITS: Limits = Limits::new(64 << 20);

type Documents = Vec<(DocumentId, Content)>;

fn id(kind: Kind, name: &str) -> DocumentId {
    DocumentId::new(kind, Some(name).filter(|name| !name.is_empty())).unwrap()
}

fn text(kind: Kind, name: &str, text: &str) -> (DocumentId, Content) {
    (id(kind, name), Content::Text(text.into()))
}

fn skill(name: &str, files: &[(&str, &[u8], bool)]) -> (DocumentId, Content) {
    let file = |(path, bytes, executable): &(&str, &[u8], bool)| {
        ((*path).to_owned(), SkillFile { bytes: bytes.to_vec(), executable: *executable })
    };
    (id(Kind::Skill, name), Content::Skill(Skill { files: files.iter().map(file).collect::<BTreeMap<_, _>>() }))
}

fn packed(format: Format, scope: &Scope, documents: &Documents) -> Vec<u8> {
    pack(format, scope, documents.iter().map(|(id, content)| (id, content))).unwrap()
}

fn read_user(format: Format, bytes: &[u8]) -> Result<Documents, ArchiveError> {
    read(format, &Scope::User, bytes, &LIMITS)
}

/// What is wrong with an archive, one problem a line.
fn refusal(format: Format, bytes: &[u8]) -> String {
    match read_user(format, bytes) {
        Ok(documents) => panic!("taken: {:?}", documents.iter().map(|(id, _)| id).collect::<Vec<_>>()),
        Err(ArchiveError::Invalid(problems)) => problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        Err(ArchiveError::Foreign(problems, hint)) => {
            let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
            format!("{}\nhint: {hint}", told.join("\n"))
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_whole_folder_of_the_cli_is_refused_with_what_to_pack() {
    let foreign = |files: &[&str]| {
        let mut builder = ::tar::Builder::new(Vec::new());
        for path in files {
            let mut header = ::tar::Header::new_gnu();
            header.set_size(1);
            builder.append_data(&mut header, path, &b"x"[..]).unwrap();
        }
        refusal(Format::Tar, &builder.into_inner().unwrap())
    };
    let whole = foreign(&["CLAUDE.md", "history.jsonl", "projects/a/b.jsonl"]);
    assert!(
        whole.contains("history.jsonl: this is no file") && whole.contains("tar cf config.tar CLAUDE.md"),
        "{whole}"
    );
    let leading = foreign(&["./.claude/CLAUDE.md"]);
    assert!(leading.contains("hint: there is no `.claude` here"), "{leading}");
}

#[test]
fn what_file_managers_leave_is_passed_over_and_no_way_out() {
    let mut builder = ::tar::Builder::new(Vec::new());
    for path in [".DS_Store", "._CLAUDE.md", "__MACOSX/rules/._a.md", "rules/a.md", "rules/Thumbs.db"] {
        let mut header = ::tar::Header::new_gnu();
        header.set_size(1);
        builder.append_data(&mut header, path, &b"x"[..]).unwrap();
    }
    let documents = read_user(Format::Tar, &builder.into_inner().unwrap()).unwrap();
    assert_eq!(documents, [text(Kind::Rule, "a", "x")]);
}

/// One of everything.
fn everything() -> Documents {
    vec![
        text(Kind::Agent, "reviewer", "---\nname: reviewer\ndescription: d\n---\n"),
        skill(
            "pdf",
            &[(SKILL_FILE, b"text", false), ("scripts/a b.sh", b"#!/bin/sh\n", true), ("x.bin", &[0, 255], false)],
        ),
        text(Kind::Rule, "team/rust/style", ""),
        text(Kind::Command, "deploy", "é\u{1F600}"),
        text(Kind::OutputStyle, "terse", "x"),
        text(Kind::ClaudeMd, "", "hello"),
        text(Kind::Settings, "", "{}"),
        text(Kind::McpServers, "", "{}"),
        text(Kind::Policy, "", "{}"),
    ]
}

#[test]
fn what_is_exported_can_be_imported() {
    for format in [Format::Tar, Format::Zip] {
        let mut documents = everything();
        documents.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(read_user(format, &packed(format, &Scope::User, &documents)).unwrap(), documents);

        documents.retain(|(id, _)| id.kind().is_in_workspaces());
        let workspace = Scope::Workspace("shop".into());
        let bytes = packed(format, &workspace, &documents);
        assert_eq!(read(format, &workspace, &bytes, &LIMITS).unwrap(), documents);
        assert!(refusal(format, &bytes).contains("there is no `.claude` here"));
    }
}

#[test]
fn the_same_documents_are_the_same_bytes_in_whatever_order_they_come() {
    for format in [Format::Tar, Format::Zip] {
        let (documents, mut other) = (everything(), everything());
        other.reverse();
        assert_eq!(packed(format, &Scope::User, &documents), packed(format, &Scope::User, &other));
    }
}

#[test]
fn an_empty_archive_holds_nothing() {
    for format in [Format::Tar, Format::Zip] {
        assert_eq!(read_user(format, &packed(format, &Scope::User, &Vec::new())).unwrap(), []);
        assert!(!refusal(format, b"").is_empty());
        assert!(!refusal(format, b"hello").is_empty());
    }
}

#[test]
fn long_paths_survive() {
    let path = format!("{}/{}/file.md", "a".repeat(90), "b".repeat(200));
    let documents = vec![skill("long", &[(&path, b"x", false)])];
    for format in [Format::Tar, Format::Zip] {
        assert_eq!(read_user(format, &packed(format, &Scope::User, &documents)).unwrap(), documents);
    }
}

#[test]
fn a_file_that_could_not_be_read_again_is_not_written() {
    for path in ["a\\b", "a\nb", "/a", "../a"] {
        let (id, content) = skill("s", &[(path, b"x", false)]);
        let error = pack(Format::Tar, &Scope::User, [(&id, &content)].into_iter()).unwrap_err();
        assert!(error.to_string().contains("skills/s/"), "{error}");
    }
}

#[test]
fn a_file_that_is_larger_than_the_server_takes_is_named() {
    let limits = Limits { characters: 3, skill_file_bytes: 3, skill_files: 2, skill_bytes: 5, ..LIMITS };
    let long = "skills/s/long";
    for (documents, part) in [
        (vec![text(Kind::Agent, "a", "four")], "agents/a.md: it has more than 3 characters"),
        (vec![text(Kind::Agent, "a", "thirteen byte")], "agents/a.md: it has more than 12 bytes"),
        (vec![skill("s", &[("long", b"four", false)])], long),
        (vec![skill("s", &[("a", b"", false), ("b", b"", false), ("c", b"", false)])], "more than 2 files"),
        (vec![skill("s", &[("a", b"123", false), ("b", b"123", false)])], "more than 5 bytes"),
    ] {
        for format in [Format::Tar, Format::Zip] {
            let bytes = packed(format, &Scope::User, &documents);
            let error = read(format, &Scope::User, &bytes, &limits).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}

#[test]
fn the_whole_is_bounded_too() {
    let documents = everything();
    for format in [Format::Tar, Format::Zip] {
        let bytes = packed(format, &Scope::User, &documents);
        let error = read(format, &Scope::User, &bytes, &Limits { total_bytes: 50, ..LIMITS }).unwrap_err();
        assert!(matches!(&error, ArchiveError::TooLarge(_)) && error.to_string().contains("50 bytes"), "{error}");
        let error = read(format, &Scope::User, &bytes, &Limits { documents: 2, ..LIMITS }).unwrap_err();
        assert!(error.to_string().contains("more than 2 documents"), "{error}");
    }
}
