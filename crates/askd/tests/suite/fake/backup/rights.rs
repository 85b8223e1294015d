//! Whose folders a backup and a restore work in, and as whom: what others may rename, read or own.

use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::json;

use super::{askd, backup, done, names, needs_root, restore, said, serve};
use crate::harness::{Folders, UNPRIVILEGED, V1, as_user, launcher};

#[tokio::test(flavor = "multi_thread")]
async fn what_root_restores_belongs_to_whom_the_folder_belonged() {
    use std::os::unix::fs::MetadataExt as _;
    if needs_root("what_root_restores_belongs_to_whom") {
        return;
    }
    let (folders, fresh) = (Folders::new(), Folders::new());
    let program = serve(&folders);
    let client = V1::at(program.address().await);
    let run = client.submit(&json!({"prompt": "hello"})).await;
    let session = client.ended(&run).await["session_id"].as_str().unwrap().to_owned();
    let archive = folders.root().join("backup");
    backup(&folders.data(), &archive).await;
    fresh.give_to(UNPRIVILEGED);
    let output = restore(&fresh.data(), &archive, &[]).await;
    assert!(output.status.success(), "{}", said(&output));
    let transcript = format!("sessions/{session}/{session}.jsonl");
    for name in ["askd.db", "lock", "restored.json", "sessions", &transcript] {
        let metadata = std::fs::metadata(fresh.data().join(name)).unwrap();
        assert_eq!((metadata.uid(), metadata.mode() & 0o077), (UNPRIVILEGED, 0), "{name}");
    }
    // And that user can make backups of its own.
    let mut command = as_user(UNPRIVILEGED, &copy_of_askd(&fresh));
    let to = fresh.data().join("own-backup");
    command.args(["backup", "--to"]).arg(&to).env_clear().env("ASKD_DATA_DIR", fresh.data());
    let output = done(command).await;
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(std::fs::metadata(&to).unwrap().uid(), UNPRIVILEGED);
}

/// Where everybody can execute it.
fn copy_of_askd(folders: &Folders) -> PathBuf {
    let bin = folders.root().join("bin");
    std::fs::create_dir(&bin).unwrap();
    std::fs::copy(launcher(), bin.join("askd")).unwrap();
    bin.join("askd")
}

