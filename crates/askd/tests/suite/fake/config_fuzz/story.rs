//! Stories of requests to the routes of the configuration, drawn from bytes, and what must be true after each of them.
//! A test of its own with some thousand stories; `fuzz/` plays as many as it can, and lets coverage lead it.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use axum::Router;

pub(crate) mod act;
pub(crate) mod answer;
pub(crate) mod content;
pub(crate) mod draw;
pub(crate) mod model;
pub(crate) mod reads;
pub(crate) mod send;
pub(crate) mod tree;

use model::Model;
use tree::Tree;

/// Stands in every file that nobody may see or change.
pub(crate) const CANARY: &str = "canary-that-nobody-may-see";
/// The workspace that there is.
pub(crate) const WORKSPACE: &str = "shop";

/// A server, its folders, and what should be in them.
pub(crate) struct World {
    router: Router,
    root: PathBuf,
    key: &'static str,
    model: Model,
    /// What lies beside the configuration, which never changes.
    outside: Tree,
    counts: Cell<Counts>,
}

/// How much was tried.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    /// Those that should change something.
    pub(crate) changes: u64,
    /// And did.
    pub(crate) taken: u64,
}

impl World {
    /// `root` holds `config`, `workspace` and `data` of the server, and nothing else.
    pub(crate) fn new(router: Router, root: &Path, key: &'static str) -> Self {
        let outside = root.join("outside");
        std::fs::create_dir_all(outside.join("folder")).unwrap();
        for path in ["secret.md", "folder/SKILL.md", "folder/a.md"] {
            std::fs::write(outside.join(path), CANARY).unwrap();
        }
        Self {
            router,
            root: root.to_owned(),
            key,
            model: Model::default(),
            outside: Tree::of(&outside),
            counts: Cell::default(),
        }
    }

    /// How much was tried so far.
    pub(crate) fn counts(&self) -> Counts {
        self.counts.get()
    }

    /// Plays the story that these bytes are.
    ///
    /// # Panics
    /// When something is not as it must be.
    pub(crate) async fn play(&mut self, bytes: &[u8]) {
        let story = draw::story(bytes);
        self.model = tree::reset(&self.root, story.has_traps);
        for act in &story.acts {
            self.act(act).await;
            self.check_disk(act);
        }
        self.check_reads().await;
        self.check_history().await;
    }
}
