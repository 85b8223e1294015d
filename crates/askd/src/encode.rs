//! Events and runs on their way to a client: pure functions from what is stored to bytes.

pub mod ask_stream;
pub mod events;
pub mod fold;
mod options;
pub mod run;
pub mod time;
pub mod types;
pub mod usage;

/// Text as one line: line ends become blanks. In a JSON message they stand between tokens only, and the framer has cut at
/// newlines already; a lone CR would end a line of a stream.
fn push_line(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    if memchr::memchr2(b'\r', b'\n', bytes).is_some() {
        out.extend(bytes.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }));
    } else {
        out.extend_from_slice(bytes);
    }
}
