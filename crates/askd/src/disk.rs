//! Disk: what a tree of files takes, how much is free, and the end of a tree. For trees that an agent has made, which may
//! be as deep, as full and as odd as it likes. And folders of our own that are needed for a moment.

pub mod free;
pub mod removal;
pub mod scratch;
pub mod usage;

use std::error::Error;
use std::io;

/// Whether an error says that the disk, or a quota on it, is full.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The error that says so, among the causes of another one.
pub fn full_below<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(full) = error.downcast_ref().filter(|error| is_full(error)) {
            return Some(full);
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("it cannot be done")]
    struct Outer(#[source] io::Error);

    #[test]
    fn a_full_disk_is_found_below_other_errors() {
        let full = |code: rustix::io::Errno| full_below(&Outer(code.into())).is_some();
        assert!(full(rustix::io::Errno::NOSPC) && full(rustix::io::Errno::DQUOT));
        assert!(!full(rustix::io::Errno::ACCESS));
    }
}
