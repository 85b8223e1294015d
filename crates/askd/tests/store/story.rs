//! The life of runs in the store, told from submission to removal.

use askd::store::append::{Append, Appended, RunPatch};
use askd::store::lease::Renew;
use askd::store::prune::{Pruned, Retention};
use askd::store::recovery::Adopt;
use askd::store::runs::{Filter, RunRow};
use askd::store::sessions::SessionRow;
use askd::store::submit::Submitted;
use askd::store::tokens;
use futures_util::future::join_all;
use sea_orm::ConnectionTrait as _;

use crate::both_engines;
use crate::place::{Place, append, claimed, events, finish, last_seq, stored, submit, submitted};

both_engines! {
    a_run_is_submitted_grows_ends_and_can_be_read,
    what_a_run_reports_changes_its_row_and_its_session,
    nothing_comes_after_the_end_and_nothing_is_appended_twice,
    a_stale_epoch_rejects_its_own_events_and_no_others,
    a_server_finds_its_unfinished_runs_and_takes_them_over,
    a_run_that_grew_since_it_was_read_is_not_taken_over,
    lists_are_filtered_and_come_in_pages,
    a_list_reads_nothing_of_what_is_long,
    a_token_shows_its_run_until_it_ends,
    what_is_old_goes_and_what_is_not_stays,
}

async fn a_run_is_submitted_grows_ends_and_can_be_read(place: Place) {
    let store = place.open().await;
    assert_eq!(store.is_shared(), place.is_postgres());
    assert_eq!(store.run("run_1").await, Ok(None));
    let mut new = submit("run_1", 1_000);
    new.metadata = vec![("ticket".into(), "A-7".into()), ("by".into(), "Jörg".into())];
    assert_eq!(store.write(new).await, Ok(Submitted::New));
    let row = store.run("run_1").await.unwrap().unwrap();
    assert_eq!((row.state.as_str(), row.epoch, row.last_seq, row.log_bytes), ("queued", 1, 1, 10));
    assert_eq!((row.request.as_str(), row.workspace.as_deref()), ("{\"prompt\":\"of run_1\"}", Some("shop")));
    assert_eq!(row.lease_until.is_some(), place.is_postgres());
    assert_eq!((row.finished_at, row.events_expired), (None, false));

    stored(&store, append("run_1", 2, 40)).await;
    let two_chunks = [append("run_1", 41, 60), append("run_1", 61, 61)];
    let chunks = two_chunks.into_iter().flat_map(|append| append.chunks).collect();
    stored(&store, Append { chunks, log_bytes: 5, ..append("run_1", 41, 61) }).await;
    stored(&store, finish("run_1", 62, 9_000)).await;
    let read = events(&store, "run_1").await;
    assert_eq!(read.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), (1..=62).collect::<Vec<_>>());
    assert_eq!(read[61].1, "{\"number\":62}");
    assert_eq!(store.chunk_with("run_1", 63).await, Ok(None));
    assert_eq!(store.chunk_with("run_2", 1).await, Ok(None));
    let row = store.run("run_1").await.unwrap().unwrap();
    assert_eq!((row.state.as_str(), row.finished_at), ("completed", Some(9_000)));
    let metadata = store.metadata(&["run_1".to_owned(), "run_2".to_owned()]).await.unwrap();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(metadata["run_1"], [pair("by", "Jörg"), pair("ticket", "A-7")]);
    assert_eq!(metadata.len(), 1);

    store.close().await;
    assert_eq!(place.open().await.run("run_1").await.unwrap().unwrap(), row, "it is still there after a restart");
}

