//! What a message of the user says, when that is more than one text: blocks, as in the Messages API.

use serde::{Deserialize, Serialize};

pub mod media;

/// A picture, decoded, in bytes. The CLI makes a large one smaller before it sends it (25 MB was: checked).
pub const MAX_IMAGE: usize = 20 << 20;

/// All PDFs of a message, decoded, in bytes: in base64 they are a third larger, and the provider takes no request of more
/// than 32 MB.
pub const MAX_PDFS: usize = 23_000_000;

/// A plain text that is a document, in characters: what fits into the largest context window, and no more.
pub const MAX_DOCUMENT: usize = 1_000_000;

/// One block of a message. Stored as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Block {
    /// A text.
    Text {
        /// It.
        text: String,
    },
    /// A picture.
    Image {
        /// Where it is.
        source: Source,
    },
    /// A PDF or a plain text.
    Document {
        /// Where it is.
        source: Source,
        /// What it is called.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        /// What the model is told of it, and cannot quote.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        context: Option<String>,
    },
}

/// Where the bytes of a block are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Source {
    /// Here.
    Base64 {
        /// `image/png`, …
        media_type: String,
        /// In base64.
        data: String,
    },
    /// Here, as plain text.
    Text {
        /// `text/plain`.
        media_type: String,
        /// The text.
        data: String,
    },
    /// In an upload of the same key.
    Upload {
        /// `upl_…`
        upload_id: String,
    },
}
