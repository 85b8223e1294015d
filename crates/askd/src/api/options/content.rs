//! A message in blocks: texts, pictures and documents, in the form of the Messages API.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use super::super::error::ApiError;
use super::super::fields::Fields;
use super::spot::{Object, Spot, shown};
use super::{MAX_TEXT, fits, message};
use crate::runs::content::media::MediaType;
use crate::runs::content::{Block, MAX_DOCUMENT, MAX_IMAGE, MAX_PDFS, Source};
use crate::runs::uploads::UploadId;

/// Blocks of one message: the pictures and documents, and as many texts around them.
pub(in crate::api) const MAX_BLOCKS: usize = 50;

/// Pictures and documents of one message. With more than 20 pictures the provider bounds the size of each to less.
pub(in crate::api) const MAX_ATTACHED: usize = 20;

/// The title of a document, in characters: what the provider takes.
pub(in crate::api) const MAX_TITLE: usize = 500;

/// What the blocks of a message may be.
#[derive(Debug)]
pub(in crate::api) struct Taken {
    documents: bool,
    uploads: bool,
}

/// The message that begins a run.
pub(in crate::api) static PROMPTS: Taken = Taken { documents: true, uploads: true };

/// A further message. Of one that comes while a turn is under way the CLI keeps texts and pictures, and loses documents
/// (checked).
pub(in crate::api) static INPUTS: Taken = Taken { documents: false, uploads: false };

/// What a message says: a text in one field, or blocks in `content`.
pub(in crate::api) fn said(
    fields: &mut Fields,
    text: &'static str,
    taken: &'static Taken,
) -> Result<(String, Vec<Block>), ApiError> {
    const FIELD: &str = "content";
    let Some(blocks) = fields.list(FIELD)? else { return Ok((message(fields, text)?, Vec::new())) };
    let spot = Spot::of(fields, FIELD);
    if fields.string(text)?.is_some() {
        let other = fields.name(text);
        return Err(spot.wrong(format_args!("cannot be given together with {other}: give one of them")));
    }
    if blocks.is_empty() {
        return Err(spot.wrong("must not be empty"));
    }
    spot.at_most(MAX_BLOCKS, blocks.len(), "blocks")?;
    let mut sums = Sums { taken, characters: 0, attached: 0, pdf_bytes: 0 };
    let blocks = blocks.into_iter().enumerate().map(|(index, block)| sums.block(spot.item(index), block));
    let blocks = blocks.collect::<Result<Vec<_>, _>>()?;
    spot.at_most(MAX_TEXT, sums.characters, "characters in its texts")?;
    spot.at_most(MAX_ATTACHED, sums.attached, "images and documents")?;
    spot.at_most(MAX_PDFS, sums.pdf_bytes, "bytes of PDF")?;
    Ok((String::new(), blocks))
}

/// What all blocks together come to.
#[derive(Debug)]
struct Sums {
    taken: &'static Taken,
    characters: usize,
    attached: usize,
    pdf_bytes: usize,
}

impl Sums {
    fn block(&mut self, spot: Spot, block: Value) -> Result<Block, ApiError> {
        let mut block = spot.object(block)?;
        let (at, kind) = block.need_text("type")?;
        let read = match kind.as_str() {
            "text" => {
                let (at, text) = block.need_text("text")?;
                self.add_text(&at, &text)?;
                Block::Text { text }
            }
            "image" => Block::Image { source: self.source(&mut block, true)? },
            "document" if !self.taken.documents => {
                let what = "is not taken here: the CLI loses documents in the middle of a run; give it to a new run";
                return Err(at.wrong(format_args!("`{kind}` {what} with session_id")));
            }
            "document" => {
                let source = self.source(&mut block, false)?;
                let title = block.text("title")?;
                if let Some((at, title)) = &title {
                    fits(title, MAX_TITLE).map_err(|what| at.wrong(what))?;
                }
                let context = block.text("context")?;
                for (at, text) in title.iter().chain(&context) {
                    self.add_text(at, text)?;
                }
                Block::Document { source, title: title.map(|(_, text)| text), context: context.map(|(_, text)| text) }
            }
            _ => return Err(at.wrong("must be one of text, image, document")),
        };
        block.finish()?;
        Ok(read)
    }

    /// The provider refuses texts of blanks alone.
    fn add_text(&mut self, at: &Spot, text: &str) -> Result<(), ApiError> {
        if text.trim().is_empty() {
            return Err(at.wrong("must not be empty"));
        }
        self.characters += text.chars().count();
        Ok(())
    }

    fn source(&mut self, block: &mut Object, is_image: bool) -> Result<Source, ApiError> {
        let (spot, source) = block.need("source")?;
        let mut source = spot.object(source)?;
        let (at, kind) = source.need_text("type")?;
        self.attached += 1;
        let read = match kind.as_str() {
            "base64" => self.base64(&mut source, is_image)?,
            "text" if !is_image => text(&mut source)?,
            "upload" if self.taken.uploads => upload(&mut source)?,
            "url" | "file" => {
                let hint = "send the bytes as base64, or to POST /v1/uploads first";
                return Err(at.wrong(format_args!("`{kind}` is not taken: {hint}")));
            }
            _ if !self.taken.uploads => return Err(at.wrong("must be base64")),
            _ if is_image => return Err(at.wrong("must be one of base64, upload")),
            _ => return Err(at.wrong("must be one of base64, text, upload")),
        };
        source.finish()?;
        Ok(read)
    }

