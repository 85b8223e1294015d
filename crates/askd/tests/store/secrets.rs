//! Secrets of runs that wait: kept with their run, and gone when it begins or ends.

use askd::store::append::{Append, RunPatch};
use askd::store::prune::Retention;
use askd::store::submit::{Submit, Submitted, Withdraw};
use askd::store::{Store, StoreError};

use crate::both_engines;
use crate::place::{Place, append, claimed, finish, stored, submit};

both_engines! {
    secrets_go_in_the_commit_in_which_their_run_begins,
    secrets_go_with_a_run_that_never_begins,
    a_submission_that_is_asked_again_keeps_its_secrets_once,
}

const SEALED: &[u8] = &[1, 0, 255, 7];

fn secret(id: &str) -> Submit {
    Submit { secrets: Some(SEALED.to_vec()), ..submit(id, 1_000) }
}

async fn kept(store: &Store, run: &str) -> Result<Option<Vec<u8>>, StoreError> {
    store.run_secrets(run).await
}

async fn secrets_go_in_the_commit_in_which_their_run_begins(place: Place) {
    let store = place.open().await;
    assert_eq!(store.write(secret("run_1")).await, Ok(Submitted::New));
    assert_eq!(store.write(secret("run_2")).await, Ok(Submitted::New));
    assert_eq!(kept(&store, "run_1").await, Ok(Some(SEALED.to_vec())));
    let warned = RunPatch { warnings: Some("[]".to_owned()), ..RunPatch::default() };
    stored(&store, Append { patch: warned, ..append("run_1", 2, 2) }).await;
    assert_eq!(kept(&store, "run_1").await, Ok(Some(SEALED.to_vec())), "it still waits");
    let begins = || RunPatch { state: Some("running"), started_at: Some(2_000), ..RunPatch::default() };
    let stale = Append { patch: begins(), epoch: 2, ..append("run_1", 3, 3) };
    store.write(stale).await.unwrap();
    assert_eq!(kept(&store, "run_1").await, Ok(Some(SEALED.to_vec())), "who has lost the run changes nothing");
    stored(&store, Append { patch: begins(), ..append("run_1", 3, 3) }).await;
    assert_eq!(kept(&store, "run_1").await, Ok(None));
    assert_eq!(kept(&store, "run_2").await, Ok(Some(SEALED.to_vec())), "that is another run");
    store.close().await;
}

async fn secrets_go_with_a_run_that_never_begins(place: Place) {
    let store = place.open().await;
    for run in ["run_ended", "run_withdrawn", "run_pruned"] {
        assert_eq!(store.write(secret(run)).await, Ok(Submitted::New));
    }
    stored(&store, finish("run_ended", 2, 2_000)).await;
    assert_eq!(kept(&store, "run_ended").await, Ok(None));
    assert_eq!(store.write(Withdraw { run_id: "run_withdrawn".into() }).await, Ok(true));
    assert_eq!(kept(&store, "run_withdrawn").await, Ok(None));
    stored(&store, finish("run_pruned", 2, 2_000)).await;
    store.prune(&Retention { runs_before: 3_000, ..Retention::default() }).await.unwrap();
    assert_eq!(store.run("run_pruned").await, Ok(None));
    store.close().await;
}

async fn a_submission_that_is_asked_again_keeps_its_secrets_once(place: Place) {
    let store = place.open().await;
    let asked = || Submit { secrets: Some(SEALED.to_vec()), ..claimed("run_1", 50_000, "a") };
    assert_eq!(store.write(asked()).await, Ok(Submitted::New));
    assert_eq!(store.write(asked()).await, Ok(Submitted::New), "its answer was lost");
    let other = Submit { secrets: Some(vec![9]), ..claimed("run_2", 51_000, "a") };
    assert_eq!(store.write(other).await, Ok(Submitted::Same { run_id: "run_1".into() }));
    assert_eq!(kept(&store, "run_1").await, Ok(Some(SEALED.to_vec())));
    assert_eq!(kept(&store, "run_2").await, Ok(None));
    store.close().await;
}
