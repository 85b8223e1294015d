//! Whether bytes can be what they are said to be, piece by piece as they come.

use crate::runs::content::media::MediaType;

/// What was seen of an upload so far.
#[derive(Debug)]
pub(super) struct Spelling {
    media_type: MediaType,
    /// Its first bytes, until there are enough of them.
    beginning: Vec<u8>,
    is_begun: bool,
    /// Of a text: the bytes of a character that is not complete.
    rest: Vec<u8>,
}

impl Spelling {
    pub(super) fn new(media_type: MediaType) -> Self {
        Self { media_type, beginning: Vec::new(), is_begun: false, rest: Vec::new() }
    }

    /// Looks at the next bytes; what is wrong follows "the upload".
    pub(super) fn take(&mut self, piece: &[u8]) -> Result<(), String> {
        if !self.is_begun {
            let missing = MediaType::BEGINNING - self.beginning.len();
            self.beginning.extend_from_slice(&piece[..missing.min(piece.len())]);
            if self.beginning.len() == MediaType::BEGINNING {
                self.begin()?;
            }
        }
        if self.media_type == MediaType::PlainText { self.text(piece) } else { Ok(()) }
    }

    /// Nothing more comes.
    pub(super) fn end(&mut self) -> Result<(), String> {
        if self.beginning.is_empty() {
            return Err("is empty".to_owned());
        }
        if !self.rest.is_empty() {
            return Err("is no text in UTF-8: it ends in the middle of a character".to_owned());
        }
        if self.is_begun { Ok(()) } else { self.begin() }
    }

    fn begin(&mut self) -> Result<(), String> {
        self.is_begun = true;
        if self.media_type.begins(&self.beginning) {
            return Ok(());
        }
        let said = self.media_type.as_str();
        Err(match MediaType::of_beginning(&self.beginning) {
            Some(found) => format!("is said to be {said}, and begins like {}", found.as_str()),
            None => format!("is said to be {said}, and does not begin like it"),
        })
    }

    fn text(&mut self, piece: &[u8]) -> Result<(), String> {
        if memchr::memchr(0, piece).is_some() {
            // As UTF-16 has it in every second byte.
            return Err("is no text in UTF-8: it holds the character NUL".to_owned());
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
            (MediaType::Png, &b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR and so on"[..]),
            (MediaType::Jpeg, b"\xff\xd8\xff\xe0"),
            (MediaType::Webp, b"RIFF\0\0\0\0WEBPVP8 "),
            (MediaType::Pdf, b"%PDF-1.7 and so on"),
            (MediaType::PlainText, "x".as_bytes()),
            (MediaType::PlainText, "grüße, 世界 🦀 and so on".as_bytes()),
        ] {
            for pieces in 1..=bytes.len() {
                assert_eq!(look(media_type, bytes, pieces), Ok(()), "{media_type:?} in pieces of {pieces}");
            }
        }
    }

    #[test]
    fn what_is_not_is_refused_with_the_reason() {
        for (media_type, bytes, why) in [
            (MediaType::Png, &b""[..], "is empty"),
            (MediaType::Png, b"GIF89a and so on", "is said to be image/png, and begins like image/gif"),
            (MediaType::Png, b"\x89PNG", "is said to be image/png, and does not begin like it"),
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
