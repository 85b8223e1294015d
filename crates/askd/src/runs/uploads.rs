//! What a message takes from uploads: whether it is there when the run is submitted, and its bytes when the run begins.

use std::fmt;

use uuid::Uuid;

use super::content::media::MediaType;
use super::content::{Block, MAX_DOCUMENT, MAX_IMAGE, MAX_PDFS, Source};
use super::shared::Shared;
use crate::keys::Key;
use crate::store::StoreError;
use crate::store::uploads::{Needed, PART, UploadRow};

/// The id of an upload: `upl_` and a UUID of version 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UploadId(pub Uuid);

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Self::PREFIX, self.0)
    }
}

impl UploadId {
    /// What every upload's id begins with.
    pub const PREFIX: &str = "upl_";

    /// The id that is written so, in the one form in which askd writes it.
    pub fn parse(text: &str) -> Option<Self> {
        let id = Self(Uuid::try_parse(text.strip_prefix(Self::PREFIX)?).ok()?);
        (id.to_string() == text).then_some(id)
    }
}

/// Why the blocks of a message cannot be taken. The texts are for the caller, and begin with the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// An upload that is not there, is over, or belongs to another key.
    #[error("{} names no upload that this key has: {id}", self.field())]
    NoUpload {
        /// The place of its block.
        block: usize,
        /// What was named.
        id: String,
        /// Whether another key has it.
        is_of_others: bool,
    },
    /// An upload of a type that its block cannot have.
    #[error("{} names an upload of the type {media_type}, which a block of the type {kind} cannot have", self.field())]
    Type {
        /// The place of its block.
        block: usize,
        /// The type of the upload.
        media_type: String,
        /// The type of the block.
        kind: &'static str,
    },
    /// More of one kind than a block or a message may have, wherever it is.
    #[error("{field} has more than {most} {what}, the most that are allowed")]
    TooMuch {
        /// The field at fault.
        field: String,
        /// What there may not be more of.
        what: &'static str,
        /// How much there may be.
        most: usize,
    },
    /// More bytes than one message may have.
    #[error("{} has {bytes} bytes of pictures and documents, uploads among them; at most {most} are allowed (ASKD_MAX_CONTENT)", self.field())]
    TooLarge {
        /// How many it has.
        bytes: u64,
        /// How many it may have.
        most: u64,
    },
}

impl ContentError {
    /// The field at fault.
    pub fn field(&self) -> String {
        match self {
            Self::NoUpload { block, .. } | Self::Type { block, .. } => format!("content[{block}].source.upload_id"),
            Self::TooMuch { field, .. } => field.clone(),
            Self::TooLarge { .. } => "content".to_owned(),
        }
    }

    fn of_upload(block: usize, what: &'static str, most: usize) -> Self {
        Self::TooMuch { field: format!("content[{block}].source.upload_id"), what, most }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoUpload { .. } => {
                "GET /v1/uploads lists those that there are; one that has expired is to be sent again"
            }
            Self::Type { .. } => "an image block takes pictures, a document block application/pdf and text/plain",
            Self::TooMuch { .. } | Self::TooLarge { .. } => "send less in one message, or smaller pictures",
        }
    }
}

/// Looks whether a message may have these blocks. What it needs is looked at once more in the commit that stores its run:
/// until then an upload may go. `Ok(Err(_))`: it may not.
pub(super) async fn check(
    shared: &Shared,
    key: &Key,
    content: &[Block],
) -> Result<Result<Needed, ContentError>, StoreError> {
    let now = shared.ambient.now().as_millisecond();
    let (mut bytes, mut pdf_bytes, most) = (0_u64, 0_u64, shared.settings.now().uploads.max_content);
    let mut texts = Vec::new();
    let mut needed = Needed { ids: Vec::new(), key_id: (!key.sees_all()).then(|| key.id.to_string()) };
    for (block, part) in content.iter().enumerate() {
        let (Block::Image { source } | Block::Document { source, .. }) = part else { continue };
        let (media, size) = match source {
            Source::Base64 { media_type, data } => (MediaType::from_word(media_type), decoded(data)),
            Source::Text { data, .. } => (Some(MediaType::PlainText), data.len() as u64),
            Source::Upload { upload_id } => match usable(shared, key, block, upload_id, now).await? {
                Ok(upload) if fits(part, &upload) => {
                    let (media, size) = (MediaType::from_word(&upload.media_type), upload.size);
                    if media.is_some_and(MediaType::is_image) && size > MAX_IMAGE as u64 {
                        return Ok(Err(ContentError::of_upload(block, "bytes", MAX_IMAGE)));
                    }
                    needed.ids.push(upload.id.clone());
                    texts.extend((media == Some(MediaType::PlainText)).then_some((block, upload)));
                    (media, size)
                }
                Ok(upload) => {
                    let kind = if matches!(part, Block::Image { .. }) { "image" } else { "document" };
                    return Ok(Err(ContentError::Type { block, media_type: upload.media_type, kind }));
                }
                Err(error) => return Ok(Err(error)),
            },
        };
        bytes = bytes.saturating_add(size);
        if media == Some(MediaType::Pdf) {
            pdf_bytes = pdf_bytes.saturating_add(size);
        }
    }
    if bytes > most {
        return Ok(Err(ContentError::TooLarge { bytes, most }));
    }
    if pdf_bytes > MAX_PDFS as u64 {
        let (field, what) = ("content".to_owned(), "bytes of PDF");
        return Ok(Err(ContentError::TooMuch { field, what, most: MAX_PDFS }));
    }
    for (block, text) in texts {
        if is_too_long(shared, &text).await? {
            return Ok(Err(ContentError::of_upload(block, "characters", MAX_DOCUMENT)));
        }
    }
    Ok(Ok(needed))
}