#[tokio::test(flavor = "multi_thread")]
async fn root_follows_no_name_that_a_folder_s_owner_has_put_there() {
    use std::os::unix::fs::symlink;
    if needs_root("root_follows_no_name") {
        return;
    }
    let (folders, theirs) = (Folders::new(), Folders::new());
    let mut program = serve(&folders);
    program.address().await;
    program.signal(Signal::TERM);
    assert!(program.ended().await.success());
    let archive = folders.root().join("backup");
    backup(&folders.data(), &archive).await;
    let (roots, victim) = (theirs.root().join("roots"), theirs.root().join("victim"));
    std::fs::create_dir(&roots).unwrap();
    std::fs::write(&victim, "precious").unwrap();
    std::fs::copy(folders.data().join("askd.db"), theirs.data().join("askd.db")).unwrap();
    theirs.give_to(UNPRIVILEGED);
    let own = |name: &str| theirs.data().join(name);
    let unharmed = |what: &str| {
        assert_eq!(names(&roots), [""; 0], "{what}");
        assert_eq!(std::fs::read(&victim).unwrap(), b"precious", "{what}");
    };
    // A lock elsewhere: for each command.
    symlink(roots.join("made"), own("lock")).unwrap();
    let to = folders.root().join("theirs").display().to_string();
    let from = archive.display().to_string();
    for arguments in [&["backup", "--to", "-"][..], &["restore", "--replace", "--from", &from]] {
        let output = done(askd(&theirs.data(), arguments, &[])).await;
        unharmed(&said(&output));
        assert!(arguments[0] == "backup" || !output.status.success());
    }
    std::fs::remove_file(own("lock")).unwrap();
    // The places that a backup and a restore are known to take.
    for name in [".askd-backup.askd-unfinished", "restoring"] {
        symlink(&roots, own(name)).unwrap();
        let output = done(askd(&theirs.data(), &["backup", "--to", "-"], &[])).await;
        unharmed(&said(&output));
        let output = restore(&theirs.data(), &archive, &["--replace"]).await;
        unharmed(&said(&output));
        drop(std::fs::remove_file(own(name)));
    }
    let now = jiff::Timestamp::now().as_second();
    for second in 0..30 {
        let time = jiff::Timestamp::from_second(now + second).unwrap().strftime("%Y%m%dT%H%M%SZ").to_string();
        // An earlier restore of this second may have the name.
        drop(symlink(&roots, own(&format!("before-restore-{time}"))));
    }
    let output = restore(&theirs.data(), &archive, &["--replace"]).await;
    unharmed(&said(&output));
    assert!(output.status.success(), "{}", said(&output));
    // To where that user may not write, the shell may.
    std::fs::set_permissions(folders.root(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let refused = done(askd(&theirs.data(), &["backup", "--to", &to], &[])).await;
    assert!(said(&refused).contains("askd backup --to - >"), "{}", said(&refused));
    assert!(done(askd(&theirs.data(), &["backup", "--to", "-"], &[])).await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_root_s_that_others_can_rename_is_told_without_a_word_about_agents() {
    if needs_root("a_folder_of_root_s_that_others_can_rename") {
        return;
    }
    let theirs = Folders::new();
    theirs.give_to(UNPRIVILEGED);
    let archive = theirs.root().join("archive");
    std::fs::write(&archive, "none").unwrap();
    std::fs::create_dir(theirs.workspace().join("made")).unwrap();
    for (name, told) in [("made", "belongs to root"), ("absent", "is not there: make it")] {
        let data = theirs.workspace().join(name);
        let mut command = askd(&data, &["restore", "--from", archive.to_str().unwrap()], &[]);
        command.env_remove("ASKD_ALLOW_ROOT").env("WORKSPACE_DIR", "/nonexistent");
        let output = done(command).await;
        let said = said(&output);
        assert!(said.contains(&format!("`{}` {told}", data.display())) && said.contains("chown"), "{said}");
        assert!(!output.status.success() && !said.contains("agents") && !said.contains("WORKSPACE_DIR"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_where_others_decide_what_a_name_means() {
    use std::os::unix::fs::PermissionsExt;
    let folders = Folders::new();
    let mut program = serve(&folders);
    program.address().await;
    program.signal(Signal::TERM);
    assert!(program.ended().await.success());
    let make = |name: &str, mode: u32| {
        let folder = folders.root().join(name);
        std::fs::create_dir_all(folder.join("inner")).unwrap();
        std::fs::set_permissions(folder.join("inner"), PermissionsExt::from_mode(0o700)).unwrap();
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(mode)).unwrap();
        folder
    };
    let refused = async |folder: &Path, part: &str| {
        let to = folder.join("archive").display().to_string();
        let before = names(folder);
        let workspace = folders.workspace().display().to_string();
        let output = done(askd(&folders.data(), &["backup", "--to", &to], &[("WORKSPACE_DIR", &workspace)])).await;
        let said = said(&output);
        assert!(output.status.code() == Some(1) && said.contains(part), "{folder:?}: {said}");
        assert_eq!(names(folder), before);
    };
    let everybodys = make("everybodys", 0o777);
    for folder in [everybodys.clone(), everybodys.join("inner")] {
        refused(&folder, "(umask 077; askd backup --to - > FILE)").await;
    }
    refused(&make("workspace/b", 0o700), "WORKSPACE_DIR").await;
    if !needs_root("nothing_is_written_where_others_decide") {
        let theirs = make("theirs", 0o755);
        crate::harness::give(&theirs, UNPRIVILEGED);
        refused(&theirs, &format!("`{}` of uid {UNPRIVILEGED}, mode 0755", theirs.display())).await;
        refused(&theirs.join("inner"), "can put something else").await;
    }
    backup(&folders.data(), &make("sticky", 0o1777).join("archive")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn to_the_wrong_user_a_server_s_data_is_not_absent() {
    use std::os::unix::fs::PermissionsExt;
    const OTHER: u32 = UNPRIVILEGED + 1;
    if needs_root("to_the_wrong_user_a_server_s_data_is_not_absent") {
        return;
    }
    let folders = Folders::new();
    let mut program = serve(&folders);
    program.address().await;
    program.signal(Signal::TERM);
    assert!(program.ended().await.success());
    let (askd, data) = (copy_of_askd(&folders), folders.data());
    folders.give_to(UNPRIVILEGED);
    std::fs::set_permissions(folders.root(), PermissionsExt::from_mode(0o755)).unwrap();
    let open = folders.root().join("open");
    std::fs::create_dir(&open).unwrap();
    crate::harness::give(&open, OTHER);
    let to = open.join("archive").display().to_string();
    // Shut, only to be read, and open to everybody but for what is in it.
    for (mode, at) in [(0o700, &data), (0o755, &data), (0o777, &data.join("askd.db"))] {
        std::fs::set_permissions(&data, PermissionsExt::from_mode(mode)).unwrap();
        for arguments in [
            &["backup", "--sessions-only", "--to", &to][..],
            &["backup", "--to", &to],
            &["backup", "--to", "-"],
            &["migrate", "--check"],
        ] {
            let mut command = as_user(OTHER, &askd);
            command.args(arguments).env_clear().env("ASKD_DATA_DIR", &data);
            let output = done(command).await;
            let said = said(&output);
            let whose = format!("of uid {OTHER}, and `{}` of uid {UNPRIVILEGED}", at.display());
            if arguments.contains(&"--sessions-only") && mode == 0o777 {
                // The database is not its business; the sessions are.
                assert!(output.status.code() == Some(1) && said.contains("sessions` of uid"), "{said}");
                continue;
            }
            assert!(output.status.code() == Some(1) && said.contains(&whose), "{arguments:?} {mode:o}: {said}");
        }
    }
    assert_eq!(names(&open), [""; 0], "nothing was made");
    // To whom it belongs, what is not there is told.
    std::fs::remove_dir_all(data.join("sessions")).unwrap();
    let own = folders.root().join("own");
    std::fs::create_dir(&own).unwrap();
    crate::harness::give(&own, UNPRIVILEGED);
    let taken = backup(&data, &own.join("archive")).await;
    assert!(taken["warnings"].to_string().contains("no folder `sessions`"), "{taken}");
}
