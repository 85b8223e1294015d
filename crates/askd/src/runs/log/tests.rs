//! What the log promises on its own; with a store behind it, it is tested in `tests/suite`.

use claude::frame::Frame;
use futures_util::FutureExt;
use jiff::Timestamp;
use proptest::prelude::*;
use uuid::Uuid;

use super::super::redact::Redactor;
use super::super::warning::{Warning, WarningCode};
use super::super::{Finished, RunErrorKind};
use super::pump::Batch;
use super::*;
use crate::store::chunk::{Effort, MAX_CHUNK};
use crate::store::usage::Used;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn log(pending: usize, ring: usize) -> Arc<RunLog> {
    RunLog::new(RunId(Uuid::nil()), 0, Capacity { pending, ring })
}

fn message(length: usize) -> EventBody {
    let line = format!(r#"{{"type":"assistant","text":"{}"}}"#, "x".repeat(length));
    EventBody::Agent(Frame::parse(line).unwrap())
}

/// Plays the pump with a store that takes everything.
fn store_all(log: &RunLog) {
    if let Some(Some(batch)) = log.next_batch(Batch::default()).now_or_never() {
        let last = batch.last;
        log.show(batch.chunks);
        if last {
            log.close(Closed::Complete);
        }
    }
}

fn seen(log: &RunLog, after: u64) -> Vec<u64> {
    match log.look(after) {
        Look::Here(chunk) => chunk.events_after(after).map(|event| event.seq).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn followers_see_only_what_is_stored() {
    let log = log(1 << 20, 1 << 20);
    log.append_now(NOW, &EventBody::Queued);
    assert!(matches!(log.look(0), Look::Nothing));
    store_all(&log);
    assert_eq!(seen(&log, 0), [1]);
    assert!(matches!(log.look(1), Look::Nothing));
}

#[test]
fn the_end_closes_the_log_once_it_is_stored_and_nothing_comes_after_it() {
    let log = log(1 << 20, 1 << 20);
    log.append_now(NOW, &EventBody::Finished(Finished::completed().into()));
    log.append_now(NOW, &EventBody::Warning(Warning::new(WarningCode::Other, "too late")));
    assert!(log.has_ended());
    assert!(matches!(log.look(0), Look::Nothing));
    store_all(&log);
    assert_eq!(seen(&log, 0), [1]);
    assert!(matches!(log.look(1), Look::Closed(Closed::Complete)));
}

#[test]
fn a_store_that_does_not_take_anything_makes_the_writer_wait() {
    let log = log(1000, 1 << 20);
    let mut appended = 0;
    while log.append(NOW, message(100)).now_or_never().is_some() {
        appended += 1;
        assert!(appended < 100, "the log takes more than it may hold");
    }
    assert!((5..=10).contains(&appended), "{appended} events of about 150 bytes");
    store_all(&log);
    assert!(log.append(NOW, message(100)).now_or_never().is_some(), "there is room again");
    assert_eq!(seen(&log, 0).len(), appended, "the one that waited was not appended before");
}

#[test]
fn an_event_larger_than_everything_passes_alone() {
    let log = log(1000, 1000);
    assert!(log.append(NOW, message(5000)).now_or_never().is_some());
    assert!(log.append(NOW, message(1)).now_or_never().is_none());
    store_all(&log);
    assert_eq!(seen(&log, 0), [1]);
}

#[test]
fn what_leaves_the_ring_is_read_from_the_store() {
    let log = log(1 << 20, 1000);
    for _ in 0..5 {
        log.append_now(NOW, &message(600));
        store_all(&log);
    }
    assert!(matches!(log.look(0), Look::Behind));
    assert_eq!(seen(&log, 4), [5], "the newest stays");
}

#[test]
fn a_log_that_was_let_go_takes_nothing_and_waits_for_nothing() {
    let log = log(10, 1000);
    log.append_now(NOW, &message(600));
    log.let_go();
    assert!(log.append(NOW, message(600)).now_or_never().is_some(), "the run's task is not held up");
    assert!(log.next_batch(Batch::default()).now_or_never().flatten().is_none());
    assert!(matches!(log.look(0), Look::Closed(Closed::LetGo)));
}

#[test]
fn a_commit_tells_of_the_run_what_its_events_say() {
    let log = log(1 << 20, 1 << 20);
    log.append_now(NOW, &EventBody::Turn { isolation: "{}".to_owned() });
    let result = r#"{"type":"result","subtype":"success","total_cost_usd":0.25,"permission_denials":[{}]}"#;
    log.append_now(NOW, &EventBody::Agent(Frame::parse(result.into()).unwrap()));
    let patch = log.next_batch(Batch::default()).now_or_never().flatten().unwrap().patch;
    assert_eq!((patch.state, patch.started_at, patch.result_seq), (Some("running"), Some(0), Some(2)));
    assert_eq!((patch.denials, patch.cost), (Some(1), None), "costs are noted apart");
    log.append_now(NOW, &EventBody::Finished(Finished::completed().into()));
    let patch = log.next_batch(Batch::default()).now_or_never().flatten().unwrap().patch;
    assert_eq!((patch.state, patch.finished_at, patch.result_seq), (Some("completed"), Some(0), None));
}

#[test]
fn the_answer_so_far_is_the_last_message_that_says_something_to_the_user() {
    let text = r#"{"type":"text","text":"hello"}"#;
    let call = |input: &str| format!(r#"{{"type":"tool_use","name":"t","input":{input}}}"#);
    let message =
        |blocks: &str, rest: &str| format!(r#"{{"type":"assistant","message":{{"content":[{blocks}]}}{rest}}}"#);
    for (says, line) in [
        (true, message(text, "")),
        (true, message(text, r#","parent_tool_use_id":null"#)),
        (true, message(&format!("{},{text}", call(r#"{"text":"","parent_tool_use_id":"x"}"#)), "")),
        (false, message(&call(text), "")),
        (false, message(&call(&format!("[{text}]")), "")),
        (false, message(r#"{"type":"text","text":""}"#, "")),
        (false, message(text, r#","parent_tool_use_id":"toolu_1""#)),
        (false, message(text, r#","is_api_error_message":true"#)),
        (false, message(r#"{"type":"thinking","thinking":"x"}"#, "")),
        (false, format!(r#"{{"type":"user","message":{{"content":[{text}]}}}}"#)),
        (false, r#"{"type":"assistant","message":{"content":"\"type\":\"text\""}}"#.to_owned()),
    ] {
        let log = log(1 << 20, 1 << 20);
        log.append_now(NOW, &EventBody::Agent(Frame::parse(line.clone()).unwrap()));
        let patch = log.next_batch(Batch::default()).now_or_never().flatten().unwrap().patch;
        assert_eq!(patch.answer_seq, says.then_some(1), "{line}");
    }
}

#[test]
fn whatever_goes_through_the_log_has_no_credential() {
    let log = log(1 << 20, 1 << 20);
    log.keep_back(Redactor::new(["sesame-sesame".to_owned().into()]));
    let mut deltas = log.deltas();
    let delta = |text| format!(r#"{{"event":{{"delta":{{"text":"{text}"}}}},"type":"stream_event"}}"#);
    log.pass_delta(&delta("a sesame-"));
    log.pass_delta(&delta("sesame."));
    let told = [deltas.try_recv().unwrap(), deltas.try_recv().unwrap()].map(|delta| delta.data.to_string());
    assert_eq!(told, [delta("a "), delta("[redacted].")]);
    let line = r#"{"type":"assistant","text":"sesame-sesame"}"#;
    log.append_now(NOW, &EventBody::Agent(Frame::parse(line.into()).unwrap()));
    assert!(log.try_append(NOW, EventBody::Agent(Frame::parse(line.into()).unwrap())).is_ok());
    log.append_now(NOW, &EventBody::Warning(Warning::new(WarningCode::Other, "sesame-sesame, sesame-se…")));
    log.append_now(NOW, &EventBody::Finished(Finished::failed(RunErrorKind::Run, "no sesame-sesame").into()));
    let patch = log.next_batch(Batch::default()).now_or_never().flatten().unwrap();
    let row = [patch.patch.warnings.clone().unwrap(), patch.patch.error.clone().unwrap()].concat();
    log.show(patch.chunks);
    let Look::Here(chunk) = log.look(0) else { panic!("the events are there") };
    let told: Vec<_> = chunk.events_after(0).map(|event| event.data.to_owned()).chain([row]).collect();
    assert_eq!(told.len(), 5);
    for told in told {
        assert!(told.contains("[redacted]") && !told.contains("sesame"), "{told}");
    }
}

fn costs(micros: u64) -> Usage {
    let used = Used { cost_micros: micros, ..Used::default() };
    Usage { complete: false, models: [("opus".to_owned(), used)].into() }
}

#[test]
fn what_a_run_has_used_goes_with_the_next_event_or_at_once_and_the_end_tells_the_charge() {
    let log = log(1 << 20, 1 << 20);
    let next = || log.next_batch(Batch::default()).now_or_never().flatten().map(|batch| batch.patch);
    log.note_usage(&costs(500_000), false);
    assert!(next().is_none(), "an event follows at once");
    log.append_now(NOW, &EventBody::Warning(Warning::new(WarningCode::Other, "before the end")));
    let patch = next().unwrap();
    assert_eq!((patch.cost, patch.usage), (Some(500_000), Some(costs(500_000).to_json())));
    log.note_usage(&costs(600_000), true);
    assert_eq!(next().unwrap().cost, Some(600_000));
    log.note_charge(Charge::Exactly(750_000));
    log.append_now(NOW, &EventBody::Warning(Warning::new(WarningCode::Other, "before the end")));
    let patch = next().unwrap();
    assert_eq!((patch.cost, patch.charge), (None, Charge::AsReserved), "not before the run has ended");
    log.append_now(NOW, &EventBody::Finished(Finished::completed().into()));
    log.note_usage(&costs(800_000), true);
    let patch = next().unwrap();
    assert_eq!((patch.cost, patch.charge), (None, Charge::Exactly(750_000)), "nothing comes after the end");
}

#[test]
fn full_chunks_are_made_ready_during_a_commit_and_what_fills_none_goes_with_them() {
    let log = log(1 << 30, 1 << 20);
    for _ in 0..5 {
        log.append_now(NOW, &message(MAX_CHUNK / 2));
    }
    // One event a chunk, and the newest is still open.
    let mut ready = Batch::default();
    for _ in 0..4 {
        ready.add(log.next_full().now_or_never().expect("a chunk is full"), log.pending(), Effort::Least);
    }
    assert!(log.next_full().now_or_never().is_none());
    let pending = log.pending();
    assert!(pending > 5 * MAX_CHUNK / 2, "what is made ready still counts: {pending}");
    let batch = log.next_batch(ready).now_or_never().flatten().unwrap();
    let numbers: Vec<_> = batch.chunks.iter().map(|chunk| (chunk.first_seq(), chunk.last_seq())).collect();
    assert_eq!(numbers, [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)]);
    log.show(batch.chunks);
    assert_eq!(log.pending(), 0);
}

#[test]
fn the_store_is_not_kept_waiting_for_much_that_is_still_to_be_made_ready() {
    let log = log(1 << 30, 1 << 20);
    for _ in 0..4 {
        log.append_now(NOW, &message(MAX_CHUNK / 2));
    }
    log.append_now(NOW, &EventBody::Finished(Finished::completed().into()));
    let mut ready = Batch::default();
    ready.add(log.next_full().now_or_never().unwrap(), log.pending(), Effort::Least);
    let first = log.next_batch(ready).now_or_never().flatten().unwrap();
    assert_eq!((first.chunks.len(), first.last), (1, false));
    assert!(first.patch.is_empty(), "what an event changes is not stored before the event");
    log.show(first.chunks);
    let rest = log.next_batch(Batch::default()).now_or_never().flatten().unwrap();
    assert_eq!((rest.chunks[0].first_seq(), rest.last, rest.patch.state), (2, true, Some("completed")));
}

#[test]
fn a_log_that_is_complete_keeps_the_newest_chunk_only() {
    let log = log(1 << 20, 1 << 20);
    for _ in 0..3 {
        log.append_now(NOW, &message(600));
        store_all(&log);
    }
    assert_eq!(seen(&log, 0), [1]);
    log.append_now(NOW, &EventBody::Finished(Finished::completed().into()));
    store_all(&log);
    assert!(matches!(log.look(0), Look::Behind));
    assert_eq!(seen(&log, 3), [4]);
    assert!(matches!(log.look(4), Look::Closed(Closed::Complete)));
}

#[test]
fn a_partial_message_goes_to_those_who_listen_and_has_no_number() {
    let log = log(1 << 20, 1 << 20);
    log.pass_delta("nobody listens");
    let mut deltas = log.deltas();
    log.append_now(NOW, &EventBody::Queued);
    log.pass_delta("piece");
    let delta = deltas.try_recv().unwrap();
    assert_eq!((delta.after, &*delta.data), (1, "piece"));
    log.append_now(NOW, &EventBody::Warning(Warning::new(WarningCode::Other, "next")));
    store_all(&log);
    assert_eq!(seen(&log, 0), [1, 2]);
}

proptest! {
    #[test]
    fn every_follower_sees_every_event_in_order_or_is_sent_to_the_store(
        steps in prop::collection::vec((0_usize..3000, any::<bool>()), 1..60),
        ring in 500_usize..4000,
    ) {
        let log = log(1 << 30, ring);
        let (mut appended, mut stored, mut place) = (0_u64, 0_u64, 0_u64);
        for (length, store) in steps {
            log.append_now(NOW, &message(length));
            appended += 1;
            if store {
                store_all(&log);
                stored = appended;
            }
            match log.look(place) {
                Look::Here(chunk) => {
                    let seqs: Vec<_> = chunk.events_after(place).map(|event| event.seq).collect();
                    let expected: Vec<_> = (place + 1..=place + seqs.len() as u64).collect();
                    prop_assert_eq!(&seqs, &expected);
                    place = *seqs.last().unwrap();
                    prop_assert!(place <= stored);
                }
                Look::Behind => { prop_assert!(place < stored); place = stored; }
                Look::Nothing => prop_assert_eq!(place, stored),
                Look::Closed(_) => prop_assert!(false),
            }
        }
    }
}

#[test]
fn the_row_has_the_first_warnings_and_those_from_before_a_restart_come_first() {
    let log = log(1 << 20, 1 << 20);
    let warn = |message: &str| EventBody::Warning(Warning::new(WarningCode::Other, message));
    let stored = |log: &RunLog| {
        let patch = log.next_batch(Batch::default()).now_or_never().flatten().unwrap().patch;
        let warnings: Vec<Warning> = serde_json::from_str(&patch.warnings.unwrap()).unwrap();
        warnings.into_iter().map(|warning| warning.message).collect::<Vec<_>>()
    };
    log.append_now(NOW, &warn("since"));
    log.recall_warnings(r#"[{"code":"budget","message":"before"}]"#);
    assert_eq!(stored(&log), ["before", "since"]);
    for _ in 0..100 {
        log.append_now(NOW, &warn(&"x".repeat(2_000)));
    }
    let kept = stored(&log);
    assert_eq!((kept.len(), kept[0].as_str(), kept[49].len()), (50, "before", 1_000));
}
