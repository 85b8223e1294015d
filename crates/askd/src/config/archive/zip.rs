//! zip: stored and deflated files. The list at its end and the headers before the files must say the same, and every
//! byte must belong to one file at most, or else two programs could see two archives.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write as _};

use memchr::memmem;
use zip::read::{ArchiveOffset, Config, ZipFile};
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use super::entries::Entry;
use super::gather::{Data, Gathered};
use super::{ArchiveError, MAX_ENTRIES, Problem, paths};

/// How the record at the end begins, and how long it is without a comment.
const END: &[u8] = b"PK\x05\x06";
const END_LENGTH: usize = 22;
/// Bits of a file's mode that say what it is, and two of their values.
const KIND: u32 = 0o170_000;
const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;

/// Files in the order of their paths.
pub(super) fn write(entries: &BTreeMap<String, Entry<'_>>) -> Result<Vec<u8>, ArchiveError> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, entry) in entries {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            // 1 January 1980.
            .last_modified_time(DateTime::default())
            .unix_permissions(entry.mode);
        let written = writer.start_file(path.as_str(), options).map_err(|error| error.to_string());
        let written = written.and_then(|()| writer.write_all(entry.bytes).map_err(|error| error.to_string()));
        written.map_err(|error| cannot_write(path, &error))?;
    }
    Ok(writer.finish().map_err(|error| cannot_write("", &error.to_string()))?.into_inner())
}

fn cannot_write(path: &str, error: &str) -> ArchiveError {
    ArchiveError::Invalid(vec![Problem::new(format!("it cannot be written: {error}")).in_file(path)])
}

/// The record at the end, as far as it matters.
struct End {
    entries: usize,
    list: u64,
}

impl End {
    /// Of an archive that begins with the first byte and ends with the last one. The crate would also find one that has
    /// something before or after it.
    fn find(bytes: &[u8]) -> Result<Self, &'static str> {
        // The last one: a comment that holds a second record is no honest comment.
        let start = memmem::rfind(bytes, END).ok_or("this is no zip, or its end is missing")?;
        let record = bytes.get(start..start + END_LENGTH).ok_or("it is cut off")?;
        let short = |at: usize| usize::from(record[at]) | usize::from(record[at + 1]) << 8;
        let long = |at: usize| short(at) | short(at + 2) << 16;
        let (disk, list_disk, here, entries) = (short(4), short(6), short(8), short(10));
        let (length, list, comment) = (long(12), long(16), short(20));
        if (disk, list_disk) != (0, 0) || here != entries {
            return Err("it is a part of several, or of the kind zip64");
        }
        if entries == 0xffff || list == 0xffff_ffff || length == 0xffff_ffff {
            return Err("archives of the kind zip64 are not taken");
        }
        if start + END_LENGTH + comment != bytes.len() {
            return Err("there is something after its end");
        }
        if list.checked_add(length) != Some(start) {
            return Err("its list of files is not where it should be");
        }
        Ok(Self { entries, list: list as u64 })
    }
}

/// Takes every entry.
pub(super) fn read(bytes: &[u8], into: &mut Gathered<'_>) -> Result<(), ArchiveError> {
    let end = End::find(bytes).map_err(|message| into.broken(message))?;
    if end.entries > MAX_ENTRIES {
        return Err(ArchiveError::TooLarge(format!("more than {MAX_ENTRIES} entries")));
    }
    let mut archive = open(bytes, &end).map_err(|message| into.broken(message))?;
    for index in 0..archive.len() {
        let name = archive.by_index_data(index).map(|entry| entry.name_raw().to_owned()).unwrap_or_default();
        match archive.by_index(index) {
            Ok(mut file) => take(&name, &mut file, into)?,
            Err(error) => into.refuse(&name, unreadable(&error))?,
        }
    }
    Ok(())
}

fn open<'a>(bytes: &'a [u8], end: &End) -> Result<ZipArchive<Cursor<&'a [u8]>>, String> {
    let config = Config { archive_offset: ArchiveOffset::Known(0) };
    let damaged =
        |error: ZipError| format!("it is damaged, or made to mislead: {}", paths::shown(error.to_string().as_bytes()));
    let mut archive = ZipArchive::with_config(config, Cursor::new(bytes)).map_err(damaged)?;
    if archive.has_duplicate_names() {
        return Err("a name is there twice".into());
    }
    if archive.len() != end.entries || archive.central_directory_start() != end.list {
        return Err("it has two lists of files".into());
    }
    // Also: no file lies in another one's bytes, and none is missing in the list.
    archive.validate_header_consistency().map_err(damaged)?;
    Ok(archive)
}

fn take<R: Read>(name: &[u8], file: &mut ZipFile<'_, R>, into: &mut Gathered<'_>) -> Result<(), ArchiveError> {
    if !matches!(file.compression(), CompressionMethod::Stored | CompressionMethod::Deflated) {
        return into.refuse(name, "only stored and deflated files are taken");
    }
    let mode = file.unix_mode();
    let is_folder = name.ends_with(b"/");
    match mode.unwrap_or_default() & KIND {
        0 => {}
        FOLDER if is_folder => {}
        FILE if !is_folder => {}
        _ => return into.refuse(name, "only plain files and folders are taken"),
    }
    if is_folder {
        return if file.size() == 0 { into.folder(name) } else { into.refuse(name, "a folder with content") };
    }
    let is_executable = mode.is_some_and(|mode| mode & 0o100 != 0);
    let said_size = file.size();
    into.file(name, &mut Data { reader: file, said_size, is_executable })
}

fn unreadable(error: &ZipError) -> String {
    match error {
        ZipError::UnsupportedArchive(_) | ZipError::InvalidPassword => {
            "encrypted files and rare kinds of compression are not taken".into()
        }
        error => paths::shown(error.to_string().as_bytes()),
    }
}
