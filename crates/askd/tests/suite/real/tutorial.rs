//! Pages that lead a person step by step, followed command by command: the real CLI, a scripted model, the real program
//! by `scripts/start`, two terminals, and a folder like a fresh clone.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use crate::docs::{self, can_run};
use crate::harness::{
    Folders, Terminal, as_printed, eventually, eventually_async, launcher, marked_processes, not_over_midnight,
    real_cli,
};

/// What the pages call the server; here several may run at once.
const ADDRESS: &str = "127.0.0.1:3000";
/// Ports that the kernel gives to nobody by itself, so that one stays free while the server is started again.
const FIRST_PORT: u16 = 20_000;
const PORTS: u16 = 12_000;

/// An address of this machine on which nobody listens, and that no other test here gets.
fn free_address() -> String {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 10_000).unwrap();
    let mut ports = std::iter::repeat_with(|| FIRST_PORT + (first + GIVEN.fetch_add(1, Ordering::Relaxed)) % PORTS);
    let port = ports.find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()).unwrap();
    format!("127.0.0.1:{port}")
}

/// How the server of a page ends.
#[derive(PartialEq)]
enum Ends {
    /// By a command of the page.
    AsThePageSays,
    /// The page leaves it at work.
    ByTheTest,
}

/// Does what the blocks of the test's page say, in their order and in their terminals, and compares what they print.
/// What is marked with `terminal=1` is a server: it stays in the foreground, and the reader goes on when it is ready.
async fn follow(test: &str, folder: &str, ends: Ends) {
    if !can_run(test) {
        return;
    }
    let (folders, address) = (Folders::new(), free_address());
    let clone = folders.root().join("clone");
    std::fs::create_dir(&clone).unwrap();
    symlink(docs::root().join("scripts"), clone.join("scripts")).unwrap();
    let place = if folder.is_empty() { clone.clone() } else { folders.root().to_owned() };
    let root = if rustix::process::geteuid().is_root() { "1" } else { "" };
    let variables = [
        ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
        ("HOME", folders.root().display().to_string()),
        ("ASKD_BIN", launcher().display().to_string()),
        ("ASKD_CLAUDE_BIN", real_cli().display().to_string()),
        ("ASKD_LISTEN", address.clone()),
        ("ASKD_ALLOW_ROOT", root.to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value));
    let mut terminals = [(); 2].map(|()| Terminal::open(&place, &variables));
    // The clone is made already.
    let fetch = format!("git clone REPOSITORY {folder}");
    let link = format!("ln -s clone {folder}");
    let mut was_started = false;
    for step in docs::steps(test) {
        let commands = step.commands.replace(ADDRESS, &address).replace(&fetch, &link);
        let said = if step.block.mark("terminal") == Some("1") {
            let server = &mut terminals[0];
            if was_started {
                // Killed by what came before.
                server.done().await;
            }
            was_started = true;
            server.enter(&commands);
            server.until_said("askd listens on").await;
            server.said()
        } else {
            terminals[1].enter(&commands);
            let (status, said) = terminals[1].done().await;
            assert_eq!(status, 0, "{}:\n{}\n{said}", step.block.place(), step.block.text);
            said
        };
        if let Some(printed) = &step.printed {
            let printed = printed.text.replace(ADDRESS, &address);
            assert!(as_printed(&printed, &said), "{}:\n{}\nsays\n{said}", step.block.place(), step.block.text);
        }
    }
    if ends == Ends::ByTheTest {
        terminals[1].enter("kill -TERM \"$(cat .askd/data/lock)\"");
        terminals[1].done().await;
    }
    // Nothing is left: no server, no scripted model, no process of a run.
    let (status, log) = terminals[0].done().await;
    assert_eq!(status, 0, "{log}");
    let model = log.split_once("plays the model, on http://").unwrap().1.split_once(';').unwrap().0.to_owned();
    eventually_async("the end of the scripted model", async || {
        tokio::net::TcpStream::connect(&model).await.is_err().then_some(())
    })
    .await;
    let data = clone.join(".askd/data");
    eventually("the end of all runs", || marked_processes(&data).is_empty().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_follows_the_tutorial_command_by_command_reaches_its_end() {
    // Its budget is one of a day.
    not_over_midnight(Duration::from_mins(5)).await;
    follow("whoever_follows_the_tutorial_command_by_command_reaches_its_end", "askd", Ends::AsThePageSays).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_readme_shows_first_works_as_printed() {
    follow("what_the_readme_shows_first_works_as_printed", "", Ends::ByTheTest).await;
}
