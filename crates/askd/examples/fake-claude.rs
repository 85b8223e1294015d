//! A scripted CLI for tests.

fn main() {}
