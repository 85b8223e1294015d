//! How many requests a minute each key may send, in groups of routes.
//!
//! GCRA: a key may send all of its requests at once, and gets them back one by one, evenly over the minute. Counted
//! are requests with a right key, before their body is read, whatever becomes of them.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use jiff::SignedDuration;
use quick_cache::sync::Cache;

use super::Front;
use super::shown_key::ShownKey;
use crate::api::error::body::Surface;
use crate::api::error::code::ErrorCode;
use crate::api::error::{ApiError, whole_seconds};
use crate::app::App;
use crate::encode::time::rfc3339;
use crate::keys::KeyId;
use crate::settings::network;

/// Keys that are counted at the same time, in each group: more than there may be ([`crate::keys::manager::MOST`]).
const COUNTED: usize = 65_536;

/// The window of every limit, in seconds.
const WINDOW: u64 = 60;

/// draft-ietf-httpapi-ratelimit-headers.
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// Below `/v1`, what clients of the Messages API know.
const V1_LIMIT: HeaderName = HeaderName::from_static("anthropic-ratelimit-requests-limit");
const V1_REMAINING: HeaderName = HeaderName::from_static("anthropic-ratelimit-requests-remaining");
const V1_RESET: HeaderName = HeaderName::from_static("anthropic-ratelimit-requests-reset");

/// Counts a request and says what is left; refuses it when nothing is.
pub(in crate::api) async fn limit(
    State((app, front)): State<(Arc<App>, Arc<Front>)>,
    request: Request,
    next: Next,
) -> Response {
    let (group, surface) = (Group::of(request.method(), request.uri().path()), Surface::of(request.uri().path()));
    let counted = group
        .zip(request.extensions().get())
        .and_then(|(group, ShownKey(id))| front.rates.count(&front.settings.now().network.rates, group, id));
    let Some(count) = counted else { return next.run(request).await };
    let mut response = match count.refused {
        None => next.run(request).await,
        Some(wait) => {
            app.runs().shared().metrics.rate_limited.of([count.group.as_str()]).inc();
            count.refusal(wait).into_response()
        }
    };
    let headers = response.headers_mut();
    count.tell(headers);
    if surface == Surface::V1 {
        let reset = app.runs().shared().ambient.now() + SignedDuration::from_secs(i64::from(count.reset()));
        count.tell_v1(headers, &rfc3339(reset.as_millisecond()));
    }
    response
}

/// Routes that are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Group {
    Ask,
    Config,
    Runs,
    V1,
}

impl Group {
    fn of(method: &Method, path: &str) -> Option<Self> {
        let below =
            |folder: &str| path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if path == "/ask" {
            Some(Self::Ask)
        } else if below("/config") || below("/v1/config") {
            Some(Self::Config)
        } else if matches!(path, "/v1/runs" | "/v1/uploads") && method == Method::POST {
            Some(Self::Runs)
        } else {
            below("/v1").then_some(Self::V1)
        }
    }

    /// The name of its policy; an interface.
    fn as_str(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::Config => "config",
            Self::Runs => "runs",
            Self::V1 => "v1",
        }
    }

    fn setting(self) -> &'static str {
        match self {
            Self::Ask => "ASKD_RATE_ASK",
            Self::Config => "ASKD_RATE_CONFIG",
            Self::Runs => "ASKD_RATE_RUNS",
            Self::V1 => "ASKD_RATE_V1",
        }
    }
}

type Limiter<C> = RateLimiter<NotKeyed, InMemoryState, C, StateInformationMiddleware>;

/// What the keys have sent.
#[derive(Debug)]
pub(super) struct Rates<C: Clock = DefaultClock> {
    clock: C,
    /// By the quota as well: another one begins anew.
    limiters: Cache<(Group, KeyId, NonZeroU32), Arc<Limiter<C>>>,
}

impl Rates {
    pub(super) fn new() -> Self {
        Self::with_clock(DefaultClock::default())
    }
}

