use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

const ID: &str = "00000000-0000-0000-0000-000000000007";

/// Keeps all that it is given.
#[derive(Debug, Default)]
struct Kept {
    files: BTreeMap<String, Vec<u8>>,
}

impl Target for Kept {
    fn admit(&mut self, header: &Header) -> Result<(), ArchiveError> {
        assert!(self.files.is_empty(), "asked first");
        if header.schema == Some(99) { Err(ArchiveError::Foreign("is too new".into())) } else { Ok(()) }
    }

    fn file(&mut self, path: &str, size: u64, bytes: &mut dyn Read) -> Result<(), ArchiveError> {
        assert!(is_fit(path), "{path}");
        let mut kept = Vec::new();
        bytes.read_to_end(&mut kept).map_err(|error| damaged(error.to_string()))?;
        assert!(kept.len() as u64 <= size);
        self.files.insert(path.to_owned(), kept);
        Ok(())
    }
}

fn header(schema: Option<i64>) -> Header {
    let created_at = "2026-11-23T00:00:00Z".to_owned();
    Header { format: FORMAT, askd: "0.1.0".to_owned(), schema, created_at, bytes: 0 }
}

fn written(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut writer = Writer::begin(Vec::new(), &header(Some(1))).unwrap();
    for (path, bytes) in files {
        writer.file(path, bytes.len() as u64, &bytes[..]).unwrap();
    }
    let (archive, count) = writer.finish().unwrap();
    assert_eq!(count, files.len());
    archive
}

fn read_back(archive: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, ArchiveError> {
    let mut kept = Kept::default();
    read(archive, &mut kept).map(|_| kept.files)
}

/// An archive of these entries, made by hand.
fn by_hand(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(zstd::Encoder::new(Vec::new(), LEVEL).unwrap());
    for (path, kind, bytes) in entries {
        let mut header = TarHeader::new_gnu();
        header.set_entry_type(*kind);
        header.set_size(bytes.len() as u64);
        // The crate refuses to write what a stranger may.
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        builder.append(&header, *bytes).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

fn paths() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("askd.db".to_owned()),
        "[a-zé .-]{1,60}(/[a-z]{1,80}){0,4}".prop_map(|path| format!("sessions/{ID}/x{path}x")),
    ]
}

fn files() -> impl Strategy<Value = BTreeMap<String, Vec<u8>>> {
    vec((paths(), vec(any::<u8>(), 0..2000)), 0..8).prop_map(|files| {
        // No path is a folder of another one.
        let is_free = |path: &str, all: &[(String, Vec<u8>)]| {
            !all.iter().any(|(other, _)| other.starts_with(&format!("{path}/")))
        };
        files.iter().filter(|(path, _)| is_free(path, &files)).cloned().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn what_was_put_in_comes_out(files in files()) {
        prop_assert_eq!(read_back(&written(&files)).unwrap(), files);
    }

    #[test]
    fn of_a_damaged_archive_all_comes_out_or_it_is_refused(
        files in files(),
        changes in vec((any::<Index>(), 1..=255_u8), 1..4),
    ) {
        let mut archive = written(&files);
        for (index, bits) in changes {
            let at = index.index(archive.len());
            archive[at] ^= bits;
        }
        if let Ok(back) = read_back(&archive) {
            prop_assert_eq!(back, files);
        }
    }

    #[test]
    fn an_archive_that_is_cut_off_is_refused(files in files(), end in any::<Index>()) {
        let archive = written(&files);
        prop_assert!(read_back(&archive[..end.index(archive.len())]).is_err());
    }

    #[test]
    fn nothing_that_is_no_archive_is_taken(bytes in vec(any::<u8>(), 0..500)) {
        prop_assert!(read_back(&bytes).is_err());
        let packed = zstd::encode_all(&bytes[..], LEVEL).unwrap();
        prop_assert!(read_back(&packed).is_err());
    }
}

#[test]
fn what_no_askd_would_write_is_refused() {
    let head = serde_json::to_vec(&header(Some(1))).unwrap();
    let none = serde_json::to_vec(&Manifest::default()).unwrap();
    let file = EntryType::Regular;
    let first = (HEADER, file, &head[..]);
    let last = (MANIFEST, file, &none[..]);
    assert_eq!(read_back(&by_hand(&[first, last])).unwrap().len(), 0);
    let inside = format!("sessions/{ID}/a");
    for entries in [
        &[last][..],
        &[first],
        &[("askd.db", file, b"x"), first, last],
        &[first, first, last],
        &[first, last, last],
        &[first, last, ("askd.db", file, b"x")],
        &[first, ("askd.db", file, b"x"), last],
        &[first, ("../askd.db", file, b"x"), last],
        &[first, ("/etc/passwd", file, b"x"), last],
        &[first, ("lock", file, b"x"), last],
        &[first, (&inside, EntryType::Symlink, b""), last],
        &[first, (&inside, EntryType::Link, b""), last],
        &[first, ("sessions", EntryType::Directory, b""), last],
        &[first, (&inside, EntryType::Fifo, b""), last],
    ] {
        let refused = read_back(&by_hand(entries));
        assert!(matches!(refused, Err(ArchiveError::Damaged(_))), "{entries:?}: {refused:?}");
    }
    let long = vec![b'a'; 100_000];
    let refused = read_back(&by_hand(&[first, ("x", EntryType::GNULongName, &long), last]));
    assert!(matches!(refused, Err(ArchiveError::Damaged(_))));
}

#[test]
fn an_archive_of_another_form_or_version_says_so_before_anything_is_taken() {
    let later = serde_json::to_vec(&Header { format: FORMAT + 1, ..header(None) }).unwrap();
    let newer = serde_json::to_vec(&header(Some(99))).unwrap();
    for head in [later, newer] {
        let archive = by_hand(&[(HEADER, EntryType::Regular, &head), ("askd.db", EntryType::Regular, b"x")]);
        let mut kept = Kept::default();
        assert!(matches!(read(&archive[..], &mut kept), Err(ArchiveError::Foreign(_))));
        assert!(kept.files.is_empty());
    }
}

#[test]
fn a_file_that_is_shorter_than_was_said_is_an_error_and_no_archive() {
    let mut writer = Writer::begin(Vec::new(), &header(None)).unwrap();
    assert!(writer.file("askd.db", 10, &b"short"[..]).is_err());
    assert!(writer.file("elsewhere", 0, &b""[..]).is_err());
}

#[test]
fn paths_without_end_have_no_place() {
    let mut writer = Writer::begin(Vec::new(), &header(None)).unwrap();
    let path = |name: &str| format!("sessions/{ID}/{name}");
    writer.paths = MAX_PATHS - 2 * path("a").len();
    writer.file(&path("a"), 0, io::empty()).unwrap();
    writer.file(&path("b"), 0, io::empty()).unwrap();
    assert!(writer.file(&path("c"), 0, io::empty()).is_err());
    // By what they have in the list.
    writer.paths = MAX_PATHS - path("\u{1}").len();
    assert!(writer.file(&path("\u{1}"), 0, io::empty()).is_err());
}
