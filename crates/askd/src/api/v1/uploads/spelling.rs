//! Whether bytes can be what they are said to be, piece by piece as they come.

use crate::runs::content::media::MediaType;

/// What was seen of an upload so far.
#[derive(Debug)]
pub(super) struct Spelling {
    media_type: MediaType,
    /// Its first bytes, until they were looked at.
    head: Vec<u8>,
    /// What was looked at.
    seen: Seen,
    /// Of a text: the bytes of a character that is not complete.
    rest: Vec<u8>,
}

/// How far its first bytes were looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nothing,
    Beginning,
    Head,
}

impl Spelling {
    pub(super) fn new(media_type: MediaType) -> Self {
        Self { media_type, head: Vec::new(), seen: Seen::Nothing, rest: Vec::new() }
    }

    /// Looks at the next bytes; what is wrong follows "the upload".
    pub(super) fn take(&mut self, piece: &[u8]) -> Result<(), String> {
        if self.seen != Seen::Head {
            let missing = self.media_type.head().saturating_sub(self.head.len());
            self.head.extend_from_slice(&piece[..missing.min(piece.len())]);
            self.look(MediaType::BEGINNING, self.media_type.head())?;
        }
        if self.media_type == MediaType::PlainText { self.text(piece) } else { Ok(()) }
    }

    /// Nothing more comes.
    pub(super) fn end(&mut self) -> Result<(), String> {
        if self.seen == Seen::Nothing && self.head.is_empty() {
            return Err("is empty".to_owned());
        }
        if !self.rest.is_empty() {
            return Err("is no text in UTF-8: it ends in the middle of a character".to_owned());
        }
        self.look(0, 0)
    }

    /// Looks at the first bytes as soon as there are so many of them.
    fn look(&mut self, beginning: usize, head: usize) -> Result<(), String> {
        if self.seen == Seen::Nothing && self.head.len() >= beginning {
            self.begin()?;
            self.seen = Seen::Beginning;
        }
        if self.seen == Seen::Beginning && self.head.len() >= head {
            if !self.media_type.has_size(&self.head) {
                let why = "does not say how large the picture is: it is damaged, or not all of it is there";
                return Err(why.to_owned());
            }
            self.seen = Seen::Head;
            self.head = Vec::new();
        }
        Ok(())
    }

    fn begin(&self) -> Result<(), String> {
        if self.media_type.begins(&self.head) {
            return Ok(());
        }
        let said = self.media_type.as_str();
        Err(match MediaType::of_beginning(&self.head) {
            Some(found) => format!("is said to be {said}, and begins like {}", found.as_str()),
            None => format!("is said to be {said}, and does not begin like it"),
        })
    }

    fn text(&mut self, piece: &[u8]) -> Result<(), String> {
        if memchr::memchr(0, piece).is_some() {
            // As UTF-16 has it in every second byte.
            return Err("is no text in UTF-8: it holds the character NUL".to_owned());
        }
        if let Some(byte) = piece.iter().find(|byte| !MediaType::is_of_text(**byte)) {
            let what = "of these a text has tabs, line ends and form feeds only";
            return Err(format!("is no plain text: it holds the control character U+{byte:04X}; {what}"));
        }
        let joined;
        let bytes = if self.rest.is_empty() {
            piece
        } else {
            joined = [self.rest.as_slice(), piece].concat();
            joined.as_slice()
        };
        match str::from_utf8(bytes) {
            Ok(_) => self.rest = Vec::new(),
            Err(error) if error.error_len().is_none() => self.rest = bytes[error.valid_up_to()..].to_vec(),
            Err(_) => return Err("is no text in UTF-8".to_owned()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends it in pieces of so many bytes.
    fn look(media_type: MediaType, bytes: &[u8], pieces: usize) -> Result<(), String> {
        let mut spelling = Spelling::new(media_type);
        bytes.chunks(pieces).try_for_each(|piece| spelling.take(piece))?;
        spelling.end()
    }

    #[test]
    fn what_is_what_it_is_said_to_be_passes_in_pieces_of_any_size() {
        for (media_type, bytes) in [
            (MediaType::Png, &b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01 and so on, and on"[..]),
            (MediaType::Jpeg, b"\xff\xd8\xff\xe0\0\x04ab\xff\xc0\0\x11\x08\0\x01\0\x01"),
            (MediaType::Webp, b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f\0\0\0\0"),
            (MediaType::Pdf, b"%PDF-1.7 and so on"),
            (MediaType::PlainText, "x".as_bytes()),
            (MediaType::PlainText, "grüße,\r\n\t世界 🦀 and so on\u{c}".as_bytes()),
        ] {
            for pieces in 1..=bytes.len() {
                assert_eq!(look(media_type, bytes, pieces), Ok(()), "{media_type:?} in pieces of {pieces}");
            }
        }
    }

    #[test]
    fn what_is_not_is_refused_with_the_reason() {
        const NO_SIZE: &str = "does not say how large the picture is";
        for (media_type, bytes, why) in [
            (MediaType::Png, &b""[..], "is empty"),
            (MediaType::Png, b"GIF89a and so on", "is said to be image/png, and begins like image/gif"),
            (MediaType::Png, b"\x89PNG", "is said to be image/png, and does not begin like it"),
            (MediaType::Png, b"\x89PNG\r\n\x1a\n\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", NO_SIZE),
            (MediaType::Gif, b"GIF89a\x01\0", NO_SIZE),
            (MediaType::Jpeg, b"\xff\xd8\xff\0\0\0\0\0\0\0\0\0\0\0\0\0", NO_SIZE),
            (MediaType::PlainText, b"a\x1b[1mb", "is no plain text: it holds the control character U+001B"),
            (MediaType::Pdf, b"<html> and so on", "is said to be application/pdf, and does not begin like it"),
            (MediaType::PlainText, b"\xff\xfeh\0i\0", "is no text in UTF-8"),
            (MediaType::PlainText, b"h\0i\0", "is no text in UTF-8: it holds the character NUL"),
            (MediaType::PlainText, b"caf\xe9 au lait", "is no text in UTF-8"),
            (MediaType::PlainText, b"caf\xc3", "is no text in UTF-8: it ends in the middle of a character"),
        ] {
            for pieces in 1..=bytes.len().max(1) {
                let found = look(media_type, bytes, pieces).unwrap_err();
                assert!(found.starts_with(why) || why.starts_with(&found), "{media_type:?} in {pieces}: {found}");
            }
        }
    }
}
