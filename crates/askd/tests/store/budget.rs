//! What keys may spend: set aside with the run, settled with its end, once, whatever happens in between. What runs have used
//! is in `usage.rs`.

use std::collections::BTreeMap;

use askd::store::Store;
use askd::store::append::{Append, Appended, RunPatch};
use askd::store::budget::{BudgetDay, Charge, Reserve, beginning_of};
use askd::store::recovery::Adopt;
use askd::store::submit::{Submit, Submitted, Withdraw};
use askd::store::usage::sums::{UsageBy, UsageFilter};
use futures_util::future::join_all;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use sea_orm::{ConnectionTrait as _, Statement};

use crate::both_engines;
use crate::place::{Place, append, claimed, eventually, finish, stored, submit};

both_engines! {
    money_is_set_aside_with_a_run_and_settled_with_its_end,
    what_is_not_left_is_not_set_aside_and_nothing_is_stored,
    a_run_that_did_not_say_what_it_needs_takes_what_is_left,
    a_request_that_is_sent_twice_sets_aside_once,
    a_run_that_is_withdrawn_gives_back_what_was_set_aside,
    a_run_of_which_nobody_knows_the_cost_is_charged_what_was_set_aside,
    a_run_that_never_began_costs_nothing,
    twenty_at_once_do_not_get_more_than_there_is,
    a_budget_that_is_given_in_the_middle_of_a_day_counts_what_the_day_has_cost,
    two_servers_never_wait_for_each_other_in_a_circle,
    after_any_story_what_is_set_aside_is_that_of_unfinished_runs,
}

/// The day on which [`submit`] puts its runs.
const DAY: i64 = 0;

fn budgeted(id: &str, reserve: Reserve) -> Submit {
    Submit { reserve: Some(reserve), ..submit(id, 1_000) }
}

/// Of a limit of 100.
fn exactly(amount: u64) -> Reserve {
    Reserve { limit: 100, amount, least: amount }
}

async fn day(store: &Store) -> (u64, u64) {
    let BudgetDay { spent, reserved } = store.budget_day("key_1", DAY).await.unwrap().unwrap_or_default();
    (spent, reserved)
}

fn begin(run: &str) -> Append {
    let patch = RunPatch { state: Some("running"), started_at: Some(2_000), ..RunPatch::default() };
    Append { patch, ..append(run, 2, 2) }
}

fn end(run: &str, cost: Option<u64>) -> Append {
    let last = finish(run, 3, 9_000);
    let charge = cost.map_or(Charge::AsReserved, Charge::Exactly);
    Append { patch: RunPatch { charge, ..last.patch }, ..append(run, 3, 3) }
}

async fn money_is_set_aside_with_a_run_and_settled_with_its_end(place: Place) {
    let store = place.open().await;
    assert_eq!(store.budget_day("key_1", DAY).await, Ok(None));
    assert_eq!(store.write(budgeted("run_1", exactly(60))).await, Ok(Submitted::New));
    assert_eq!(day(&store).await, (0, 60));
    assert_eq!(store.run("run_1").await.unwrap().unwrap().reserved_micros, Some(60));
    stored(&store, begin("run_1")).await;
    assert_eq!(day(&store).await, (0, 60));
    stored(&store, end("run_1", Some(25))).await;
    assert_eq!(day(&store).await, (25, 0));
    // The answer to the commit was lost.
    stored(&store, end("run_1", Some(25))).await;
    assert_eq!(day(&store).await, (25, 0));
    assert_eq!(store.run("run_1").await.unwrap().unwrap().cost_micros, Some(25));
    store.close().await;
}

async fn what_is_not_left_is_not_set_aside_and_nothing_is_stored(place: Place) {
    let store = place.open().await;
    store.write(budgeted("run_1", exactly(60))).await.unwrap();
    let refused = Submit { reserve: Some(exactly(41)), ..claimed("run_2", 1_000, "a") };
    let exhausted = Submitted::Exhausted(BudgetDay { spent: 0, reserved: 60 });
    assert_eq!(store.write(refused).await, Ok(exhausted));
    assert_eq!((store.run("run_2").await, day(&store).await), (Ok(None), (0, 60)));
    // Its idempotency key is free: the same request may come again when there is money.
    let again = Submit { reserve: Some(exactly(40)), ..claimed("run_3", 1_000, "another body") };
    assert_eq!(store.write(again).await, Ok(Submitted::New));
    let another_day = beginning_of(DAY + 1);
    let tomorrow = Submit { reserve: Some(exactly(100)), ..submit("run_4", another_day) };
    assert_eq!(store.write(tomorrow).await, Ok(Submitted::New));
    assert_eq!(store.write(submit("run_5", 1_000)).await, Ok(Submitted::New), "one without a budget");
    store.close().await;
}

