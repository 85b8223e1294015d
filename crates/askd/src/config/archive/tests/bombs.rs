//! What is small and becomes large, or takes long.

use super::by_hand::{ZipEntry, tar, tar_entry, zip};
use super::*;

static ZEROS: [u8; 1 << 20] = [0; 1 << 20];

#[test]
fn a_file_that_unpacks_to_more_than_it_says_is_not_unpacked_further() {
    let honest = ZipEntry::deflated(b"skills/s/x", &[&ZEROS[..], &ZEROS].concat());
    let (sum, packed, _) = honest.sizes;
    for size in [2 << 20, 4, 0] {
        let entry = ZipEntry {
            data: honest.data.clone(),
            method: 8,
            sizes: (sum, packed, size),
            ..ZipEntry::stored(b"skills/s/x", b"")
        };
        let text = refusal(Format::Zip, &zip(&[entry]));
        assert!(text.starts_with("skills/s/x: it "), "{text}");
    }
}

#[test]
fn many_small_files_that_become_large_ones_end_at_the_bound() {
    let entries: Vec<_> =
        (0..60).map(|n| ZipEntry::deflated(format!("skills/s{}/x{n}", n / 8).as_bytes(), &ZEROS)).collect();
    let bytes = zip(&entries);
    assert!(bytes.len() < 100_000);
    let text = refusal(Format::Zip, &bytes);
    assert!(text.contains("unpacks to more than 50331648 bytes"), "{text}");
}

#[test]
fn the_number_of_entries_is_bounded() {
    let names: Vec<_> = (0..=MAX_ENTRIES).map(|n| format!("agents/a{n}.md").into_bytes()).collect();
    let bytes = zip(&names.iter().map(|name| ZipEntry::stored(name, b"")).collect::<Vec<_>>());
    assert!(refusal(Format::Zip, &bytes).contains("more than 5000 entries"));
    let limits = Limits { documents: 10_000, ..LIMITS };
    let bytes = tar(&names.iter().map(|name| tar_entry(b'0', name, b"")).collect::<Vec<_>>());
    let error = read(Format::Tar, &Scope::User, &bytes, &limits).unwrap_err();
    assert!(matches!(error, ArchiveError::TooLarge(_)), "{error}");
    let folders = tar(&vec![tar_entry(b'5', b"agents/", b""); MAX_ENTRIES + 1]);
    assert!(refusal(Format::Tar, &folders).contains("more than 5000 entries"));
}
