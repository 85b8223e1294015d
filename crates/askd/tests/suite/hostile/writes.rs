//! Writing where a run has no business to write.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use serde_json::json;
use uuid::Uuid;

use super::server::{Attacked, Layer, Who, for_each_server};
use super::table::{stopped, try_all};

/// A file of the host that is removed, if it is there.
struct Planted(PathBuf);

impl Drop for Planted {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

/// What counts is what the host sees: a file in a folder of the run's own is none.
async fn plants(attacked: &Attacked, path: &Path, works_without: bool) {
    let planted = Planted(path.to_owned());
    let (attempts, _) = attacked.attack(&[&format!("write {}", path.display())]).await;
    let there = planted.0.exists();
    let should = attacked.layer == Layer::None && works_without;
    assert_eq!(there, should, "{attacked}: {} {attempts:?}", path.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_outside_of_home_and_write_root() {
    for_each_server(async |attacked| {
        let name = format!("askd-test-{}", Uuid::new_v4());
        for below in ["workspace/other", "workspace", "data", "data/homes", "config", "home", "elsewhere", "bin"] {
            // The programs are root's, or else the one user's that there is.
            let works_without = below != "bin" || attacked.who == Who::Root || !geteuid().is_root();
            plants(attacked, &attacked.folders.root().join(below).join(&name), works_without).await;
        }
        for folder in ["/tmp", "/var/tmp", "/dev/shm"] {
            plants(attacked, &Path::new(folder).join(&name), true).await;
        }
        for folder in ["/usr/local", "/run"] {
            plants(attacked, &Path::new(folder).join(&name), attacked.who == Who::Root).await;
        }
        for name in ["removable", "movable"] {
            attacked.folders.write(&format!("workspace/other/{name}"), "a secret\n");
        }
        let rows = [
            stopped(format!("truncate {}", attacked.path("data/secret"))),
            stopped(format!("truncate {}", attacked.path("workspace/other/secret"))),
            stopped(format!("remove {}", attacked.path("workspace/other/removable"))),
            stopped(format!("move {} stolen", attacked.path("workspace/other/movable"))),
            stopped(format!("make {}", attacked.path("workspace/other/made"))),
            // Landlock knows no right to change a mode.
            stopped(format!("mode {}", attacked.path("data/askd.db"))).unless_said(Layer::Landlock, "mode, times"),
            stopped(format!("mode {}", attacked.path("workspace/other"))).unless_said(Layer::Landlock, "mode, times"),
            stopped("rewrite /proc/sys/kernel/core_pattern").by_layer_0(),
            stopped(format!("remount {}", attacked.path("elsewhere"))),
            stopped(format!("remount {}", attacked.path("workspace"))),
            stopped("capabilities").by_layer_0(),
        ];
        try_all(attacked, &rows).await;
        // Its own places are open.
        let (attempts, _) = attacked.attack(&["write here", "write src/here"]).await;
        assert!(attempts.iter().all(|attempt| attempt.worked), "{attacked}: {attempts:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_of_a_repository_cannot_be_planted_from_a_write_root_inside_of_it() {
    for_each_server(async |attacked| {
        let attacks = "!attack write ../.git/hooks/post-checkout\n!attack write here\n!attack read ../.git/config";
        attacked.folders.write("workspace/own/.git/config", "[core]\n");
        let mut body = json!({"prompt": attacks, "cwd": "own/src"});
        if attacked.layer != Layer::None {
            body["write_root"] = "own/src".into();
        }
        let (attempts, _) = attacked.attack_by(body).await;
        assert!(attempts[1].worked, "{attacked}: {attempts:?}");
        assert!(attempts[2].worked, "the repository can be read: {attacked}: {attempts:?}");
        let hook = attacked.folders.workspace().join("own/.git/hooks/post-checkout");
        let works = attacked.layer == Layer::None;
        assert_eq!((attempts[0].worked, hook.exists()), (works, works), "{attacked}: {attempts:?}");
    })
    .await;
}