async fn a_run_that_did_not_say_what_it_needs_takes_what_is_left(place: Place) {
    let store = place.open().await;
    store.write(budgeted("run_1", exactly(60))).await.unwrap();
    let some = || Reserve { limit: 100, amount: 60, least: 11 };
    assert_eq!(store.write(budgeted("run_2", some())).await, Ok(Submitted::NewWithLess { reserved: 40 }));
    // The answer to the commit was lost.
    assert_eq!(store.write(budgeted("run_2", some())).await, Ok(Submitted::NewWithLess { reserved: 40 }));
    assert!(matches!(store.write(budgeted("run_3", some())).await, Ok(Submitted::Exhausted(_))));
    assert_eq!(day(&store).await, (0, 100));
    store.close().await;
}

async fn a_request_that_is_sent_twice_sets_aside_once(place: Place) {
    let store = place.open().await;
    let once = |run: &str| Submit { reserve: Some(exactly(60)), ..claimed(run, 1_000, "a") };
    assert_eq!(store.write(once("run_1")).await, Ok(Submitted::New));
    assert_eq!(store.write(once("run_1")).await, Ok(Submitted::New), "the answer to the commit was lost");
    assert_eq!(store.write(once("run_2")).await, Ok(Submitted::Same { run_id: "run_1".into() }));
    assert_eq!(day(&store).await, (0, 60));
    store.close().await;
}

async fn a_run_that_is_withdrawn_gives_back_what_was_set_aside(place: Place) {
    let store = place.open().await;
    store.write(budgeted("run_1", exactly(60))).await.unwrap();
    for gone in [true, false] {
        assert_eq!(store.write(Withdraw { run_id: "run_1".into() }).await, Ok(gone));
        assert_eq!(day(&store).await, (0, 0));
    }
    store.write(budgeted("run_2", exactly(60))).await.unwrap();
    stored(&store, begin("run_2")).await;
    assert_eq!(store.write(Withdraw { run_id: "run_2".into() }).await, Ok(false), "it has begun");
    assert_eq!(day(&store).await, (0, 60));
    store.close().await;
}

async fn a_run_of_which_nobody_knows_the_cost_is_charged_what_was_set_aside(place: Place) {
    let store = place.open().await;
    for (run, told, charged) in [("run_1", None, 30), ("run_2", Some(10), 30), ("run_3", Some(35), 35)] {
        let before = day(&store).await.0;
        store.write(budgeted(run, exactly(30))).await.unwrap();
        let mut begun = begin(run);
        begun.patch.cost = told;
        stored(&store, begun).await;
        let adopt = Adopt { run_id: run.into(), old_epoch: 1, last_seq: 2, owner: "server_1".into(), lease_ms: 1_000 };
        assert_eq!(store.write(adopt).await, Ok(true));
        let mut lost = Append { epoch: 2, ..end(run, None) };
        lost.patch.state = Some("lost");
        stored(&store, lost).await;
        assert_eq!(day(&store).await, (before + charged, 0), "{run}");
        assert_eq!(store.run(run).await.unwrap().unwrap().cost_micros, Some(charged));
    }
    store.close().await;
}

async fn a_run_that_never_began_costs_nothing(place: Place) {
    let store = place.open().await;
    store.write(budgeted("run_1", exactly(60))).await.unwrap();
    let late = finish("run_1", 2, 9_000);
    stored(&store, late).await;
    assert_eq!(day(&store).await, (0, 0));
    assert_eq!(store.run("run_1").await.unwrap().unwrap().cost_micros, Some(0));
    store.close().await;
}

