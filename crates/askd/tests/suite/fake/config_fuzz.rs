//! Some thousand odd requests to the routes of the configuration, in stories; `scripts/fuzz` plays many more.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use askd::ambient::Ambient;
use askd::serve;
use askd::settings::Settings;
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::{Config, TestRunner};

use crate::harness::{Folders, fake_cli, launcher};

#[path = "config_fuzz/story.rs"]
mod story;

/// Each of up to ten acts, after which everything is read again.
const STORIES: u32 = 250;

#[test]
fn no_story_of_requests_breaks_out_loses_anything_or_ends_in_a_fault_of_the_server() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // In memory where there is some: every change is written through, and a disk would make that slow.
    let memory = Path::new("/dev/shm");
    let folders = if memory.is_dir() { Folders::below(memory) } else { Folders::new() };
    let mut settings = Settings::for_testing(folders.root());
    settings.paths.claude_bin = fake_cli();
    settings.permissions.allow_root = true;
    let server = runtime.block_on(serve::prepare(settings, Ambient::system(), launcher())).unwrap();
    let router = askd::api::router(Arc::clone(server.app()));
    let world = RefCell::new(story::World::new(router, folders.root(), Settings::TEST_API_KEY));

    let config = Config { cases: STORIES, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    let played = TestRunner::new(config).run(&vec(any::<u8>(), 0..500), |bytes| {
        runtime.block_on(world.borrow_mut().play(&bytes));
        Ok(())
    });
    if let Err(error) = played {
        panic!("{error}");
    }
    let counts = world.borrow().counts();
    println!("{STORIES} stories: {counts:?}");
    // Or else the stories are so odd that they show nothing.
    assert!(counts.taken > u64::from(STORIES), "{counts:?}");
}
