//! As much of HTTP/1.1 as one request with a chunked answer needs.

use std::io;

/// A longer head is none of ours.
const LONGEST_HEAD: usize = 64 << 10;

/// What a request says; the connection is used for this one only.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) key: &'a str,
    pub(crate) accept: &'a str,
    pub(crate) body: &'a str,
}

impl Request<'_> {
    /// The bytes to send.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let Self { method, path, key, accept, body } = self;
        let length = body.len();
        format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nx-api-key: {key}\r\naccept: {accept}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
        .into_bytes()
    }
}

/// Takes an answer apart as it arrives.
#[derive(Default)]
pub(crate) struct Answer {
    head: Vec<u8>,
    place: Place,
}

/// Where in the answer the next byte stands.
#[derive(Clone, Copy, Default)]
enum Place {
    #[default]
    Head,
    /// In the line with a chunk's size; the size so far, and whether it still goes on.
    Size(usize, bool),
    Data(usize),
    /// In the line break after a chunk.
    Break,
    End,
}

impl Answer {
    /// Hands over the pieces of the body that `input` holds. Any status but 200 is an error.
    pub(crate) fn take(&mut self, mut input: &[u8], mut piece: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        while !input.is_empty() {
            match self.place {
                Place::Head => input = self.take_head(input)?,
                Place::Data(left) => {
                    let (data, rest) = input.split_at(left.min(input.len()));
                    piece(data)?;
                    self.place = if data.len() == left { Place::Break } else { Place::Data(left - data.len()) };
                    input = rest;
                }
                Place::Size(size, more) => {
                    self.place = match (input[0], char::from(input[0]).to_digit(16)) {
                        (b'\n', _) if size == 0 => Place::End,
                        (b'\n', _) => Place::Data(size),
                        (_, Some(digit)) if more => Place::Size(size * 16 + digit as usize, true),
                        _ => Place::Size(size, false),
                    };
                    input = &input[1..];
                }
                Place::Break => {
                    if input[0] == b'\n' {
                        self.place = Place::Size(0, true);
                    }
                    input = &input[1..];
                }
                Place::End => return Ok(()),
            }
        }
        Ok(())
    }

    /// Whether all of it has come.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.place, Place::End)
    }

    fn take_head<'a>(&mut self, input: &'a [u8]) -> io::Result<&'a [u8]> {
        let before = self.head.len();
        self.head.extend_from_slice(input);
        let Some(end) = self.head.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            let long = self.head.len() > LONGEST_HEAD;
            return if long { Err(io::Error::other("the answer's head has no end")) } else { Ok(&[]) };
        };
        let head = String::from_utf8_lossy(&self.head[..end]).to_ascii_lowercase();
        if !head.starts_with("http/1.1 200") || !head.contains("transfer-encoding: chunked") {
            return Err(io::Error::other(format!("not a stream: {}", String::from_utf8_lossy(&self.head))));
        }
        self.place = Place::Size(0, true);
        Ok(&input[end + 4 - before..])
    }
}
