//! Idempotency keys: what they make harmless, and when they are free again.

use askd::store::append::{Append, RunPatch};
use askd::store::command::{ClaimCommand, Claimed, Forget};
use askd::store::prune::{Pruned, Retention};
use askd::store::submit::{IdempotencyClaim, Submitted, Withdraw};
use futures_util::future::join_all;
use sea_orm::ConnectionTrait as _;

use crate::both_engines;
use crate::place::{Place, append, claimed, finish, stored, submitted};

both_engines! {
    a_key_makes_a_second_submission_harmless,
    a_command_is_carried_out_once,
    a_run_that_nobody_was_told_of_is_withdrawn,
    a_run_that_ends_without_having_begun_frees_its_key,
    a_key_does_not_outlive_its_run,
}

async fn a_key_makes_a_second_submission_harmless(place: Place) {
    let store = place.open().await;
    let first = claimed("run_1", 50_000, "a");
    let claim = first.idempotency.clone().unwrap();
    assert_eq!(store.idempotent_run(&claim).await, Ok(None));
    assert_eq!(store.write(first).await, Ok(Submitted::New));
    let same = Submitted::Same { run_id: "run_1".to_owned() };
    assert_eq!(store.idempotent_run(&claim).await, Ok(Some(same.clone())));
    assert_eq!(store.write(claimed("run_2", 51_000, "a")).await, Ok(same));
    assert_eq!(store.write(claimed("run_3", 52_000, "b")).await, Ok(Submitted::Mismatch));
    let other = IdempotencyClaim { body_hash: "b".into(), ..claim.clone() };
    assert_eq!(store.idempotent_run(&other).await, Ok(Some(Submitted::Mismatch)));
    assert_eq!(store.run("run_2").await, Ok(None));
    // Asked again after an answer that was lost, the same submission is new.
    assert_eq!(store.write(claimed("run_1", 50_000, "a")).await, Ok(Submitted::New));
    // At last the key is forgotten, whatever it meant.
    let late = claimed("run_4", 60_001, "c");
    assert_eq!(store.idempotent_run(late.idempotency.as_ref().unwrap()).await, Ok(None));
    assert_eq!(store.write(late).await, Ok(Submitted::New));

    let many = (0..30).map(|number| {
        let mut submit = claimed(&format!("many_{number}"), 70_000, "d");
        submit.idempotency.as_mut().unwrap().key = "another".into();
        store.write(submit)
    });
    let new = join_all(many).await.into_iter().filter(|result| *result == Ok(Submitted::New)).count();
    assert_eq!(new, 1, "of many at the same moment one is new");
    store.close().await;
}

async fn a_command_is_carried_out_once(place: Place) {
    let store = place.open().await;
    submitted(&store, "run_1").await;
    let claim = claimed("", 50_000, "a").idempotency.unwrap();
    let command = |created_at, answer: &str, claim: &IdempotencyClaim| ClaimCommand {
        claim: IdempotencyClaim { route: "POST /v1/runs/ID/cancel".into(), ..claim.clone() },
        run_id: "run_1".into(),
        answer: answer.into(),
        created_at,
    };
    assert_eq!(store.write(command(50_000, "{\"n\":1}", &claim)).await, Ok(Claimed::New));
    let same = Claimed::Same { answer: "{\"n\":1}".into() };
    assert_eq!(store.write(command(50_100, "{\"n\":2}", &claim)).await, Ok(same));
    let other = IdempotencyClaim { body_hash: "b".into(), ..claim.clone() };
    assert_eq!(store.write(command(50_200, "{}", &other)).await, Ok(Claimed::Mismatch));
    assert_eq!(store.write(Forget(command(50_100, "{\"n\":2}", &claim))).await, Ok(()));
    assert_eq!(store.write(command(50_250, "{}", &other)).await, Ok(Claimed::Mismatch), "that was another's claim");
    assert_eq!(store.write(Forget(command(50_000, "{\"n\":1}", &claim))).await, Ok(()));
    assert_eq!(store.write(command(50_300, "{}", &other)).await, Ok(Claimed::New));
    store.close().await;
}

