//! Leases: what becomes of runs when PostgreSQL is away for longer than a lease holds, or one of its servers is.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::harness::{
    Engine, Folders, Frozen, Outside, Program, V1, beside, eventually, eventually_async, living_pids, marked_processes,
    types,
};

/// Short, and long enough that a quarter of it is time to end a run in, also on a busy machine.
const LEASE: Duration = Duration::from_secs(10);

/// The time that the leases of a database's runs have left, in milliseconds.
const LEFT: &str = "SELECT MIN(lease_until) - CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) \
    FROM runs WHERE finished_at IS NULL";

fn start(folders: &Folders, url: &str) -> Program {
    start_with(folders, url, LEASE)
}

fn start_with(folders: &Folders, url: &str, lease: Duration) -> Program {
    let lease = format!("{}s", lease.as_secs());
    // A timeout with which an attempt of the store may end just before the time is up.
    let timeout = ("ASKD_STORE_TIMEOUT", "4800ms");
    Program::start(folders, &[("MAX_CONCURRENT", "1"), ("ASKD_DATABASE_URL", url), ("ASKD_LEASE", &lease), timeout])
}

/// Which runs had their prompt, in order.
fn marks(folders: &Folders) -> Vec<String> {
    let text = std::fs::read_to_string(folders.workspace().join("marks")).unwrap_or_default();
    text.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

fn nothing_lives(folders: &Folders) -> bool {
    marked_processes(&folders.data()).is_empty() && living_pids(&folders.workspace()).is_empty()
}

/// A session that goes on in a run at work, and a run that waits behind it.
struct Scene {
    session: String,
    at_work: String,
    waiting: String,
}

impl Scene {
    async fn set(client: &V1, folders: &Folders) -> Self {
        let first = client.submit(&json!({"prompt": "one"})).await;
        let session = client.ended(&first).await["session_id"].as_str().unwrap().to_owned();
        let prompt = "!mark marks at-work\n!spawn setsid\n!spawn stripped\n!touch there\n!drip 4000 5\n!hang";
        let at_work = client.submit(&json!({"prompt": prompt, "session_id": session})).await;
        eventually("the run", || folders.workspace().join("there").exists().then_some(())).await;
        assert_eq!(living_pids(&folders.workspace()).len(), 2, "the attack works");
        let waiting = client.submit(&json!({"prompt": "!mark marks waiting\n!result fine"})).await;
        Self { session, at_work, waiting }
    }

    /// The run that waited is run once, under the numbers that it had.
    async fn waiting_run_completes(&self, client: &V1) {
        let run = client.reaches(&self.waiting, "completed").await;
        assert_eq!(run["result"], "fine", "{run}");
        let events = client.events(&self.waiting).await;
        for once in ["run.queued", "run.started", "run.completed"] {
            assert_eq!(types(&events).iter().filter(|kind| **kind == once).count(), 1, "{once}: {events:?}");
        }
    }
}

async fn none_is_unfinished(client: &V1) {
    for state in ["running", "queued"] {
        let list = client.get(&format!("/v1/runs?state={state}")).await.body;
        assert_eq!(list["data"], json!([]), "{list}");
    }
}

fn hint(run: &Value) -> &str {
    run["error"]["hint"].as_str().unwrap()
}

/// How PostgreSQL is away.
enum Outage {
    /// Its connections break, and there is no new one.
    Crashed,
    /// It is there and does not answer.
    Frozen,
}

async fn runs_are_ended_before_the_lease_is_over_and_settled_afterwards(outage: Outage) {
    let mut cluster = tokio::task::spawn_blocking(Cluster::start).await.unwrap();
    let url = cluster.url(&cluster.database().await);
    let folders = Folders::new();
    let mut program = start(&folders, &url);
    let client = V1::at(program.address().await);
    let scene = Scene::set(&client, &folders).await;
    let mut follower = client.follow(&scene.at_work, 0).await;
    follower.until_event("agent.assistant").await;
    let outside = Outside::of(&url).await;

    // From here on no lease is renewed, so that what is left of it now is all there is. Reads go on.
    outside.execute("BEGIN; LOCK TABLE runs IN EXCLUSIVE MODE").await;
    let left = outside.number(LEFT).await;
    let over = Instant::now() + Duration::from_millis(left.try_into().unwrap());
    let frozen = match outage {
        Outage::Crashed => {
            tokio::task::block_in_place(|| cluster.crash());
            None
        }
        Outage::Frozen => Some(Frozen::at(&url).await),
    };
    // The lock goes with its connection: now, or as soon as PostgreSQL hears of it.
    drop(outside);
    eventually("the end of every process", || nothing_lives(&folders).then_some(())).await;
    let early = over.checked_duration_since(Instant::now());
    assert!(early.is_some(), "{:?} after the lease: {}", over.elapsed(), program.log());
    let early = early.unwrap();
    assert!(early < LEASE / 2, "{early:?} before the end of the lease: a short outage would have been enough");
    let seen = follower.rest().await;
    let word = seen.last().and_then(|block| block.comment.as_deref()).unwrap_or_default();
    assert!(word.contains(&format!("/v1/runs/{}", scene.at_work)), "the follower is told: {seen:?}");
    let seen = seen.iter().rev().find_map(|block| block.id.as_deref()).unwrap().parse().unwrap();

    drop(frozen);
    if matches!(outage, Outage::Crashed) {
        tokio::task::block_in_place(|| cluster.start_again());
    }
    let lost = client.reaches(&scene.at_work, "lost").await;
    assert_eq!((&lost["error"]["type"], &lost["result"]), (&json!("lost"), &Value::Null), "{lost}");
    assert!(hint(&lost).contains(&format!("\"session_id\": \"{}\"", scene.session)), "{lost}");
    assert!(lost["error"]["message"].as_str().unwrap().contains("could not reach its store"), "{lost}");
    let rest = client.follow(&scene.at_work, seen).await.envelopes().await;
    assert_eq!(types(&rest).last(), Some(&"run.lost"), "its follower comes back: {rest:?}");
    assert_eq!(types(&client.events(&scene.at_work).await).iter().filter(|kind| **kind == "run.lost").count(), 1);
    scene.waiting_run_completes(&client).await;
    none_is_unfinished(&client).await;
    assert_eq!(marks(&folders), ["at-work", "waiting"]);
    let next = client.submit(&json!({"prompt": "!recall", "session_id": scene.session})).await;
    // The run at work may have been let write its transcript before it was ended.
    let next = client.ended(&next).await;
    assert!(next["result"].as_str().unwrap().starts_with("one"), "the hint is true: {next}");
    program.signal(Signal::TERM);
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.log());
    assert_eq!(folders.list("data/homes"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_ended_before_the_lease_is_over_and_settled_when_a_crashed_store_is_back() {
    runs_are_ended_before_the_lease_is_over_and_settled_afterwards(Outage::Crashed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_ended_before_the_lease_is_over_and_settled_when_a_frozen_store_goes_on() {
    runs_are_ended_before_the_lease_is_over_and_settled_afterwards(Outage::Frozen).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_back_before_the_lease_is_over_costs_no_run() {
    let mut cluster = tokio::task::spawn_blocking(Cluster::start).await.unwrap();
    let url = cluster.url(&cluster.database().await);
    let folders = Folders::new();
    // However long it takes to come back.
    let program = start_with(&folders, &url, Duration::from_mins(2));
    let client = V1::at(program.address().await);
    let run = client.submit(&json!({"prompt": "!touch there\n!drip 300 5\n!await go\n!result fine"})).await;
    eventually("the run", || folders.workspace().join("there").exists().then_some(())).await;
    tokio::task::block_in_place(|| {
        cluster.crash();
        cluster.start_again();
    });
    folders.write("workspace/go", "");
    assert_eq!(client.reaches(&run, "completed").await["result"], "fine");
    let events = client.events(&run).await;
    assert_eq!(types(&events).iter().filter(|kind| **kind == "agent.assistant").count(), 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_settles_the_runs_of_another_one_when_its_lease_is_over_and_not_before() {
    let url = Engine::postgres().await.url();
    let (there, here) = (Folders::new(), Folders::new());
    let mut dying = start(&there, &url);
    let program = start(&here, &url);
    let (its_client, client) = (V1::at(dying.address().await), V1::at(program.address().await));
    let scene = Scene::set(&its_client, &there).await;
    // In a folder that only this server has.
    there.write("workspace/project/file", "");
    let prompt = "!mark ../marks at-home\n!result at home";
    let at_home = its_client.submit(&json!({"prompt": prompt, "cwd": "project"})).await;
    let request = dying.request(&json!({"prompt": "!touch never"})).await;
    let ask = beside(async move { drop(request.send().await) });
    let asked = eventually_async("the run of the question", async || {
        let list = its_client.get("/v1/runs?state=queued&limit=1").await.body;
        let newest = list["data"][0]["id"].as_str()?.to_owned();
        (newest != at_home).then_some(newest)
    })
    .await;
    let outside = Outside::of(&url).await;
    let mut follower = client.follow(&scene.at_work, 0).await;
    follower.until_event("agent.assistant").await;

    // Before the question: by the time of the answer some of it has passed.
    let looked = Instant::now();
    let left = Duration::from_millis(outside.number(LEFT).await.try_into().unwrap());
    dying.signal(Signal::KILL);
    dying.ended().await;
    ask.await.unwrap();
    eventually("the end of every process", || nothing_lives(&there).then_some(())).await;
    // The follower does not even notice that the server is another one.
    let lost = follower.until_event("run.lost").await;
    assert!(looked.elapsed() >= left.saturating_sub(Duration::from_millis(100)), "{:?} of {left:?}", looked.elapsed());
    assert_eq!(follower.next().await, None, "it is the last event: {lost}");
    let lost = client.run(&scene.at_work).await;
    assert_eq!(lost["state"], "lost", "{lost}");
    assert!(hint(&lost).contains(&scene.session) && hint(&lost).contains("data folder of the server"), "{lost}");
    scene.waiting_run_completes(&client).await;
    assert_eq!(client.run(&at_home).await["state"], "queued", "what cannot be run here waits for its server");
    // A run whose client was to be answered by the server that is gone.
    assert_eq!(client.reaches(&asked, "cancelled").await["error"]["type"], "cancelled");

    // It comes back, runs what nobody else could, and has the session.
    let dying = start(&there, &url);
    let its_client = V1::at(dying.address().await);
    assert_eq!(its_client.ended(&at_home).await["result"], "at home");
    let next = its_client.submit(&json!({"prompt": "!recall", "session_id": scene.session})).await;
    assert_eq!(its_client.ended(&next).await["result"], "one");
    assert_eq!(marks(&there), ["at-work", "at-home"]);
    assert_eq!(marks(&here), ["waiting"]);
    none_is_unfinished(&client).await;
    outside.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_runs_another_one_has_settled_ends_them_and_writes_nothing_more() {
    let url = Engine::postgres().await.url();
    let (there, here) = (Folders::new(), Folders::new());
    let stuck = start(&there, &url);
    let its_client = V1::at(stuck.address().await);
    let scene = Scene::set(&its_client, &there).await;
    let program = start(&here, &url);
    let client = V1::at(program.address().await);
    let states = [client.run(&scene.at_work).await, client.run(&scene.waiting).await].map(|run| run["state"].clone());
    assert_eq!(states, ["running", "queued"], "a server that lives keeps its runs when another one starts");
    // The server hangs; the processes of its run do not.
    stuck.signal(Signal::STOP);
    client.reaches(&scene.at_work, "lost").await;
    scene.waiting_run_completes(&client).await;
    let events = client.events(&scene.at_work).await;
    stuck.signal(Signal::CONT);
    eventually("the end of every process", || nothing_lives(&there).then_some(())).await;
    eventually_async("the end of its part", async || {
        let health = its_client.get("/health").await.body;
        (health["concurrency"]["active"] == 0 && health["concurrency"]["queued"] == 0).then_some(())
    })
    .await;
    assert_eq!(its_client.events(&scene.at_work).await, events);
    none_is_unfinished(&its_client).await;
    assert_eq!((marks(&there), marks(&here)), (vec!["at-work".to_owned()], vec!["waiting".to_owned()]));
}