async fn what_a_run_reports_changes_its_row_and_its_session(place: Place) {
    let store = place.open().await;
    submitted(&store, "run_1").await;
    let session = store.session("session of run_1").await.unwrap().unwrap();
    let begun = SessionRow { runs: 0, cost_micros: 0, created_at: 1_000, last_run_at: 1_000, ..session.clone() };
    assert_eq!(session, begun);
    assert_eq!((session.key_id.as_str(), store.session("another").await), ("key_1", Ok(None)));

    let started = RunPatch {
        state: Some("running"),
        started_at: Some(2_000),
        first_event_at: Some(2_500),
        cli_version: Some("2.1.300".to_owned()),
        isolation: Some("{\"layer\":\"landlock\"}".to_owned()),
        ..RunPatch::default()
    };
    stored(&store, Append { patch: started, ..append("run_1", 2, 2) }).await;
    let result = RunPatch {
        first_event_at: Some(3_000),
        result_seq: Some(3),
        denials: Some(2),
        cost: Some(250_000),
        isolation: Some("{\"layer\":\"none\"}".to_owned()),
        ..RunPatch::default()
    };
    stored(&store, Append { patch: result, ..append("run_1", 3, 3) }).await;
    let row = store.run("run_1").await.unwrap().unwrap();
    assert_eq!((row.started_at, row.first_event_at), (Some(2_000), Some(2_500)), "the first of each stays");
    assert_eq!((row.result_seq, row.denials, row.cli_version.as_deref()), (Some(3), 2, Some("2.1.300")));
    assert_eq!(row.isolation.as_deref(), Some("{\"layer\":\"landlock\"}"), "what it was started with stays");
    assert_eq!(row.cost_micros, Some(250_000));
    assert_eq!(store.session("session of run_1").await.unwrap().unwrap(), session, "it is counted at its end");

    let failed = RunPatch { error: Some("{\"kind\":\"timeout\"}".to_owned()), ..finish("run_1", 4, 9_000).patch };
    stored(&store, Append { patch: failed, ..append("run_1", 4, 4) }).await;
    let row = store.run("run_1").await.unwrap().unwrap();
    assert_eq!((row.error.as_deref(), row.state.as_str()), (Some("{\"kind\":\"timeout\"}"), "completed"));
    let ended = SessionRow { runs: 1, cost_micros: 250_000, last_run_at: 9_000, ..session };
    assert_eq!(store.session("session of run_1").await.unwrap().unwrap(), ended);
    store.close().await;
}

async fn nothing_comes_after_the_end_and_nothing_is_appended_twice(place: Place) {
    let store = place.open().await;
    submitted(&store, "run_1").await;
    stored(&store, append("run_1", 2, 5)).await;
    // The answer to a commit may be lost; whoever asks again hears that it is stored.
    stored(&store, append("run_1", 2, 5)).await;
    assert_eq!(store.write(append("run_1", 7, 8)).await, Ok(Appended::Stale), "a gap");
    assert_eq!(store.write(append("run_1", 5, 6)).await, Ok(Appended::Stale), "an overlap");
    stored(&store, finish("run_1", 6, 9_000)).await;
    stored(&store, finish("run_1", 6, 9_000)).await;
    assert_eq!(store.write(append("run_1", 7, 7)).await, Ok(Appended::Stale));
    let only_the_row = RunPatch { state: Some("running"), ..RunPatch::default() };
    let revived = Append { chunks: Vec::new(), patch: only_the_row, ..append("run_1", 7, 7) };
    assert_eq!(store.write(revived).await, Ok(Appended::Stale));
    assert_eq!(store.write(append("no such run", 2, 2)).await, Ok(Appended::Stale));
    assert_eq!(events(&store, "run_1").await.len(), 6);
    store.close().await;
}

async fn a_stale_epoch_rejects_its_own_events_and_no_others(place: Place) {
    let store = place.open().await;
    let runs: Vec<_> = (0..20).map(|number| format!("run_{number}")).collect();
    for run in &runs {
        submitted(&store, run).await;
    }
    let adopt = Adopt { run_id: "run_7".into(), old_epoch: 1, last_seq: 1, owner: "server_1".into(), lease_ms: 1_000 };
    assert_eq!(store.write(adopt).await, Ok(true));
    // Together, so that they share commits.
    let results = join_all(runs.iter().map(|run| store.write(append(run, 2, 3)))).await;
    for (run, result) in runs.iter().zip(results) {
        let expected = if run == "run_7" { Appended::Stale } else { Appended::Stored };
        assert_eq!(result, Ok(expected), "{run}");
    }
    assert_eq!((last_seq(&store, "run_7").await, last_seq(&store, "run_8").await), (1, 3));
    stored(&store, Append { epoch: 2, ..append("run_7", 2, 3) }).await;
    store.close().await;
}

