//! How much of messages is in memory at once, over all runs. A message with documents is tens of megabytes, from when it is
//! put together until the CLI has read it.

use tokio::sync::{Semaphore, SemaphorePermit};

/// What room is counted in, in bytes.
const UNIT: usize = 64 << 10;

/// Of all runs. One with as much as `ASKD_MAX_CONTENT` allows by default has a third of it: what is larger waits for its turn.
static ROOM: Room = Room::new(256 << 20);

/// Room for messages, in bytes.
#[derive(Debug)]
struct Room {
    free: Semaphore,
    units: u32,
}

/// Room that was set aside, until this is dropped.
#[derive(Debug)]
pub(in super::super) struct Kept {
    _permit: SemaphorePermit<'static>,
}

/// Sets room aside, and waits until there is some. Those who have it have ended by their deadlines, at the latest.
pub(super) async fn keep(bytes: usize) -> Kept {
    ROOM.keep(bytes).await
}

impl Room {
    const fn new(bytes: usize) -> Self {
        let units = bytes / UNIT;
        #[expect(clippy::cast_possible_truncation, reason = "a server has fewer than 2^48 bytes for messages")]
        Self { free: Semaphore::const_new(units), units: units as u32 }
    }

    /// What is larger than all room has it alone.
    async fn keep(&'static self, bytes: usize) -> Kept {
        let wanted = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).min(self.units);
        let permit = self.free.acquire_many(wanted).await;
        // Nobody closes it.
        Kept { _permit: permit.expect("the semaphore is never closed") }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn messages_wait_until_there_is_room_and_the_largest_has_it_alone() {
        static ROOM: Room = Room::new(10 * UNIT);
        let (small, large) = (ROOM.keep(1).await, ROOM.keep(8 * UNIT).await);
        assert!(ROOM.keep(UNIT + 1).now_or_never().is_none(), "one unit is free");
        drop(ROOM.keep(UNIT).now_or_never().unwrap());
        drop(large);
        assert!(ROOM.keep(usize::MAX).now_or_never().is_none(), "one is still in memory");
        drop(small);
        let all = ROOM.keep(usize::MAX).now_or_never().unwrap();
        assert!(ROOM.keep(1).now_or_never().is_none());
        assert!(ROOM.keep(0).now_or_never().is_some(), "a text of a few bytes needs none");
        drop(all);
    }
}
