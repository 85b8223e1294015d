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

/// How much is done to make a chunk small: the caller waits for it. It is zstd in every case, and read alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// zstd's first ordinary level.
    Most,
    /// Its fastest level that still makes ordinary text much smaller, to about a third.
    Less,
    /// A tenth of the time: ordinary text stays as large as it is.
    Least,
}

impl Effort {
    /// zstd's level.
    fn level(self) -> i32 {
        match self {
            Self::Most => 1,
            Self::Less => -1,
            Self::Least => -500,
        }
    }
}

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

    /// Takes memory for a full chunk at once.
    pub fn expect_full(&mut self) {
        self.text.reserve(MAX_CHUNK);
    }

    /// No further event is added.
    pub fn finish(mut self) -> Chunk {
        // A chunk may stay in memory for long. A little too much is left alone: the holes would fit nothing.
        if self.text.capacity() > self.text.len() + self.text.len() / 8 {
            self.text.shrink_to_fit();
        }
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

    /// The event with this number.
    pub fn event_with(&self, seq: u64) -> Option<EventRef<'_>> {
        self.event(self.index_of(seq)?)
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

    /// About how many bytes the events after `after` up to `last` have, types included.
    pub fn size_of_part(&self, after: u64, last: u64) -> usize {
        let end = |seq| self.index_of(seq).map_or(0, |index| self.heads[index].end as usize);
        end(last).saturating_sub(end(after))
    }

    /// The number of the last event of the part that begins after `seq` and has about `most` bytes, or one event.
    pub fn end_of_part(&self, seq: u64, most: usize) -> u64 {
        let start = usize::try_from((seq + 1).saturating_sub(self.first_seq)).unwrap_or(usize::MAX).min(self.len());
        let before = start.checked_sub(1).map_or(0, |last| self.heads[last].end as usize);
        let count = self.heads[start..].partition_point(|head| head.end as usize - before <= most);
        (self.first_seq + (start + count.max(1)) as u64 - 1).min(self.last_seq())
    }

    /// The bytes to be stored, made small with [`Effort::Less`].
    pub fn compress(&self) -> Vec<u8> {
        self.compress_with(Effort::Less)
    }

    /// The bytes to be stored.
    ///
    /// # Panics
    /// When there is no memory for the compression.
    pub fn compress_with(&self, effort: Effort) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + zstd_safe::compress_bound(self.size()));
        bytes.push(VERSION);
        COMPRESSOR.with_borrow_mut(|compressor| {
            let done = self.write_compressed(compressor, effort, &mut bytes);
            done.map_err(zstd_safe::get_error_name).expect("the buffer holds whatever zstd writes");
        });
        if bytes.capacity() > bytes.len() + bytes.len() / 8 {
            bytes.shrink_to_fit();
        }
        bytes
    }

    /// Piece by piece: an event may be tens of megabytes long, and is not to be copied together first.
    fn write_compressed(
        &self,
        compressor: &mut CCtx<'static>,
        effort: Effort,
        bytes: &mut Vec<u8>,
    ) -> zstd_safe::SafeResult {
        compressor.reset(ResetDirective::SessionOnly)?;
        compressor.set_parameter(CParameter::CompressionLevel(effort.level()))?;
        compressor.set_pledged_src_size(Some(self.size() as u64))?;
        let start = bytes.len();
        let mut out = OutBuffer::around_pos(bytes, start);
        if self.size() <= MAX_CHUNK {
            // In one piece zstd needs no copy of its own, and no call for each event.
            return RECORDS.with_borrow_mut(|records| {
                records.clear();
                self.write_records(records);
                let mut input = InBuffer::around(records);
                compressor.compress_stream2(&mut out, &mut input, ZSTD_EndDirective::ZSTD_e_end)
            });
        }
        let mut put = |piece: &[u8]| -> zstd_safe::SafeResult {
            let mut piece = InBuffer::around(piece);
            let mut left = 0;
            while piece.pos() < piece.src.len() {
                left = compressor.compress_stream2(&mut out, &mut piece, ZSTD_EndDirective::ZSTD_e_continue)?;
            }
            Ok(left)
        };
        for event in self.events_after(0) {
            put(&record_head(&event))?;
            put(event.kind.as_bytes())?;
            put(event.data.as_bytes())?;
        }
        while compressor.end_stream(&mut out)? > 0 {}
        Ok(out.pos())
    }

    fn write_records(&self, out: &mut Vec<u8>) {
        for event in self.events_after(0) {
            out.extend_from_slice(&record_head(&event));
            out.extend_from_slice(event.kind.as_bytes());
            out.extend_from_slice(event.data.as_bytes());
        }
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

/// What stands before an event's type and data.
fn record_head(event: &EventRef<'_>) -> [u8; HEAD] {
    let rest = HEAD - 4 + event.kind.len() + event.data.len();
    let mut head = [0; HEAD];
    head[..4].copy_from_slice(&u32::try_from(rest).unwrap_or(u32::MAX).to_le_bytes());
    head[4..12].copy_from_slice(&event.time_ms.to_le_bytes());
    head[12] = u8::try_from(event.kind.len()).unwrap_or(u8::MAX);
    head
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
    /// The records of a chunk on their way into zstd; never more than [`MAX_CHUNK`].
    static RECORDS: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static DECOMPRESSOR: RefCell<Decompressor<'static>> =
        RefCell::new(Decompressor::new().expect("there is memory for zstd"));
}

fn compressor() -> CCtx<'static> {
    let mut compressor = CCtx::create();
    compressor.set_parameter(CParameter::ChecksumFlag(true)).expect("zstd knows checksums");
    compressor
}

#[cfg(test)]
mod tests;