async fn a_server_finds_its_unfinished_runs_and_takes_them_over(place: Place) {
    let store = place.open().await;
    for (id, owner, lease_ms, at) in [
        ("waits_2", "server_1", 60_000, 2_000),
        ("waits_1", "server_1", 60_000, 1_000),
        ("works", "server_1", 60_000, 3_000),
        ("asks", "server_1", 60_000, 4_000),
        ("ended", "server_1", 60_000, 5_000),
        ("lost", "server_2", 0, 6_000),
        ("held", "server_3", 60_000, 7_000),
    ] {
        let mut new = submit(id, at);
        (new.run.owner, new.run.lease_ms) = (owner.into(), lease_ms);
        assert_eq!(store.write(new).await, Ok(Submitted::New));
    }
    for (id, state) in [("works", "running"), ("asks", "requires_action"), ("lost", "running"), ("held", "running")] {
        let patch = RunPatch { state: Some(state), ..RunPatch::default() };
        stored(&store, Append { patch, ..append(id, 2, 2) }).await;
    }
    stored(&store, finish("ended", 2, 5_500)).await;
    let ids = |rows: Vec<RunRow>| rows.into_iter().map(|row| row.id).collect::<Vec<_>>();

    let to_settle = ids(store.runs_to_settle("server_1").await.unwrap());
    let all = ["works", "asks", "lost", "held"];
    // The file belongs to one server, whatever it was called; a database belongs to many.
    assert_eq!(to_settle, if place.is_postgres() { &all[..3] } else { &all[..] });
    assert_eq!(ids(store.queued_to_adopt("server_1").await.unwrap()), ["waits_1", "waits_2"]);
    let lost = ids(store.runs_of_lost_servers("server_1").await.unwrap());
    assert_eq!(lost, if place.is_postgres() { &["lost"][..] } else { &[] });

    let adopt = |id: &str, old_epoch| Adopt {
        run_id: id.into(),
        old_epoch,
        last_seq: 2,
        owner: "server_1".into(),
        lease_ms: 60_000,
    };
    assert_eq!(store.write(adopt("lost", 1)).await, Ok(true));
    assert_eq!(store.write(adopt("lost", 1)).await, Ok(true), "again, after an answer that was lost");
    assert_eq!(store.write(adopt("lost", 5)).await, Ok(false));
    assert_eq!(store.write(adopt("ended", 1)).await, Ok(false));
    assert_eq!(store.write(adopt("held", 1)).await, Ok(!place.is_postgres()));
    let mine = ids(store.unfinished_of("server_1").await.unwrap());
    let all = ["waits_1", "waits_2", "works", "asks", "lost", "held"];
    assert_eq!(mine, if place.is_postgres() { &all[..5] } else { &all[..] });
    assert_eq!(ids(store.unfinished_of("server_9").await.unwrap()), [""; 0]);
    assert_eq!(store.write(append("lost", 3, 3)).await, Ok(Appended::Stale), "its former holder writes no more");
    stored(&store, Append { epoch: 2, ..finish("lost", 3, 9_000) }).await;
    let row = store.run("lost").await.unwrap().unwrap();
    assert_eq!((row.epoch, row.owner.as_str(), row.finished_at), (2, "server_1", Some(9_000)));

    let renewed = store.write(Renew { owner: "server_1".into(), lease_ms: 90_000 }).await.unwrap();
    assert_eq!(renewed, if place.is_postgres() { 4 } else { 0 });
    store.close().await;
}

