//! What runs have used: counted once, with their end, and alike by run, by day, by model and by session.

use std::collections::BTreeMap;

use askd::store::Store;
use askd::store::append::{Append, RunPatch};
use askd::store::budget::{Charge, beginning_of, day_of};
use askd::store::prune::Retention;
use askd::store::recovery::Adopt;
use askd::store::submit::{Submit, Withdraw};
use askd::store::usage::sums::{UsageBy, UsageFilter, UsageRow};
use askd::store::usage::{Usage, Used};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use sea_orm::{ConnectionTrait as _, Statement};

use crate::both_engines;
use crate::place::{Place, append, finish, stored, submit};

both_engines! {
    what_a_run_has_used_is_in_its_row_and_summed_up_in_pages,
    a_run_of_two_models_is_one_run,
    a_session_is_seen_by_the_keys_whose_runs_it_has,
    a_run_is_not_charged_less_than_its_models_have_cost,
    sums_outlive_runs_and_those_of_a_session_go_with_it,
    a_session_keeps_its_sums_however_old_they_are,
    what_earlier_versions_have_counted_belongs_to_no_model,
    after_any_story_all_sums_are_those_of_the_runs,
}

fn used(tokens: u64, cost_micros: u64) -> Used {
    Used { input_tokens: tokens, output_tokens: 2 * tokens, cost_micros, ..Used::default() }
}

fn usage(models: &[(&str, Used)]) -> Usage {
    Usage { complete: false, models: models.iter().map(|(model, used)| ((*model).to_owned(), *used)).collect() }
}

/// A run of `key_1` in the session `s` on day 0.
fn new(id: &str) -> Submit {
    let mut new = submit(id, 1_000);
    new.run.session_id = "s".into();
    new
}

/// Lets a run begin, use something and end.
async fn worked(store: &Store, new: Submit, usage: &Usage, charge: Charge) {
    let run = new.run.id.clone();
    store.write(new).await.unwrap();
    let patch = RunPatch {
        started_at: Some(2_000),
        usage: Some(usage.to_json()),
        cost: Some(usage.sum().cost_micros),
        ..RunPatch::default()
    };
    stored(store, Append { patch, ..append(&run, 2, 2) }).await;
    let last = finish(&run, 3, 9_000);
    stored(store, Append { patch: RunPatch { charge, ..last.patch }, ..append(&run, 3, 3) }).await;
}

fn by(by: UsageBy) -> UsageFilter {
    UsageFilter::of_days(0, 9, by, 50)
}

/// Name, runs, tokens of input and cost of each row.
async fn sums(store: &Store, filter: UsageFilter) -> Vec<(String, u64, u64, u64)> {
    let of = |row: UsageRow| (row.name, row.runs, row.used.input_tokens, row.used.cost_micros);
    store.usage(&filter).await.unwrap().into_iter().map(of).collect()
}

fn row(name: &str, runs: u64, tokens: u64, cost: u64) -> (String, u64, u64, u64) {
    (name.to_owned(), runs, tokens, cost)
}

