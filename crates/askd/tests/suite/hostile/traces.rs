//! Processes of others: the server, another run and its guardian.

use std::os::unix::process::ExitStatusExt as _;

use serde_json::json;

use super::server::{Layer, Who, for_each_server, for_servers};
use super::table::{stopped, try_all};

#[tokio::test(flavor = "multi_thread")]
async fn other_processes_are_out_of_reach_and_layer_0_keeps_the_server_from_being_looked_into() {
    for_each_server(async |attacked| {
        let victim = attacked.victim().await;
        let server = attacked.program.pid();
        let mut rows = vec![stopped(format!("environs {}", victim.run))];
        for attack in ["environ", "ptrace", "memory-of", "descriptor-of"] {
            rows.push(stopped(format!("{attack} {}", victim.main)));
            rows.push(stopped(format!("{attack} {}", victim.guardian)));
            // It cannot be dumped, and so not be looked into by its own user.
            rows.push(stopped(format!("{attack} {server}")).by_layer_0());
        }
        for pid in [server, victim.main, victim.guardian] {
            rows.push(stopped(format!("limits-of {pid}")));
            rows.push(
                stopped(format!("slow-down {pid}")).unless_said(Layer::Landlock, "the priority of other processes"),
            );
            let row = stopped(format!("signal {pid}"));
            rows.push(row.unless_said(Layer::Landlock, "a run can signal"));
        }
        // Tracing ends with the attacker; the victim goes on.
        try_all(attacked, &rows).await;
        attacked.folders.write("workspace/other/go", "");
        assert_eq!(attacked.client.ended(&victim.run).await["result"], "unharmed");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guardian_of_another_run_cannot_be_killed() {
    for_each_server(async |attacked| {
        let victim = attacked.victim().await;
        let (attempts, _) = attacked.attack(&[&format!("kill {}", victim.guardian)]).await;
        if attempts[0].worked {
            let run = attacked.client.ended(&victim.run).await;
            assert_eq!(run["state"], "failed", "{attacked}: {run}");
            let said = attacked.not_prevented().await;
            let is_said = said
                .iter()
                .any(|sentence| sentence.contains("a run can signal") || sentence.contains("read and change"));
            assert!(is_said, "{attacked}: {said:#?}");
        } else {
            attacked.folders.write("workspace/other/go", "");
            assert_eq!(attacked.client.ended(&victim.run).await["result"], "unharmed", "{attacked}");
        }
        assert_eq!(attempts[0].worked, attacked.layer == Layer::None, "{attacked}: {attempts:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_to_all_processes_reaches_the_own_ones_alone() {
    if !rustix::process::geteuid().is_root() {
        // There is no user to spare.
        return;
    }
    // Root would end the machine.
    let pairs = [Who::RootThatDrops, Who::Unprivileged].into_iter();
    let pairs = pairs.flat_map(|who| Layer::ALL.map(|layer| (who, layer)));
    for_servers(pairs, &[], async |attacked| {
        let victim = attacked.victim().await;
        let body = json!({"prompt": "!attack kill-all", "cwd": "own"});
        if attacked.layer == Layer::None {
            drop(attacked.client.post("/runs?wait=60", &body).send().await);
            let status = attacked.program.ended().await;
            assert_eq!(status.signal(), Some(9), "{attacked}: the server itself is killed");
            attacked.restart().await;
            return;
        }
        let run = attacked.client.ended(&attacked.client.submit(&body).await).await;
        assert_eq!(run["state"], "failed", "its own CLI is killed: {run}");
        attacked.folders.write("workspace/other/go", "");
        assert_eq!(attacked.client.ended(&victim.run).await["result"], "unharmed", "{attacked}");
    })
    .await;
}
