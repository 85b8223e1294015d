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

pub mod dir;
pub mod document;
pub mod kind;
pub mod name;
pub mod problem;
pub mod scope;