async fn what_a_run_has_used_is_in_its_row_and_summed_up_in_pages(place: Place) {
    let store = place.open().await;
    let runs = [
        ("key_1", "shop", 0, "large", 10),
        ("key_1", "shop", 0, "small", 5),
        ("key_2", "shop", 1, "large", 7),
        ("key_2", "", 2, "large", 1),
    ];
    for (number, (key, workspace, on, model, cost)) in runs.into_iter().enumerate() {
        let mut new = submit(&format!("run_{number}"), beginning_of(on) + 5);
        new.run.key_id = key.into();
        new.run.session_id = format!("session_{}", number % 2);
        new.run.workspace = Some(workspace.to_owned()).filter(|name| !name.is_empty());
        worked(&store, new, &usage(&[(model, used(100, cost))]), Charge::Exactly(cost)).await;
    }
    let stored = store.run("run_0").await.unwrap().unwrap();
    assert_eq!(stored.usage.as_deref().map(Usage::from_json), Some(usage(&[("large", used(100, 10))])));
    let all = by(UsageBy::Day);
    assert_eq!(sums(&store, all.clone()).await, [row("2", 1, 100, 1), row("1", 1, 100, 7), row("0", 2, 200, 15)]);
    let page = UsageFilter { after: Some("1".into()), ..all.clone() };
    assert_eq!(sums(&store, page).await, [row("0", 2, 200, 15)]);
    assert_eq!(sums(&store, by(UsageBy::Key)).await, [row("key_1", 2, 200, 15), row("key_2", 2, 200, 8)]);
    let page = UsageFilter { limit: 1, ..by(UsageBy::Key) };
    assert_eq!(sums(&store, page).await, [row("key_1", 2, 200, 15)]);
    let workspaces = UsageFilter { key: Some("key_2".into()), ..by(UsageBy::Workspace) };
    assert_eq!(sums(&store, workspaces.clone()).await, [row("", 1, 100, 1), row("shop", 1, 100, 7)]);
    let page = UsageFilter { after: Some(String::new()), ..workspaces };
    assert_eq!(sums(&store, page).await, [row("shop", 1, 100, 7)]);
    let root = UsageFilter { workspace: Some(String::new()), ..by(UsageBy::Model) };
    assert_eq!(sums(&store, root).await, [row("large", 1, 100, 1)]);
    assert_eq!(sums(&store, by(UsageBy::Model)).await, [row("large", 3, 300, 18), row("small", 1, 100, 5)]);
    assert_eq!(sums(&store, by(UsageBy::Session)).await, [row("session_0", 2, 200, 17), row("session_1", 2, 200, 6)]);
    let page = UsageFilter { after: Some("session_0".into()), ..by(UsageBy::Session) };
    assert_eq!(sums(&store, page).await, [row("session_1", 2, 200, 6)]);
    let of_session = UsageFilter { session: Some("session_1".into()), ..by(UsageBy::Model) };
    assert_eq!(sums(&store, of_session).await, [row("large", 1, 100, 1), row("small", 1, 100, 5)]);
    let of_model = UsageFilter { model: Some("small".into()), ..by(UsageBy::Session) };
    assert_eq!(sums(&store, of_model).await, [row("session_1", 1, 100, 5)]);
    assert_eq!(sums(&store, UsageFilter { first_day: 1, last_day: 1, ..all }).await, [row("1", 1, 100, 7)]);
    assert_eq!((day_of(beginning_of(3) - 1), day_of(beginning_of(3))), (2, 3));
    store.close().await;
}

async fn a_run_of_two_models_is_one_run(place: Place) {
    let store = place.open().await;
    let both = usage(&[("large", used(10, 30)), ("small", used(1, 2))]);
    worked(&store, new("run_1"), &both, Charge::Exactly(32)).await;
    // Charged what was set aside, for nobody knows what it has cost.
    worked(&store, new("run_2"), &usage(&[("large", used(10, 30))]), Charge::Exactly(50)).await;
    worked(&store, new("run_3"), &Usage::default(), Charge::Exactly(0)).await;
    assert_eq!(sums(&store, by(UsageBy::Day)).await, [row("0", 3, 21, 82)]);
    let models = [row("", 1, 0, 20), row("large", 2, 20, 60), row("small", 1, 1, 2)];
    assert_eq!(sums(&store, by(UsageBy::Model)).await, models);
    let of_session = UsageFilter { session: Some("s".into()), ..by(UsageBy::Model) };
    assert_eq!(sums(&store, of_session).await, models);
    assert_eq!(sums(&store, by(UsageBy::Session)).await, [row("s", 3, 21, 82)]);
    let session = store.session("s").await.unwrap().unwrap();
    assert_eq!((session.runs, session.cost_micros), (3, 82));
    store.close().await;
}

async fn a_session_is_seen_by_the_keys_whose_runs_it_has(place: Place) {
    let store = place.open().await;
    worked(&store, new("run_1"), &usage(&[("large", used(10, 30))]), Charge::Exactly(30)).await;
    let mut of_another = new("run_2");
    of_another.run.key_id = "key_2".into();
    worked(&store, of_another, &usage(&[("large", used(1, 3))]), Charge::Exactly(3)).await;
    let of = |key: &str| UsageFilter { session: Some("s".into()), key: Some(key.to_owned()), ..by(UsageBy::Session) };
    assert_eq!(sums(&store, of("key_1")).await, [row("s", 1, 10, 30)]);
    assert_eq!(sums(&store, of("key_2")).await, [row("s", 1, 1, 3)]);
    assert_eq!(sums(&store, of("key_3")).await, []);
    store.close().await;
}

async fn a_run_is_not_charged_less_than_its_models_have_cost(place: Place) {
    let store = place.open().await;
    worked(&store, new("run_1"), &usage(&[("large", used(10, 30))]), Charge::Exactly(20)).await;
    assert_eq!(store.run("run_1").await.unwrap().unwrap().cost_micros, Some(30));
    assert_eq!(sums(&store, by(UsageBy::Model)).await, [row("large", 1, 10, 30)]);
    store.close().await;
}

