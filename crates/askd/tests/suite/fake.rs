//! Through a scripted CLI (`examples/fake-claude`), which does what the real one will not do on demand.

mod bounds;
mod deadlines;
mod disconnect;
mod errors;
mod home;
mod outcomes;
mod queue;
mod sessions;
mod stream;
mod trees;
