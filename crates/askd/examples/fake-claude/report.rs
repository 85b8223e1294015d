//! What the process sees of itself: `environment`, `args`, `descriptors`, `cwd`, `umask`, what came over stdin
//! (`initialize`, `message`), the `settings` file, and how the key came.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use crate::Started;

pub(crate) fn report(started: &Started, initialize: &Value, message: &Value, key_source: Option<&str>) -> Value {
    let settings = started.flag("settings").and_then(|file| fs::read_to_string(file).ok());
    json!({
        "environment": started.environment,
        "args": started.args,
        "descriptors": descriptors(),
        "cwd": std::env::current_dir().unwrap_or_default(),
        "status": status(),
        "initialize": initialize["request"],
        "message": message,
        "settings": settings.and_then(|text| serde_json::from_str::<Value>(&text).ok()),
        "key_source": key_source,
    })
}

/// Open descriptors and what they are.
fn descriptors() -> BTreeMap<String, String> {
    let links = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let named = links.filter_map(|link| {
        let target = fs::read_link(link.path()).ok()?.to_string_lossy().into_owned();
        // The descriptor that lists the others.
        (!target.starts_with("/proc/")).then(|| (link.file_name().to_string_lossy().into_owned(), target))
    });
    named.collect()
}

/// The lines of `/proc/self/status`: umask, `NoNewPrivs`, signal masks.
fn status() -> BTreeMap<String, String> {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}
