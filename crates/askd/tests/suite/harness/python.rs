//! Python with the tools of other projects, as `scripts/python-tools` installs them.

use std::io::Write;
use std::path::PathBuf;

/// Names the interpreter; `scripts/test` sets it. A test that finds no Python fails where it is set.
const VARIABLE: &str = "ASKD_TEST_PYTHON";

/// The interpreter with the packages of `scripts/python-requirements.txt`; `None`, said aloud with the name of the test,
/// where nobody has installed them.
pub(crate) fn python(test: &str) -> Option<PathBuf> {
    let chosen = std::env::vars_os().find(|(name, value)| name == VARIABLE && !value.is_empty());
    if let Some((_, path)) = chosen {
        let path = PathBuf::from(path);
        assert!(path.is_file(), "{VARIABLE} names {}, which is no file", path.display());
        return Some(path);
    }
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/tools/python/bin/python"));
    if path.is_file() {
        return Some(path);
    }
    // Past the harness, which shows nothing of a test that passes.
    let line = format!("NOT RUN: {test}: there are no Python tools; run scripts/python-tools\n");
    drop(std::io::stderr().write_all(line.as_bytes()));
    None
}