async fn a_run_that_grew_since_it_was_read_is_not_taken_over(place: Place) {
    let store = place.open().await;
    submitted(&store, "run_1").await;
    let adopt = |row: &RunRow| Adopt {
        run_id: row.id.clone(),
        old_epoch: row.epoch,
        last_seq: row.last_seq,
        owner: "server_1".into(),
        lease_ms: 60_000,
    };
    let read = store.run("run_1").await.unwrap().unwrap();
    stored(&store, append("run_1", 2, 5)).await;
    assert_eq!(store.write(adopt(&read)).await, Ok(false));
    let row = store.run("run_1").await.unwrap().unwrap();
    assert_eq!((row.epoch, row.last_seq), (1, 5), "its holder goes on");
    assert_eq!(store.write(adopt(&row)).await, Ok(true));
    stored(&store, Append { epoch: 2, ..append("run_1", 6, 6) }).await;
    assert_eq!(store.write(adopt(&row)).await, Ok(false), "the new holder went on meanwhile");
    assert_eq!(events(&store, "run_1").await.len(), 6);
    store.close().await;
}

async fn a_list_reads_nothing_of_what_is_long(place: Place) {
    let store = place.open().await;
    let long = |length: usize| format!("{{\"prompt\":\"{}\"}}", "x".repeat(length));
    for (id, at, request, listed) in [
        ("run_1", 1, long(2 << 20), Some("{\"model\":\"opus\"}".to_owned())),
        // As earlier versions have stored them.
        ("run_2", 2, long(1_000), None),
        ("run_3", 3, long(2 << 20), None),
    ] {
        let mut new = submit(id, at);
        (new.run.request, new.run.listed) = (request, listed);
        assert_eq!(store.write(new).await, Ok(Submitted::New));
    }
    let rows = store.runs(&Filter { limit: 9, ..Filter::default() }).await.unwrap();
    let shown: Vec<_> = rows.into_iter().map(|row| row.request).collect();
    assert_eq!(shown, [String::new(), long(1_000), "{\"model\":\"opus\"}".to_owned()]);
    for id in ["run_1", "run_3"] {
        assert_eq!(store.run(id).await.unwrap().unwrap().request, long(2 << 20), "one run is read whole");
    }
    store.close().await;
}

async fn lists_are_filtered_and_come_in_pages(place: Place) {
    let store = place.open().await;
    for number in 0..25_i64 {
        // Some at the same moment: their ids then decide.
        let mut new = submit(&format!("run_{number:02}"), 1_000 + number / 3);
        new.run.key_id = format!("key_{}", number % 2);
        new.run.session_id = format!("session_{}", number % 5);
        new.run.workspace = (number % 4 != 0).then(|| format!("shop_{}", number % 4));
        new.metadata = vec![("ticket".into(), format!("T{}", number % 3)), ("team".into(), "blue".into())];
        assert_eq!(store.write(new).await, Ok(Submitted::New));
    }
    stored(&store, finish("run_04", 2, 9_000)).await;
    let list = async |filter: Filter| {
        let rows = store.runs(&filter).await.unwrap();
        rows.into_iter().map(|row| row.id[4..].parse::<i64>().unwrap()).collect::<Vec<_>>()
    };
    let every = |step: usize| Filter { limit: step as u64, ..Filter::default() };
    let newest_first: Vec<_> = (0..25).rev().collect();
    assert_eq!(list(every(100)).await, newest_first);
    let both_states = || vec!["completed".to_owned(), "queued".to_owned()];
    for (page, states) in [(1, Vec::new()), (2, both_states()), (7, Vec::new()), (7, both_states()), (25, Vec::new())] {
        let (mut filter, mut seen) = (Filter { states, ..every(page) }, Vec::new());
        loop {
            let rows = store.runs(&filter).await.unwrap();
            let Some(end) = rows.last() else { break };
            assert!(rows.len() <= page);
            filter.before = Some((end.created_at, end.id.clone()));
            seen.extend(rows.iter().map(|row| row.id[4..].parse::<i64>().unwrap()));
        }
        assert_eq!(seen, newest_first, "in pages of {page}");
    }
    let all = every(100);
    let states = |states: &[&str]| states.iter().map(|state| (*state).to_owned()).collect::<Vec<_>>();
    assert_eq!(list(Filter { states: states(&["completed"]), ..all.clone() }).await, [4]);
    assert_eq!(list(Filter { states: states(&["completed", "queued"]), ..all.clone() }).await.len(), 25);
    assert_eq!(list(Filter { session: Some("session_3".into()), ..all.clone() }).await, [23, 18, 13, 8, 3]);
    assert_eq!(list(Filter { workspace: Some("shop_3".into()), ..all.clone() }).await, [23, 19, 15, 11, 7, 3]);
    let both = Filter { key: Some("key_1".into()), workspace: Some("shop_1".into()), ..all.clone() };
    assert_eq!(list(both).await, [21, 17, 13, 9, 5, 1]);
    let within = Filter { created_after: Some(1_001), created_before: Some(1_003), ..all.clone() };
    assert_eq!(list(within).await, [8, 7, 6]);
    let metadata = vec![("ticket".to_owned(), "T1".to_owned()), ("team".to_owned(), "blue".to_owned())];
    assert_eq!(list(Filter { metadata, limit: 3, ..all.clone() }).await, [22, 19, 16]);
    let nobodys = vec![("ticket".to_owned(), "blue".to_owned())];
    assert_eq!(list(Filter { metadata: nobodys, ..all }).await, [0; 0]);
    store.close().await;
}

