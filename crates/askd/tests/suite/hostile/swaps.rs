//! Folders that change while they are being entered.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use futures_util::future::join_all;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::{Value, json};

use super::server::{Attacked, Layer, Who, for_servers};
use crate::harness::Answer;

/// How often a run is asked for while the folder changes, for each of two links.
const ROUNDS: usize = 100;
/// Requests at a time.
const AT_ONCE: usize = 4;

/// A run that finds its folder must find it again at its turn, and bubblewrap once more.
const STILL: Duration = Duration::from_millis(30);

/// Exchanges a workspace with a link that leads out, as fast as it can.
struct Swapper {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Swapper {
    fn of(one: &Path, other: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (ended, one, other) = (Arc::clone(&stop), one.to_owned(), other.to_owned());
        let thread = spawn(move || {
            let mut count = 0_u64;
            while !ended.load(Ordering::Relaxed) {
                renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE).unwrap();
                count += 1;
                // Pauses of the lengths of the windows that it hopes to hit, and now and then one in which a run can begin.
                sleep(if count.is_multiple_of(64) { STILL } else { Duration::from_micros(count % 500) });
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Swapper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join).transpose().expect("the swaps work");
    }
}

/// A server that looked at the path and then used it would be led astray.
fn a_check_of_the_path_is_deceived(workspace: &Path, outside: &Path) {
    for round in 0..1_000_000 {
        let is_inside = fs::symlink_metadata(workspace).is_ok_and(|folder| folder.is_dir());
        if is_inside && fs::write(workspace.join("deceived"), "").is_ok() && outside.join("deceived").exists() {
            fs::remove_file(outside.join("deceived")).unwrap();
            return;
        }
        assert!(round < 999_999, "the attack does not work at all");
    }
}

/// A folder below the root of workspaces, and what it is swapped for.
struct Swap {
    folder: &'static str,
    /// Relative to the folder's parent.
    link: &'static str,
    /// Where that leads, in the server's folders.
    target: &'static str,
    /// The workspace there; none, if that is no workspace.
    workspace: &'static str,
}

impl Swap {
    /// Asks for runs in the folder while it is swapped; `body` is what each asks for beside its script.
    async fn go(&self, attacked: &Attacked, body: &Value) {
        let workspaces = attacked.folders.workspace();
        let (folder, outside) = (workspaces.join(self.folder), attacked.folders.root().join(self.target));
        let link = folder.with_file_name("swapped-link");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, PermissionsExt::from_mode(0o777)).unwrap();
        symlink(self.link, &link).unwrap();
        let swapper = Swapper::of(&folder, &link);
        a_check_of_the_path_is_deceived(&folder, &outside);

        let mut runs = Vec::new();
        for round in 0..ROUNDS / AT_ONCE {
            let asked = (0..AT_ONCE).map(async |number| {
                let name = format!("made-{round}-{number}");
                let mut body = body.clone();
                body["prompt"] = format!("!touch {name}").into();
                if attacked.layer != Layer::None {
                    // Where it is not, it may not write by another way either.
                    let places = [&folder, &outside].map(|place| place.join(&name).display().to_string());
                    let [here, there] = places.map(|place| format!("!attack write {place}"));
                    body["prompt"] = format!("!touch {name}\n{here}\n{there}").into();
                }
                let answer = Answer::by(attacked.client.post("/runs?wait=60", &body)).await;
                // Refused: the link led out of the root, or the folder was not what it had been when its turn came.
                assert!([200, 400].contains(&answer.status), "{attacked}: {answer:?}");
                let place = (answer.body["state"] == "completed").then(|| answer.body["workspace"].clone());
                (name, place)
            });
            runs.extend(join_all(asked).await);
        }
        drop(swapper);
        let real = if folder.is_symlink() { &link } else { &folder };
        let (mut inside, mut elsewhere) = (0, 0);
        for (name, place) in runs {
            let linked = place.as_ref().is_some_and(|place| place == self.workspace);
            let made = (real.join(&name).exists(), outside.join(&name).exists());
            assert_eq!(made, (place.is_some() && !linked, linked), "{attacked}: {name} in {place:?}");
            inside += usize::from(made.0);
            elsewhere += usize::from(!made.0);
            drop(fs::remove_file(outside.join(name)));
        }
        assert!(
            inside > 0 && elsewhere > 0,
            "{attacked}: {inside} in the folder, {elsewhere} not: nothing was swapped"
        );
        fs::remove_dir_all(real).unwrap();
        fs::remove_file(if folder.is_symlink() { folder } else { link }).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_swapped_for_a_link_leads_no_run_out_of_its_workspace() {
    let pairs = [
        (Who::RootThatDrops, Layer::None),
        (Who::RootThatDrops, Layer::Bubblewrap),
        (Who::Unprivileged, Layer::Bubblewrap),
        (Who::Unprivileged, Layer::Landlock),
    ];
    for_servers(pairs, &[("MAX_CONCURRENT", "4")], async |attacked| {
        let body = json!({"cwd": "swapped"});
        // Out of the root: no run may say that it was there.
        let swap = Swap { folder: "swapped", link: "../elsewhere", target: "elsewhere", workspace: "none" };
        swap.go(attacked, &body).await;
        // To another workspace, which is a folder like others: a run may be there, if it says so.
        let swap = Swap { folder: "swapped", link: "other", target: "workspace/other", workspace: "other" };
        swap.go(attacked, &body).await;
    })
    .await;
}

/// Two places are looked up then, one after the other: the swap may come in between.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_root_that_is_swapped_for_a_link_is_no_write_root_elsewhere() {
    let pairs = [(Who::RootThatDrops, Layer::Bubblewrap), (Who::Unprivileged, Layer::Landlock)];
    for_servers(pairs, &[("MAX_CONCURRENT", "4")], async |attacked| {
        let swap = Swap { folder: "own/swapped", link: "../other", target: "workspace/other", workspace: "other" };
        swap.go(attacked, &json!({"cwd": "own/swapped", "write_root": "own/swapped"})).await;
    })
    .await;
}
