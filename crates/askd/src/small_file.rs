//! Reading files that other people put there: only regular ones, and only so much.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

/// The flags to open such a file with: a pipe must not hold the reader, nor a terminal become the server's own.
pub const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// The text of a regular file of at most `max` bytes. Links are followed. The errors name no path.
pub fn read_text(path: &Path, max: u64) -> io::Result<String> {
    let bytes = beginning(rustix::fs::open(path, FLAGS, Mode::empty())?, max.saturating_add(1))?;
    if bytes.len() as u64 > max {
        return Err(invalid(format!("it is larger than {max} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| invalid("it is not UTF-8 text"))
}

/// At most so many bytes from the beginning of an open file, which must be a regular one.
pub fn beginning(file: OwnedFd, most: u64) -> io::Result<Vec<u8>> {
    if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::RegularFile {
        return Err(invalid("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    File::from(file).take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn invalid(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.into())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "12345").unwrap();
        assert_eq!(read_text(&file, 5).unwrap(), "12345");
        assert_eq!(read_text(&file, 4).unwrap_err().to_string(), "it is larger than 4 bytes");
        fs::write(&file, b"\xff").unwrap();
        assert_eq!(read_text(&file, 5).unwrap_err().to_string(), "it is not UTF-8 text");
        assert_eq!(read_text(&folder.path().join("none"), 5).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_pipe_and_a_folder_are_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        for path in [pipe.as_path(), folder.path()] {
            assert_eq!(read_text(path, 5).unwrap_err().to_string(), "it is not a regular file");
        }
    }
}