async fn a_run_that_nobody_was_told_of_is_withdrawn(place: Place) {
    let store = place.open().await;
    assert_eq!(store.write(claimed("run_1", 50_000, "a")).await, Ok(Submitted::New));
    assert_eq!(store.write(Withdraw { run_id: "run_1".into() }).await, Ok(true));
    assert_eq!(store.write(Withdraw { run_id: "run_1".into() }).await, Ok(false));
    assert_eq!(store.run("run_1").await, Ok(None));
    assert_eq!(store.chunk_with("run_1", 1).await, Ok(None));
    assert_eq!(store.write(claimed("run_2", 50_000, "a")).await, Ok(Submitted::New), "its key is free again");
    stored(&store, append("run_2", 2, 2)).await;
    assert_eq!(store.write(Withdraw { run_id: "run_2".into() }).await, Ok(false), "it has begun");
    store.close().await;
}

async fn a_run_that_ends_without_having_begun_frees_its_key(place: Place) {
    let store = place.open().await;
    let running = RunPatch { state: Some("running"), started_at: Some(50_100), ..RunPatch::default() };
    let started = RunPatch { cli_version: Some("2.1.300".into()), ..RunPatch::default() };
    let ends = |state| RunPatch { state: Some(state), finished_at: Some(51_000), ..RunPatch::default() };
    let all = |end: &RunPatch| RunPatch { cli_version: started.cli_version.clone(), ..end.clone() };
    for (number, (patches, free)) in [
        (vec![ends("failed")], true),
        (vec![ends("cancelled")], true),
        // It had its turn, and then the CLI did not know the agent.
        (vec![running.clone(), ends("failed")], true),
        (vec![running.clone(), started.clone(), ends("failed")], false),
        (vec![running.clone(), started.clone(), ends("completed")], false),
        (vec![all(&ends("failed"))], false),
        // What the CLI of a server that died had done is not known.
        (vec![running.clone(), ends("lost")], false),
    ]
    .into_iter()
    .enumerate()
    {
        let (first, again) = (format!("first_{number}"), format!("again_{number}"));
        let with_key = |run: &str| {
            let mut submit = claimed(run, 50_000, "a");
            submit.idempotency.as_mut().unwrap().key = format!("key {number}");
            submit
        };
        assert_eq!(store.write(with_key(&first)).await, Ok(Submitted::New));
        let command = ClaimCommand {
            claim: IdempotencyClaim { route: "cancel".into(), ..with_key(&first).idempotency.unwrap() },
            run_id: first.clone(),
            answer: "{}".into(),
            created_at: 50_000,
        };
        assert_eq!(store.write(command.clone()).await, Ok(Claimed::New));
        for (seq, patch) in (2..).zip(patches) {
            stored(&store, Append { patch, ..append(&first, seq, seq) }).await;
        }
        let expected = if free { Submitted::New } else { Submitted::Same { run_id: first } };
        assert_eq!(store.write(with_key(&again)).await, Ok(expected), "{number}");
        let later = ClaimCommand { created_at: 51_000, ..command };
        assert_eq!(store.write(later).await, Ok(Claimed::Same { answer: "{}".into() }), "that was another request");
    }
    store.close().await;
}

async fn a_key_does_not_outlive_its_run(place: Place) {
    let store = place.open().await;
    let with_key = |run: &str, key: &str, body: &str| {
        let mut submit = claimed(run, 50_000, body);
        submit.idempotency.as_mut().unwrap().key = key.into();
        submit
    };
    for (run, key) in [("run_1", "pruned"), ("run_2", "gone")] {
        assert_eq!(store.write(with_key(run, key, "a")).await, Ok(Submitted::New));
        stored(&store, finish(run, 2, 51_000)).await;
        // By hand, for a run that went in another way.
        if key == "gone" {
            let connection = place.connect().await;
            connection.execute_unprepared("DELETE FROM runs WHERE id = 'run_2'").await.unwrap();
            connection.close().await.unwrap();
        } else {
            let pruned = store.prune(&Retention { runs_before: 52_000, ..Retention::default() }).await.unwrap();
            assert_eq!(pruned, Pruned { runs: 1, chunks: 2, keys: 1, ..Pruned::default() });
        }
        for body in ["a", "b"] {
            let claim = with_key("", key, body).idempotency.unwrap();
            assert_eq!(store.idempotent_run(&claim).await, Ok(None), "{key}");
        }
        let again = with_key(&format!("again_{run}"), key, "b");
        assert_eq!(store.write(again).await, Ok(Submitted::New), "{key}");
    }
    store.close().await;
}
