//! `askd doctor` on what is around a server: its store, its disk, the machine, the provider, another server.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::FileExt as _;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::doctor::{askd, check, diagnosis, online_doctor};
use crate::harness::{Authority, Engine, Folders, Outside, Program, encrypted, eventually};

/// One finding of a doctor who asks nobody outside.
fn finding(folders: &Folders, name: &str, variables: &[(&str, &str)]) -> Value {
    check(&diagnosis(&online_doctor(askd(), folders, &["--json", "--offline"], variables)).0, name).clone()
}

/// What it finds of the provider at this address.
fn upstream(variables: &[(&str, &str)]) -> Value {
    let said = diagnosis(&online_doctor(askd(), &Folders::new(), &["--json"], variables)).0;
    check(&said, "upstream").clone()
}

fn is(found: &Value, status: &str, part: &str) {
    let text = format!("{} {}", found["message"], found["hint"]);
    assert!(found["status"] == status && text.contains(part), "wanted {status}, {part}: {found:#}");
}

#[test]
fn a_provider_that_cannot_be_reached_is_a_warning_and_is_shown_no_credential() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let there = format!("http://me:a-password@{address}/tenant");
    let found = upstream(&[("ANTHROPIC_BASE_URL", &there)]);
    is(&found, "ok", &format!("{address} answers (not encrypted"));
    assert!(!found.to_string().contains("a-password"), "{found:#}");
    let (mut asked, _) = listener.accept().unwrap();
    let mut heard = String::new();
    std::io::Read::read_to_string(&mut asked, &mut heard).unwrap();
    assert_eq!(heard, "", "it connects, and says nothing");

    let proxy = format!("http://me:a-password@{address}");
    let found = upstream(&[("HTTPS_PROXY", &proxy)]);
    is(&found, "ok", &format!("api.anthropic.com:443 is asked through the proxy {address}"));
    assert!(!found.to_string().contains("a-password"), "{found:#}");

    drop(listener);
    is(&upstream(&[("ANTHROPIC_BASE_URL", &there)]), "warn", "cannot be connected to");
    is(&upstream(&[("HTTPS_PROXY", &proxy)]), "warn", &format!("the proxy {address} cannot be connected to"));
    is(&upstream(&[("ANTHROPIC_BASE_URL", "https://nowhere.invalid")]), "warn", "DNS");
    is(&upstream(&[("ANTHROPIC_BASE_URL", "nowhere")]), "warn", "is no URL");
    is(&upstream(&[("CLAUDE_CODE_USE_BEDROCK", "1")]), "skip", "cloud provider");
    is(&finding(&Folders::new(), "upstream", &[]), "skip", "--offline");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_behind_an_authority_that_nobody_knows_is_told_with_the_variable_that_helps() {
    let authority = Authority::new();
    let server = encrypted(&authority.issue(), None).start().await;
    let port = server.address.port();
    let (url, file) = (format!("https://localhost:{port}"), server.folders.root().join("authority.pem"));
    fs::write(&file, authority.pem()).unwrap();
    let look = async |authorities: &str| {
        let (url, authorities) = (url.clone(), authorities.to_owned());
        let looking = move || upstream(&[("ANTHROPIC_BASE_URL", &url), ("NODE_EXTRA_CA_CERTS", &authorities)]);
        tokio::task::spawn_blocking(looking).await.unwrap()
    };
    is(&look("").await, "warn", "NODE_EXTRA_CA_CERTS");
    is(&look(file.to_str().unwrap()).await, "ok", "TLSv1_3");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_newer_or_damaged_is_a_failure_and_one_at_work_is_looked_at() {
    let folders = Folders::new();
    is(&finding(&folders, "store", &[]), "ok", "none yet");
    let mut program = Program::start(&folders, &[]);
    let ran = program.ask(&json!({"prompt": "hello"})).await;
    assert_eq!(ran.status, 200, "{ran:?}");
    let at_work = finding(&folders, "store", &[]);
    assert!(at_work["status"] != "fail" && !at_work["message"].to_string().contains("cut off"), "{at_work:#}");
    program.signal(Signal::TERM);
    program.ended().await;
    let before = folders.list("data");
    let whole = finding(&folders, "store", &[]);
    assert_ne!(whole["status"], "fail", "{whole:#}");
    assert_eq!(folders.list("data"), before, "a look makes no file");

    let file = folders.data().join("askd.db");
    let copy = fs::read(&file).unwrap();
    let outside = Outside::of(&format!("sqlite://{}?mode=rw", file.display())).await;
    outside.execute("UPDATE store SET version = 99").await;
    outside.close().await;
    is(&finding(&folders, "store", &[]), "fail", "start the askd that wrote it");
    let store = fs::File::options().write(true).open(&file).unwrap();
    store.set_len(0).unwrap();
    store.write_all_at(&copy, 0).unwrap();
    // In the middle of the tables; the first page stays.
    store.write_all_at(&vec![0xa5; copy.len() - 8192], 8192).unwrap();
    is(&finding(&folders, "store", &[]), "fail", "askd restore");
    store.write_all_at(b"something else", 0).unwrap();
    is(&finding(&folders, "store", &[]), "fail", "cannot be opened");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_asked_for_its_version_and_one_that_is_not_there_is_a_failure() {
    let engine = Engine::postgres().await;
    let folders = Folders::new();
    let url = engine.url();
    let look = async |url: &str| {
        let (folders, url) = (Folders::new(), url.to_owned());
        let looking = move || finding(&folders, "store", &[("ASKD_DATABASE_URL", &url)]);
        tokio::task::spawn_blocking(looking).await.unwrap()
    };
    is(&look(&url).await, "ok", "no tables yet");
    let mut program = Program::start(&folders, &[("ASKD_DATABASE_URL", &url)]);
    program.address().await;
    let at_work = look(&url).await;
    // That it answers slowly is a warning, on a busy machine.
    assert!(at_work["status"] != "fail" && at_work["message"].to_string().contains("PostgreSQL"), "{at_work:#}");
    program.signal(Signal::TERM);
    program.ended().await;
    let outside = Outside::of(&url).await;
    outside.execute("UPDATE store SET version = 99").await;
    outside.close().await;
    is(&look(&url).await, "fail", "version 99");
    let absent = look("postgres://me:a-password@127.0.0.1:1/askd").await;
    is(&absent, "fail", "ASKD_DATABASE_URL");
    assert!(!absent.to_string().contains("a-password"), "{absent:#}");
}

#[test]
fn what_the_machine_has_is_measured_against_the_settings() {
    let folders = Folders::new();
    is(&finding(&folders, "disk", &[("ASKD_MIN_FREE_DISK", "1000000GiB")]), "fail", "ASKD_MIN_FREE_DISK");
    let many = [("MAX_CONCURRENT", "1000")];
    is(&finding(&folders, "memory", &many), "warn", "MAX_CONCURRENT");
    is(&finding(&folders, "memory", &[("MAX_CONCURRENT", "1")]), "ok", "1 runs");
    #[expect(clippy::disallowed_methods, reason = "the program under test, with a limit")]
    let mut limited = std::process::Command::new("/bin/sh");
    limited.args(["-c", "ulimit -n 300; exec \"$0\" \"$@\""]).arg(crate::harness::launcher());
    let said = diagnosis(&online_doctor(limited, &folders, &["--json", "--offline"], &[])).0;
    is(check(&said, "open_files"), "warn", "LimitNOFILE");
    is(&finding(&folders, "clock", &[]), "ok", "Z");
}

#[test]
fn an_address_for_the_monitoring_that_others_reach_is_a_warning() {
    let look = |listen: &str| finding(&Folders::new(), "metrics", &[("ASKD_METRICS_LISTEN", listen)]);
    is(&look("127.0.0.1:9464"), "ok", "this machine alone");
    is(&look("0.0.0.0:9464"), "warn", "without a key");
}

#[test]
fn a_folder_of_path_that_is_hidden_from_runs_is_named() {
    let folders = Folders::new();
    folders.write("data/bin/tool", "");
    let bin = folders.data().join("bin").display().to_string();
    let found = finding(&folders, "path", &[("PATH", &format!("/usr/bin:/bin:{bin}"))]);
    is(&found, "warn", "ASKD_READABLE_FOLDERS");
    assert!(found["message"].as_str().unwrap().contains(&bin), "{found:#}");
    is(&finding(&folders, "path", &[("PATH", "/usr/bin:/bin")]), "ok", "every folder");
    is(&finding(&folders, "path", &[("PATH", "")]), "warn", "PATH is not set");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_works_with_the_same_settings_is_asked_how_it_is() {
    let folders = Folders::new();
    is(&finding(&folders, "server", &[]), "ok", "none works");
    let mut program = Program::start(&folders, &[("ASKD_SHUTDOWN_GRACE", "1m")]);
    let listen = program.address().await.to_string();
    let settings = [("ASKD_LISTEN", listen.as_str())];
    is(&finding(&folders, "server", &settings), "ok", "is ready");
    is(&finding(&Folders::new(), "server", &settings), "warn", "another ASKD_DATA_DIR");
    let held = program.ask_beside(&json!({"prompt": "!touch there\n!await go"})).await;
    let there = folders.workspace().join("there");
    eventually("the run", || there.exists().then_some(())).await;
    program.signal(Signal::TERM);
    eventually("the drain", || program.log().contains("draining").then_some(())).await;
    is(&finding(&folders, "server", &settings), "warn", "is not ready: draining failed");
    folders.write("workspace/go", "");
    assert_eq!(held.await.unwrap().status, 200);
    program.ended().await;

    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = other.local_addr().unwrap().to_string();
    // It hangs up on whoever comes.
    let hanging_up = std::thread::spawn(move || drop(other.accept()));
    is(&finding(&folders, "server", &[("ASKD_LISTEN", &listen)]), "fail", "choose another ASKD_LISTEN");
    hanging_up.join().unwrap();
    // No connection goes to an address of many.
    is(&finding(&folders, "server", &[("ASKD_LISTEN", "224.0.0.1:3000")]), "warn", "cannot be connected to");
}
