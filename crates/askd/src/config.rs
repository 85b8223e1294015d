//! The CLI's configuration that clients manage: agents, skills, rules, settings and the like, as files.
//!
//! ```text
//! api > Config::write > validate (what the CLI would skip) > change (condition, intent, rename, done)
//!                                                              > files (opened beneath a descriptor)
//!                                                              > store (history and audit)
//! runs > dir (what every home gets a copy of)
//! ```
//!
//! The files are the truth: an edit by hand counts like one over HTTP. The store keeps who changed what, and what it was.

pub mod archive;
pub mod change;
pub mod diff;
pub mod dir;
pub mod document;
pub mod error;
pub mod json;
pub mod kind;
pub mod limits;
pub mod manager;
pub mod mcp_file;
pub mod name;
pub mod problem;
pub mod scope;
pub mod standing;
pub mod validate;

mod edit;
mod files;
mod history;
mod hook_scripts;
mod import;
mod in_flight;
mod judge;
mod lock;
mod read;
mod settle;
mod twins;
mod wanted;

pub use manager::Config;