    fn base64(&mut self, source: &mut Object, is_image: bool) -> Result<Source, ApiError> {
        let (at, media_type) = source.need_text("media_type")?;
        let media = MediaType::from_word(&media_type);
        let media = match (media, is_image) {
            (Some(media), true) if media.is_image() => media,
            (Some(MediaType::Pdf), false) => MediaType::Pdf,
            (Some(MediaType::PlainText), false) => {
                return Err(at.wrong("text/plain is not sent as base64: its source has the type `text`"));
            }
            (_, true) => {
                let images = MediaType::ALL.into_iter().filter(|media| media.is_image()).map(MediaType::as_str);
                let images = images.collect::<Vec<_>>().join(", ");
                return Err(at.wrong(format_args!("must be one of {images} for an image")));
            }
            (_, false) => return Err(at.wrong("must be application/pdf for a document")),
        };
        let (at, data) = source.need_text("data")?;
        let decoded = decoded(&at, &data)?;
        if !media.begins(&decoded.beginning) {
            let seems =
                MediaType::of_beginning(&decoded.beginning).map(|seems| format!("; it seems to be {}", seems.as_str()));
            let seems = seems.unwrap_or_default();
            return Err(at.wrong(format_args!("does not begin as {media_type} does{seems}")));
        }
        if is_image {
            at.at_most(MAX_IMAGE, decoded.len, "bytes")?;
            if !media.has_size(&head(&data, media.head())) {
                return Err(at.wrong("does not say how large the picture is: it is damaged, or not all of it is there"));
            }
        } else {
            self.pdf_bytes += decoded.len;
        }
        Ok(Source::Base64 { media_type, data })
    }
}

/// What is looked at of bytes in base64.
struct Decoded {
    beginning: Vec<u8>,
    /// How many there are.
    len: usize,
}

/// What is decoded at a time, in characters: a multiple of four.
const PIECE: usize = 4 << 10;

/// The provider takes padded base64 of the usual alphabet and nothing else. It is looked at piece by piece, and no second
/// copy of it is made: that takes no longer than the JSON around it took to read.
fn decoded(at: &Spot, data: &str) -> Result<Decoded, ApiError> {
    if data.is_empty() {
        return Err(at.wrong("must not be empty"));
    }
    if data.starts_with("data:") {
        return Err(at.wrong("must be base64 alone, without `data:…;base64,` before it"));
    }
    let wrong =
        || at.wrong("is not base64: A-Z, a-z, 0-9, `+` and `/`, with `=` at the end, without blanks and line ends");
    let mut decoded = Decoded { beginning: Vec::new(), len: 0 };
    let mut pieces = data.as_bytes().chunks(PIECE).peekable();
    let mut room = [0; PIECE];
    while let Some(piece) = pieces.next() {
        let len = BASE64_STANDARD.decode_slice(piece, &mut room).map_err(|_| wrong())?;
        // Padding in the middle.
        if pieces.peek().is_some() && len < PIECE / 4 * 3 {
            return Err(wrong());
        }
        if decoded.len == 0 {
            decoded.beginning = room[..len.min(MediaType::BEGINNING)].to_vec();
        }
        decoded.len += len;
    }
    Ok(decoded)
}

/// The first bytes, of base64 that was looked at.
fn head(data: &str, bytes: usize) -> Vec<u8> {
    let end = data.len().min(bytes.div_ceil(3) * 4);
    BASE64_STANDARD.decode(&data[..end]).unwrap_or_default()
}

fn text(source: &mut Object) -> Result<Source, ApiError> {
    let (at, media_type) = source.need_text("media_type")?;
    if media_type != MediaType::PlainText.as_str() {
        return Err(at.wrong("must be text/plain for a source of the type `text`"));
    }
    let (at, data) = source.need_text("data")?;
    if data.trim().is_empty() {
        return Err(at.wrong("must not be empty"));
    }
    fits(&data, MAX_DOCUMENT).map_err(|what| at.wrong(what))?;
    if let Some(byte) = data.bytes().find(|byte| !MediaType::is_of_text(*byte)) {
        let what = "has the control character";
        return Err(
            at.wrong(format_args!("{what} U+{byte:04X}; of these a text has tabs, line ends and form feeds only"))
        );
    }
    Ok(Source::Text { media_type, data })
}

/// Whether it is there is seen when the run is taken in.
fn upload(source: &mut Object) -> Result<Source, ApiError> {
    let (at, upload_id) = source.need_text("upload_id")?;
    if UploadId::parse(&upload_id).is_none() {
        let shown = shown(&upload_id);
        return Err(at.wrong(format_args!("`{shown}` is not the id of an upload: it begins with upl_")));
    }
    Ok(Source::Upload { upload_id })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::dialect::RUNS;

    #[test]
    fn base64_is_looked_at_in_pieces_as_it_would_be_in_one() {
        let fields = Fields::new(serde_json::Map::new(), &RUNS, false).unwrap();
        let at = |data: &str| decoded(&Spot::of(&fields, "content"), data);
        for len in [1, 2, 3, 11, 12, 13, 3071, 3072, 3073, 3074, 9215, 9216, 9217] {
            let bytes: Vec<u8> = (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let decoded = at(&BASE64_STANDARD.encode(&bytes)).unwrap();
            assert_eq!((decoded.len, decoded.beginning.as_slice()), (len, &bytes[..len.min(12)]), "{len} bytes");
        }
        let padded_in_the_middle = format!("{}QQ==QUJD", "QUJD".repeat(PIECE / 4 - 1));
        let whole = "QUJD".repeat(PIECE / 4);
        for wrong in [&padded_in_the_middle, &format!("{whole}Q"), &format!("{whole}QQ"), &format!("{whole}QQ=")] {
            assert!(BASE64_STANDARD.decode(wrong).is_err() && at(wrong).is_err(), "{wrong}");
        }
    }
}
