//! What bytes are that are no archive of the kind that was said: the usual mistakes, each with what to do.

use super::Format;

/// How a file begins that is packed once more, and what unpacks it.
const COMPRESSED: [(&[u8], &str, &str); 4] = [
    (b"\x1f\x8b", "gzip", "gunzip it first"),
    (b"BZh", "bzip2", "bunzip2 it first"),
    (b"\xfd7zXZ\0", "xz", "unxz it first"),
    (b"\x28\xb5\x2f\xfd", "zstd", "unzstd it first"),
];

/// Where a tar says that it is one, and how.
const USTAR: (usize, &[u8]) = (257, b"ustar");

/// Why these bytes are not taken apart at all; `None` when they may be what was said.
pub(super) fn mistake(format: Format, bytes: &[u8]) -> Option<String> {
    const SEND: &str = "send the file as it is, e.g. curl --data-binary @config.tar";
    if bytes.is_empty() {
        return Some(format!("the body is empty; hint: {SEND}"));
    }
    if let Some((_, name, what)) = COMPRESSED.iter().find(|(magic, ..)| bytes.starts_with(magic)) {
        return Some(format!("this is {name}; hint: {what}"));
    }
    let is_zip = bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06");
    let is_tar = bytes.get(USTAR.0..).is_some_and(|rest| rest.starts_with(USTAR.1));
    match format {
        Format::Tar if is_zip => {
            Some("this is a zip and was sent as a tar; hint: send it with content-type: application/zip".into())
        }
        Format::Zip if is_tar => {
            Some("this is a tar and was sent as a zip; hint: send it with content-type: application/x-tar".into())
        }
        // A form begins with its boundary.
        _ if bytes.starts_with(b"--") => Some(format!("this is a form with a file in it; hint: {SEND}")),
        _ => None,
    }
}

/// Whether a file or folder was put there by a file manager, not by a person: macOS and Windows leave these everywhere.
pub(super) fn is_junk(path: &str) -> bool {
    path.split('/').any(|part| matches!(part, ".DS_Store" | "__MACOSX" | "Thumbs.db") || part.starts_with("._"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_mistakes_are_told_with_what_to_do() {
        let mut tar = vec![0; 512];
        tar[USTAR.0..][..5].copy_from_slice(USTAR.1);
        for (format, bytes, part) in [
            (Format::Tar, &b""[..], "the body is empty"),
            (Format::Tar, b"\x1f\x8b\x08", "gunzip it first"),
            (Format::Zip, b"\xfd7zXZ\0", "this is xz"),
            (Format::Tar, b"PK\x03\x04", "application/zip"),
            (Format::Zip, &tar, "application/x-tar"),
            (Format::Tar, b"--------------------------9051914041544843", "--data-binary"),
            (Format::Zip, b"--x", "--data-binary"),
        ] {
            let told = mistake(format, bytes).unwrap();
            assert!(told.contains(part), "{told}");
        }
        assert_eq!((mistake(Format::Tar, &tar), mistake(Format::Zip, b"PK\x05\x06")), (None, None));
    }

    #[test]
    fn what_file_managers_leave_is_junk() {
        for path in [".DS_Store", "__MACOSX/agents/._a.md", "skills/a/._x", "skills/a/Thumbs.db"] {
            assert!(is_junk(path), "{path}");
        }
        assert!(!is_junk("skills/a/_x") && !is_junk("skills/a/.env"));
    }
}
