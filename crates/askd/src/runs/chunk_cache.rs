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

impl ChunkCache {
    /// A chunk of a run, read if it is not here. `first` is its first number, where the reader knows it. It is kept by that
    /// number, so that all readers of a chunk share one, wherever in it they are.
    async fn get(
        &self,
        run: RunId,
        first: Option<u64>,
        read: impl Future<Output = Result<Arc<Chunk>, FollowError>>,
    ) -> Result<Arc<Chunk>, FollowError> {
        let Some(first) = first else {
            // Somebody comes in the middle of a run.
            let chunk = read.await?;
            return self.0.get_or_insert_async(&(run, chunk.first_seq()), async { Ok(chunk) }).await;
        };
        self.0.get_or_insert_async(&(run, first), read).await
    }
}

impl Runs {
    /// The chunk that holds event `seq`, which is in the store; `first` is the chunk's first number, if it is known.
    pub(super) async fn chunk_with(&self, run: RunId, seq: u64, first: Option<u64>) -> Result<Arc<Chunk>, FollowError> {
        let store = &self.shared().store;
        let read = async {
            let chunk = store.chunk_with(&run.to_string(), seq).await?;
            chunk.map(Arc::new).ok_or(FollowError::Expired)
        };
        self.chunks().get(run, first, read).await
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::store::chunk::ChunkBuilder;

    #[tokio::test]
    async fn readers_of_one_chunk_share_it_wherever_they_are() {
        let cache = ChunkCache::default();
        let run = RunId(Uuid::nil());
        let read = async {
            let mut chunk = ChunkBuilder::new(7);
            chunk.push(0, "agent.user", "{}");
            Ok(Arc::new(chunk.finish()))
        };
        let unread = async { unreachable!("it is here already") };
        let in_the_middle = cache.get(run, None, read).await.unwrap();
        let along = cache.get(run, Some(7), unread).await.unwrap();
        assert!(Arc::ptr_eq(&in_the_middle, &along));
    }
}
