//! What agents have made of their sessions: it costs those sessions their place in a backup, and nobody else's.

use std::io::Read as _;
use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{askd, done, restore, said, serve};
use crate::harness::{Folders, UNPRIVILEGED, V1};

/// Puts a session among those that are kept; the folder beside its transcript.
fn keep(folders: &Folders, session: &str) -> std::path::PathBuf {
    let folder = folders.data().join("sessions").join(session);
    std::fs::create_dir_all(folder.join(session)).unwrap();
    std::fs::write(folder.join(format!("{session}.jsonl")), "{}\n").unwrap();
    folder.join(session)
}

/// The session of a run, kept by a server that has ended since.
async fn of_a_run(folders: &Folders) -> String {
    let mut program = serve(folders);
    let client = V1::at(program.address().await);
    let run = client.submit(&json!({"prompt": "hello"})).await;
    let session = client.ended(&run).await["session_id"].as_str().unwrap().to_owned();
    program.signal(Signal::TERM);
    assert!(program.ended().await.success());
    session
}

/// The sessions in an archive, each as often as files of it follow each other.
fn sessions_in(archive: &Path) -> Vec<String> {
    let decoder = zstd::Decoder::new(std::fs::File::open(archive).unwrap()).unwrap();
    let mut sessions = Vec::new();
    for entry in tar::Archive::new(decoder).entries().unwrap() {
        let path = entry.unwrap().path().unwrap().into_owned();
        let mut parts = path.iter().map(|part| part.to_string_lossy().into_owned());
        if parts.next().as_deref() == Some("sessions") {
            sessions.push(parts.next().unwrap());
        }
    }
    sessions.dedup();
    sessions
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_would_be_larger_in_the_archive_than_on_the_disk_is_left_out_and_the_others_are_not() {
    let (folders, fresh) = (Folders::new(), Folders::new());
    let own = of_a_run(&folders).await;
    let [sparse, linked, crowded, large, fits, beyond] =
        [1, 2, 3, 4, 5, 6].map(|id| format!("00000000-0000-4000-8000-{id:012}"));
    std::fs::File::create(keep(&folders, &sparse).join("hole")).unwrap().set_len(64 << 20).unwrap();
    let folder = keep(&folders, &linked);
    std::fs::write(folder.join("0"), vec![b'x'; 64 << 10]).unwrap();
    for name in 1..64 {
        std::fs::hard_link(folder.join("0"), folder.join(name.to_string())).unwrap();
    }
    // Each alone could be continued. Together they would have more than all sessions may.
    for session in [&fits, &beyond] {
        std::fs::File::create(keep(&folders, session).join("hole")).unwrap().set_len(900 << 10).unwrap();
    }
    // Many files, but not too many.
    let folder = keep(&folders, &crowded);
    for file in 0..600 {
        std::fs::write(folder.join(format!("{file:0>100}")), "").unwrap();
    }
    // It takes what it says, so it was kept when the setting was larger. No file system makes this smaller.
    let mut bytes = Vec::new();
    std::fs::File::open("/dev/urandom").unwrap().take(3 << 20).read_to_end(&mut bytes).unwrap();
    let file = keep(&folders, &large).join("result");
    std::fs::write(&file, &bytes).unwrap();
    std::fs::File::open(&file).unwrap().sync_all().unwrap();

    let archive = folders.root().join("backup");
    let arguments = ["backup", "--json", "--to", archive.to_str().unwrap()];
    let bounds = [("ASKD_MAX_SESSION", "1MiB"), ("ASKD_SESSIONS_MAX_SIZE", "1MiB")];
    let output = done(askd(&folders.data(), &arguments, &bounds)).await;
    let taken: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &taken["missing_sessions"]), (Some(3), &json!(3)), "{}", said(&output));
    for session in [&sparse, &linked, &beyond] {
        let told = format!("session {session} is not in the archive: its files have more than ");
        assert!(said(&output).contains(&told), "{told}: {}", said(&output));
    }
    let mut others = [own, large.clone()];
    others.sort();
    let [first, second] = others;
    let last = [crowded.clone(), fits];
    assert_eq!(sessions_in(&archive), [[first, second], last].concat(), "what is unusual comes last");
    let output = restore(&fresh.data(), &archive, &[]).await;
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(std::fs::read_dir(fresh.data().join("sessions").join(&crowded).join(&crowded)).unwrap().count(), 600);
    assert_eq!(std::fs::read(fresh.data().join("sessions").join(&large).join(&large).join("result")).unwrap(), bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_cannot_be_read_or_have_too_many_files_are_told_by_the_exit_code() {
    use std::os::unix::fs::PermissionsExt as _;
    let folders = Folders::new();
    let session = of_a_run(&folders).await;
    let folder = folders.data().join("sessions").join(&session);
    // What an agent has made of its session: more names than one may have, and nothing in them.
    let crowded = "00000000-0000-4000-8000-000000000007";
    let files = keep(&folders, crowded);
    for file in 0..13_000 {
        std::fs::write(files.join(format!("{file:0>250}")), "").unwrap();
    }
    // Root can read all, and becomes the owner, who cannot.
    folders.give_to(UNPRIVILEGED);
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o000)).unwrap();
    let archive = folders.data().join("backup").display().to_string();
    let output = done(askd(&folders.data(), &["backup", "--json", "--to", &archive], &[])).await;
    let taken: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &taken["missing_sessions"]), (Some(3), &json!(2)), "{}", said(&output));
    for (session, why) in [(&*session, ""), (crowded, "the paths of its files have more than 4194304 bytes together")] {
        let told = format!("session {session} is not in the archive: {why}");
        assert!(said(&output).contains(&told), "{told}: {}", said(&output));
    }
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).unwrap();
}
