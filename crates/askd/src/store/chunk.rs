//! A chunk: some consecutive events of one run, as they lie in memory and in the store.
//!
//! In the store: a version byte, then zstd of records. A record is the length of its rest (u32, little endian), the time
//! in milliseconds (i64), the length of the event's type (u8), the type, and the event's data as JSON text. A chunk holds
//! at most [`MAX_CHUNK`] bytes of records, or exactly one larger record.

use std::cell::RefCell;

use zstd::bulk::Decompressor;
use zstd::zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd::zstd_safe::{self, CCtx, CParameter, InBuffer, OutBuffer, ResetDirective};

/// The most that the records of a chunk with more than one event may take, in bytes.
pub const MAX_CHUNK: usize = 256 * 1024;

/// The first byte of a stored chunk.
const VERSION: u8 = 1;

/// Larger records do not exist: no line of the CLI is longer than the upper end of `ASKD_MAX_LINE`, and what is added to
/// it is small.
const MAX_RECORD: usize = (1 << 30) + (1 << 20);

/// What a record takes besides type and data: its length, the time, the length of the type.
const HEAD: usize = 4 + 8 + 1;

/// The fastest level that still makes repetitive text small: the caller waits for it.
const LEVEL: i32 = -1;

/// One event of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRef<'a> {
    /// Its number in the run, from 1.
    pub seq: u64,
    /// When it happened, in milliseconds since 1970.
    pub time_ms: i64,
    /// Its type, such as `agent.result`.
    pub kind: &'a str,
    /// Its data, JSON.
    pub data: &'a str,
}

/// Where an event's text ends, and what is not text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    time_ms: i64,
    /// The end of its data in the chunk's text.
    end: u32,
    kind: u8,
}

/// A chunk that is being filled.
#[derive(Debug, Default)]
pub struct ChunkBuilder {
    first_seq: u64,
    /// Types and data, one after the other.
    text: String,
    heads: Vec<Head>,
}

impl ChunkBuilder {
    /// An empty one, whose first event will be number `first_seq`.
    pub fn new(first_seq: u64) -> Self {
        Self { first_seq, ..Self::default() }
    }

    /// Whether it holds no event yet.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Whether an event with this type and so many bytes of data still belongs here. An empty chunk takes any event.
    pub fn fits(&self, kind: &str, data_len: usize) -> bool {
        self.is_empty() || self.size() + HEAD + kind.len() + data_len <= MAX_CHUNK
    }

    /// Adds an event; it gets the next number. Of a type, the first 255 bytes are kept.
    ///
    /// # Panics
    /// When the chunk would grow beyond 4 GiB, which no limit of a line allows.
    pub fn push(&mut self, time_ms: i64, kind: &str, data: &str) {
        let kind = &kind[..kind.floor_char_boundary(usize::from(u8::MAX))];
        self.text.reserve(kind.len() + data.len());
        self.text.push_str(kind);
        self.text.push_str(data);
        let end = u32::try_from(self.text.len()).expect("a chunk is smaller than 4 GiB");
        let kind = u8::try_from(kind.len()).unwrap_or(u8::MAX);
        self.heads.push(Head { time_ms, end, kind });
    }

    /// The size of its records, in bytes.
    pub fn size(&self) -> usize {
        self.text.len() + HEAD * self.heads.len()
    }

    /// No further event is added.
    pub fn finish(mut self) -> Chunk {
        // A chunk may stay in memory for long.
        self.text.shrink_to_fit();
        self.heads.shrink_to_fit();
        Chunk { first_seq: self.first_seq, text: self.text, heads: self.heads }
    }
}

/// Consecutive events of one run.
#[derive(Debug, PartialEq, Eq)]
pub struct Chunk {
    first_seq: u64,
    text: String,
    heads: Vec<Head>,
}

impl Chunk {
    /// The number of its first event.
    pub fn first_seq(&self) -> u64 {
        self.first_seq
    }

    /// The number of its last event; an empty chunk has the one before its first.
    pub fn last_seq(&self) -> u64 {
        (self.first_seq + self.heads.len() as u64).saturating_sub(1)
    }

    /// How many events it holds.
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// The size of its records before compression, in bytes.
    pub fn size(&self) -> usize {
        self.text.len() + HEAD * self.heads.len()
    }

