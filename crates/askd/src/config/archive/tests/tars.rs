use super::by_hand::{padded, record, tar, tar_entry, tar_header};
use super::*;

fn refused(entries: &[Vec<u8>]) -> String {
    refusal(Format::Tar, &tar(entries))
}

#[test]
fn what_tar_programs_write_is_read() {
    let long = format!("skills/s/{}/x", "a".repeat(120));
    let bytes = tar(&[
        tar_entry(b'g', b"pax_global_header", &record("comment", "a commit")),
        tar_entry(b'5', b"./", b""),
        tar_entry(b'5', b"./agents/", b""),
        tar_entry(b'x', b"PaxHeaders/a", &[record("mtime", "1700000000.5"), record("path", "./agents/a.md")].concat()),
        tar_entry(b'0', b"shortened", b"one"),
        tar_entry(b'\0', b"rules/b.md", b"two"),
        tar_entry(b'L', b"././@LongLink", format!("{long}\0").as_bytes()),
        tar_header(b'0', b"shortened", 0, |header| header[100..107].copy_from_slice(b"0000755")),
    ]);
    let executable = long.strip_prefix("skills/s/").unwrap();
    let expected =
        vec![text(Kind::Agent, "a", "one"), skill("s", &[(executable, b"", true)]), text(Kind::Rule, "b", "two")];
    assert_eq!(read_user(Format::Tar, &bytes).unwrap(), expected);
}

#[test]
fn only_files_and_folders_of_the_configuration_are_taken() {
    for (kind, part) in [
        (b'1', "links"),
        (b'2', "links"),
        (b'3', "only plain files"),
        (b'4', "only plain files"),
        (b'6', "only plain files"),
        (b'7', "only plain files"),
        (b'S', "only plain files"),
        (b'K', "only plain files"),
        (b'V', "only plain files"),
        (b'M', "only plain files"),
        (b'D', "only plain files"),
        (b'Z', "only plain files"),
    ] {
        let text = refused(&[tar_entry(kind, b"agents/a.md", b"")]);
        assert!(text.starts_with("agents/a.md: ") && text.contains(part), "{}: {text}", char::from(kind));
    }
    for (name, part) in [
        (&b"/etc/passwd"[..], "absolute"),
        (b"../agents/a.md", "`..`"),
        (b"agents/../../a.md", "`..`"),
        (b"agents\\a.md", "separated by `/`"),
        (b"C:agents/a.md", "drive"),
        (b"agents/\xe9.md", "not UTF-8"),
        (b"agents/A.md", "kebab-case"),
        (b"agents/a.txt", "does not end with"),
        (b"agents/a.md/", "name of a folder"),
        (b"README.md", "no file of the configuration"),
        (b".claude/agents/a.md", "no `.claude` here"),
        (b"skills/synced/SKILL.md", "keeps for itself"),
    ] {
        let text = refused(&[tar_entry(b'0', name, b"")]);
        assert!(text.contains(part), "{text}");
    }
    let text = refused(&[tar_entry(b'5', b"projects/", b"")]);
    assert!(text.starts_with("projects/: this is no folder"), "{text}");
}

#[test]
fn every_wrong_entry_is_named_up_to_a_bound() {
    let entries: Vec<_> = (0..50).map(|n| tar_entry(b'0', format!("wrong-{n}").as_bytes(), b"")).collect();
    let text = refused(&entries);
    assert!(text.lines().count() == 21 && text.starts_with("wrong-0: ") && text.contains("\nwrong-19: "), "{text}");
}

#[test]
fn a_name_is_there_once_in_whatever_spelling_and_as_one_thing() {
    for (names, part) in [
        (["agents/a.md", "./agents/a.md"], "there twice"),
        (["skills/s/Read.me", "skills/s/READ.ME"], "another spelling"),
        (["skills/s/Docs/a", "skills/s/docs/b"], "another spelling, `skills/s/Docs`"),
        (["skills/s/a", "skills/s/a/b"], "is a file, too"),
        (["skills/s/a/b", "skills/s/a"], "a folder of this name"),
        (["skills/s/É", "skills/s/é"], "another spelling"),
    ] {
        let text = refused(&names.map(|name| tar_entry(b'0', name.as_bytes(), b"")));
        assert!(text.contains(part), "{names:?}: {text}");
    }
}

#[test]
fn headers_that_describe_a_file_twice_or_differently_are_refused() {
    let file = || tar_entry(b'0', b"agents/a.md", b"x");
    let pax = |data: &[u8]| tar_entry(b'x', b"x", data);
    for (entries, part) in [
        (vec![pax(&record("size", "600")), file()], "different sizes"),
        (vec![pax(&record("linkpath", "/etc")), file()], "`linkpath`"),
        (vec![pax(&record("GNU.sparse.major", "1")), file()], "`GNU.sparse.major`"),
        (vec![tar_entry(b'g', b"x", &record("path", "x")), file()], "`path`"),
        (vec![tar_entry(b'g', b"x", &record("size", "0")), file()], "`size`"),
        (vec![pax(&record("a", "b")), pax(&record("a", "b")), file()], "described twice"),
        (vec![pax(&record("path", "a")), tar_entry(b'L', b"x", b"b\0"), file()], "two long names"),
        (vec![pax(&[record("path", "a"), record("path", "b")].concat()), file()], "two long names"),
        (vec![pax(b"9999 path=x\n"), file()], "damaged"),
        (vec![pax(&vec![b'x'; 70_000]), file()], "more than 65536 bytes"),
        (vec![tar_entry(b'L', b"x", &[b'a'; 2000]), file()], "more than 1025 bytes"),
        (vec![pax(&record("path", "agents/b.md"))], "not there"),
    ] {
        let text = refused(&entries);
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn an_archive_ends_where_it_says() {
    let file = tar_entry(b'0', b"agents/a.md", b"x");
    let whole = tar(std::slice::from_ref(&file));
    let with_more = [&*whole, b"x"].concat();
    let second = [&*whole, &whole].concat();
    let huge = [tar_header(b'0', b"agents/a.md", 0o77_777_777_777, |_| {}), padded(b"x")].concat();
    for (bytes, part) in [
        (&with_more[..], "after its end"),
        (&second, "after its end"),
        (&file, "end is missing"),
        (&file[..700], "cut off"),
        (&file[..300], "damaged"),
        (&huge, "cut off"),
    ] {
        let text = refusal(Format::Tar, bytes);
        assert!(text.contains(part), "{part}: {text}");
    }
    let mut wrong_sum = whole.clone();
    wrong_sum[0] ^= 1;
    assert!(refusal(Format::Tar, &wrong_sum).contains("damaged"));
    // A size beyond what 64 bits hold when it is rounded up.
    let binary = tar_header(b'0', b"agents/a.md", 0, |header| header[124..136].copy_from_slice(&[0xff; 12]));
    assert!(!refusal(Format::Tar, &binary).is_empty());
}