async fn a_token_shows_its_run_until_it_ends(place: Place) {
    let store = place.open().await;
    submitted(&store, "run_1").await;
    let create = || tokens::Create {
        token_hash: "hash".into(),
        run_id: "run_1".into(),
        key_id: "key_1".into(),
        expires_at: 5_000,
    };
    assert_eq!(store.write(create()).await, Ok(()));
    assert_eq!(store.write(create()).await, Ok(()));
    assert_eq!(store.run_of_token("hash", 4_999).await, Ok(Some(("run_1".into(), "key_1".into()))));
    assert_eq!(store.run_of_token("hash", 5_000).await, Ok(None));
    assert_eq!(store.run_of_token("another", 0).await, Ok(None));
    store.close().await;
}

async fn what_is_old_goes_and_what_is_not_stays(place: Place) {
    let store = place.open().await;
    for (id, end) in [("oldest", Some(1_000)), ("old", Some(2_000)), ("young", Some(3_000)), ("works", None)] {
        let mut new = claimed(id, 500, "a");
        new.metadata = vec![("ticket".into(), "T".into())];
        new.idempotency.as_mut().unwrap().key = id.into();
        assert_eq!(store.write(new).await, Ok(Submitted::New));
        for seq in 2..90 {
            stored(&store, append(id, seq, seq)).await;
        }
        if let Some(end) = end {
            stored(&store, finish(id, 90, end)).await;
        }
        let token =
            tokens::Create { token_hash: id.into(), run_id: id.into(), key_id: "key_1".into(), expires_at: 10_000 };
        assert_eq!(store.write(token).await, Ok(()));
    }
    assert_eq!(store.prune(&Retention::default()).await, Ok(Pruned::default()));
    let retention = Retention {
        runs_before: 1_500,
        events_before: 2_500,
        keys_before: 501,
        sessions_before: 1_500,
        now: 10_000,
        ..Retention::default()
    };
    let pruned = store.prune(&retention).await.unwrap();
    assert_eq!(
        pruned,
        Pruned { runs: 1, events: 1, chunks: 180, keys: 4, tokens: 4, sessions: 1, ..Pruned::default() }
    );
    assert_eq!(store.run("oldest").await, Ok(None));
    let row = store.run("old").await.unwrap().unwrap();
    assert_eq!((row.events_expired, row.last_seq), (true, 90));
    assert_eq!(store.chunk_with("old", 1).await, Ok(None));
    for run in ["young", "works"] {
        assert!(!store.run(run).await.unwrap().unwrap().events_expired);
        assert_eq!(events(&store, run).await.len() as u64, last_seq(&store, run).await);
    }
    assert_eq!(store.prune(&retention).await, Ok(Pruned::default()), "it is done");
    store.close().await;
    let connection = place.connect().await;
    for table in ["event_chunks", "run_metadata", "run_options", "run_requests", "stream_tokens"] {
        let sql = format!("DELETE FROM {table} WHERE run_id = 'oldest'");
        assert_eq!(connection.execute_unprepared(&sql).await.unwrap().rows_affected(), 0, "{table}");
    }
}
