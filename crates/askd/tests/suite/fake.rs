//! Through a scripted CLI (`examples/fake-claude`), which does what the real one will not do on demand.

mod bounds;
mod connections;
mod deadlines;
mod demo;
mod disconnect;
mod errors;
mod home;
mod hostile;
mod outcomes;
mod program;
mod queue;
mod secrets;
mod sessions;
mod shutdown;
mod slow_reader;
mod start;
mod stream;
mod trees;
