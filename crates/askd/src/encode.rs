//! Events on their way to a client: pure functions from [`crate::runs::event::Event`] to bytes and values.

pub mod fold;
pub mod sse;
