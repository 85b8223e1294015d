//! Acts, and what becomes of the model by them.

use std::collections::{BTreeMap, BTreeSet};

use askd::config::archive::{self, ArchiveError, Format};
use askd::config::change::Document;
use askd::config::document::{Content, SKILL_FILE, Skill, SkillFile};
use askd::config::kind::Kind;
use askd::config::limits::Limits;
use askd::config::name::DocumentId;
use askd::config::problem::Report;
use askd::config::scope::Scope;
use askd::config::validate;
use serde_json::{Value, json};

use super::World;
use super::answer::Answer;
use super::content::Files;
use super::draw::{Act, Target, When, Where};
use super::model::Key;
use super::send::{Sent, condition, encoded, query};

/// What a request is to do with a document.
struct Aim<'a> {
    /// `None` for what cannot be a document.
    key: Option<Key>,
    /// What is there afterwards; `None`: nothing.
    after: Option<Content>,
    /// Whether the condition holds.
    holds: bool,
    act: &'a Act,
}

impl World {
    pub(crate) async fn act(&mut self, act: &Act) {
        match act {
            Act::Put { is_legacy, scope, target, text, as_object, when } => {
                self.put(act, *is_legacy, scope, target, text, *as_object, when).await;
            }
            Act::PutSkill { scope, target, text, files, when } => {
                self.put_skill(act, scope, target, text, files, when).await;
            }
            Act::PutFile { scope, target, path, bytes, executable, when } => {
                let file = SkillFile { bytes: bytes.clone(), executable: *executable };
                self.change_file(act, scope, target, path, Some(file), when).await;
            }
            Act::RemoveFile { scope, target, path, when } => {
                self.change_file(act, scope, target, path, None, when).await;
            }
            Act::Remove { is_legacy, scope, target, when } => {
                self.remove(act, *is_legacy, scope, target, when).await;
            }
            Act::PutServer { scope, name, entry, when } => {
                self.change_server(act, scope, name, Some(entry), when).await;
            }
            Act::RemoveServer { scope, name, when } => {
                self.change_server(act, scope, name, None, when).await;
            }
            Act::Import { scope, format, documents, damage, replace, dry_run } => {
                let bytes = packed(*format, scope, documents, damage);
                self.import(act, scope, *format, bytes, (*replace, *dry_run)).await;
            }
            Act::Restore { back, when } => self.restore(act, *back, when).await,
            Act::Odd { method, path, headers, body } => {
                let sent = Sent { method, path: path.clone(), headers: headers.clone(), body: body.clone() };
                let Some(answer) = self.send(act, sent).await else { return };
                if answer.is_good() && !matches!(*method, "GET" | "HEAD") {
                    let most = if path.starts_with("/v1/config/import") { usize::MAX } else { 1 };
                    self.adopt(act, most);
                }
            }
            Act::ByHand { scope, id, content } if !self.is_trapped(scope, id) => {
                let key = (scope.clone(), id.clone());
                self.write_by_hand(scope, id, content);
                self.model.by_hand.insert(key.clone(), content.etag());
                self.model.documents.insert(key, content.clone());
            }
            Act::RemoveByHand { scope, id } if !self.is_trapped(scope, id) => {
                let key = (scope.clone(), id.clone());
                if self.model.documents.remove(&key).is_some() {
                    self.remove_by_hand(scope, id);
                    self.model.by_hand.remove(&key);
                }
            }
            Act::ByHand { .. } | Act::RemoveByHand { .. } => {}
        }
    }

