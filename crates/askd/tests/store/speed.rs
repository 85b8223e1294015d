//! How fast it is: printed, and held to bounds that only a blunder misses. For figures: `cargo test --release -p askd
//! --test store speed -- --nocapture`.

use std::time::{Duration, Instant};

use askd::store::append::{Append, Appended};
use askd::store::chunk::{Chunk, ChunkBuilder, MAX_CHUNK};

use crate::both_engines;
use crate::place::{Place, append, submitted};

both_engines! {
    one_run_writes_a_lot,
    one_event_is_stored_in_a_moment,
}

#[expect(clippy::print_stdout, reason = "figures for whoever asks for them")]
async fn one_run_writes_a_lot(place: Place) {
    const CHUNKS: u64 = 512;
    /// As many as wait when one run fills `ASKD_PENDING_BYTES`.
    const AT_ONCE: u64 = 8;
    let store = place.open().await;
    submitted(&store, "run_1").await;
    let (mut seq, mut bytes, mut packing) = (2, 0, Duration::ZERO);
    let started = Instant::now();
    for _ in 0..CHUNKS / AT_ONCE {
        let mut append = Append { run_id: "run_1".into(), epoch: 1, ..Append::default() };
        let packed = Instant::now();
        for _ in 0..AT_ONCE {
            let chunk = full_chunk(seq);
            seq = chunk.last_seq() + 1;
            append.log_bytes += chunk.size() as u64;
            append.chunks.push((chunk.first_seq(), chunk.last_seq(), chunk.compress()));
        }
        packing += packed.elapsed();
        bytes += append.log_bytes;
        assert_eq!(store.write_patiently(append).await, Ok(Appended::Stored));
    }
    let (took, megabytes) = (started.elapsed(), f64::from(u32::try_from(bytes / 1000).unwrap()) / 1e3);
    let rate = |time: Duration| megabytes / time.as_secs_f64();
    let alone = rate(took.saturating_sub(packing));
    println!("{megabytes:.0} MB: {:.0} MB/s, of which the store alone {:.0} MB/s", rate(took), alone);
    assert!(alone > 0.2, "the store takes {alone:.1} MB/s");
    store.close().await;
}

/// Lines as the CLI writes them: alike, and each a little different.
fn full_chunk(first: u64) -> Chunk {
    let mut chunk = ChunkBuilder::new(first);
    for seq in first.. {
        let data = format!(
            "{{\"type\":\"assistant\",\"message\":{{\"id\":\"msg_{seq}\",\"content\":[{{\"type\":\"text\",\"text\":\"line \
             {seq} of a text that says ordinary things in ordinary words, {} times over\"}}]}},\"uuid\":\"{:032x}\"}}",
            seq * 7919 % 1000,
            u128::from(seq).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835),
        );
        if !chunk.fits("agent.assistant", data.len()) {
            break;
        }
        chunk.push(0, "agent.assistant", &data);
    }
    let chunk = chunk.finish();
    assert!(chunk.size() <= MAX_CHUNK);
    chunk
}

#[expect(clippy::print_stdout, reason = "figures for whoever asks for them")]
async fn one_event_is_stored_in_a_moment(place: Place) {
    const EVENTS: u64 = 300;
    let store = place.open().await;
    submitted(&store, "run_1").await;
    let mut times = Vec::new();
    for seq in 2..2 + EVENTS {
        let started = Instant::now();
        assert_eq!(store.write_patiently(append("run_1", seq, seq)).await, Ok(Appended::Stored));
        times.push(started.elapsed());
    }
    times.sort();
    let (quick, median, slow) = (times[times.len() / 10], times[times.len() / 2], times[times.len() * 99 / 100]);
    println!("one event: median {median:?}, 99 of 100 within {slow:?}");
    // Other work on the machine makes some of them slow, and a blunder all.
    assert!(quick < Duration::from_millis(500), "{quick:?}");
    store.close().await;
}
