//! askd as its users meet it: over real sockets, with real processes.
//!
//! `real` drives the real Claude Code CLI against a scripted model on loopback; `fake` plays what the real CLI will not
//! do on demand. Both use one harness.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests, too")]

#[path = "../store/cluster.rs"]
mod cluster;
mod fake;
mod harness;
mod real;
