//! A disk that is full: a file system of some megabytes, in a mount namespace of its own.

use std::process::{Command, Stdio};
use std::time::Duration;

use askd::store::append::{Append, Appended};
use askd::store::chunk::ChunkBuilder;
use askd::store::{Health, Problem, StoreError};

use crate::place::{Place, append, eventually, last_seq, submitted};

/// Set in the process that has the small file system.
const INSIDE: &str = "ASKD_TEST_SMALL_DISK";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_runs_wait_and_go_on_once_there_is_room() {
    if let Some((_, folder)) = std::env::vars_os().find(|(name, _)| name == INSIDE) {
        return fill(folder.to_str().unwrap()).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let unshare = |script: &str| {
        #[expect(clippy::disallowed_methods, reason = "a mount namespace for this test, with itself inside")]
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]).stdin(Stdio::null());
        command
    };
    let mount = "mount -t tmpfs -o size=6m tmpfs \"$1\"";
    let allowed = unshare(mount).arg(folder.path()).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    if !allowed {
        eprintln!("not tested: this machine allows no user namespace with a mount of its own");
        return;
    }
    let mut again = unshare(&format!("{mount} && shift && exec \"$@\""));
    again.arg(folder.path()).arg(std::env::current_exe().unwrap());
    let name = "small_disk::on_a_full_disk_runs_wait_and_go_on_once_there_is_room";
    again.args(["--exact", name, "--nocapture"]).env(INSIDE, folder.path());
    let done = tokio::task::spawn_blocking(move || again.output().unwrap()).await.unwrap();
    let told = [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(done.status.success() && told.contains("1 passed"), "{told}");
}

async fn fill(folder: &str) {
    let ballast = std::path::Path::new(folder).join("ballast");
    std::fs::write(&ballast, vec![7; 2 << 20]).unwrap();
    let mut place = Place::sqlite().patience(Duration::from_secs(5));
    place.folder = tempfile::tempdir_in(folder).unwrap();
    let store = place.open().await;
    submitted(&store, "run_1").await;

    let mut seq = 2;
    let refusal = loop {
        match store.write(incompressible("run_1", seq)).await {
            Ok(Appended::Stored) => seq += 1,
            other => break other,
        }
        assert!(seq < 1_000, "the disk was never full");
    };
    assert_eq!(refusal, Err(StoreError::Full));
    let Health::Failing { problem, .. } = store.health() else { panic!("{:?}", store.health()) };
    assert_eq!(problem, Problem::Full);
    assert_eq!(last_seq(&store, "run_1").await, seq - 1, "what was stored can be read");

    let patient = store.write_patiently(incompressible("run_1", seq));
    let make_room = async {
        // As soon as it has been refused once more.
        eventually("it fails", async || matches!(store.health(), Health::Failing { .. })).await;
        std::fs::remove_file(&ballast).unwrap();
    };
    let (patient, ()) = tokio::join!(patient, make_room);
    assert_eq!(patient, Ok(Appended::Stored));
    assert_eq!(store.write(append("run_1", seq + 1, seq + 1)).await, Ok(Appended::Stored));
    assert_eq!(store.health(), Health::Working);
    store.close().await;
    let store = place.open().await;
    assert_eq!(last_seq(&store, "run_1").await, seq + 1);
    store.close().await;
}

/// An event of about 50 KB that stays as large as it is.
fn incompressible(run: &str, seq: u64) -> Append {
    let noise: String = (0..1_500).map(|_| uuid::Uuid::new_v4().simple().to_string()).collect();
    let mut chunk = ChunkBuilder::new(seq);
    chunk.push(0, "agent.user", &format!("\"{noise}\""));
    let bytes = chunk.finish().compress();
    Append { run_id: run.to_owned(), epoch: 1, chunks: vec![(seq, seq, bytes)], log_bytes: 1, ..Append::default() }
}