    /// The event at a place, from 0.
    pub fn event(&self, index: usize) -> Option<EventRef<'_>> {
        let head = self.heads.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.heads[before].end);
        let (kind, data) = self.text[start as usize..head.end as usize].split_at(head.kind.into());
        Some(EventRef { seq: self.first_seq + index as u64, time_ms: head.time_ms, kind, data })
    }

    /// The place of the event with this number.
    pub fn index_of(&self, seq: u64) -> Option<usize> {
        let index = usize::try_from(seq.checked_sub(self.first_seq)?).ok()?;
        (index < self.len()).then_some(index)
    }

    /// The events with numbers above `seq`, in order.
    pub fn events_after(&self, seq: u64) -> impl Iterator<Item = EventRef<'_>> {
        let start = (seq.saturating_add(1)).saturating_sub(self.first_seq);
        let start = usize::try_from(start).unwrap_or(usize::MAX).min(self.len());
        (start..self.len()).filter_map(|index| self.event(index))
    }

    /// The bytes to be stored.
    ///
    /// # Panics
    /// When there is no memory for the compression.
    pub fn compress(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + zstd_safe::compress_bound(self.size()));
        bytes.push(VERSION);
        COMPRESSOR.with_borrow_mut(|compressor| {
            let done = self.compress_with(compressor, &mut bytes);
            done.map_err(zstd_safe::get_error_name).expect("the buffer holds whatever zstd writes");
        });
        bytes.shrink_to_fit();
        bytes
    }

    /// Piece by piece: an event may be tens of megabytes long, and is not to be copied together first.
    fn compress_with(&self, compressor: &mut CCtx<'static>, bytes: &mut Vec<u8>) -> zstd_safe::SafeResult {
        compressor.reset(ResetDirective::SessionOnly)?;
        compressor.set_pledged_src_size(Some(self.size() as u64))?;
        let start = bytes.len();
        let mut out = OutBuffer::around_pos(bytes, start);
        let mut put = |piece: &[u8]| -> zstd_safe::SafeResult {
            let mut piece = InBuffer::around(piece);
            let mut left = 0;
            while piece.pos() < piece.src.len() {
                left = compressor.compress_stream2(&mut out, &mut piece, ZSTD_EndDirective::ZSTD_e_continue)?;
            }
            Ok(left)
        };
        for (head, event) in self.heads.iter().zip(self.events_after(0)) {
            let rest = HEAD - 4 + event.kind.len() + event.data.len();
            let mut fixed = [0; HEAD];
            fixed[..4].copy_from_slice(&u32::try_from(rest).unwrap_or(u32::MAX).to_le_bytes());
            fixed[4..12].copy_from_slice(&head.time_ms.to_le_bytes());
            fixed[12] = head.kind;
            put(&fixed)?;
            put(event.kind.as_bytes())?;
            put(event.data.as_bytes())?;
        }
        while compressor.end_stream(&mut out)? > 0 {}
        Ok(out.pos())
    }

    /// Reads what [`Chunk::compress`] wrote. It holds exactly the events from `first_seq` to `last_seq`.
    pub fn decode(first_seq: u64, last_seq: u64, bytes: &[u8]) -> Result<Self, CorruptChunk> {
        let (version, compressed) = bytes.split_first().ok_or(CorruptChunk::Malformed("it is empty"))?;
        if *version != VERSION {
            return Err(CorruptChunk::Version(*version));
        }
        let count = last_seq.checked_sub(first_seq).and_then(|more| more.checked_add(1));
        let count = count.ok_or(CorruptChunk::Malformed("its numbers run backwards"))?;
        let declared = zstd_safe::get_frame_content_size(compressed).ok().flatten();
        let declared = declared.ok_or(CorruptChunk::Malformed("its size is unknown"))?;
        let size = usize::try_from(declared).unwrap_or(usize::MAX);
        let most = if count == 1 { MAX_RECORD } else { MAX_CHUNK };
        if size > most || count > (size / HEAD) as u64 {
            return Err(CorruptChunk::Malformed("its size does not fit its events"));
        }
        let records = DECOMPRESSOR.with_borrow_mut(|decompressor| decompressor.decompress(compressed, size));
        let records = records.map_err(|_| CorruptChunk::Malformed("it cannot be decompressed"))?;
        parse(first_seq, count, &records)
    }
}

/// Takes the records apart.
fn parse(first_seq: u64, count: u64, mut records: &[u8]) -> Result<Chunk, CorruptChunk> {
    let mut chunk = ChunkBuilder::new(first_seq);
    chunk.text.reserve(records.len());
    while !records.is_empty() {
        let (event, rest) = record(records).ok_or(CorruptChunk::Malformed("a record is cut off or is no text"))?;
        chunk.push(event.time_ms, event.kind, event.data);
        records = rest;
    }
    if chunk.heads.len() as u64 != count {
        return Err(CorruptChunk::Malformed("it holds another number of events"));
    }
    Ok(chunk.finish())
}

/// The first record, and what follows.
fn record(bytes: &[u8]) -> Option<(EventRef<'_>, &[u8])> {
    let (length, bytes) = bytes.split_first_chunk::<4>()?;
    let (record, rest) = bytes.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let (time, record) = record.split_first_chunk::<8>()?;
    let (kind, record) = record.split_first()?;
    let (kind, data) = record.split_at_checked(usize::from(*kind))?;
    let time_ms = i64::from_le_bytes(*time);
    Some((EventRef { seq: 0, time_ms, kind: str::from_utf8(kind).ok()?, data: str::from_utf8(data).ok()? }, rest))
}

/// Why a stored chunk cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CorruptChunk {
    /// A later askd wrote it.
    #[error("the chunk has version {0}, and this askd reads version {VERSION} only")]
    Version(u8),
    /// It is not what was written.
    #[error("the chunk is damaged: {0}")]
    Malformed(&'static str),
}

thread_local! {
    /// Making a context costs more than compressing a small chunk with it.
    static COMPRESSOR: RefCell<CCtx<'static>> = RefCell::new(compressor());
    static DECOMPRESSOR: RefCell<Decompressor<'static>> =
        RefCell::new(Decompressor::new().expect("there is memory for zstd"));
}

fn compressor() -> CCtx<'static> {
    let mut compressor = CCtx::create();
    let set =
        [CParameter::CompressionLevel(LEVEL), CParameter::ChecksumFlag(true)].map(|it| compressor.set_parameter(it));
    assert!(set.iter().all(Result::is_ok), "zstd knows levels and checksums");
    compressor
}

#[cfg(test)]
mod tests;
