//! The supervisor against real, and hostile, processes.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests, too")]

mod acts;
mod cgroups;
mod confinement;
mod ending;
mod landlock;
mod namespaces;
mod output;
mod spawning;
mod support;
mod survivors;
mod unprivileged;
mod usage;
mod world;