impl<C: Clock + Clone> Rates<C> {
    fn with_clock(clock: C) -> Self {
        Self { clock, limiters: Cache::new(COUNTED) }
    }

    /// Counts a request; `None`: its group has no limit.
    fn count(&self, quotas: &network::Rates, group: Group, key: &KeyId) -> Option<Count> {
        let quota = match group {
            Group::Ask => quotas.ask,
            Group::Config => quotas.config,
            Group::Runs => quotas.runs,
            Group::V1 => quotas.v1,
        }?;
        let fresh = || {
            let limiter = RateLimiter::direct_with_clock(Quota::per_minute(quota), self.clock.clone());
            Ok::<_, std::convert::Infallible>(Arc::new(limiter.with_middleware()))
        };
        let Ok(limiter) = self.limiters.get_or_insert_with(&(group, key.clone(), quota), fresh);
        let count = Count { group, quota: quota.get(), remaining: 0, refused: None };
        Some(match limiter.check() {
            Ok(state) => Count { remaining: state.remaining_burst_capacity(), ..count },
            Err(until) => Count { refused: Some(until.wait_time_from(self.clock.now())), ..count },
        })
    }
}

/// A request that was counted.
#[derive(Debug, PartialEq, Eq)]
struct Count {
    group: Group,
    /// Requests a minute.
    quota: u32,
    /// Requests that could be sent at once now.
    remaining: u32,
    /// It is one too many; after so long there is room for one.
    refused: Option<Duration>,
}

impl Count {
    /// The effective window: for so many seconds there is no more than what remains, and then for one request more. A
    /// refusal says the same as `Retry-After`.
    fn window(&self) -> u64 {
        match self.refused {
            Some(wait) => whole_seconds(wait),
            None => WINDOW.div_ceil(u64::from(self.quota)),
        }
    }

    /// In how many seconds all of the quota is there again, if no further request comes.
    fn reset(&self) -> u32 {
        let used = u64::from(self.quota - self.remaining.min(self.quota));
        let seconds = (used * WINDOW).div_ceil(u64::from(self.quota));
        u32::try_from(seconds).unwrap_or(u32::MAX)
    }

    fn refusal(&self, wait: Duration) -> ApiError {
        let Self { group, quota, .. } = self;
        let message = format!("the key may send {quota} requests a minute here, and has sent them");
        let hint = format!("wait as long as Retry-After says; the operator's limit is {}", group.setting());
        ApiError::new(ErrorCode::RateLimited, message).with_hint(hint).with_retry_after(wait)
    }

    fn tell(&self, headers: &mut HeaderMap) {
        let (name, quota) = (self.group.as_str(), self.quota);
        let (remaining, window) = (self.remaining, self.window());
        put(headers, POLICY, &format!("\"{name}\";q={quota};w={WINDOW}"));
        put(headers, LIMIT, &format!("\"{name}\";r={remaining};t={window}"));
    }

    fn tell_v1(&self, headers: &mut HeaderMap, reset: &str) {
        put(headers, V1_LIMIT, &self.quota.to_string());
        put(headers, V1_REMAINING, &self.remaining.to_string());
        put(headers, V1_RESET, reset);
    }
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;
    use uuid::Uuid;

    use super::*;

    struct Kept {
        rates: Rates<FakeRelativeClock>,
        quotas: network::Rates,
    }

    impl Kept {
        fn count(&self, group: Group, key: &KeyId) -> Option<Count> {
            self.rates.count(&self.quotas, group, key)
        }
    }

    fn rates(ask: u32) -> (Kept, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let off = network::Rates { ask: None, config: None, runs: None, v1: None, failures: None };
        let quotas = network::Rates { ask: NonZeroU32::new(ask), v1: NonZeroU32::new(7), ..off };
        (Kept { rates: Rates::with_clock(clock.clone()), quotas }, clock)
    }

