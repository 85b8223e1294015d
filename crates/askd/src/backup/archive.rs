//! The archive: tar in zstd. Written in one go, so that it may go to a pipe; read in one go, with everything checked.

use std::collections::btree_map::Entry as Place;
use std::io::{self, Read, Write};

use sha2::{Digest as _, Sha256};
use tar::{Archive, Builder, EntryType, Header as TarHeader};

use super::manifest::{
    FORMAT, FileEntry, HEADER, Header, MANIFEST, MAX_FILES, MAX_HEADER, MAX_MANIFEST, MAX_PATH, MAX_PATHS, Manifest,
    is_fit, listed,
};
use crate::hex::hex;

/// As fast as a disk writes, and about a fifth of the size for what agents write.
const LEVEL: i32 = 3;

/// tar ends with blocks of zeros: two of them, and as many as fill a tape's record.
const MAX_END: u64 = 1 << 20;

/// Why an archive is not taken. The texts follow its name.
#[derive(Debug, thiserror::Error)]
pub(super) enum ArchiveError {
    /// Not all of it is there, or not what was.
    #[error("is damaged, or no backup of askd: {0}")]
    Damaged(String),
    /// It is of another askd.
    #[error("{0}")]
    Foreign(String),
    /// What it holds cannot be put anywhere.
    #[error("cannot be unpacked: {0}")]
    Target(#[from] io::Error),
}

fn damaged(why: impl Into<String>) -> ArchiveError {
    ArchiveError::Damaged(why.into())
}

/// Writes an archive.
pub(super) struct Writer<W: Write> {
    tar: Builder<zstd::Encoder<'static, W>>,
    manifest: Manifest,
    /// Bytes of the paths in its list.
    paths: usize,
}

impl<W: Write> Writer<W> {
    pub(super) fn begin(out: W, header: &Header) -> io::Result<Self> {
        let mut encoder = zstd::Encoder::new(out, LEVEL)?;
        encoder.include_checksum(true)?;
        let mut writer = Self { tar: Builder::new(encoder), manifest: Manifest::default(), paths: 0 };
        let text = serde_json::to_vec_pretty(header)?;
        writer.entry(HEADER, text.len() as u64, &text[..])?;
        Ok(writer)
    }

    /// Whether so many further files, whose paths have so many bytes together in the list, are not too many for one archive.
    pub(super) fn has_room(&self, files: usize, paths: usize) -> bool {
        self.manifest.files.len() + files <= MAX_FILES && self.paths + paths <= MAX_PATHS
    }

    /// Adds a file of exactly so many bytes.
    pub(super) fn file(&mut self, path: &str, size: u64, bytes: impl Read) -> io::Result<()> {
        if !is_fit(path) || !self.has_room(1, listed(path)) {
            return Err(io::Error::other(format!("`{path}` has no place in a backup")));
        }
        let sha256 = self.entry(path, size, bytes)?;
        self.paths += listed(path);
        self.manifest.files.insert(path.to_owned(), FileEntry { size, sha256 });
        Ok(())
    }

    /// Ends the archive; what is below it, and the number of files.
    pub(super) fn finish(mut self) -> io::Result<(W, usize)> {
        let files = self.manifest.files.len();
        let text = serde_json::to_vec(&self.manifest)?;
        self.entry(MANIFEST, text.len() as u64, &text[..])?;
        Ok((self.tar.into_inner()?.finish()?, files))
    }

    /// Writes an entry; the hash of its bytes.
    fn entry(&mut self, path: &str, size: u64, bytes: impl Read) -> io::Result<String> {
        let mut header = TarHeader::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o600);
        header.set_size(size);
        let mut hashing = Hashing { inner: bytes.take(size), hash: Sha256::new(), count: 0 };
        self.tar.append_data(&mut header, path, &mut hashing)?;
        if hashing.count != size {
            return Err(io::Error::other(format!("`{path}` became shorter")));
        }
        Ok(hex(&hashing.hash.finalize()))
    }
}

/// Takes what an archive holds.
pub(super) trait Target {
    /// Looks whether the archive may come here at all. Called first.
    fn admit(&mut self, header: &Header) -> Result<(), ArchiveError>;

    /// A file of so many bytes, at a path that is fit.
    fn file(&mut self, path: &str, size: u64, bytes: &mut dyn Read) -> Result<(), ArchiveError>;
}