async fn twenty_at_once_do_not_get_more_than_there_is(place: Place) {
    let (store, other) = (place.open().await, if place.is_postgres() { Some(place.open().await) } else { None });
    let runs: Vec<_> = (0..20).map(|number| format!("run_{number}")).collect();
    let submitted = runs.iter().enumerate().map(|(index, run)| {
        // On one database, several servers.
        let store = other.as_ref().filter(|_| index % 2 == 0).unwrap_or(&store);
        store.write(budgeted(run, exactly(15)))
    });
    let submitted: Vec<_> = join_all(submitted).await.into_iter().map(Result::unwrap).collect();
    let taken = submitted.iter().filter(|submitted| **submitted == Submitted::New).count();
    assert_eq!((taken, day(&store).await), (6, (0, 90)));
    store.close().await;
    if let Some(other) = other {
        other.close().await;
    }
}

async fn a_budget_that_is_given_in_the_middle_of_a_day_counts_what_the_day_has_cost(place: Place) {
    let store = place.open().await;
    for (run, cost) in [("run_1", 30), ("run_2", 15)] {
        store.write(submit(run, 1_000)).await.unwrap();
        stored(&store, begin(run)).await;
        stored(&store, end(run, Some(cost))).await;
    }
    store.write(submit("run_3", 1_000)).await.unwrap();
    stored(&store, begin("run_3")).await;
    let exhausted = Submitted::Exhausted(BudgetDay { spent: 45, reserved: 0 });
    assert_eq!(store.write(budgeted("run_4", exactly(56))).await, Ok(exhausted));
    assert_eq!(store.write(budgeted("run_5", exactly(40))).await, Ok(Submitted::New));
    stored(&store, end("run_3", Some(7))).await;
    assert_eq!(day(&store).await, (52, 40), "one that was at work when the budget was given counts too");
    store.close().await;
}

/// Runs of few keys, workspaces and sessions, which two servers begin and end in any order. In a database of several
/// servers whoever holds one row and waits for another stops both, until the database ends one of them.
async fn two_servers_never_wait_for_each_other_in_a_circle(place: Place) {
    const RUNS: usize = 300;
    if !place.is_postgres() {
        return;
    }
    let stores = [place.open().await, place.open().await];
    let of_run = move |server: usize, number: usize| {
        // Each server takes the keys and the sessions in an order of its own.
        let pick = |of: usize| if server == 0 { number % of } else { of - 1 - (number * 7) % of };
        let run = format!("run_{server}_{number}");
        let reserve = Reserve { limit: 1_000_000, amount: 10, least: 10 };
        let mut new = Submit { reserve: (!number.is_multiple_of(3)).then_some(reserve), ..submit(&run, 1_000) };
        new.run.key_id = format!("key_{}", pick(5));
        new.run.session_id = format!("session {}", pick(11));
        new.run.workspace = Some(format!("workspace {}", pick(3)));
        new.run.owner = format!("server_{server}");
        (run, new)
    };
    let worked = stores.iter().enumerate().map(|(server, store)| {
        join_all((0..RUNS).map(move |number| async move {
            let (run, new) = of_run(server, number);
            assert_eq!(store.write(new).await, Ok(Submitted::New));
            stored(store, begin(&run)).await;
            stored(store, end(&run, Some(5))).await;
        }))
    });
    join_all(worked).await;
    let runs = 2 * RUNS as u64;
    let told = stores[0].usage(&UsageFilter::of_days(0, 0, UsageBy::Day, 50)).await.unwrap();
    assert_eq!(told.iter().map(|row| (row.runs, row.used.cost_micros)).collect::<Vec<_>>(), [(runs, 5 * runs)]);
    for store in stores {
        store.close().await;
    }
    let connection = place.connect().await;
    let ask = async |sql: &str| {
        let row = connection.query_one_raw(Statement::from_string(connection.get_database_backend(), sql)).await;
        row.unwrap().unwrap().try_get::<i64>("", "count").unwrap()
    };
    // A connection says what it has met when it ends.
    let others =
        "SELECT COUNT(*) AS count FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    eventually("all other connections have ended", async || ask(others).await == 0).await;
    let deadlocks = "SELECT deadlocks AS count FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(ask(deadlocks).await, 0);
    connection.close().await.unwrap();
}

/// What happens to one of a few runs.
#[derive(Debug, Clone, Copy)]
enum Act {
    Submit(u64),
    SubmitAgain,
    Withdraw,
    Begin,
    Tell(u64),
    Adopt,
    End(Option<u64>),
    EndStale,
    /// The server is killed in the middle of its work, with nothing written after the last commit.
    Crash,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (1_u64..40).prop_map(Act::Submit),
        1 => Just(Act::SubmitAgain),
        1 => Just(Act::Withdraw),
        4 => Just(Act::Begin),
        2 => (0_u64..20).prop_map(Act::Tell),
        1 => Just(Act::Adopt),
        3 => prop::option::of(0_u64..60).prop_map(Act::End),
        1 => Just(Act::EndStale),
        1 => Just(Act::Crash),
    ]
}

