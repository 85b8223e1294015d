//! The first message of a run, in the form of the Messages API.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use super::super::content::media::MediaType;
use super::super::content::{Block, Source};
use super::super::shared::Shared;
use super::super::uploads::{LoadError, Loaded, load};
use super::room::{Kept, keep};

/// The blocks of a message in JSON, and the room in memory that is set aside for them.
#[derive(Debug)]
pub struct Message {
    pub(super) blocks: Box<RawValue>,
    pub(super) room: Kept,
}

/// Why a message could not be put together.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum MessageError {
    /// An upload is not to be had.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It could not be written down.
    #[error("it could not be written as JSON: {0}")]
    Write(#[from] io::Error),
}

/// Puts the blocks of a message together, with the bytes of uploads in them; `None` for a prompt that is a text. How many bytes
/// they may have in all was looked at when the run was submitted. Waits for room in memory, and works beside the runtime:
/// tens of megabytes take their time.
pub(in super::super) async fn message(shared: &Shared, content: Vec<Block>) -> Result<Option<Message>, MessageError> {
    if content.is_empty() {
        return Ok(None);
    }
    let mut size = 0_usize;
    for block in &content {
        size = size.saturating_add(AROUND).saturating_add(length(shared, block).await?);
    }
    // The blocks, and the line that is made of them.
    let room = keep(size.saturating_mul(2)).await;
    let mut text = Vec::with_capacity(size);
    for (place, block) in content.into_iter().enumerate() {
        let upload = match upload_of(&block) {
            Some(id) => Some(load(shared, id).await?),
            None => None,
        };
        text.push(if place == 0 { b'[' } else { b',' });
        text = aside(move || written(text, block, upload)).await?;
    }
    text.push(b']');
    let whole = move || {
        let text = String::from_utf8(text).map_err(io::Error::other)?;
        Ok(RawValue::from_string(text)?)
    };
    Ok(Some(Message { blocks: aside(whole).await?, room }))
}

async fn aside<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// What stands around the texts of a block in JSON, in bytes.
const AROUND: usize = 256;

/// How many bytes the texts of a block will have in JSON, at most. In a text without control characters but those that lay it
/// out none has more than two; of others there are few.
async fn length(shared: &Shared, block: &Block) -> Result<usize, LoadError> {
    let Some(id) = upload_of(block) else {
        return Ok(match block {
            Block::Text { text } => text.len().saturating_mul(2),
            Block::Image { source } | Block::Document { source, .. } => match source {
                Source::Base64 { data, .. } => data.len(),
                Source::Text { data, .. } => data.len().saturating_mul(2),
                Source::Upload { .. } => 0,
            },
        });
    };
    let gone = || LoadError::Gone(id.to_owned());
    let upload = shared.store.kept_upload(id).await?.ok_or_else(gone)?;
    let size = usize::try_from(upload.size).map_err(|_| gone())?;
    let is_text = upload.media_type == MediaType::PlainText.as_str();
    Ok(if is_text { size.saturating_mul(2) } else { size.div_ceil(3).saturating_mul(4) })
}

fn upload_of(block: &Block) -> Option<&str> {
    match block {
        Block::Image { source: Source::Upload { upload_id } }
        | Block::Document { source: Source::Upload { upload_id }, .. } => Some(upload_id),
        _ => None,
    }
}

/// Writes a block behind others.
fn written(mut text: Vec<u8>, mut block: Block, upload: Option<Loaded>) -> io::Result<Vec<u8>> {
    if let (Some(upload), Block::Image { source } | Block::Document { source, .. }) = (upload, &mut block) {
        *source = of_upload(upload);
    }
    serde_json::to_writer(&mut text, &block)?;
    Ok(text)
}

/// As the provider takes it: a plain text is not in base64.
fn of_upload(upload: Loaded) -> Source {
    let Loaded { media_type, bytes } = upload;
    if media_type != MediaType::PlainText.as_str() {
        return Source::Base64 { media_type, data: STANDARD.encode(bytes) };
    }
    // It was looked at when it came in.
    let data = String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    Source::Text { media_type, data }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn shown(block: Block, upload: Option<Loaded>) -> Value {
        serde_json::from_slice(&written(Vec::new(), block, upload).unwrap()).unwrap()
    }

    #[test]
    fn blocks_are_stored_in_the_form_in_which_they_are_sent() {
        let document = Block::Document {
            source: Source::Base64 { media_type: "application/pdf".to_owned(), data: "JVBERi0=".to_owned() },
            title: Some("A title".to_owned()),
            context: None,
        };
        let expected = json!({"type": "document", "title": "A title",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}});
        assert_eq!((json!(document), shown(document, None)), (expected.clone(), expected));
        let text = Block::Text { text: "x".to_owned() };
        assert_eq!(shown(text, None), json!({"type": "text", "text": "x"}));
    }

    #[test]
    fn an_upload_becomes_what_it_is() {
        let upload = |media_type: &str| Loaded { media_type: media_type.to_owned(), bytes: b"hi".to_vec() };
        let source = || Source::Upload { upload_id: "upl_1".to_owned() };
        let picture = json!({"type": "base64", "media_type": "image/png", "data": "aGk="});
        let shown_picture = shown(Block::Image { source: source() }, Some(upload("image/png")));
        assert_eq!(shown_picture, json!({"type": "image", "source": picture}));
        let text = json!({"type": "text", "media_type": "text/plain", "data": "hi"});
        let document = Block::Document { source: source(), title: None, context: None };
        assert_eq!(shown(document, Some(upload("text/plain"))), json!({"type": "document", "source": text}));
    }
}