async fn sums_outlive_runs_and_those_of_a_session_go_with_it(place: Place) {
    let store = place.open().await;
    worked(&store, new("run_1"), &usage(&[("large", used(10, 30))]), Charge::Exactly(30)).await;
    let runs_only = Retention { runs_before: 10_000, ..Retention::default() };
    assert_eq!(store.prune(&runs_only).await.unwrap().runs, 1);
    let session = store.session("s").await.unwrap().unwrap();
    assert_eq!((session.runs, session.cost_micros), (1, 30));
    assert_eq!(sums(&store, by(UsageBy::Session)).await, [row("s", 1, 10, 30)]);
    let all = Retention { sessions_before: 10_000, ..runs_only };
    assert_eq!(store.prune(&all).await.unwrap().sessions, 1);
    assert_eq!(sums(&store, by(UsageBy::Session)).await, []);
    assert_eq!(sums(&store, by(UsageBy::Model)).await, [row("large", 1, 10, 30)], "days are kept for longer");
    let later = Retention { now: beginning_of(500), ..all };
    assert!(store.prune(&later).await.unwrap().days > 0);
    assert_eq!(sums(&store, by(UsageBy::Model)).await, []);
    store.close().await;
}

async fn a_session_keeps_its_sums_however_old_they_are(place: Place) {
    let store = place.open().await;
    worked(&store, new("run_1"), &usage(&[("large", used(10, 30))]), Charge::Exactly(30)).await;
    // Its days and models are forgotten after 400 days.
    let later = Retention { now: beginning_of(500), ..Retention::default() };
    assert_eq!(store.prune(&later).await.unwrap().days, 2);
    assert_eq!(sums(&store, by(UsageBy::Model)).await, []);
    assert_eq!(sums(&store, by(UsageBy::Session)).await, [row("s", 1, 10, 30)]);
    let session = store.session("s").await.unwrap().unwrap();
    assert_eq!((session.runs, session.cost_micros), (1, 30));
    store.close().await;
}

/// The tables of this version are taken away, and made again over the rows of the version before.
async fn what_earlier_versions_have_counted_belongs_to_no_model(place: Place) {
    let store = place.open().await;
    let mut in_no_workspace = new("run_2");
    in_no_workspace.run.workspace = None;
    worked(&store, new("run_1"), &Usage::default(), Charge::Exactly(30)).await;
    worked(&store, in_no_workspace, &Usage::default(), Charge::Exactly(3)).await;
    store.write(new("run_3")).await.unwrap();
    store.close().await;
    let connection = place.connect().await;
    for sql in [
        "UPDATE store SET version = 4",
        "DROP TABLE run_secrets",
        "DROP TABLE run_options",
        "DROP TABLE run_uploads",
        "DROP TABLE upload_parts",
        "DROP TABLE uploads",
        "DROP TABLE usage_sessions",
        "DROP TABLE usage_models",
        "ALTER TABLE sessions DROP COLUMN runs",
        "ALTER TABLE sessions DROP COLUMN cost_micros",
        "ALTER TABLE runs DROP COLUMN usage",
        "ALTER TABLE runs DROP COLUMN warnings",
        "ALTER TABLE runs DROP COLUMN answer_seq",
        "ALTER TABLE runs DROP COLUMN trace_context",
        "ALTER TABLE store DROP COLUMN brought_by",
    ] {
        connection.execute_unprepared(sql).await.unwrap();
    }
    connection.close().await.unwrap();
    let store = place.open().await;
    let session = store.session("s").await.unwrap().unwrap();
    assert_eq!((session.runs, session.cost_micros), (2, 33));
    assert_eq!(sums(&store, by(UsageBy::Day)).await, [row("0", 2, 0, 33)]);
    assert_eq!(sums(&store, by(UsageBy::Model)).await, [row("", 2, 0, 33)]);
    assert_eq!(sums(&store, by(UsageBy::Session)).await, [row("s", 2, 0, 33)]);
    store.close().await;
}

/// What happens to one of a few runs.
#[derive(Debug, Clone, Copy)]
enum Act {
    Submit {
        key: u64,
        session: u64,
    },
    Withdraw,
    Begin,
    /// More of a model, with tokens and costs.
    Use(usize, u64),
    Adopt,
    End(Option<u64>),
    /// Runs that have ended are forgotten.
    Prune,
    /// The server is killed, with nothing written after the last commit.
    Crash,
}

const MODELS: [&str; 3] = ["", "large", "small"];

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0_u64..2, 0_u64..3).prop_map(|(key, session)| Act::Submit { key, session }),
        1 => Just(Act::Withdraw),
        4 => Just(Act::Begin),
        4 => (0..MODELS.len(), 1_u64..40).prop_map(|(model, tokens)| Act::Use(model, tokens)),
        1 => Just(Act::Adopt),
        4 => prop::option::of(0_u64..60).prop_map(Act::End),
        1 => Just(Act::Prune),
        1 => Just(Act::Crash),
    ]
}

