use super::by_hand::{ZipEntry, crc, zip, zip_body, zip_end};
use super::*;

fn file(name: &str) -> ZipEntry {
    ZipEntry::stored(name.as_bytes(), b"text")
}

fn refused(entries: &[ZipEntry]) -> String {
    refusal(Format::Zip, &zip(entries))
}

#[test]
fn what_zip_programs_write_is_read() {
    let folder = ZipEntry { mode: 0o040_755, ..ZipEntry::stored(b"skills/s/", b"") };
    let script = ZipEntry { mode: 0o100_755, ..ZipEntry::deflated(b"skills/s/run.sh", b"echo") };
    // Without any Unix mode, as on Windows.
    let plain = ZipEntry { mode: 0, ..file("./agents/a.md") };
    let (mut bytes, list) = zip_body(&[folder, script, plain]);
    bytes.extend(zip_end(3, bytes.len() - list, list, b"a comment, as git writes one"));
    let expected = vec![text(Kind::Agent, "a", "text"), skill("s", &[("run.sh", b"echo", true)])];
    assert_eq!(read_user(Format::Zip, &bytes).unwrap(), expected);
}

#[test]
fn only_files_and_folders_of_the_configuration_are_taken() {
    for (mode, part) in [
        (0o120_777, "plain files"),
        (0o010_644, "plain files"),
        (0o140_644, "plain files"),
        (0o060_644, "plain files"),
        (0o040_755, "plain files"),
    ] {
        let text = refused(&[ZipEntry { mode, ..file("agents/a.md") }]);
        assert!(text.starts_with("agents/a.md: ") && text.contains(part), "{mode:o}: {text}");
    }
    for (name, part) in [
        ("/etc/passwd", "absolute"),
        ("../agents/a.md", "`..`"),
        ("agents\\a.md", "separated by `/`"),
        ("C:/agents/a.md", "drive"),
        ("agents/a\0.md", "control characters"),
        ("agents/A.md", "kebab-case"),
        ("README.md", "no file of the configuration"),
    ] {
        let text = refused(&[file(name)]);
        assert!(text.contains(part), "{text}");
    }
    let text = refused(&[ZipEntry::stored(b"agents/\xe9.md", b"")]);
    assert!(text.contains("not UTF-8"), "{text}");
}

#[test]
fn a_name_is_there_once_in_whatever_spelling_and_as_one_thing() {
    for (names, part) in [
        (["agents/a.md", "agents/a.md"], "twice"),
        (["agents/a.md", "./agents/a.md"], "twice"),
        (["skills/s/a", "skills/s/A"], "another spelling"),
        (["skills/s/a", "skills/s/a/b"], "is a file, too"),
    ] {
        let text = refused(&names.map(file));
        assert!(text.contains(part), "{names:?}: {text}");
    }
}

#[test]
fn the_list_and_the_headers_must_say_the_same() {
    let other_name = ZipEntry { local_name: b"agents/b.md".to_vec(), ..file("agents/a.md") };
    assert!(refused(&[other_name]).contains("inconsistency"));
    // The list says nothing of the second file.
    let (bytes, list) = zip_body(&[file("agents/a.md"), file("agents/b.md")]);
    let (alone, alone_list) = zip_body(&[file("agents/a.md")]);
    let mut hidden = bytes[..list].to_vec();
    hidden.extend(&alone[alone_list..]);
    hidden.extend(zip_end(1, alone.len() - alone_list, list, b""));
    assert!(refusal(Format::Zip, &hidden).contains("missing from"), "{}", refusal(Format::Zip, &hidden));
}

#[test]
fn no_two_files_share_bytes() {
    let twice = ZipEntry { at: Some(0), ..file("agents/a.md") };
    let text = refused(&[
        file("agents/a.md"),
        ZipEntry { local_name: b"agents/b.md".to_vec(), name: b"agents/b.md".to_vec(), ..twice },
    ]);
    assert!(text.contains("damaged, or made to mislead"), "{text}");
    // A file that holds another one with its header.
    let (inner, inner_list) = zip_body(&[file("agents/b.md")]);
    let outer = ZipEntry::stored(b"skills/s/x", &inner[..inner_list]);
    let start = u32::try_from(30 + outer.name.len()).unwrap();
    let (bytes, list) = zip_body(&[outer, ZipEntry { at: Some(start), ..file("agents/b.md") }]);
    let mut quoted = bytes.clone();
    quoted.extend(zip_end(2, bytes.len() - list, list, b""));
    let text = refusal(Format::Zip, &quoted);
    assert!(text.contains("overlapping"), "{text}");
}

#[test]
fn sizes_and_sums_must_be_right() {
    for (sizes, part) in [
        ((crc(b"text"), 4, 3), "agents/a.md: it cannot be unpacked"),
        ((crc(b"text"), 4, 5), "agents/a.md: it has another size"),
        ((1, 4, 4), "agents/a.md: it cannot be unpacked"),
        ((crc(b"text"), 1_000_000, 1_000_000), "made to mislead"),
    ] {
        let text = refused(&[ZipEntry { sizes, ..file("agents/a.md") }]);
        assert!(text.contains(part), "{sizes:?}: {text}");
    }
    let broken = ZipEntry { method: 8, ..file("agents/a.md") };
    assert!(refused(&[broken]).contains("agents/a.md: it cannot be unpacked"));
}

#[test]
fn rare_kinds_are_refused() {
    for (entry, part) in [
        (ZipEntry { flags: 1, ..file("agents/a.md") }, "encrypted"),
        (ZipEntry { method: 12, ..file("agents/a.md") }, "stored and deflated"),
        (ZipEntry { method: 99, ..file("agents/a.md") }, ""),
        (ZipEntry { mode: 0o040_755, ..ZipEntry::stored(b"agents/", b"x") }, "folder with content"),
    ] {
        let text = refused(&[entry]);
        assert!(text.contains(part), "{part}: {text}");
    }
    let (bytes, list) = zip_body(&[file("agents/a.md")]);
    let mut zip64 = bytes.clone();
    zip64.extend(zip_end(0xffff, bytes.len() - list, list, b""));
    assert!(refusal(Format::Zip, &zip64).contains("zip64"));
}

#[test]
fn an_archive_begins_and_ends_where_it_says() {
    let whole = zip(&[file("agents/a.md")]);
    let (bytes, list) = zip_body(&[file("agents/a.md")]);
    let in_comment = [bytes.clone(), zip_end(1, bytes.len() - list, list, &zip_end(0, 0, 0, b""))].concat();
    let more_entries = [bytes.clone(), zip_end(2, bytes.len() - list, list, b"")].concat();
    let fewer_entries = [bytes.clone(), zip_end(0, bytes.len() - list, list, b"")].concat();
    for (bytes, part) in [
        ([&*whole, b"x"].concat(), "after its end"),
        ([b"x", &*whole].concat(), "not where it should be"),
        (in_comment, "not where it should be"),
        (more_entries, ""),
        (fewer_entries, "two lists"),
        (whole[..whole.len() - 1].to_vec(), "cut off"),
        (whole[list..].to_vec(), "not where it should be"),
    ] {
        let text = refusal(Format::Zip, &bytes);
        assert!(text.contains(part), "{part}: {text}");
    }
}
