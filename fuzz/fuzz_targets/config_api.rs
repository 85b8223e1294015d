//! Stories of requests to the routes of the configuration, against the whole server in this process: the real router,
//! store and disk; only sockets and the CLI are left out. The stories and what must hold are those of
//! `crates/askd/tests/suite/fake/config_fuzz`.

#![no_main]

use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

use askd::ambient::Ambient;
use askd::settings::Settings;
use libfuzzer_sys::fuzz_target;
use tokio::runtime::Runtime;

#[path = "../../crates/askd/tests/suite/fake/config_fuzz/story.rs"]
mod story;

/// Stories that one server lives through: its history grows.
const STORIES: u32 = 2_000;

/// What was found out about the CLI, once.
static PROBE: OnceLock<Vec<u8>> = OnceLock::new();
static SERVER: Mutex<Option<Server>> = Mutex::new(None);

struct Server {
    runtime: Runtime,
    world: story::World,
    left: u32,
    // Removed last.
    _server: askd::serve::Server,
    _root: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        // scripts/fuzz puts it into memory, and clears up: every change is written through, and nobody drops the last one.
        let root = tempfile::Builder::new().prefix("askd-fuzz-").tempdir().unwrap();
        for folder in ["config", "workspace", "data"] {
            std::fs::create_dir(root.path().join(folder)).unwrap();
        }
        let probe = root.path().join("data/cli.json");
        if let Some(known) = PROBE.get() {
            std::fs::write(&probe, known).unwrap();
        }
        let launcher = PathBuf::from(std::env::var_os("ASKD_FUZZ_LAUNCHER").expect("scripts/fuzz gives the program"));
        let mut settings = Settings::for_testing(root.path());
        settings.paths.claude_bin = launcher.with_file_name("examples").join("fake-claude");
        settings.permissions.allow_root = true;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let server = runtime.block_on(askd::serve::prepare(settings, Ambient::system(), launcher)).unwrap();
        PROBE.get_or_init(|| std::fs::read(probe).unwrap());
        let router = askd::api::router(std::sync::Arc::clone(server.app()));
        let world = story::World::new(router, root.path(), Settings::TEST_API_KEY);
        Self { runtime, world, left: STORIES, _server: server, _root: root }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut server = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    if server.as_ref().is_none_or(|server| server.left == 0) {
        if let Some(server) = server.take() {
            eprintln!("a server's life: {STORIES} stories, {:?}", server.world.counts());
        }
        *server = Some(Server::start());
    }
    let server = server.as_mut().unwrap();
    server.left -= 1;
    server.runtime.block_on(server.world.play(data));
});
