//! Settings of uploads, and of what a message may hold of them.

use super::KEPT;
use crate::settings::declaration::Fallback::Value;
use crate::settings::declaration::Kind::Size;
use crate::settings::declaration::Setting;

pub(super) const UPLOADS: &[Setting] = &[
    Setting::new(
        "max_upload",
        "ASKD_MAX_UPLOAD",
        Size(1 << 10, 1 << 30),
        Value("32MiB"),
        "Largest upload of a picture or a document.",
    ).reloadable(),
    Setting::new(
        "max_uploads_per_key",
        "ASKD_MAX_UPLOADS_PER_KEY",
        Size(64 << 10, 1 << 40),
        Value("500MiB"),
        "How much all uploads of one key may take up in the store. Each counts with 64 KiB at least.",
    ).reloadable(),
    Setting::new(
        "max_uploads",
        "ASKD_MAX_UPLOADS",
        Size(64 << 10, 1 << 50),
        Value("5GiB"),
        "How much all uploads together may take up in the store. Each counts with 64 KiB at least.",
    ).reloadable(),
    Setting::new(
        "upload_retention",
        "ASKD_UPLOAD_RETENTION",
        KEPT,
        Value("24h"),
        "How long an upload can be used. Then it goes, unless a run that has not ended refers to it.",
    ).reloadable(),
    Setting::new(
        "max_content",
        "ASKD_MAX_CONTENT",
        Size(1 << 10, 1 << 30),
        Value("32MiB"),
        "How much the pictures and documents of one message may have together, uploads among them. They are in memory while the run begins.",
    ).reloadable(),
];