    #[test]
    fn another_quota_counts_at_once_and_from_the_beginning() {
        let (mut rates, _) = rates(1);
        assert_eq!(rates.count(Group::Ask, &key(1)).unwrap().refused, None);
        assert!(rates.count(Group::Ask, &key(1)).unwrap().refused.is_some());
        rates.quotas.ask = NonZeroU32::new(5);
        assert_eq!(rates.count(Group::Ask, &key(1)).unwrap().remaining, 4);
        rates.quotas.ask = None;
        assert_eq!(rates.count(Group::Ask, &key(1)), None);
    }

    fn key(number: u128) -> KeyId {
        KeyId::new(Uuid::from_u128(number))
    }

    fn told(count: &Count) -> (String, String) {
        let mut headers = HeaderMap::new();
        count.tell(&mut headers);
        let text = |name: HeaderName| headers[name].to_str().unwrap().to_owned();
        (text(POLICY), text(LIMIT))
    }

    #[test]
    fn routes_are_counted_in_groups() {
        for (method, path, group) in [
            (Method::POST, "/ask", Some(Group::Ask)),
            (Method::GET, "/config/agents", Some(Group::Config)),
            (Method::GET, "/v1/config/agents/a", Some(Group::Config)),
            (Method::PUT, "/v1/config", Some(Group::Config)),
            (Method::POST, "/v1/runs", Some(Group::Runs)),
            (Method::POST, "/v1/uploads", Some(Group::Runs)),
            (Method::GET, "/v1/runs", Some(Group::V1)),
            (Method::POST, "/v1/runs/run_x/cancel", Some(Group::V1)),
            (Method::GET, "/v1/configurations", Some(Group::V1)),
            (Method::GET, "/v10", None),
            (Method::GET, "/askance", None),
            (Method::GET, "/health", None),
        ] {
            assert_eq!(Group::of(&method, path), group, "{method} {path}");
        }
    }

    #[test]
    fn a_key_may_send_its_quota_at_once_and_gets_it_back_evenly() {
        let (rates, clock) = rates(60);
        let ask = || rates.count(Group::Ask, &key(1)).unwrap();
        let first = ask();
        assert_eq!(told(&first), ("\"ask\";q=60;w=60".to_owned(), "\"ask\";r=59;t=1".to_owned()));
        for left in (0..59).rev() {
            assert_eq!(ask(), Count { group: Group::Ask, quota: 60, remaining: left, refused: None });
        }
        let refused = ask();
        assert_eq!(refused.refused, Some(Duration::from_secs(1)));
        assert_eq!((told(&refused).1, refused.reset()), ("\"ask\";r=0;t=1".to_owned(), 60));
        clock.advance(Duration::from_millis(999));
        assert_eq!(ask().refused, Some(Duration::from_millis(1)));
        clock.advance(Duration::from_millis(1));
        assert_eq!((ask().refused, ask().refused.is_some()), (None, true), "one, and no more");
        clock.advance(Duration::from_mins(1));
        assert_eq!(ask().remaining, 59);
    }

    #[test]
    fn keys_and_groups_are_counted_apart_and_what_has_no_limit_not_at_all() {
        let (rates, _) = rates(1);
        assert_eq!(rates.count(Group::Ask, &key(1)).unwrap().refused, None);
        assert!(rates.count(Group::Ask, &key(1)).unwrap().refused.is_some());
        assert_eq!(rates.count(Group::Ask, &key(2)).unwrap().refused, None);
        assert_eq!(rates.count(Group::V1, &key(1)).unwrap().remaining, 6);
        assert_eq!(rates.count(Group::Runs, &key(1)), None);
    }

    #[test]
    fn a_refusal_says_when_to_come_again_in_whole_seconds() {
        for (wait, told) in [(1, "1"), (1000, "1"), (1001, "2")] {
            let refused = Duration::from_millis(wait);
            let count = Count { group: Group::Ask, quota: 60, remaining: 0, refused: Some(refused) };
            let response = count.refusal(refused).into_response();
            assert_eq!(response.headers()["retry-after"], told, "{wait} ms");
            assert_eq!(count.window().to_string(), told, "the window does not end later");
        }
    }
}
