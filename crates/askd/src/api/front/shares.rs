//! How many requests are at work at the same time, of each key and of all: a stream goes on for hours, and whoever opens as
//! many as there are connections would keep everybody out, also the operator who wants to revoke the key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Front;
use super::shown_key::ShownKey;
use crate::api::error::ApiError;
use crate::api::error::code::ErrorCode;
use crate::app::App;
use crate::http_server::Until;
use crate::keys::KeyId;

/// Connections that no key fills with its requests. Half of them are for requests of `API_KEY`. On the others heads are read
/// and health is told: a connection without a request at work makes place for a new one. With less than four times as many
/// connections it is a quarter of them.
const RESERVE: usize = 16;

/// There may be room again at any moment.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Lets a request of a key through while the key has room for one more. It counts until its answer is taken or its client
/// leaves.
pub(in crate::api) async fn limit(
    State((app, front)): State<(Arc<App>, Arc<Front>)>,
    request: Request,
    next: Next,
) -> Response {
    let Some(ShownKey(key)) = request.extensions().get() else { return next.run(request).await };
    let share = match front.shares.take(key, front.settings.now().server.max_requests_per_key) {
        Ok(share) => share,
        Err(error) => {
            app.runs().shared().metrics.rate_limited.of(["at_once"]).inc();
            return error.into_response();
        }
    };
    if let Some(until) = request.extensions().get::<Until>() {
        until.answered(share);
    }
    next.run(request).await
}

/// What all keys have at work.
#[derive(Debug)]
pub(super) struct Shares {
    of_all: usize,
    of_admin: usize,
    taken: Mutex<Taken>,
}

/// Bounded by the connections: each has one request at work.
#[derive(Debug, Default)]
struct Taken {
    all: usize,
    reserve: usize,
    keys: HashMap<KeyId, usize>,
}

/// What a request has taken, until it is dropped.
#[derive(Debug)]
struct Share {
    shares: Arc<Shares>,
    of: Part,
}

#[derive(Debug)]
enum Part {
    /// Of what there is for all, in the name of a key.
    All(KeyId),
    /// Of what is kept for `API_KEY`.
    Reserve,
}

impl Shares {
    pub(super) fn new(connections: usize) -> Self {
        let reserve = RESERVE.min(connections / 4);
        Self { of_all: connections - reserve, of_admin: reserve / 2, taken: Mutex::default() }
    }

    /// For one more request of a key that may have so many at work.
    fn take(self: &Arc<Self>, key: &KeyId, of_each: usize) -> Result<Share, ApiError> {
        let mut taken = self.taken();
        let own = taken.keys.get(key).copied().unwrap_or_default();
        // API_KEY is the only key of many servers, and its holder could change the bound.
        if own >= of_each && !key.is_admin() {
            return Err(too_many_of_key(of_each));
        }
        let of = if taken.all < self.of_all {
            taken.all += 1;
            taken.keys.insert(key.clone(), own + 1);
            Part::All(key.clone())
        } else if key.is_admin() && taken.reserve < self.of_admin {
            taken.reserve += 1;
            Part::Reserve
        } else {
            return Err(self.too_many_of_all());
        };
        drop(taken);
        Ok(Share { shares: Arc::clone(self), of })
    }

    fn too_many_of_all(&self) -> ApiError {
        let most = self.of_all;
        let message = format!("the server has {most} requests at work, and takes no more at the same time");
        ApiError::new(ErrorCode::ServerBusy, message)
            .with_hint("try again later; the operator's limit is ASKD_MAX_CONNECTIONS")
            .with_retry_after(RETRY_AFTER)
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn too_many_of_key(most: usize) -> ApiError {
    let message = format!("the key has {most} requests at work, and may have no more at the same time");
    ApiError::new(ErrorCode::RateLimited, message)
        .with_hint("streams count as long as they are open; the operator's limit is ASKD_MAX_REQUESTS_PER_KEY")
        .with_retry_after(RETRY_AFTER)
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.shares.taken();
        match &self.of {
            Part::Reserve => taken.reserve -= 1,
            Part::All(key) => {
                taken.all -= 1;
                let left = taken.keys.get(key).map_or(0, |count| count - 1);
                if left == 0 {
                    taken.keys.remove(key);
                } else {
                    taken.keys.insert(key.clone(), left);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn key(number: u128) -> KeyId {
        KeyId::new(Uuid::from_u128(number))
    }

    /// As many as it gets.
    fn fill(shares: &Arc<Shares>, key: &KeyId) -> Vec<Share> {
        std::iter::from_fn(|| shares.take(key, 256).ok()).collect()
    }

    #[test]
    fn no_key_has_more_than_its_share_and_gets_back_what_it_gives_back() {
        let shares = Arc::new(Shares::new(1024));
        let mut first = fill(&shares, &key(1));
        assert_eq!(first.len(), 256);
        assert_eq!(shares.take(&key(1), 256).unwrap_err().v1_status(), 429);
        first.pop();
        first.push(shares.take(&key(1), 256).unwrap());
        assert!(shares.take(&key(1), 256).is_err());
        assert!(shares.take(&key(2), 256).is_ok());
    }

    #[test]
    fn many_keys_together_leave_room_for_the_operator_and_for_heads() {
        let shares = Arc::new(Shares::new(1024));
        let all: Vec<_> = (0..10).map(|number| fill(&shares, &key(number))).collect();
        assert_eq!(all.iter().map(Vec::len).sum::<usize>(), 1024 - RESERVE);
        assert_eq!(fill(&shares, &KeyId::parse("admin").unwrap()).len(), RESERVE / 2);
        drop(all);
        assert!(shares.taken().keys.is_empty(), "nothing is left behind");
        assert_eq!(fill(&shares, &KeyId::parse("admin").unwrap()).len(), 1024 - RESERVE + RESERVE / 2);
    }

    #[test]
    fn a_server_of_few_connections_keeps_a_quarter_of_them() {
        for (connections, of_all, of_admin) in [(1, 1, 0), (4, 3, 0), (8, 6, 1), (64, 48, 8), (100, 84, 8)] {
            let shares = Arc::new(Shares::new(connections));
            assert_eq!((shares.of_all, shares.of_admin), (of_all, of_admin), "{connections}");
        }
    }
}
