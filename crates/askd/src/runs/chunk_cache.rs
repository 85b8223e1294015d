//! Chunks that were read from the store: many readers of one run mostly want the same one.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::RunId;
use super::follow::FollowError;
use super::submit::Runs;
use crate::store::chunk::Chunk;

/// All cached chunks together, in bytes. A bound on what readers cost, however many they are: they hold no chunk of
/// their own for longer than it takes to copy from it.
const CAPACITY: u64 = 8 << 20;
/// Chunks are hardly ever smaller when somebody reads behind the ring.
const EXPECTED: usize = 64;

/// See the module.
#[derive(Debug)]
pub(super) struct ChunkCache(Cache<(RunId, u64), Arc<Chunk>, Size>);

#[derive(Debug, Clone)]
struct Size;

impl Weighter<(RunId, u64), Arc<Chunk>> for Size {
    fn weight(&self, _: &(RunId, u64), chunk: &Arc<Chunk>) -> u64 {
        chunk.size() as u64
    }
}

impl Default for ChunkCache {
    fn default() -> Self {
        Self(Cache::with_weighter(EXPECTED, CAPACITY, Size))
    }
}

impl Runs {
    /// The chunk that holds event `seq`, which is in the store.
    pub(super) async fn chunk_with(&self, run: RunId, seq: u64) -> Result<Arc<Chunk>, FollowError> {
        let store = &self.shared().store;
        let read = async {
            let chunk = store.chunk_with(&run.to_string(), seq).await?;
            chunk.map(Arc::new).ok_or(FollowError::Expired)
        };
        // By the wanted number: readers that go along a run together ask for the same ones.
        self.chunks().0.get_or_insert_async(&(run, seq), read).await
    }
}
