//! The variables of a program, in a file in memory: what starts the program has an environment of its own, so that nothing
//! that was meant for the one steers the other (its allocator, its runtime).

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::fs::fstat;
use rustix::io::pread;

use crate::descriptors::in_memory;

/// Writes them down.
pub(crate) fn write<'a>(variables: impl IntoIterator<Item = (&'a OsStr, &'a OsStr)>) -> io::Result<OwnedFd> {
    let mut text = Vec::new();
    for (name, value) in variables {
        // A zero would begin another variable, and a name ends at the first `=`.
        let is_name = !name.is_empty() && !name.as_bytes().iter().any(|byte| matches!(byte, 0 | b'='));
        if !is_name || value.as_bytes().contains(&0) {
            let why = "a variable has no name, or holds a byte that would make another of it";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        for part in [name.as_bytes(), b"=", value.as_bytes(), b"\0"] {
            text.extend_from_slice(part);
        }
    }
    in_memory("environment", &text)
}

/// Reads all of them.
pub(crate) fn read(from: impl AsFd) -> io::Result<Vec<(OsString, OsString)>> {
    let mut text = vec![0; usize::try_from(fstat(&from)?.st_size).unwrap_or(0)];
    if pread(&from, &mut text, 0)? != text.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let entries = text.split_inclusive(|byte| *byte == 0).filter_map(|entry| entry.strip_suffix(b"\0"));
    let variable = |entry: &[u8]| {
        let end = entry.iter().position(|byte| *byte == b'=')?;
        Some((OsString::from_vec(entry[..end].to_vec()), OsString::from_vec(entry[end + 1..].to_vec())))
    };
    Ok(entries.filter_map(variable).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &[u8])]) -> Vec<(OsString, OsString)> {
        pairs.iter().map(|(name, value)| (name.into(), OsString::from_vec(value.to_vec()))).collect()
    }

    fn written(variables: &[(OsString, OsString)]) -> io::Result<OwnedFd> {
        write(variables.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str())))
    }

    #[test]
    fn variables_are_the_same_after_their_journey() {
        let given = variables(&[("A", b"1=2\n\xff"), ("EMPTY", b""), ("LONG", &vec![b'x'; 1 << 20])]);
        assert_eq!(read(written(&given).unwrap()).unwrap(), given);
        assert_eq!(read(written(&[]).unwrap()).unwrap(), []);
    }

    #[test]
    fn what_would_make_another_variable_is_refused() {
        for wrong in [("A", &b"1\0LD_PRELOAD=x"[..]), ("A\0B", b"1"), ("A=B", b"1"), ("=", b"1"), ("", b"1")] {
            let error = written(&variables(&[wrong])).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{wrong:?}");
        }
    }
}
