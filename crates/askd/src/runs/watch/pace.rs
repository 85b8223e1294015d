//! Looks at things that come and go, again and again, each thing at its own pace: one that takes long to look at keeps
//! nobody from looking at the others.

use std::collections::HashSet;
use std::hash::Hash;
use std::io;
use std::sync::Weak;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

/// Of all time, looks take no more than this part, as far as the longest peace allows: a look that takes long is followed
/// by as many times that of peace.
const PEACE: u32 = 9;

/// From one look to the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) every: Duration,
    /// Even after a look that took very long the next one comes.
    pub(super) longest: Duration,
}

impl Pace {
    /// How long to wait after a look that took so long.
    pub(super) fn after(self, took: Duration) -> Duration {
        self.every.max(took.saturating_mul(PEACE).min(self.longest))
    }
}

/// Looks at everything that `there` gives, for ever, on a thread of its own for each; `came` tells of what is new. A thing
/// is looked at until it is dropped.
pub(super) async fn look_at_each<K, T, L>(there: impl Fn() -> Vec<(K, Weak<T>)>, came: &Notify, pace: Pace, look: L)
where
    K: Copy + Eq + Hash,
    T: Send + Sync + 'static,
    L: Fn(&T) -> io::Result<()> + Clone + Send + 'static,
{
    let (mut looks, mut known) = (FuturesUnordered::new(), HashSet::new());
    loop {
        let came = came.notified();
        for (key, thing) in there() {
            if known.insert(key) {
                let look = again(thing, pace, look.clone());
                looks.push(async move {
                    look.await;
                    key
                });
            }
        }
        tokio::select! {
            () = came => {}
            Some(gone) = looks.next() => drop(known.remove(&gone)),
        }
    }
}

async fn again<T, L>(thing: Weak<T>, pace: Pace, look: L)
where
    T: Send + Sync + 'static,
    L: Fn(&T) -> io::Result<()> + Clone + Send + 'static,
{
    let mut failing = false;
    while let Some(there) = thing.upgrade() {
        let (begin, look) = (Instant::now(), look.clone());
        let looked = spawn_blocking(move || look(&there)).await.unwrap_or_else(|error| Err(io::Error::other(error)));
        if let Err(error) = &looked
            && !failing
        {
            tracing::error!(%error, "cannot look at the home of a run: its limits may not be kept");
        }
        failing = looked.is_err();
        sleep(pace.after(begin.elapsed())).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Condvar, Mutex};
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_long_look_is_followed_by_a_long_peace_but_not_by_any() {
        let pace = Pace { every: Duration::from_millis(250), longest: Duration::from_secs(1) };
        for (took, peace) in [(1, 250), (50, 450), (500, 1000), (60_000, 1000)] {
            assert_eq!(pace.after(Duration::from_millis(took)), Duration::from_millis(peace));
        }
    }

    /// What the looks of this test share: how often the quick thing was seen.
    #[derive(Default)]
    struct Seen {
        quick: Mutex<usize>,
        more: Condvar,
        slow_ended: AtomicUsize,
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn while_one_thing_takes_long_the_others_are_looked_at() {
        let (seen, came) = (Arc::new(Seen::default()), Notify::new());
        let things = [Arc::new("slow"), Arc::new("quick")];
        let there = || things.iter().enumerate().map(|(key, thing)| (key, Arc::downgrade(thing))).collect();
        let pace = Pace { every: Duration::from_millis(1), longest: Duration::from_millis(2) };
        let look = {
            let seen = Arc::clone(&seen);
            move |thing: &&str| {
                let mut quick = seen.quick.lock().unwrap();
                if *thing == "quick" {
                    *quick += 1;
                    seen.more.notify_all();
                } else {
                    // Ends only when the other was seen again and again.
                    let before = *quick;
                    drop(seen.more.wait_while(quick, |now| *now < before + 5).unwrap());
                    seen.slow_ended.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            }
        };
        let ended = async {
            while seen.slow_ended.load(Ordering::Relaxed) < 2 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = look_at_each(there, &came, pace, look) => {}
            () = ended => {}
            () = sleep(Duration::from_secs(30)) => panic!("the slow one keeps the quick one from being seen"),
        }
        // The looks that are under way end as well: the quick one is seen by nobody any more.
        *seen.quick.lock().unwrap() += 100;
        seen.more.notify_all();
    }
}