async fn after_any_story_what_is_set_aside_is_that_of_unfinished_runs(place: Place) {
    let mut runner = TestRunner::default();
    let stories = prop::collection::vec((0_usize..4, act()), 120);
    let told = stories.new_tree(&mut runner).unwrap().current();
    let mut store = place.open().await;
    let mut generation: BTreeMap<usize, (u32, u64)> = BTreeMap::new();
    for (which, act) in told.clone() {
        let (number, needs) = generation.get(&which).copied().unwrap_or_default();
        let run = format!("run_{which}_{number}");
        let row = store.run(&run).await.unwrap();
        let (last, epoch) = row.as_ref().map_or((0, 1), |row| (row.last_seq, row.epoch));
        let next = |patch| Append { epoch, patch, ..append(&run, last + 1, last + 1) };
        let over = row.as_ref().is_none_or(|row| row.finished_at.is_some());
        match act {
            Act::Submit(amount) if over => {
                let run = format!("run_{which}_{}", number + 1);
                generation.insert(which, (number + 1, amount));
                store.write(budgeted(&run, exactly(amount))).await.unwrap();
            }
            Act::SubmitAgain if row.is_some() => drop(store.write(budgeted(&run, exactly(needs.max(1)))).await),
            Act::Withdraw => {
                store.write(Withdraw { run_id: run.clone() }).await.unwrap();
            }
            Act::Begin if row.is_some() => {
                let patch = RunPatch { state: Some("running"), started_at: Some(2_000), ..RunPatch::default() };
                store.write(next(patch)).await.unwrap();
            }
            Act::Tell(more) if row.is_some() => {
                let told = row.as_ref().and_then(|row| row.cost_micros).unwrap_or(0) + more;
                store.write(next(RunPatch { cost: Some(told), ..RunPatch::default() })).await.unwrap();
            }
            Act::Adopt => {
                let adopt = Adopt {
                    run_id: run.clone(),
                    old_epoch: epoch,
                    last_seq: last,
                    owner: "server_1".into(),
                    lease_ms: 1_000,
                };
                store.write(adopt).await.unwrap();
            }
            Act::End(cost) if row.is_some() => {
                let charge = cost.map_or(Charge::AsReserved, Charge::Exactly);
                let patch = RunPatch { state: Some("failed"), finished_at: Some(9_000), charge, ..RunPatch::default() };
                // Twice, as after a lost answer.
                store.write(next(patch.clone())).await.unwrap();
                store.write(next(patch)).await.unwrap();
            }
            Act::EndStale if row.is_some() => {
                let patch = RunPatch { finished_at: Some(9_000), charge: Charge::Exactly(1), ..RunPatch::default() };
                let stale = Append { epoch: epoch - 1, ..next(patch) };
                assert_eq!(store.write(stale).await, Ok(Appended::Stale));
            }
            Act::Crash => {
                // What was committed is all there is; the rest of a transaction is not.
                drop(std::mem::replace(&mut store, place.open().await));
            }
            _ => {}
        }
        assert_eq!(day(&store).await, sums(&place).await, "after {act:?} of {which} in {told:?}");
    }
    store.close().await;
}

/// What the rows of runs say: what those that have ended were charged, and what is set aside for the others.
async fn sums(place: &Place) -> (u64, u64) {
    let connection = place.connect().await;
    let sql = "SELECT \
        CAST(COALESCE(SUM(CASE WHEN finished_at IS NOT NULL THEN cost_micros ELSE 0 END), 0) AS BIGINT) AS spent, \
        CAST(COALESCE(SUM(CASE WHEN finished_at IS NULL THEN reserved_micros ELSE 0 END), 0) AS BIGINT) AS reserved \
        FROM runs WHERE reserved_micros IS NOT NULL";
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    let row = connection.query_one_raw(statement).await.unwrap().unwrap();
    let amount = |column: &str| u64::try_from(row.try_get::<i64>("", column).unwrap()).unwrap();
    let sums = (amount("spent"), amount("reserved"));
    connection.close().await.unwrap();
    sums
}
