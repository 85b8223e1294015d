//! Runs that take all there is. Each hog is bounded by itself, but by more than its run may have.

use rustix::process::geteuid;
use serde_json::{Value, json};

use super::server::{Attacked, Layer, Who, for_servers};
use crate::harness::{eventually, marked_processes};

/// What a run may have here; each hog takes more.
const LIMITS: [(&str, &str); 4] = [
    ("ASKD_MAX_PROCESSES", "100"),
    ("ASKD_MAX_MEMORY", "160MiB"),
    ("ASKD_MAX_HOME", "32MiB"),
    ("ASKD_MAX_OPEN_FILES", "256"),
];

/// Little patience with a run that says nothing, and with one that does not end.
const IMPATIENT: [(&str, &str); 4] = [
    ("ASKD_IDLE_TIMEOUT", "300ms"),
    ("ASKD_STOP_SOFT", "200ms"),
    ("ASKD_STOP_EOF", "200ms"),
    ("ASKD_STOP_TERM", "200ms"),
];

/// The hogs, what they meet, and whether the machine may stop one before the watch does.
const HOGS: [(&str, &str); 8] = [
    ("bomb 7 8", "process_limit"),
    ("bomb-within 7 8", "process_limit"),
    ("threads 300 8", "process_limit"),
    ("memory 300 8", "memory_limit"),
    ("files 400 8", "open_files_limit"),
    ("fill ~/filled 96 8", "disk_limit"),
    ("fill ~/tmp/filled 96 8", "disk_limit"),
    ("fill /tmp/filled-TEST 96 8", "disk_limit"),
];

/// Names a file in a folder that may be everybody's.
fn of_this_test(attack: &str) -> String {
    attack.replace("TEST", &uuid::Uuid::new_v4().to_string())
}

