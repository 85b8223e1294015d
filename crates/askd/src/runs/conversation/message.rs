//! The first message of a run, in the form of the Messages API.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::content::media::MediaType;
use super::super::content::{Block, Source};
use super::super::shared::Shared;
use super::super::uploads::{LoadError, Loaded, load};

/// The blocks of a message, with the bytes of uploads put in; none for a prompt that is a text. How many bytes they may have
/// in all was looked at when the run was submitted.
pub(in super::super) async fn blocks(shared: &Shared, content: &[Block]) -> Result<Vec<Value>, LoadError> {
    let mut blocks = Vec::with_capacity(content.len());
    for block in content {
        let mut value = json!(block);
        if let Block::Image { source: Source::Upload { upload_id } }
        | Block::Document { source: Source::Upload { upload_id }, .. } = block
        {
            value["source"] = source(load(shared, upload_id).await?);
        }
        blocks.push(value);
    }
    Ok(blocks)
}

/// As the provider takes it: a plain text is not in base64.
fn source(upload: Loaded) -> Value {
    let Loaded { media_type, bytes } = upload;
    if media_type == MediaType::PlainText.as_str() {
        return json!({"type": "text", "media_type": media_type, "data": String::from_utf8_lossy(&bytes)});
    }
    json!({"type": "base64", "media_type": media_type, "data": STANDARD.encode(&bytes)})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_stored_in_the_form_in_which_they_are_sent() {
        let document = Block::Document {
            source: Source::Base64 { media_type: "application/pdf".to_owned(), data: "JVBERi0=".to_owned() },
            title: Some("A title".to_owned()),
            context: None,
        };
        let expected = json!({"type": "document", "title": "A title",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}});
        assert_eq!(json!(document), expected);
        assert_eq!(json!(Block::Text { text: "x".to_owned() }), json!({"type": "text", "text": "x"}));
    }

    #[test]
    fn an_upload_becomes_what_it_is() {
        let upload = |media_type: &str| Loaded { media_type: media_type.to_owned(), bytes: b"hi".to_vec() };
        let picture = json!({"type": "base64", "media_type": "image/png", "data": "aGk="});
        assert_eq!(source(upload("image/png")), picture);
        let text = json!({"type": "text", "media_type": "text/plain", "data": "hi"});
        assert_eq!(source(upload("text/plain")), text);
    }
}
