//! The types of pictures and documents that a model takes, and how their bytes begin.

/// A type that a block of a message, or an upload, may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaType {
    /// A picture.
    Png,
    /// A picture.
    Jpeg,
    /// A picture.
    Gif,
    /// A picture.
    Webp,
    /// A document.
    Pdf,
    /// A document without any form, in UTF-8.
    PlainText,
}

impl MediaType {
    /// All types.
    pub const ALL: [Self; 6] = [Self::Png, Self::Jpeg, Self::Gif, Self::Webp, Self::Pdf, Self::PlainText];

    /// How many first bytes [`Self::begins`] looks at.
    pub const BEGINNING: usize = 12;

    /// Its name, e.g. `image/png`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
            Self::Pdf => "application/pdf",
            Self::PlainText => "text/plain",
        }
    }

    /// The type of this name, which is written in lower case and without parameters.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|media| media.as_str() == word)
    }

    /// Whether it is a picture.
    pub fn is_image(self) -> bool {
        matches!(self, Self::Png | Self::Jpeg | Self::Gif | Self::Webp)
    }

    /// Whether bytes that begin like this can be of this type. The provider refuses what is not, and by then the run has
    /// begun. Of a text nothing is said: it has no beginning of its own.
    pub fn begins(self, bytes: &[u8]) -> bool {
        match self {
            Self::Png => bytes.starts_with(b"\x89PNG\r\n\x1a\n"),
            Self::Jpeg => bytes.starts_with(b"\xff\xd8\xff"),
            Self::Gif => bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a"),
            Self::Webp => bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP".as_slice()),
            Self::Pdf => bytes.starts_with(b"%PDF-"),
            Self::PlainText => true,
        }
    }

    /// How many first bytes [`Self::has_size`] looks at, and at least [`Self::BEGINNING`]. In a JPEG much may stand before the
    /// size, such as a colour profile; in the others it has its place.
    pub fn head(self) -> usize {
        match self {
            Self::Jpeg => 1 << 20,
            Self::Png | Self::Gif | Self::Webp => 32,
            Self::Pdf | Self::PlainText => Self::BEGINNING,
        }
    }

    /// Whether bytes of this type, all of them or the first [`Self::head`], say how wide and high the picture is. The CLI takes
    /// a picture out of the message that it cannot read, and says nothing of it (checked). Of what is no picture nothing is
    /// said.
    pub fn has_size(self, bytes: &[u8]) -> bool {
        if !self.is_image() {
            return true;
        }
        match imagesize::blob_size(bytes) {
            Ok(size) => size.width > 0 && size.height > 0,
            // It may stand further back.
            Err(_) => self == Self::Jpeg && bytes.len() >= self.head(),
        }
    }

    /// Whether a plain text may have this byte. Of control characters only those that lay a text out: the others would be six
    /// bytes each in the message, and say that this is no text.
    pub fn is_of_text(byte: u8) -> bool {
        byte >= b' ' || matches!(byte, b'\t' | b'\n' | b'\r' | b'\x0c')
    }

    /// The type that bytes which begin like this have; `None`: none that is known.
    pub fn of_beginning(bytes: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|media| *media != Self::PlainText && media.begins(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_found_by_its_name() {
        for media in MediaType::ALL {
            assert_eq!(MediaType::from_word(media.as_str()), Some(media));
            assert_eq!(media.is_image(), media.as_str().starts_with("image/"));
        }
        assert_eq!(MediaType::from_word("image/svg+xml"), None);
        assert_eq!(MediaType::from_word("IMAGE/PNG"), None);
    }

    #[test]
    fn a_type_is_known_by_its_first_bytes() {
        for (bytes, media) in [
            (&b"\x89PNG\r\n\x1a\n\0\0\0\r"[..], Some(MediaType::Png)),
            (b"\xff\xd8\xff\xe0", Some(MediaType::Jpeg)),
            (b"GIF87a", Some(MediaType::Gif)),
            (b"GIF89a", Some(MediaType::Gif)),
            (b"RIFF\0\0\0\0WEBPVP8 ", Some(MediaType::Webp)),
            (b"RIFF\0\0\0\0WAVE", None),
            (b"RIFF", None),
            (b"%PDF-1.7", Some(MediaType::Pdf)),
            (b"plain", None),
            (b"", None),
        ] {
            assert_eq!(MediaType::of_beginning(bytes), media, "{bytes:?}");
            assert!(MediaType::PlainText.begins(bytes));
            if let Some(media) = media {
                assert!(media.begins(&bytes[..bytes.len().min(MediaType::BEGINNING)]));
            }
        }
    }

    #[test]
    fn a_picture_says_how_large_it_is() {
        let whole = [
            (MediaType::Png, &b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x02\0\0\0\x01\x08"[..]),
            (MediaType::Jpeg, b"\xff\xd8\xff\xe0\0\x04ab\xff\xc0\0\x11\x08\0\x01\0\x02\x03"),
            (MediaType::Gif, b"GIF89a\x01\0\x01\0\0\0\0"),
            (MediaType::Webp, b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\0\0\0\x10"),
        ];
        for (media, bytes) in whole {
            assert!(media.has_size(bytes), "{media:?}");
            assert!(!media.has_size(&bytes[..9.min(bytes.len())]), "{media:?} that ends early");
            let damaged = [&bytes[..4], &[0; 100]].concat();
            assert!(!media.has_size(&damaged), "{media:?} of zeros");
        }
        assert!(!MediaType::Png.has_size(&[b"\x89PNG\r\n\x1a\n".as_slice(), &[0; 100]].concat()));
        let profile = [b"\xff\xe2\xff\xff".as_slice(), &vec![0; 0xffff - 2]].concat().repeat(17);
        let late = [b"\xff\xd8".as_slice(), &profile].concat();
        assert!(MediaType::Jpeg.has_size(&late[..MediaType::Jpeg.head()]), "it may come later");
        assert!(!MediaType::Jpeg.has_size(&late[..1_000]), "it does not come");
        assert!(MediaType::Pdf.has_size(b"") && MediaType::PlainText.has_size(b""));
    }
}
