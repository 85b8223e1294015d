//! What is stored is read again, and nothing else is.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn filled(first_seq: u64, events: &[(i64, String, String)]) -> Chunk {
    let mut builder = ChunkBuilder::new(first_seq);
    for (time, kind, data) in events {
        builder.push(*time, kind, data);
    }
    builder.finish()
}

fn two_events() -> Chunk {
    filled(5, &[(1, "run.queued".into(), "{}".into()), (-2, "agent.assistant".into(), "{\"ü\":1}".into())])
}

#[test]
fn events_are_found_by_place_and_by_number() {
    let chunk = two_events();
    assert_eq!((chunk.first_seq(), chunk.last_seq(), chunk.len()), (5, 6, 2));
    let second = EventRef { seq: 6, time_ms: -2, kind: "agent.assistant", data: "{\"ü\":1}" };
    assert_eq!(chunk.event(1), Some(second));
    assert_eq!(chunk.event(2), None);
    assert_eq!([4, 5, 6, 7].map(|seq| chunk.index_of(seq)), [None, Some(0), Some(1), None]);
    let after = |seq| chunk.events_after(seq).map(|event| event.seq).collect::<Vec<_>>();
    assert_eq!((after(0), after(4), after(5), after(6)), (vec![5, 6], vec![5, 6], vec![6], vec![]));
    assert_eq!(after(u64::MAX), [0; 0]);
}

#[test]
fn a_chunk_is_full_at_its_limit_and_an_empty_one_takes_any_event() {
    let mut builder = ChunkBuilder::new(1);
    assert!(builder.is_empty() && builder.fits("kind", 10 * MAX_CHUNK));
    builder.push(0, "kind", "data");
    let room = MAX_CHUNK - builder.size() - HEAD - "kind".len();
    assert!(builder.fits("kind", room) && !builder.fits("kind", room + 1));
    builder.push(0, "kind", &"x".repeat(room));
    assert_eq!(builder.size(), MAX_CHUNK);
    let chunk = builder.finish();
    assert_eq!(Chunk::decode(1, 2, &chunk.compress()), Ok(chunk));
}

#[test]
fn one_large_event_makes_a_chunk_of_its_own() {
    let chunk = filled(9, &[(0, "agent.user".into(), "long ".repeat(1 << 20))]);
    let stored = chunk.compress();
    assert!(stored.len() < 4096, "repetitive text becomes small: {}", stored.len());
    assert_eq!(Chunk::decode(9, 9, &stored), Ok(chunk));
}

#[test]
fn whatever_the_effort_it_is_read_alike() {
    for size in [1, MAX_CHUNK / 2, MAX_CHUNK + 1] {
        let chunk = filled(1, &[(7, "agent.user".into(), "long ".repeat(size / 5)), (8, "x".into(), "{}".into())]);
        for effort in [Effort::Most, Effort::Less, Effort::Least] {
            let stored = chunk.compress_with(effort);
            let read = parse(1, 2, &zstd::bulk::decompress(&stored[1..], 1 << 20).unwrap());
            assert_eq!(read.as_ref(), Ok(&chunk));
        }
    }
}

#[test]
fn a_part_has_about_so_many_bytes_or_one_event() {
    let chunk = filled(5, &["a", "b", "c"].map(|kind| (0, kind.to_owned(), "x".repeat(99))));
    let parts = [(0, 250), (4, 250), (5, 100), (5, 1), (6, 0), (7, 1000)];
    assert_eq!(parts.map(|(after, most)| chunk.end_of_part(after, most)), [6, 6, 6, 6, 7, 7]);
    assert_eq!((chunk.size_of_part(0, 7), chunk.size_of_part(5, 6)), (300, 100));
}

#[test]
fn a_later_version_is_refused_by_name() {
    let mut stored = two_events().compress();
    stored[0] = 2;
    let error = Chunk::decode(5, 6, &stored).unwrap_err();
    assert_eq!(error.to_string(), "the chunk has version 2, and this askd reads version 1 only");
}

#[test]
fn a_size_that_cannot_be_is_refused_before_memory_is_taken() {
    for (declared, last) in [(u64::MAX / 4, 1), (MAX_RECORD as u64 + 1, 1), (MAX_CHUNK as u64 + 1, 2)] {
        // A frame of one segment with a content size of eight bytes.
        let mut stored = vec![VERSION, 0x28, 0xb5, 0x2f, 0xfd, 0xe0];
        stored.extend_from_slice(&declared.to_le_bytes());
        let refused = CorruptChunk::Malformed("its size does not fit its events");
        assert_eq!(Chunk::decode(1, last, &stored), Err(refused));
    }
    assert!(Chunk::decode(1, u64::MAX, &two_events().compress()).is_err());
    assert!(Chunk::decode(0, u64::MAX, &two_events().compress()).is_err());
}

#[test]
fn a_type_that_is_too_long_is_cut_between_characters() {
    let chunk = filled(1, &[(0, "ü".repeat(200), "{}".into())]);
    assert_eq!(chunk.event(0).unwrap().kind, "ü".repeat(127));
    assert_eq!(chunk.event(0).unwrap().data, "{}");
}

proptest! {
    #[test]
    fn what_is_stored_is_read_again(
        first in 1..u64::MAX / 2,
        events in vec((any::<i64>(), "[a-z._]{0,20}", "\\PC{0,200}"), 1..50),
    ) {
        let chunk = filled(first, &events);
        prop_assert_eq!(chunk.size(), events.iter().map(|(_, kind, data)| HEAD + kind.len() + data.len()).sum::<usize>());
        let read = Chunk::decode(first, chunk.last_seq(), &chunk.compress());
        prop_assert_eq!(read.as_ref(), Ok(&chunk));
        prop_assert!(Chunk::decode(first, chunk.last_seq() + 1, &chunk.compress()).is_err());
    }

    #[test]
    fn damage_is_noticed(at in any::<prop::sample::Index>(), bit in 0..8_u8, cut in any::<prop::sample::Index>()) {
        let chunk = two_events();
        let mut stored = chunk.compress();
        prop_assert!(Chunk::decode(5, 6, &stored[..cut.index(stored.len())]).is_err());
        let at = at.index(stored.len());
        stored[at] ^= 1 << bit;
        // A bit that means nothing may flip; what is read is what was written.
        if let Ok(read) = Chunk::decode(5, 6, &stored) {
            prop_assert_eq!(read, chunk);
        }
    }

    #[test]
    fn whatever_lies_in_the_store_reading_it_ends(bytes in vec(any::<u8>(), 0..300), last in any::<u64>()) {
        let _ = Chunk::decode(1, last, &bytes);
        let mut stored = vec![VERSION];
        stored.extend(zstd::bulk::compress(&bytes, 1).unwrap());
        let _ = Chunk::decode(1, last, &stored);
    }
}
