//! The contract of the Claude Code CLI, for a server that drives `claude -p`.
//!
//! This crate is pure: it opens no file, starts no process and knows no clock. It says *what* to start
//! ([`command`], [`environment`], [`run_settings`]), *what* to write on stdin ([`input`]) and what the lines of
//! stdout mean ([`frame`], [`progress`], [`outcome`]). Every set of names is open: an unknown message type, subtype
//! or field passes through and never fails a run.
//!
//! ```text
//! Invocation ── command::arguments ──> argv        input::initialize, input::user_message ──> stdin
//! stdout line ── Frame::parse ──> Frame ── Progress::observe ──> end? ── outcome::judge ──> Outcome
//! ```
//!
//! Facts about the CLI were measured with version 2.1.330; [`version::MINIMUM`] is the oldest that is accepted.

pub mod command;
pub mod effort;
pub mod environment;
pub mod frame;
pub mod input;
pub mod managed;
pub mod notice;
pub mod outcome;
pub mod permission_mode;
pub mod profile;
pub mod progress;
pub mod reply;
pub mod run_settings;
pub mod said;
pub mod servers;
pub mod tools;
pub mod usage;
pub mod version;
