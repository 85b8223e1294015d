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
}
