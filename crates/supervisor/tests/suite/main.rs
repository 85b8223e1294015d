//! The supervisor against real, and hostile, processes.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests, too")]

mod ending;
mod output;
mod spawning;
mod support;
mod survivors;
