//! Where references lead.

use std::collections::BTreeMap;

use serde_json::Value;

/// What a schema's references may name.
pub(super) struct References {
    /// The top's own address, without its fragment.
    address: Option<String>,
    /// Pointers by name. A name that stands twice, as it may below addresses of their own, leads nowhere.
    anchors: BTreeMap<String, Option<String>>,
    /// Pointers of the parts that have an address of their own: references within them are relative to it.
    islands: Vec<Vec<String>>,
}

impl References {
    pub(super) fn of(schema: &Value) -> Self {
        let address = ["$id", "id"].iter().find_map(|name| schema[*name].as_str());
        let address = address.map(|address| address.split('#').next().unwrap_or_default().to_owned());
        let mut references = Self { address, anchors: BTreeMap::new(), islands: Vec::new() };
        references.look(schema, &mut Vec::new());
        references
    }

    fn look(&mut self, value: &Value, at: &mut Vec<String>) {
        let children: Vec<(String, &Value)> = match value {
            Value::Array(items) => items.iter().enumerate().map(|(place, item)| (place.to_string(), item)).collect(),
            Value::Object(members) => members.iter().map(|(name, member)| (name.clone(), member)).collect(),
            _ => return,
        };
        for name in ["$anchor", "$dynamicAnchor", "$id", "id"] {
            match value[name].as_str() {
                Some(anchor) if name.ends_with("nchor") => self.name(anchor, at),
                // The older form.
                Some(address) if address.starts_with('#') => self.name(&address[1..], at),
                Some(_) if !at.is_empty() => self.islands.push(at.clone()),
                _ => {}
            }
        }
        for (name, child) in children {
            at.push(name);
            self.look(child, at);
            at.pop();
        }
    }

    fn name(&mut self, anchor: &str, at: &[String]) {
        let pointer = at.iter().flat_map(|part| ["/".to_owned(), escape(part)]).collect::<String>();
        self.anchors.entry(anchor.to_owned()).and_modify(|known| *known = None).or_insert(Some(pointer));
    }

    /// The pointer, from the top, that a reference at a place means; `None` if that is not known for certain.
    pub(super) fn pointer(&self, reference: &str, at: &[&str]) -> Option<String> {
        let is_within = |island: &Vec<String>| island.len() <= at.len() && island.iter().zip(at).all(|(a, b)| a == b);
        if self.islands.iter().any(is_within) {
            return None;
        }
        let (address, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        if !address.is_empty() && self.address.as_deref() != Some(address) {
            return None;
        }
        match fragment {
            "" => Some(String::new()),
            pointer if pointer.starts_with('/') => Some(pointer.to_owned()),
            anchor => self.anchors.get(anchor)?.clone(),
        }
    }
}

/// What a pointer, as a fragment writes it, leads to.
pub(super) fn find<'v>(whole: &'v Value, pointer: &str) -> Option<&'v Value> {
    if !pointer.is_empty() && !pointer.starts_with('/') {
        return None;
    }
    pointer.split('/').skip(1).try_fold(whole, |value, part| match value {
        Value::Object(members) => members.get(&unescape(part)),
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        _ => None,
    })
}

fn escape(part: &str) -> String {
    part.replace('~', "~0").replace('/', "~1").replace('%', "%25")
}

/// A part of a pointer in a fragment, as the name that it stands for.
fn unescape(part: &str) -> String {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let digit = |at: usize| tail.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        if let (b'%', Some(high), Some(low)) = (first, digit(0), digit(1)) {
            bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).replace("~1", "/").replace("~0", "~")
}