async fn after_any_story_all_sums_are_those_of_the_runs(place: Place) {
    let mut runner = TestRunner::default();
    let told = prop::collection::vec((0_usize..4, act()), 120).new_tree(&mut runner).unwrap().current();
    let mut store = place.open().await;
    let mut generation: BTreeMap<usize, u32> = BTreeMap::new();
    let (mut runs, mut cost) = (0, 0);
    for (which, act) in told.clone() {
        let number = generation.get(&which).copied().unwrap_or_default();
        let run = format!("run_{which}_{number}");
        let row = store.run(&run).await.unwrap();
        let (last, epoch) = row.as_ref().map_or((0, 1), |row| (row.last_seq, row.epoch));
        let next = |patch| Append { epoch, patch, ..append(&run, last + 1, last + 1) };
        let is_at_work = row.as_ref().is_some_and(|row| row.finished_at.is_none());
        match act {
            Act::Submit { key, session } if !is_at_work => {
                generation.insert(which, number + 1);
                let mut new = submit(&format!("run_{which}_{}", number + 1), 1_000);
                new.run.key_id = format!("key_{key}");
                new.run.session_id = format!("session_{session}");
                store.write(new).await.unwrap();
            }
            Act::Withdraw => drop(store.write(Withdraw { run_id: run.clone() }).await.unwrap()),
            Act::Begin if is_at_work => {
                store.write(next(RunPatch { started_at: Some(2_000), ..RunPatch::default() })).await.unwrap();
            }
            Act::Use(model, tokens) if row.as_ref().is_some_and(|row| is_at_work && row.started_at.is_some()) => {
                let before = row.as_ref().and_then(|row| row.usage.as_deref()).map(Usage::from_json);
                let mut usage = before.unwrap_or_default();
                let of = usage.models.entry(MODELS[model].to_owned()).or_default();
                *of = of.plus(used(tokens, 3 * tokens));
                let (cost, usage) = (Some(usage.sum().cost_micros), Some(usage.to_json()));
                // Without an event, as when a CLI was asked.
                let only = Append { run_id: run.clone(), epoch, ..Append::default() };
                let patch = RunPatch { cost, usage, ..RunPatch::default() };
                store.write(Append { patch, ..only }).await.unwrap();
            }
            Act::Adopt if is_at_work => {
                let (run_id, owner) = (run.clone(), "server_1".into());
                let adopt = Adopt { run_id, old_epoch: epoch, last_seq: last, owner, lease_ms: 1_000 };
                store.write(adopt).await.unwrap();
            }
            Act::End(charge) if is_at_work => {
                let charge = charge.map_or(Charge::AsReserved, Charge::Exactly);
                let patch = RunPatch { state: Some("failed"), finished_at: Some(9_000), charge, ..RunPatch::default() };
                // Twice, as after a lost answer.
                store.write(next(patch.clone())).await.unwrap();
                store.write(next(patch)).await.unwrap();
                runs += 1;
                cost += store.run(&run).await.unwrap().unwrap().cost_micros.unwrap_or(0);
            }
            Act::Prune => {
                store.prune(&Retention { runs_before: 10_000, ..Retention::default() }).await.unwrap();
            }
            Act::Crash => drop(std::mem::replace(&mut store, place.open().await)),
            _ => {}
        }
        let expected = [runs, cost];
        for (what, sums) in counted(&place).await {
            assert_eq!(sums, expected, "{what} after {act:?} of {which} in {told:?}");
        }
        for group in [UsageBy::Day, UsageBy::Key, UsageBy::Workspace, UsageBy::Session] {
            let rows = sums(&store, by(group)).await;
            let of = |part: fn(&(String, u64, u64, u64)) -> u64| rows.iter().map(part).sum::<u64>();
            assert_eq!([of(|row| row.1), of(|row| row.3)], expected, "by {group:?} after {act:?} in {told:?}");
        }
    }
    store.close().await;
}

/// Runs and costs, by each of the tables that count them.
async fn counted(place: &Place) -> Vec<(&'static str, [u64; 2])> {
    let connection = place.connect().await;
    let mut counted = Vec::new();
    for (table, runs) in
        [("usage_days", "runs"), ("usage_models", "ended"), ("usage_sessions", "ended"), ("sessions", "runs")]
    {
        let sql = format!(
            "SELECT CAST(COALESCE(SUM({runs}), 0) AS BIGINT) AS runs, \
             CAST(COALESCE(SUM(cost_micros), 0) AS BIGINT) AS cost FROM {table}"
        );
        let statement = Statement::from_string(connection.get_database_backend(), sql);
        let row = connection.query_one_raw(statement).await.unwrap().unwrap();
        let number = |column: &str| u64::try_from(row.try_get::<i64>("", column).unwrap()).unwrap();
        counted.push((table, [number("runs"), number("cost")]));
    }
    connection.close().await.unwrap();
    counted
}