/// Whether a text has more characters than a document may. A character has up to four bytes, so that few texts need to be
/// read for that, and those only that a message may have by their bytes.
async fn is_too_long(shared: &Shared, text: &UploadRow) -> Result<bool, StoreError> {
    let most = MAX_DOCUMENT as u64;
    if text.size <= most || text.size > 4 * most {
        return Ok(text.size > most);
    }
    let mut characters = 0;
    for part in 0..text.size.div_ceil(PART as u64) {
        // The commit that stores the run finds out if it is gone.
        let bytes = shared.store.upload_part(&text.id, part).await?.unwrap_or_default();
        // All bytes of a character but the first begin with these bits.
        characters += bytes.iter().filter(|byte| *byte & 0b1100_0000 != 0b1000_0000).count();
    }
    Ok(characters > MAX_DOCUMENT)
}

/// The place of an upload among the blocks of a message.
pub(super) fn place(content: &[Block], id: &str) -> usize {
    let names = |block: &Block| {
        matches!(block, Block::Image { source: Source::Upload { upload_id } }
            | Block::Document { source: Source::Upload { upload_id }, .. } if upload_id == id)
    };
    content.iter().position(names).unwrap_or_default()
}

async fn usable(
    shared: &Shared,
    key: &Key,
    block: usize,
    id: &str,
    now: i64,
) -> Result<Result<UploadRow, ContentError>, StoreError> {
    let found = shared.store.upload(id, now).await?;
    let is_of_others = found.as_ref().is_some_and(|upload| !key.sees(&upload.key_id));
    let none = || ContentError::NoUpload { block, id: id.to_owned(), is_of_others };
    Ok(found.filter(|_| !is_of_others).ok_or_else(none))
}

/// How many bytes a text in base64 stands for.
fn decoded(data: &str) -> u64 {
    let padding = data.bytes().rev().take(2).filter(|byte| *byte == b'=').count();
    ((data.len() - padding) as u64).saturating_mul(3) / 4
}

fn fits(block: &Block, upload: &UploadRow) -> bool {
    match MediaType::from_word(&upload.media_type) {
        Some(media) => media.is_image() == matches!(block, Block::Image { .. }),
        None => false,
    }
}

/// An upload in memory.
pub(super) struct Loaded {
    /// Of what type its bytes are.
    pub(super) media_type: String,
    /// All of them.
    pub(super) bytes: Vec<u8>,
}

/// Why an upload could not be brought into memory.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    /// It is not there, or not all of it.
    #[error("the upload {0} is not there any more")]
    Gone(String),
    /// The store does not give it.
    #[error("an upload could not be read: {0}")]
    Store(#[from] StoreError),
}

/// The bytes of an upload that a run refers to. There are at most `ASKD_MAX_CONTENT` of them in all uploads of a run
/// together: that was looked at when it was submitted.
pub(super) async fn load(shared: &Shared, upload_id: &str) -> Result<Loaded, LoadError> {
    let gone = || LoadError::Gone(upload_id.to_owned());
    let upload = shared.store.kept_upload(upload_id).await?.ok_or_else(gone)?;
    let size = usize::try_from(upload.size).map_err(|_| gone())?;
    let mut bytes = Vec::with_capacity(size);
    for part in 0.. {
        if bytes.len() >= size {
            break;
        }
        bytes.extend(shared.store.upload_part(upload_id, part).await?.ok_or_else(gone)?);
    }
    Ok(Loaded { media_type: upload.media_type, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_form() {
        let id = UploadId(Uuid::from_u128(7));
        assert_eq!(UploadId::parse(&id.to_string()), Some(id));
        for wrong in ["", "upl_", "upl_7", &format!("run_{}", id.0), &id.to_string().replace('0', "A")] {
            assert_eq!(UploadId::parse(wrong), None, "{wrong}");
        }
        assert_eq!(UploadId::parse(&format!("upl_{}", id.0.simple())), None);
    }

    #[test]
    fn bytes_in_base64_are_counted_without_their_padding() {
        for (data, bytes) in [("", 0), ("QQ==", 1), ("QUI=", 2), ("QUJD", 3), ("QUJDRA==", 4)] {
            assert_eq!(decoded(data), bytes, "{data}");
        }
    }

    #[test]
    fn an_upload_is_found_among_the_blocks() {
        let upload = |id: &str| Source::Upload { upload_id: id.to_owned() };
        let content = [
            Block::Text { text: "upl_2".to_owned() },
            Block::Image { source: upload("upl_1") },
            Block::Document { source: upload("upl_2"), title: None, context: None },
        ];
        assert_eq!((place(&content, "upl_1"), place(&content, "upl_2")), (1, 2));
    }
}
