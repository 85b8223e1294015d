//! The documents: what they link to is there, and what stands between fences is run or read by a test. And the manifests
//! that they speak of.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests, too")]

mod blocks;
mod documents;
mod errors;
mod links;
mod manifests;
mod page;
mod registry;
