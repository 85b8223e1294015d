//! askd as its users meet it: over real sockets, with real processes.
//!
//! `real` drives the real Claude Code CLI against a scripted model on loopback; `fake` plays what the real CLI will not
//! do on demand; `hostile` has runs that try to get out, and to take more than their share. All use one harness.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests, too")]

#[path = "../store/cluster.rs"]
mod cluster;
mod docs;
mod fake;
mod harness;
mod hostile;
mod isolation;
mod real;
