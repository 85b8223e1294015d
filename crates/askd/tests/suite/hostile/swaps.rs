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
                // A pause of the length of the window that it hopes to hit.
                sleep(Duration::from_micros(count % 500));
            }
        });
        Self { stop, thread: Some(thread) }
    }

    fn stop(self) {
        drop(self);
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

/// What became of requests for the folder that is swapped.
#[derive(Default)]
struct Count {
    /// Runs that say that they were in the folder.
    inside: usize,
    /// Runs that say that they were where the link leads.
    linked: usize,
    refused: usize,
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

async fn rounds(attacked: &Attacked, swap: &Swap, asks: impl Fn(String) -> Value) {
    let root = attacked.folders.root();
    let workspace = attacked.folders.workspace().join(swap.folder);
    let link = workspace.with_file_name("swapped-link");
    let outside = root.join(swap.target);
    fs::create_dir(&workspace).unwrap();
    fs::set_permissions(&workspace, PermissionsExt::from_mode(0o777)).unwrap();
    symlink(swap.link, &link).unwrap();
    let swapper = Swapper::of(&workspace, &link);
    a_check_of_the_path_is_deceived(&workspace, &outside);

    let mut count = Count::default();
    for round in 0..ROUNDS / AT_ONCE {
        let requests = (0..AT_ONCE).map(async |number| {
            let body = asks(format!("!touch made-{round}-{number}"));
            let answer = Answer::of(attacked.client.post("/runs?wait=30", &body).send().await.unwrap()).await;
            match answer.status {
                200 if answer.body["state"] == "completed" => answer.body["workspace"].as_str().map(str::to_owned),
                // The link led out of the root, or the folder was not what it had been when its turn came.
                200 | 400 => None,
                _ => panic!("{attacked}: {answer:?}"),
            }
        });
        for place in join_all(requests).await {
            match place {
                Some(name) if name == swap.workspace => count.linked += 1,
                Some(_) => count.inside += 1,
                None => count.refused += 1,
            }
        }
    }
    swapper.stop();
    // Taken away, for the next rounds begin with none.
    let made = |folder: &Path| {
        let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let made =
            paths.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("made-")));
        made.map(fs::remove_file).filter(Result::is_ok).count()
    };
    let Count { inside, linked, refused } = count;
    let real = if fs::symlink_metadata(&workspace).unwrap().is_dir() { &workspace } else { &link };
    assert_eq!(
        (made(real), made(&outside)),
        (inside, linked),
        "{attacked}: each wrote where it says it was, {refused} were refused"
    );
    assert!(inside > 0 && linked + refused > 0, "{attacked}: {inside}, {linked}, {refused}");
    for path in [&workspace, &link] {
        let removed = if path.is_symlink() { fs::remove_file(path) } else { fs::remove_dir_all(path) };
        removed.unwrap();
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
        let asks = |prompt| json!({"prompt": prompt, "cwd": "swapped"});
        // Out of the root: no run may say that it was there.
        let swap = Swap { folder: "swapped", link: "../elsewhere", target: "elsewhere", workspace: "none" };
        rounds(attacked, &swap, asks).await;
        // To another workspace, which is a folder like others: a run may be there, if it says so.
        let swap = Swap { folder: "swapped", link: "other", target: "workspace/other", workspace: "other" };
        rounds(attacked, &swap, asks).await;
    })
    .await;
}

/// Two places are looked up then, and one after the other: the swap may come in between.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_root_that_is_swapped_for_a_link_is_no_write_root_elsewhere() {
    let pairs = [(Who::RootThatDrops, Layer::Bubblewrap), (Who::Unprivileged, Layer::Landlock)];
    for_servers(pairs, &[("MAX_CONCURRENT", "4")], async |attacked| {
        let asks = |prompt| json!({"prompt": prompt, "cwd": "own/swapped", "write_root": "own/swapped"});
        let swap = Swap { folder: "own/swapped", link: "../other", target: "workspace/other", workspace: "other" };
        rounds(attacked, &swap, asks).await;
        // A run that is in one of them does not write in the other.
        let asks = |prompt: String| {
            let other_too = format!("{prompt}\n!attack write ../other/planted\n!attack write ../own/planted");
            json!({"prompt": other_too, "cwd": "own/swapped", "write_root": "own/swapped"})
        };
        rounds(attacked, &swap, asks).await;
        for folder in ["own", "other"] {
            assert!(!attacked.folders.workspace().join(folder).join("planted").exists(), "{attacked}: {folder}");
        }
    })
    .await;
}
