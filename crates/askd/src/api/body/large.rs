//! Bodies beyond `ASKD_MAX_BODY`: few of them are in memory at the same time, and of each key one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use axum::http::request::Parts;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::api::caller::Caller;

/// How many there may be at once.
const AT_ONCE: usize = 4;

static PLACES: Mutex<Option<Places>> = Mutex::new(None);

/// The place of a large body, until it is dropped.
#[derive(Debug)]
pub(in crate::api) struct Large {
    _place: Option<OwnedSemaphorePermit>,
    _of_key: Option<OwnedSemaphorePermit>,
}

/// Those of all keys, and of each key its own. There are as many of these as requests that hold or want one.
#[derive(Debug)]
struct Places {
    all: Arc<Semaphore>,
    keys: HashMap<String, Weak<Semaphore>>,
}

impl Large {
    /// Waits for a place. First for that of the key: who trickles one body in and sends another holds only its own up.
    pub(super) async fn of(head: &Parts) -> Self {
        let key = head.extensions.get::<Caller>().map_or("", Caller::key_id);
        let (all, of_key) = places(key);
        // They are never closed.
        let of_key = of_key.acquire_owned().await.ok();
        Self { _place: all.acquire_owned().await.ok(), _of_key: of_key }
    }
}

/// The places of all, and those of a key.
fn places(key: &str) -> (Arc<Semaphore>, Arc<Semaphore>) {
    let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
    let Places { all, keys } =
        places.get_or_insert_with(|| Places { all: Arc::new(Semaphore::new(AT_ONCE)), keys: HashMap::new() });
    keys.retain(|_, semaphore| semaphore.strong_count() > 0);
    let of_key = keys.get(key).and_then(Weak::upgrade).unwrap_or_else(|| {
        let fresh = Arc::new(Semaphore::new(1));
        keys.insert(key.to_owned(), Arc::downgrade(&fresh));
        fresh
    });
    (Arc::clone(all), of_key)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc as Shared;

    use axum::http::Request;
    use futures_util::FutureExt as _;

    use super::*;
    use crate::api::idempotency::pepper::Pepper;
    use crate::keys::{Key, KeyId};
    use crate::settings::ConfigChanges;

    fn head(key: u128) -> Parts {
        let key = Key { id: KeyId::new(uuid::Uuid::from_u128(key)), ..Key::admin() };
        let mut parts = Request::new(()).into_parts().0;
        let pepper = Pepper::of_key("");
        parts.extensions.insert(Caller::new(Shared::new(key), None, ConfigChanges::All, String::new(), pepper));
        parts
    }

    #[tokio::test]
    async fn of_each_key_one_is_in_memory_and_of_all_keys_few() {
        let first = Large::of(&head(1)).await;
        assert!(Large::of(&head(1)).now_or_never().is_none(), "the second of a key waits");
        let others: Vec<_> = (2..=4).map(|key| Large::of(&head(key)).now_or_never().unwrap()).collect();
        assert!(Large::of(&head(5)).now_or_never().is_none(), "a fifth waits");
        drop(first);
        drop(Large::of(&head(1)).now_or_never().unwrap());
        drop(others);
        drop(Large::of(&head(5)).now_or_never().unwrap());
        assert!(PLACES.lock().unwrap().as_ref().unwrap().keys.len() <= 1);
    }
}
