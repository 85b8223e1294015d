//! Files that are none of the run's business.

use std::fs;

use serde_json::json;

use super::server::for_each_server;
use super::table::{stopped, try_all};

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_others_cannot_be_read() {
    for_each_server(async |attacked| {
        let victim = attacked.victim().await;
        let others = attacked.folders.list("data/homes").remove(0);
        let home = format!("data/homes/{others}");
        let planted = attacked.folders.root().join(&home).join("secret");
        fs::write(&planted, "a secret\n").unwrap();
        let read = |below: &str| stopped(format!("read {}", attacked.path(below)));
        let list = |below: &str, shown: &str| stopped(format!("list {}", attacked.path(below))).that_shows(shown);
        let mut rows = vec![
            read(&format!("{home}/secret")),
            list(&home, "secret"),
            read("data/askd.db"),
            read("data/askd.db-wal"),
            list("data", "askd.db"),
            list("data/homes", &others),
            read("config/secret"),
            list("config", "secret"),
            read("home/secret"),
            read("workspace/other/secret"),
            stopped("read ../other/secret"),
            stopped("read link"),
            list("workspace/other", "secret"),
            list("workspace", "other"),
            // By the eyes of others.
            stopped(format!("read /proc/{}/cwd/secret", victim.main)),
            stopped(format!("read /proc/{}/root{}", victim.main, attacked.path("config/secret"))),
            stopped(format!("read /proc/{}/root{}", attacked.program.pid(), attacked.path("config/secret")))
                .by_layer_0(),
            // Under a name in its own workspace.
            stopped(format!("link {} stolen", attacked.path("workspace/other/secret"))),
            stopped(format!("link {} stolen", attacked.path("data/secret"))),
            // In namespaces of the attacker's own.
            stopped(format!("unmount {}", attacked.path("config"))),
            stopped(format!("unmount {}", attacked.path("data"))).that_shows("askd.db"),
            stopped(format!("nested {}", attacked.path("data"))).that_shows("askd.db"),
            stopped(format!("nested {}", attacked.path("workspace/other"))),
        ];
        // The home that the system knows is hidden as well as the one that the environment names.
        if fs::read_dir("/root").is_ok_and(|mut entries| entries.next().is_some()) {
            rows.push(stopped("list /root").by_layer_0());
        }
        try_all(attacked, &rows).await;
        attacked.folders.write("workspace/other/go", "");
        assert_eq!(attacked.client.ended(&victim.run).await["result"], "unharmed");
    })
    .await;
}

/// The server moves a run's transcript with its own rights, and gives it to the session's next run.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_planted_beside_the_transcript_carries_nothing_into_the_next_run() {
    for_each_server(async |attacked| {
        let first = attacked.client.ended(&attacked.client.submit(&json!({"prompt": "one", "cwd": "own"})).await).await;
        let session = first["session_id"].as_str().unwrap();
        let secret = attacked.path("config/secret");
        let planted = ["stolen", "tool-results/stolen"].map(|name| format!("~/.claude/projects/run/{session}/{name}"));
        let script = |attack: &dyn Fn(&String) -> String| {
            let lines: Vec<String> = planted.iter().map(|name| format!("!attack {}", attack(name))).collect();
            json!({"prompt": lines.join("\n"), "cwd": "own", "session_id": session})
        };
        let (attempts, _) = attacked.attack_by(script(&|name| format!("symlink {secret} {name}"))).await;
        assert!(attempts.iter().all(|attempt| attempt.worked), "{attacked}: {attempts:?}");
        let (attempts, _) = attacked.attack_by(script(&|name| format!("read {name}"))).await;
        assert!(attempts.iter().all(|attempt| !attempt.worked), "{attacked}: {attempts:?}");
    })
    .await;
}