    /// Where a hand would write through a link.
    fn is_trapped(&self, scope: &Scope, id: &DocumentId) -> bool {
        self.model.has_traps && (id.name() == Some("real") || (*scope != Scope::User && id.kind() == Kind::Rule))
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of an act")]
    async fn put(
        &mut self,
        act: &Act,
        is_legacy: bool,
        scope: &Where,
        target: &Target,
        text: &str,
        as_object: bool,
        when: &When,
    ) {
        let key = key(scope, target);
        let object = serde_json::from_str::<Value>(text).ok().filter(|value| {
            as_object && value.is_object() && matches!(target.kind, Kind::Settings | Kind::McpServers | Kind::Policy)
        });
        let text = object.as_ref().map_or(text.to_owned(), |value| serde_json::to_string_pretty(value).unwrap() + "\n");
        let content = object.unwrap_or_else(|| text.clone().into());
        let after = match &key {
            Some(key) if target.kind == Kind::Skill => self.model.with_text(key, &text),
            _ => Content::Text(text),
        };
        let (header, holds) = condition(when, key.as_ref().and_then(|key| self.model.etag(key)));
        let sent = Sent::json("PUT", path(is_legacy, scope, target), &json!({"content": content})).with(header);
        self.settle(sent, Aim { key, after: Some(after), holds, act }).await;
    }

    async fn put_skill(&mut self, act: &Act, scope: &Where, target: &Target, text: &str, files: &Files, when: &When) {
        let key = key(scope, target);
        let mut skill = Skill::default();
        let text_file = SkillFile { bytes: text.as_bytes().to_vec(), executable: false };
        skill.files.insert(SKILL_FILE.to_owned(), text_file);
        let mut objects = Vec::new();
        for (path, bytes, executable) in files {
            skill.files.insert(path.clone(), SkillFile { bytes: bytes.clone(), executable: *executable });
            let mut object = json!({"path": path, "executable": executable});
            match std::str::from_utf8(bytes) {
                Ok(text) => object["content"] = text.into(),
                // Not text, and here not worth another way to write it.
                Err(_) => object["content_base64"] = "AP8=".into(),
            }
            if object.get("content_base64").is_some() {
                skill.files.insert(path.clone(), SkillFile { bytes: vec![0, 255], executable: *executable });
            }
            objects.push(object);
        }
        let (header, holds) = condition(when, key.as_ref().and_then(|key| self.model.etag(key)));
        let body = json!({"content": text, "files": objects});
        let sent = Sent::json("PUT", path(false, scope, target), &body).with(header);
        self.settle(sent, Aim { key, after: Some(Content::Skill(skill)), holds, act }).await;
    }

    async fn remove(&mut self, act: &Act, is_legacy: bool, scope: &Where, target: &Target, when: &When) {
        let key = key(scope, target);
        let (header, holds) = condition(when, key.as_ref().and_then(|key| self.model.etag(key)));
        let sent = Sent { method: "DELETE", path: path(is_legacy, scope, target), ..Sent::default() }.with(header);
        self.settle(sent, Aim { key, after: None, holds, act }).await;
    }

    async fn change_file(
        &mut self,
        act: &Act,
        scope: &Where,
        target: &Target,
        path: &str,
        file: Option<SkillFile>,
        when: &When,
    ) {
        let key = key(scope, target);
        let skill = key.as_ref().and_then(|key| self.model.skill(key)).cloned();
        let current = skill.as_ref().and_then(|skill| skill.files.get(path)).map(SkillFile::etag);
        let (header, holds) = condition(when, current);
        let name = encoded(target.name.as_deref().unwrap_or_default(), true);
        let place = format!("/v1/config/skills/{name}/files/{}{}", encoded(path, false), query(scope));
        let (method, body) = file.as_ref().map_or(("DELETE", Vec::new()), |file| ("PUT", file.bytes.clone()));
        let flag = file.as_ref().map(|file| ("x-askd-executable", file.executable.to_string()));
        let sent = Sent { method, path: place, body, ..Sent::default() }.with(header).with(flag);
        let was_there = current.is_some();
        let is_removal = file.is_none();
        let Some(answer) = self.send(act, sent).await else { return };
        if !answer.is_good() {
            return;
        }
        let (Some(key), Some(mut skill), true) = (key, skill, holds) else { panic!("taken: {act:#?}") };
        assert!(was_there || !is_removal, "removed, and was not there: {act:#?}");
        match file {
            Some(file) => drop(skill.files.insert(path.to_owned(), file)),
            None => drop(skill.files.remove(path)),
        }
        let after = Content::Skill(skill);
        self.note(&key, &answer, Some(&after));
        self.model.set(&key, Some(after));
    }

    async fn change_server(&mut self, act: &Act, scope: &Where, name: &str, entry: Option<&Value>, when: &When) {
        let place = format!("/v1/config/mcp-servers/{}{}", encoded(name, true), query(scope));
        // The tag of an entry is not known here: only whether there is one.
        let when = if matches!(when, When::Current) { &When::Always } else { when };
        let id = DocumentId::new(Kind::McpServers, None).unwrap();
        let key = if let Where::Known(scope) = scope { Some((scope.clone(), id)) } else { None };
        let before = key.as_ref().and_then(|key| self.model.documents.get(key)).map_or_else(|| json!({}), servers);
        let etag = before.get(name).map(|_| askd::config::document::Etag::of_bytes(b"of the entry"));
        let (header, holds) = condition(when, etag);
        let sent = match entry {
            Some(entry) => Sent::json("PUT", place, &json!({"content": entry})),
            None => Sent { method: "DELETE", path: place, ..Sent::default() },
        };
        let Some(answer) = self.send(act, sent.with(header)).await else { return };
        if !answer.is_good() {
            return;
        }
        let (Some(key), true) = (key, holds) else { panic!("taken: {act:#?}") };
        let mut expected = before;
        match entry {
            Some(entry) => drop(expected.as_object_mut().unwrap().insert(name.to_owned(), entry.clone())),
            None => drop(expected.as_object_mut().unwrap().remove(name).expect("it was there")),
        }
        self.adopt(act, 1);
        let now = self.model.documents.get(&key).map_or_else(|| json!({}), servers);
        assert_eq!(now, expected, "after {act:#?}");
    }

    async fn import(
        &mut self,
        act: &Act,
        scope: &Where,
        format: Format,
        bytes: Vec<u8>,
        (replace, dry_run): (bool, bool),
    ) {
        let known = if let Where::Known(scope) = scope { Some(scope) } else { None };
        let read = known.map(|scope| archive::read(format, scope, &bytes, &Limits::new(64 << 20)));
        let separator = if query(scope).is_empty() { '?' } else { '&' };
        let mode = if replace { "replace" } else { "merge" };
        let place = format!("/v1/config/import{}{separator}mode={mode}&dry_run={dry_run}", query(scope));
        let kind = if format == Format::Tar { "application/x-tar" } else { "application/zip" };
        let headers = vec![("content-type", kind.to_owned())];
        let Some(answer) = self.send(act, Sent { method: "POST", path: place, headers, body: bytes }).await else {
            return;
        };
        let documents = match read {
            Some(Ok(documents)) => documents,
            refused => {
                assert!(!answer.is_good(), "taken, though {refused:?}: {act:#?}");
                return;
            }
        };
        let scope = known.unwrap();
        let valid =
            |(id, content): &(DocumentId, Content)| is_text(id.kind()) && validate::check(id, content).is_valid();
        let empties = replace && documents.is_empty();
        if !self.model.has_traps && !empties && !self.has_twins(scope, &documents) && documents.iter().all(valid) {
            assert!(answer.is_good(), "refused: {:?} {act:#?}", String::from_utf8_lossy(&answer.bytes));
        }
        if !answer.is_good() || dry_run {
            return;
        }
        for (id, content) in &documents {
            self.model.set(&(scope.clone(), id.clone()), Some(content.clone()));
        }
        if replace {
            let is_other = |key: &&Key| key.0 == *scope && !documents.iter().any(|(id, _)| *id == key.1);
            let others: Vec<_> = self.model.documents.keys().filter(is_other).cloned().collect();
            for key in others {
                self.model.set(&key, None);
            }
        }
    }

    /// Whether two agents would have one name for the CLI.
    fn has_twins(&self, scope: &Scope, documents: &[(DocumentId, Content)]) -> bool {
        let there =
            self.model.documents.iter().filter(|(key, _)| key.0 == *scope).map(|(key, content)| (&key.1, content));
        let brought = documents.iter().map(|(id, content)| (id, content));
        // What is brought counts, under one path.
        let agents: BTreeMap<_, _> = there.chain(brought).filter(|(id, _)| id.kind() == Kind::Agent).collect();
        let names: Vec<_> = agents.values().filter_map(|content| validate::agent_name(content.text()?)).collect();
        names.iter().collect::<BTreeSet<_>>().len() < names.len()
    }

    async fn restore(&mut self, act: &Act, back: u8, when: &When) {
        let history = self.send(act, Sent::get("/v1/config/history?all=true&limit=8")).await.unwrap();
        let Some(change) = history.json["data"].get(usize::from(back)) else { return };
        let kind = Kind::parse(change["kind"].as_str().unwrap()).unwrap();
        let id = DocumentId::new(kind, change["name"].as_str()).unwrap();
        let scope = change["workspace"].as_str().map_or(Scope::User, |name| Scope::Workspace(name.to_owned()));
        let key = (scope, id);
        let (header, holds) = condition(when, self.model.etag(&key));
        let path = format!("/v1/config/history/{}/restore", change["id"].as_str().unwrap());
        let sent = Sent { method: "POST", path, ..Sent::default() }.with(header);
        let Some(answer) = self.send(act, sent).await else { return };
        if answer.is_good() {
            assert!(holds, "restored against the condition: {act:#?}");
            self.adopt(act, 1);
            let now = self.model.etag(&key).map(|etag| etag.to_string());
            assert_eq!(now.as_deref(), change["after"].as_str(), "after {act:#?}");
        }
    }

    /// Sends what aims at a document. What is taken must be what was meant, and what must be taken is.
    async fn settle(&mut self, sent: Sent, aim: Aim<'_>) {
        let Aim { key, after, holds, act } = aim;
        let is_legacy = sent.path.starts_with("/config/");
        let Some(answer) = self.send(act, sent).await else { return };
        let report = key.as_ref().zip(after.as_ref()).map(|((_, id), content)| validate::check(id, content));
        if answer.is_good() {
            let (Some(key), true) = (key, holds) else { panic!("taken: {} {act:#?}", answer.status) };
            assert!(report.as_ref().is_none_or(Report::is_valid), "taken, though {report:?}: {act:#?}");
            assert!(after.is_some() || self.model.etag(&key).is_some(), "removed, and was not there: {act:#?}");
            let tag = after.as_ref().map(|content| content.etag().to_string());
            assert_eq!(answer.etag(), tag.as_deref(), "{act:#?}");
            self.note(&key, &answer, after.as_ref());
            self.model.set(&key, after);
            return;
        }
        let Some((key, content)) = key.zip(after) else { return };
        let is_good = holds && report.is_some_and(|report| report.is_valid()) && is_text(key.1.kind());
        let is_nested = is_legacy && key.1.name().is_some_and(|name| name.contains('/'));
        let is_plain = !self.model.has_traps && !is_nested && matches!(content, Content::Text(_));
        assert!(!(is_good && is_plain), "refused: {} {act:#?}", String::from_utf8_lossy(&answer.bytes));
    }

    /// Notes a change that can be looked up later.
    fn note(&mut self, key: &Key, answer: &Answer, after: Option<&Content>) {
        if let Some(id) = answer.json["change"].as_str() {
            assert_ne!(self.model.etag(key), after.map(Content::etag), "a change that changed nothing");
            self.model.changes.push((id.to_owned(), after.cloned()));
        }
    }

    /// Takes over what lies on the disk, where the act does not say what it will be.
    fn adopt(&mut self, act: &Act, most: usize) {
        let now = self.on_disk();
        let different = self.model.differences(&now);
        assert!(different.len() <= most, "{act:#?}\nhas changed {different:?}");
        for key in different {
            self.model.set(&key, now.get(&key).cloned());
        }
    }
}

fn key(scope: &Where, target: &Target) -> Option<Key> {
    let Where::Known(scope) = scope else { return None };
    let id = target.id.clone().filter(|id| *scope == Scope::User || id.kind().is_in_workspaces())?;
    Some((scope.clone(), id))
}

fn is_text(kind: Kind) -> bool {
    !matches!(kind, Kind::Settings | Kind::McpServers | Kind::Policy)
}

fn path(is_legacy: bool, scope: &Where, target: &Target) -> String {
    let kind = target.kind.as_str();
    // As in real life, some write folders in names with `/` and some with `%2F`; skills have routes below their names.
    let with_slashes =
        target.kind == Kind::Skill || target.name.as_ref().is_some_and(|name| name.len().is_multiple_of(2));
    let name = target.name.as_ref().map_or(String::new(), |name| format!("/{}", encoded(name, with_slashes)));
    let is_legacy = is_legacy && matches!(target.kind, Kind::Agent | Kind::Skill | Kind::Rule | Kind::ClaudeMd);
    // The Node server had no way to remove this one.
    if is_legacy { format!("/config/{kind}{name}") } else { format!("/v1/config/{kind}{name}{}", query(scope)) }
}

fn servers(content: &Content) -> Value {
    let file: Value = serde_json::from_str(content.text().unwrap()).unwrap_or_default();
    let servers = file.get("mcpServers").cloned();
    servers.filter(Value::is_object).unwrap_or_else(|| json!({}))
}

fn packed(format: Format, scope: &Where, documents: &[(DocumentId, Content)], damage: &[(u16, u8)]) -> Vec<u8> {
    let scope = if let Where::Known(scope) = scope { scope } else { &Scope::User };
    let document = |(id, content): &(DocumentId, Content)| Document {
        id: id.clone(),
        content: content.clone(),
        etag: content.etag(),
        modified: jiff::Timestamp::UNIX_EPOCH,
        report: Report::default(),
    };
    let documents: Vec<_> = documents.iter().map(document).collect();
    let packed: Result<_, ArchiveError> = archive::write(format, scope, &documents);
    let mut bytes = packed.unwrap();
    for (at, byte) in damage {
        let length = bytes.len();
        bytes[usize::from(*at) % length] = *byte;
    }
    bytes
}
