//! askd: an HTTP server that runs the Claude Code CLI.
//!
//! ```text
//! request > api > runs::submit > store (queued) > runs::queue (its turn) > runs::worker
//!    worker: runs::prepare > supervisor::spawn > runs::conversation > Event > runs::log > store
//!    reader: runs::follow (ring, or store) > encode > client
//! ```
//!
//! Modules stand in levels; a module uses only those below it (`tests/tidy.rs` holds them to it):
//! the program (`serve`, `demo`, `doctor`, `keys_command`), HTTP (`http_server`, `api`), `encode`, `app`, `runs`, and what
//! runs need.

pub mod backup;
pub mod demo;
pub mod docs;
pub mod doctor;
pub mod healthcheck;
pub mod keys_command;
pub mod migrate;
pub mod serve;
pub mod telemetry;

pub mod api;
pub mod http_server;

pub mod encode;

pub mod app;

pub mod runs;

pub mod ambient;
pub mod aside;
pub mod audit;
pub mod cli;
pub mod config;
pub mod copy_tree;
pub mod credentials;
pub mod dial;
pub mod disk;
pub mod frontmatter;
pub mod guard;
pub mod hex;
pub mod homes;
pub mod isolation;
pub mod keys;
pub mod lifecycle;
pub mod marker;
pub mod metrics;
pub mod own_server;
pub mod privileges;
pub mod programs;
pub mod project_config;
pub mod sessions;
pub mod settings;
pub mod small_file;
pub mod store;
pub mod traces;
pub mod usd;
pub mod workspaces;
