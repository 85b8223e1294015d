//! What callers of the writer may rely on: one commit for many, one mistake for one, nothing before its commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use askd::store::StoreError;
use askd::store::append::Appended;
use askd::store::submit::Submitted;
use askd::store::tokens;
use futures_util::future::join_all;

use crate::both_engines;
use crate::place::{Place, append, events, eventually, last_seq, stored, submit, submitted};

both_engines! {
    what_comes_together_is_committed_together,
    a_wrong_statement_harms_only_its_caller,
    what_was_acknowledged_is_there_after_the_store_was_dropped_in_the_middle,
    a_closed_store_says_so_and_has_kept_what_was_waiting,
}

async fn what_comes_together_is_committed_together(place: Place) {
    let store = place.open().await;
    let runs: Vec<_> = (0..200).map(|number| format!("run_{number}")).collect();
    for result in join_all(runs.iter().map(|run| store.write(submit(run, 1_000)))).await {
        assert_eq!(result, Ok(Submitted::New));
    }
    let before = store.commits();
    for result in join_all(runs.iter().map(|run| store.write_patiently(append(run, 2, 9)))).await {
        assert_eq!(result, Ok(Appended::Stored));
    }
    let commits = store.commits() - before;
    assert!(commits <= 20, "200 appends took {commits} commits");
    for run in &runs {
        assert_eq!(last_seq(&store, run).await, 9);
    }
    store.close().await;
}

async fn a_wrong_statement_harms_only_its_caller(place: Place) {
    let store = place.open().await;
    let runs: Vec<_> = (0..40).map(|number| format!("run_{number}")).collect();
    for run in &runs {
        submitted(&store, run).await;
    }
    let wrong = tokens::Create {
        token_hash: "secret hash".into(),
        run_id: "no such run".into(),
        key_id: "key_1".into(),
        expires_at: 1,
    };
    let twice = {
        let mut submit = submit("doubled", 1_000);
        submit.metadata = vec![("name".into(), "1".into()), ("name".into(), "2".into())];
        submit
    };
    let right = join_all(runs.iter().map(|run| store.write(append(run, 2, 3))));
    let (right, wrong, twice) = tokio::join!(right, store.write_patiently(wrong), store.write(twice));
    assert!(right.into_iter().all(|result| result == Ok(Appended::Stored)));
    let Err(StoreError::Mistake(code)) = wrong else { panic!("{wrong:?}") };
    assert!(!code.contains("secret") && !code.contains("no such run"), "no values: {code}");
    assert!(matches!(twice, Err(StoreError::Mistake(_))), "{twice:?}");
    assert_eq!(store.run("doubled").await, Ok(None), "nothing of it is there");
    let taken = store.write(submit("run_1", 2_000)).await;
    assert_eq!(taken, Err(StoreError::Mistake("the run's id is taken".into())));
    assert!(matches!(store.health(), askd::store::Health::Working));
    store.close().await;
}

async fn what_was_acknowledged_is_there_after_the_store_was_dropped_in_the_middle(place: Place) {
    for round in 0..5 {
        let store = place.open().await;
        let runs: Vec<_> = (0..4).map(|number| format!("run_{round}_{number}")).collect();
        for run in &runs {
            submitted(&store, run).await;
        }
        let acknowledged: Vec<_> = runs.iter().map(|_| Arc::new(AtomicU64::new(1))).collect();
        let mut writers = tokio::task::JoinSet::<()>::new();
        for (index, run) in runs.iter().enumerate() {
            let (store, run, acknowledged) = (store.clone(), run.clone(), Arc::clone(&acknowledged[index]));
            writers.spawn(async move {
                for seq in 2.. {
                    stored(&store, append(&run, seq, seq)).await;
                    acknowledged.store(seq, Ordering::SeqCst);
                }
            });
        }
        let enough = 20 + round * 10;
        eventually("some events are stored", async || {
            acknowledged.iter().all(|last| last.load(Ordering::SeqCst) > enough)
        })
        .await;
        // Tasks end wherever they are, and with the last clone the store goes.
        drop(writers);
        drop(store);
        let store = place.open().await;
        for (run, acknowledged) in runs.iter().zip(&acknowledged) {
            let events = events(&store, run).await;
            assert!(events.len() as u64 >= acknowledged.load(Ordering::SeqCst), "{run} has lost events");
        }
        store.close().await;
    }
}

async fn a_closed_store_says_so_and_has_kept_what_was_waiting(place: Place) {
    let store = place.open().await;
    submitted(&store, "run_1").await;
    let waiting = store.write(append("run_1", 2, 2));
    let (waiting, ()) = tokio::join!(waiting, store.close());
    assert_eq!(waiting, Ok(Appended::Stored));
    assert_eq!(store.write(append("run_1", 3, 3)).await, Err(StoreError::Closed));
    assert_eq!(store.write_patiently(append("run_1", 3, 3)).await, Err(StoreError::Closed));
    assert!(store.run("run_1").await.is_err());
    let store = place.open().await;
    assert_eq!(last_seq(&store, "run_1").await, 2);
    store.close().await;
}
