//! Processes that would live on: with a PID namespace nothing is left at the moment the run, or the server, ends; without
//! one nothing soon after the server's restart. How soon is measured by `scripts/soak`; here the machine may be busy.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use uuid::Uuid;

use super::server::{Attacked, Layer, Who, for_servers};
use crate::harness::{beside, eventually, marked_processes};

/// Where every end is tried.
const SERVERS: [(Who, Layer); 4] = [
    (Who::RootThatDrops, Layer::None),
    (Who::RootThatDrops, Layer::Bubblewrap),
    (Who::Unprivileged, Layer::Bubblewrap),
    (Who::Unprivileged, Layer::Landlock),
];

/// Short graces: a tree that ignores SIGTERM needs no more of it.
const SHORT: [(&str, &str); 4] = [
    ("ASKD_STOP_SOFT", "200ms"),
    ("ASKD_STOP_EOF", "200ms"),
    ("ASKD_STOP_TERM", "200ms"),
    ("ASKD_SHUTDOWN_GRACE", "200ms"),
];

/// Ways to leave processes behind that `!attack daemons` knows.
const WAYS: usize = 7;
/// How soon nothing is left when a whole PID namespace dies: the time to look, on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(10);
/// How soon after the restart otherwise.
const SOON: Duration = Duration::from_secs(30);

/// What a run may take that is not to be ended by that, in seconds.
const RUN_TIME: u32 = 60;
/// The same of one that is: enough for all that it is to leave behind before.
const SHORT_TIME: u32 = 15;

/// A run that has left processes behind, and how they are recognised.
struct Daemons {
    run: String,
    seconds: String,
}

impl Daemons {
    /// Begins a run that leaves processes behind and then does what the script says.
    async fn of(attacked: &Attacked, script: &str) -> Self {
        Self::within(RUN_TIME, attacked, script).await
    }

    /// The same by a run that may take so many seconds.
    async fn within(seconds: u32, attacked: &Attacked, script: &str) -> Self {
        let mut daemons = Self::to_be();
        let body = json!({"prompt": daemons.prompt(script), "cwd": "own", "timeout_seconds": seconds});
        daemons.run = attacked.client.submit(&body).await;
        daemons.are_there().await;
        daemons
    }

    /// With a time to sleep that no other test uses.
    fn to_be() -> Self {
        Self { run: String::new(), seconds: format!("300.{}", Uuid::new_v4().as_u128()) }
    }

    /// The script, which begins with the attack and waits until all of it is seen.
    fn prompt(&self, script: &str) -> String {
        format!("!attack daemons {}\n{script}", self.seconds)
    }

    async fn are_there(&self) {
        eventually("all that is left behind", || (self.alive().len() >= WAYS).then_some(())).await;
    }

    /// What of it lives. The shells are not counted, and not overlooked: each sleeps with its child or is its parent.
    fn alive(&self) -> Vec<u32> {
        let is_one = |pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.windows(self.seconds.len()).any(|text| text == self.seconds.as_bytes())
        };
        let entries = fs::read_dir("/proc").unwrap().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_one).collect()
    }

    async fn are_gone_within(&self, patience: Duration, attacked: &Attacked, end: &str) {
        let begun = Instant::now();
        loop {
            let left = [self.alive(), marked_processes(&attacked.folders.data())].concat();
            if left.is_empty() {
                return;
            }
            let so_far = begun.elapsed();
            assert!(so_far < patience, "{attacked}: {end}: {left:?} after {so_far:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Daemons {
    fn drop(&mut self) {
        // Of a test that failed, or that shows what is not prevented.
        for pid in self.alive() {
            let _ = kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL);
        }
    }
}

/// How long the tree of a run may live after the run is said to have ended: the ladder.
const LADDER: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_by_a_run_however_it_ends() {
    for_servers(SERVERS, &SHORT, async |attacked| {
        let daemons = Daemons::of(attacked, "!await end\n!result fine").await;
        attacked.folders.write("workspace/own/end", "");
        assert_eq!(attacked.client.ended(&daemons.run).await["state"], "completed", "{attacked}");
        daemons.are_gone_within(LADDER, attacked, "an end by itself").await;

        let daemons = Daemons::of(attacked, "!await end-too\n!die").await;
        attacked.folders.write("workspace/own/end-too", "");
        assert_eq!(attacked.client.ended(&daemons.run).await["state"], "failed", "{attacked}");
        daemons.are_gone_within(LADDER, attacked, "a crash").await;

        let daemons = Daemons::of(attacked, "!stubborn\n!hang").await;
        let cancel = attacked.client.post(&format!("/runs/{}/cancel", daemons.run), &json!({})).send().await;
        assert!(cancel.unwrap().status().is_success(), "{attacked}");
        assert_eq!(attacked.client.ended(&daemons.run).await["state"], "cancelled", "{attacked}");
        daemons.are_gone_within(LADDER, attacked, "a cancel").await;

        let daemons = Daemons::within(SHORT_TIME, attacked, "!stubborn\n!hang").await;
        assert_eq!(attacked.client.ended(&daemons.run).await["error"]["type"], "timeout", "{attacked}");
        daemons.are_gone_within(LADDER, attacked, "a timeout").await;

        let daemons = Daemons::to_be();
        let body = json!({"prompt": daemons.prompt("!stubborn\n!hang"), "cwd": "own"});
        let client = attacked.program.request(&body).await;
        let client = beside(async move { drop(client.send().await) });
        daemons.are_there().await;
        client.abort();
        daemons.are_gone_within(LADDER, attacked, "a client that is gone").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_when_the_server_is_told_to_end() {
    for_servers(SERVERS, &SHORT, async |attacked| {
        let daemons = Daemons::of(attacked, "!stubborn\n!hang").await;
        attacked.program.signal(Signal::TERM);
        assert!(attacked.program.ended().await.success(), "{attacked}: {}", attacked.program.log());
        daemons.are_gone_within(AT_ONCE, attacked, "SIGTERM").await;
        attacked.leaves_nothing();
        attacked.restart().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_when_the_server_is_killed() {
    for_servers(SERVERS, &SHORT, async |attacked| {
        let daemons = Daemons::of(attacked, "!stubborn\n!hang").await;
        attacked.program.signal(Signal::KILL);
        attacked.program.ended().await;
        if attacked.layer == Layer::Bubblewrap {
            daemons.are_gone_within(AT_ONCE, attacked, "kill -9").await;
        }
        attacked.restart().await;
        daemons.are_gone_within(SOON, attacked, "kill -9 and a restart").await;
        assert_eq!(attacked.client.run(&daemons.run).await["state"], "lost", "{attacked}");
        attacked.leaves_nothing();
    })
    .await;
}

/// The one way that is not prevented without a PID namespace, where signals are not held back either: the run kills its
/// guardian, and leaves processes that nothing recognises.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_kills_its_own_guardian_leaves_nothing_or_the_report_says_that_it_may() {
    for_servers(SERVERS, &SHORT, async |attacked| {
        // A guardian that is dead is noticed meanwhile.
        let daemons = Daemons::of(attacked, "!await end\n!attack kill-guardian\n!sleep 1000\n!result alive").await;
        attacked.folders.write("workspace/own/end", "");
        let run = attacked.client.ended(&daemons.run).await;
        let said = attacked.not_prevented().await;
        if !said.iter().any(|sentence| sentence.contains("kills its own guardian")) {
            daemons.are_gone_within(LADDER, attacked, &format!("the guardian's end: {run}")).await;
        }
        assert!(attacked.layer != Layer::Bubblewrap || run["result"] == "alive", "it was not killed: {run}");
    })
    .await;
}