/// Reads a whole archive. Only when this has succeeded is what the target was given what was once put in.
pub(super) fn read(from: impl Read, target: &mut impl Target) -> Result<Header, ArchiveError> {
    let decoder = zstd::Decoder::new(from).map_err(|error| damaged(error.to_string()))?;
    let mut archive = Archive::new(decoder);
    let (mut header, mut manifest, mut seen) = (None, None, Manifest::default());
    let (mut long_name, mut paths): (Option<Vec<u8>>, usize) = (None, 0);
    let entries = archive.entries().map_err(|error| damaged(error.to_string()))?;
    // Raw: the crate would read names of any length into memory.
    for entry in entries.raw(true) {
        let mut entry = entry.map_err(|error| damaged(error.to_string()))?;
        let size = entry.size();
        if entry.header().entry_type() == EntryType::GNULongName {
            if size > MAX_PATH as u64 + 1 || long_name.is_some() {
                return Err(damaged("a path in it is too long"));
            }
            long_name = Some(small(&mut entry, size)?);
            continue;
        }
        let name = long_name.take().unwrap_or_else(|| entry.path_bytes().into_owned());
        let name = String::from_utf8(name.strip_suffix(b"\0").map(<[u8]>::to_vec).unwrap_or(name));
        let name = name.map_err(|_| damaged("a path in it is not UTF-8"))?;
        if entry.header().entry_type() != EntryType::Regular {
            return Err(damaged(format!("`{}` in it is no plain file", name.escape_debug())));
        }
        if manifest.is_some() {
            return Err(damaged("there is something after its list of files"));
        }
        match name.as_str() {
            HEADER if header.is_none() && size <= MAX_HEADER => {
                let read: Header = json(&small(&mut entry, size)?)?;
                if read.format > FORMAT {
                    let Header { askd, format, .. } = read;
                    let what = format!("was made by askd {askd} in the form {format}, which this askd does not know");
                    return Err(ArchiveError::Foreign(format!("{what}; restore it with that version")));
                }
                target.admit(&read)?;
                header = Some(read);
            }
            _ if header.is_none() => return Err(damaged("it does not begin as one")),
            MANIFEST if size <= MAX_MANIFEST => manifest = Some(json::<Manifest>(&small(&mut entry, size)?)?),
            path if is_fit(path) => {
                paths += path.len();
                if seen.files.len() >= MAX_FILES || paths > MAX_PATHS {
                    return Err(damaged("it holds too many files"));
                }
                let mut hashing = Hashing { inner: (&mut entry).take(size), hash: Sha256::new(), count: 0 };
                target.file(path, size, &mut hashing)?;
                // What the target has left.
                io::copy(&mut hashing, &mut io::sink()).map_err(|error| damaged(error.to_string()))?;
                if hashing.count != size {
                    return Err(damaged(format!("`{path}` in it is cut off")));
                }
                let file = FileEntry { size, sha256: hex(&hashing.hash.finalize()) };
                match seen.files.entry(path.to_owned()) {
                    Place::Vacant(place) => place.insert(file),
                    Place::Occupied(_) => return Err(damaged(format!("`{path}` is in it twice"))),
                };
            }
            other => return Err(damaged(format!("`{}` has no place in it", other.escape_debug()))),
        }
    }
    let (Some(header), Some(manifest)) = (header, manifest) else {
        return Err(damaged("its list of files is missing: it is not whole"));
    };
    if manifest != seen {
        return Err(damaged("what it holds is not what its list says"));
    }
    is_over(archive.into_inner())?;
    Ok(header)
}

/// To its very end, where zstd compares its sum.
fn is_over(rest: impl Read) -> Result<(), ArchiveError> {
    let mut end = Vec::new();
    rest.take(MAX_END + 1).read_to_end(&mut end).map_err(|error| damaged(error.to_string()))?;
    if end.len() as u64 > MAX_END || end.iter().any(|byte| *byte != 0) {
        return Err(damaged("there is something after its end"));
    }
    Ok(())
}

fn small(entry: &mut impl Read, size: u64) -> Result<Vec<u8>, ArchiveError> {
    let mut bytes = Vec::new();
    entry.take(size).read_to_end(&mut bytes).map_err(|error| damaged(error.to_string()))?;
    Ok(bytes)
}

fn json<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, ArchiveError> {
    serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))
}

/// Hashes and counts what passes.
struct Hashing<R> {
    inner: R,
    hash: Sha256,
    count: u64,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(bytes)?;
        self.hash.update(&bytes[..length]);
        self.count += length as u64;
        Ok(length)
    }
}

#[cfg(test)]
mod tests;