async fn hog(attacked: &Attacked, attack: &str) -> Value {
    let body = json!({"prompt": format!("!attack {attack}"), "cwd": "own"});
    attacked.client.ended(&attacked.client.submit(&body).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn hogs_get_what_they_want_where_there_is_no_limit() {
    let servers = [(Who::Unprivileged, Layer::None), (Who::RootThatDrops, Layer::Bubblewrap)];
    for_servers(servers, &[], async |attacked| {
        let beside = async {
            let most = std::cell::Cell::new(0);
            eventually("so many processes as the bomb has", || {
                most.set(most.get().max(marked_processes(&attacked.folders.data()).len()));
                (most.get() > 200).then_some(())
            })
            .await;
        };
        let (run, ()) = tokio::join!(hog(attacked, "bomb 7 8"), beside);
        assert!(run["result"].as_str().is_some_and(|text| text.contains("it went off")), "{attacked}: {run}");
        for (attack, _) in &HOGS[1..] {
            let attack = of_this_test(attack).replace(" 8", " 0");
            let run = hog(attacked, &attack).await;
            let worked = run["result"].as_str().is_some_and(|text| text.contains(r#""worked":true"#));
            assert!(worked, "{attacked}: {run}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hog_ends_by_itself_with_its_own_error_and_its_neighbour_goes_on() {
    let servers = [
        (Who::Unprivileged, Layer::None),
        (Who::Unprivileged, Layer::Bubblewrap),
        (Who::Unprivileged, Layer::Landlock),
        (Who::RootThatDrops, Layer::Bubblewrap),
    ];
    for_servers(servers, &LIMITS, async |attacked| {
        let neighbour = attacked.victim().await;
        for (attack, expected) in HOGS {
            // Without a /tmp of its own a run is not counted there; under Landlock it cannot write there.
            if attack.contains(" /tmp/") && attacked.layer != Layer::Bubblewrap {
                continue;
            }
            let run = hog(attacked, &of_this_test(attack)).await;
            // The kernel refuses what is one too many of these, and the run may go on with what it has.
            let refused = run["result"].as_str().is_some_and(|text| text.contains(r#""worked":false"#));
            let may_be_refused = ["process_limit", "open_files_limit"].contains(&expected);
            let ended = run["error"]["type"] == expected;
            // Where all servers here are one user, another's hog may have taken what the kernel grants to a user.
            let is_held = expected == "process_limit" && !geteuid().is_root() && attacked.layer != Layer::Bubblewrap;
            assert!(ended || is_held || (refused && may_be_refused), "{attacked}: {attack}: {run}");
            if ended {
                assert!(run["error"]["message"].as_str().unwrap().contains("ASKD_MAX_"), "{run}");
            }
        }
        attacked.folders.write("workspace/other/go", "");
        assert_eq!(attacked.client.ended(&neighbour.run).await["result"], "unharmed", "{attacked}");
    })
    .await;
}

/// It is memory, and belongs to no process.
#[tokio::test(flavor = "multi_thread")]
async fn the_shared_memory_of_the_machine_cannot_be_filled() {
    let servers = [
        (Who::Unprivileged, Layer::None),
        (Who::Unprivileged, Layer::Bubblewrap),
        (Who::Unprivileged, Layer::Landlock),
    ];
    for_servers(servers, &[], async |attacked| {
        let (attempts, _) = attacked.attack(&[&of_this_test("fill /dev/shm/filled-TEST 96 0")]).await;
        assert_eq!(attempts[0].worked, attacked.layer == Layer::None, "{attacked}: {attempts:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_does_nothing_at_all_is_ended_too() {
    for_servers([(Who::Unprivileged, Layer::Bubblewrap)], &IMPATIENT, async |attacked| {
        let body = json!({"prompt": "!stubborn\n!hang", "cwd": "own"});
        let run = attacked.client.ended(&attacked.client.submit(&body).await).await;
        assert_eq!(run["error"]["type"], "idle_timeout", "{run}");
        eventually("the end", || marked_processes(&attacked.folders.data()).is_empty().then_some(())).await;
    })
    .await;
}

/// What a look at processes and folders does not meet. A cgroup would hold the first two.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_measured_is_said() {
    let hidden = [
        ("memfd 300 3", "files in memory"),
        ("tmpfs 300 3", "files in memory"),
        ("unlinked ~/hidden 96 3", "removed and still holds open"),
    ];
    let limits = [("ASKD_MAX_MEMORY", "160MiB"), ("ASKD_MAX_HOME", "64MiB")];
    let servers = [
        (Who::Unprivileged, Layer::None),
        (Who::Unprivileged, Layer::Bubblewrap),
        (Who::Unprivileged, Layer::Landlock),
    ];
    for_servers(servers, &limits, async |attacked| {
        let report = attacked.client.get("/v1/isolation").await.body;
        let has_cgroup = report["in_force"].as_array().unwrap().contains(&json!("cgroup_memory"));
        let said = attacked.not_prevented().await;
        for (attack, words) in hidden {
            let run = hog(attacked, attack).await;
            let worked = run["result"].as_str().is_some_and(|text| text.contains(r#""worked":true"#));
            let is_said = said.iter().any(|sentence| sentence.contains(words));
            assert!(!worked || is_said, "{attacked}: {attack} is neither stopped nor said: {run}");
            assert!(!(worked && has_cgroup && words == "files in memory"), "{attacked}: {attack}: {run}");
        }
    })
    .await;
}

/// System V shared memory belongs to no process: it is gone with an IPC namespace, and otherwise with the machine.
#[tokio::test(flavor = "multi_thread")]
async fn shared_memory_does_not_outlive_its_run_or_the_report_says_that_it_may() {
    let servers = [
        (Who::RootThatDrops, Layer::None),
        (Who::RootThatDrops, Layer::Bubblewrap),
        (Who::RootThatDrops, Layer::Landlock),
    ];
    for_servers(servers, &[], async |attacked| {
        let (attempts, _) = attacked.attack(&["segment 1"]).await;
        let all = std::fs::read_to_string("/proc/sysvipc/shm").unwrap();
        let is_ours = |line: &&str| line.split_whitespace().nth(7) == Some(&*attacked.user().to_string());
        let left: Vec<&str> = all.lines().filter(is_ours).collect();
        for line in &left {
            remove_segment(line.split_whitespace().nth(1).unwrap());
        }
        let said = attacked.not_prevented().await.iter().any(|sentence| sentence.contains("system v"));
        match attacked.layer {
            Layer::None => assert_eq!(left.len(), 1, "the attack works: {attempts:?}"),
            Layer::Bubblewrap => assert!(left.is_empty() && !said, "{attempts:?}: {left:?}"),
            Layer::Landlock => assert!(left.is_empty() || said, "{attempts:?}: {left:?}"),
        }
    })
    .await;
}

fn remove_segment(id: &str) {
    #[expect(clippy::disallowed_methods, reason = "what a test has left behind")]
    let mut command = std::process::Command::new("ipcrm");
    assert!(command.args(["--shmem-id", id]).status().unwrap().success());
}
