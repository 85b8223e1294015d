//! tar: plain files and folders, with long names as GNU tar (`L`) and POSIX (`x`) write them. Everything else that a
//! header can say is refused or, like times and owners, of no concern.

use std::collections::BTreeMap;
use std::io::Read;

use tar::{Archive, Builder, EntryType, Header, PaxExtensions};

use super::entries::Entry;
use super::gather::{Data, Gathered};
use super::paths::{MAX_PATH, shown};
use super::{ArchiveError, Problem};

const BLOCK: u64 = 512;
/// The crate's own texts show bytes of what it could not read. curl's `-d` drops line ends and zeros.
const DAMAGED: &str = "this is no tar, or a damaged one; hint: send it as it is, e.g. curl --data-binary @config.tar";
/// The longest POSIX header that describes one file: times, owners, attributes.
const MAX_EXTENSION: u64 = 64 << 10;
/// Every file's time: 1 January 1980, the first that zip knows.
const TIME: u64 = 315_532_800;

/// Files in the order of their paths.
pub(super) fn write(entries: &BTreeMap<String, Entry<'_>>) -> Result<Vec<u8>, ArchiveError> {
    let mut builder = Builder::new(Vec::new());
    for (path, entry) in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(entry.mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(TIME);
        header.set_size(entry.bytes.len() as u64);
        builder.append_data(&mut header, path, entry.bytes).map_err(|error| cannot_write(path, &error))?;
    }
    builder.into_inner().map_err(|error| cannot_write("", &error))
}

fn cannot_write(path: &str, error: &std::io::Error) -> ArchiveError {
    ArchiveError::Invalid(vec![Problem::new(format!("it cannot be written: {error}")).in_file(path)])
}

/// Takes every entry.
pub(super) fn read(bytes: &[u8], into: &mut Gathered<'_>) -> Result<(), ArchiveError> {
    let mut archive = Archive::new(bytes);
    let entries = archive.entries().map_err(|_| into.broken("this is no tar"))?;
    let mut end = 0;
    let mut ahead = Ahead::default();
    // Raw: the crate would otherwise merge headers by rules of its own.
    for entry in entries.raw(true) {
        let mut entry = entry.map_err(|_| into.broken(DAMAGED))?;
        let stored = entry.path_bytes().into_owned();
        let size = entry.size();
        end = size
            .checked_next_multiple_of(BLOCK)
            .and_then(|size| entry.raw_file_position().checked_add(size))
            .filter(|end| *end <= bytes.len() as u64)
            .ok_or_else(|| into.broken("it is cut off in the middle of a file"))?;
        let kind = entry.header().entry_type();
        if let EntryType::GNULongName | EntryType::XHeader | EntryType::XGlobalHeader = kind {
            ahead.take(kind, size, &mut entry).map_err(|message| into.broken(message))?;
            continue;
        }
        let name = std::mem::take(&mut ahead).name(size).map_err(|message| into.broken(message))?.unwrap_or(stored);
        match kind {
            EntryType::Regular => {
                let is_executable = entry.header().mode().is_ok_and(|mode| mode & 0o100 != 0);
                into.file(&name, &mut Data { reader: &mut entry, said_size: size, is_executable })?;
            }
            EntryType::Directory if size == 0 => into.folder(&name)?,
            EntryType::Symlink | EntryType::Link => into.refuse(&name, "links are not taken")?,
            _ => into.refuse(&name, "only plain files and folders are taken")?,
        }
    }
    if !ahead.is_empty() {
        return Err(into.broken("it ends after the description of a file that is not there"));
    }
    let rest = usize::try_from(end).ok().and_then(|end| bytes.get(end..)).unwrap_or_default();
    // Two blocks of zeros by the standard, then as many as the tape wants.
    if rest.len() < 512 {
        return Err(into.broken("its end is missing"));
    }
    if rest.iter().any(|byte| *byte != 0) {
        return Err(into.broken("there is something after its end"));
    }
    Ok(())
}

/// What was said of the file that comes next.
#[derive(Debug, Default)]
struct Ahead {
    name: Option<Vec<u8>>,
    size: Option<u64>,
    /// The kinds of header that said it: a second one of a kind would make it a matter of taste which counts.
    said: Vec<EntryType>,
}

impl Ahead {
    fn is_empty(&self) -> bool {
        self.said.is_empty()
    }

    fn take(&mut self, kind: EntryType, size: u64, entry: &mut impl Read) -> Result<(), String> {
        if self.said.contains(&kind) {
            return Err("a file is described twice".into());
        }
        let most = if kind == EntryType::GNULongName { MAX_PATH as u64 + 1 } else { MAX_EXTENSION };
        if size > most {
            return Err(format!("the description of a file has more than {most} bytes"));
        }
        let mut data = Vec::new();
        entry.take(most).read_to_end(&mut data).map_err(|_| DAMAGED)?;
        if kind == EntryType::GNULongName {
            self.set_name(data.strip_suffix(b"\0").unwrap_or(&data))?;
        } else {
            self.take_records(kind, &data)?;
        }
        // A global header describes no file in particular, and git writes one.
        if kind != EntryType::XGlobalHeader {
            self.said.push(kind);
        }
        Ok(())
    }

    fn set_name(&mut self, name: &[u8]) -> Result<(), String> {
        if self.name.is_some() {
            return Err("a file has two long names".into());
        }
        self.name = Some(name.to_owned());
        Ok(())
    }

    fn take_records(&mut self, kind: EntryType, data: &[u8]) -> Result<(), String> {
        for record in PaxExtensions::new(data) {
            let record = record.map_err(|_| DAMAGED)?;
            let key = record.key_bytes();
            let changes_the_file = matches!(key, b"path" | b"size" | b"linkpath") || key.starts_with(b"GNU.sparse");
            match key {
                _ if !changes_the_file => {}
                b"path" if kind == EntryType::XHeader => self.set_name(record.value_bytes())?,
                b"size" if kind == EntryType::XHeader && self.size.is_none() => {
                    let size = record.value().ok().and_then(|value| value.parse().ok());
                    self.size = Some(size.ok_or("a file's size is no number")?);
                }
                _ => return Err(format!("a header says `{}`, which is not taken", shown(key))),
            }
        }
        Ok(())
    }

    /// The name that was said; an error when the size that was said is not the one in the file's own header.
    fn name(self, size: u64) -> Result<Option<Vec<u8>>, String> {
        if self.size.is_some_and(|said| said != size) {
            return Err("two headers give a file different sizes".into());
        }
        Ok(self.name)
    }
}
