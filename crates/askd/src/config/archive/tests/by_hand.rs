//! Archives as no honest program writes them, byte by byte.

/// A tar header with its data, padded.
pub(super) fn tar_entry(kind: u8, name: &[u8], data: &[u8]) -> Vec<u8> {
    tar_header(kind, name, data.len() as u64, |_| {}).into_iter().chain(padded(data)).collect()
}

pub(super) fn padded(data: &[u8]) -> Vec<u8> {
    let mut padded = data.to_vec();
    padded.resize(data.len().next_multiple_of(512), 0);
    padded
}

/// A header with a right checksum, changed before.
pub(super) fn tar_header(kind: u8, name: &[u8], size: u64, change: impl FnOnce(&mut [u8; 512])) -> Vec<u8> {
    let mut header = [0; 512];
    header[..name.len()].copy_from_slice(name);
    header[100..107].copy_from_slice(b"0000644");
    header[108..115].copy_from_slice(b"0000000");
    header[116..123].copy_from_slice(b"0000000");
    header[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    header[136..147].copy_from_slice(b"00000000000");
    header[156] = kind;
    header[257..265].copy_from_slice(b"ustar\x0000");
    change(&mut header);
    header[148..156].copy_from_slice(b"        ");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header.to_vec()
}

/// Entries and the end.
pub(super) fn tar(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = entries.concat();
    bytes.extend([0; 1024]);
    bytes
}

/// A record of a POSIX header.
pub(super) fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length = rest + (rest + 2).to_string().len();
    format!("{length} {key}={value}\n").into_bytes()
}

/// A file of a zip, with two headers that can differ.
pub(super) struct ZipEntry {
    pub(super) local_name: Vec<u8>,
    pub(super) name: Vec<u8>,
    pub(super) flags: u16,
    pub(super) method: u16,
    pub(super) data: Vec<u8>,
    /// Crc, packed size, unpacked size, as both headers say them.
    pub(super) sizes: (u32, u32, u32),
    pub(super) mode: u32,
    /// Where the list says that the file is, instead of where it is.
    pub(super) at: Option<u32>,
    pub(super) extra: Vec<u8>,
}

impl ZipEntry {
    pub(super) fn stored(name: &[u8], data: &[u8]) -> Self {
        let size = u32::try_from(data.len()).unwrap();
        Self {
            local_name: name.to_vec(),
            name: name.to_vec(),
            flags: 0,
            method: 0,
            data: data.to_vec(),
            sizes: (crc(data), size, size),
            mode: 0o100_644,
            at: None,
            extra: Vec::new(),
        }
    }

    pub(super) fn deflated(name: &[u8], data: &[u8]) -> Self {
        use std::io::Write as _;
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(data).unwrap();
        let packed = encoder.finish().unwrap();
        let sizes = (crc(data), u32::try_from(packed.len()).unwrap(), u32::try_from(data.len()).unwrap());
        Self { method: 8, sizes, data: packed, ..Self::stored(name, b"") }
    }

    fn common(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for short in [20, self.flags, self.method, 0, 0x21] {
            bytes.extend(short.to_le_bytes());
        }
        for long in [self.sizes.0, self.sizes.1, self.sizes.2] {
            bytes.extend(long.to_le_bytes());
        }
        bytes
    }
}

pub(super) fn crc(data: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(data);
    crc.sum()
}

/// The record at the end.
pub(super) fn zip_end(entries: usize, length: usize, list: usize, comment: &[u8]) -> Vec<u8> {
    let (entries, comment_length) = (u16::try_from(entries).unwrap(), u16::try_from(comment.len()).unwrap());
    let mut end = b"PK\x05\x06\0\0\0\0".to_vec();
    end.extend([entries.to_le_bytes(), entries.to_le_bytes()].concat());
    end.extend([u32::try_from(length).unwrap().to_le_bytes(), u32::try_from(list).unwrap().to_le_bytes()].concat());
    end.extend(comment_length.to_le_bytes());
    end.extend(comment);
    end
}

/// Files and their list, without the end.
pub(super) fn zip_body(entries: &[ZipEntry]) -> (Vec<u8>, usize) {
    let (mut bytes, mut list) = (Vec::new(), Vec::new());
    for entry in entries {
        let at = entry.at.unwrap_or_else(|| u32::try_from(bytes.len()).unwrap());
        bytes.extend(b"PK\x03\x04");
        bytes.extend(entry.common());
        bytes.extend(u16::try_from(entry.local_name.len()).unwrap().to_le_bytes());
        bytes.extend(u16::try_from(entry.extra.len()).unwrap().to_le_bytes());
        bytes.extend([&*entry.local_name, &entry.extra, &entry.data].concat());

        list.extend(b"PK\x01\x02\x14\x03");
        list.extend(entry.common());
        list.extend(u16::try_from(entry.name.len()).unwrap().to_le_bytes());
        list.extend(u16::try_from(entry.extra.len()).unwrap().to_le_bytes());
        list.extend([0; 6]);
        list.extend((entry.mode << 16).to_le_bytes());
        list.extend(at.to_le_bytes());
        list.extend([&*entry.name, &entry.extra].concat());
    }
    let start = bytes.len();
    bytes.extend(list);
    (bytes, start)
}

pub(super) fn zip(entries: &[ZipEntry]) -> Vec<u8> {
    let (mut bytes, list) = zip_body(entries);
    let end = zip_end(entries.len(), bytes.len() - list, list, b"");
    bytes.extend(end);
    bytes
}
