//! The keys of a project's `settings.json` that run nothing and grant nothing.

use std::fmt;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::scan::Scan;

/// Checks the bytes of a `settings.json`.
pub(super) fn check(scan: &mut Scan<'_>, shown: &Path, bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return scan.found(shown, None, "not UTF-8");
    };
    let Some(pairs) = parsed(scan, shown, text, text) else {
        return;
    };
    for (key, value) in &pairs {
        // Finding a line reads the whole text: not for each of a million keys.
        if scan.stopped() {
            return;
        }
        match key.as_str() {
            "permissions" => permissions(scan, shown, text, value.get()),
            "$schema" | "outputStyle" | "language" if is_string(value.get()) => {}
            "$schema" | "outputStyle" | "language" => {
                scan.found(shown, line_of(text, key), format!("setting `{key}` is not a text"));
            }
            _ => scan.found(shown, line_of(text, key), format!("setting `{key}` is not known to be harmless")),
        }
    }
}

fn permissions(scan: &mut Scan<'_>, shown: &Path, text: &str, value: &str) {
    let Some(pairs) = parsed(scan, shown, text, value) else {
        return;
    };
    for (key, value) in &pairs {
        if scan.stopped() {
            return;
        }
        let line = line_of(text, key);
        match key.as_str() {
            "deny" | "ask" if serde_json::from_str::<Vec<String>>(value.get()).is_ok() => {}
            "deny" | "ask" => scan.found(shown, line, format!("`permissions.{key}` is not a list of rules")),
            _ => scan.found(shown, line, format!("setting `permissions.{key}` is not known to be harmless")),
        }
    }
}

fn parsed(scan: &mut Scan<'_>, shown: &Path, text: &str, part: &str) -> Option<Vec<(String, Box<RawValue>)>> {
    let pairs = match serde_json::from_str::<Pairs>(part) {
        Ok(Pairs(pairs)) => pairs,
        Err(error) => {
            let whole = std::ptr::eq(text, part);
            let line = whole.then(|| u32::try_from(error.line()).unwrap_or(u32::MAX).max(1));
            scan.found(shown, line, "not a JSON object, so nobody knows what the CLI makes of it");
            return None;
        }
    };
    let mut seen = std::collections::HashSet::new();
    for (key, _) in &pairs {
        if !seen.insert(key) {
            scan.found(shown, line_of(text, key), format!("setting `{key}` is given twice"));
            return None;
        }
    }
    Some(pairs)
}

fn is_string(json: &str) -> bool {
    serde_json::from_str::<String>(json).is_ok()
}

/// The first line that spells the key; none when it is written with escapes.
fn line_of(text: &str, key: &str) -> Option<u32> {
    let quoted = serde_json::to_string(key).ok()?;
    let at = text.find(&quoted)?;
    u32::try_from(text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1).ok()
}

/// An object's members in order and with repetitions, which a map would hide.
struct Pairs(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(Members)
    }
}
