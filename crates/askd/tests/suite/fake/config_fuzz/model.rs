//! What should be there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use askd::config::document::{Content, Etag, SKILL_FILE, Skill, SkillFile};
use askd::config::kind::Kind;
use askd::config::name::DocumentId;
use askd::config::scope::Scope;

use super::{WORKSPACE, World};

pub(crate) type Key = (Scope, DocumentId);
pub(crate) type Documents = BTreeMap<Key, Content>;

/// What was acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) has_traps: bool,
    pub(crate) documents: Documents,
    /// Changes by their ids, and what each left.
    pub(crate) changes: Vec<(String, Option<Content>)>,
    /// Written by hand, and still there.
    pub(crate) by_hand: BTreeMap<Key, Etag>,
    /// Written by hand, and changed by a request since: the history must have it.
    pub(crate) noticed: Vec<(Key, Etag)>,
}

impl Model {
    pub(crate) fn etag(&self, key: &Key) -> Option<Etag> {
        self.documents.get(key).map(Content::etag)
    }

    pub(crate) fn skill(&self, key: &Key) -> Option<&Skill> {
        match self.documents.get(key)? {
            Content::Skill(skill) => Some(skill),
            Content::Text(_) => None,
        }
    }

    /// A skill with another text.
    pub(crate) fn with_text(&self, key: &Key, text: &str) -> Content {
        let mut skill = self.skill(key).cloned().unwrap_or_default();
        let executable = skill.files.get(SKILL_FILE).is_some_and(|file| file.executable);
        skill.files.insert(SKILL_FILE.to_owned(), SkillFile { bytes: text.as_bytes().to_vec(), executable });
        Content::Skill(skill)
    }

    /// A request has changed a document.
    pub(crate) fn set(&mut self, key: &Key, after: Option<Content>) {
        let before = self.etag(key);
        if before == after.as_ref().map(Content::etag) {
            return;
        }
        if let Some(etag) = self.by_hand.remove(key) {
            self.noticed.push((key.clone(), etag));
        }
        match after {
            Some(content) => drop(self.documents.insert(key.clone(), content)),
            None => drop(self.documents.remove(key)),
        }
    }

    /// Which documents differ.
    pub(crate) fn differences(&self, other: &Documents) -> Vec<Key> {
        let keys: BTreeSet<_> = self.documents.keys().chain(other.keys()).collect();
        keys.into_iter().filter(|key| self.documents.get(*key) != other.get(*key)).cloned().collect()
    }
}

impl World {
    /// The documents as they lie on the disk. What is no document is left out; whether there is any, the tree tells.
    pub(crate) fn on_disk(&self) -> Documents {
        let mut documents = Documents::new();
        for scope in [Scope::User, Scope::Workspace(WORKSPACE.into())] {
            let base = self.base(&scope);
            for kind in Kind::ALL {
                if kind.is_single() {
                    add(&mut documents, &scope, &base, DocumentId::new(kind, None).unwrap());
                    continue;
                }
                let within = if scope == Scope::User { base.clone() } else { base.join(".claude") };
                for name in names(&within.join(kind.as_str()), kind) {
                    if let Ok(id) = DocumentId::new(kind, Some(&name)) {
                        add(&mut documents, &scope, &base, id);
                    }
                }
            }
        }
        documents
    }

    pub(crate) fn base(&self, scope: &Scope) -> std::path::PathBuf {
        scope.workspace().map_or(self.root.join("config"), |name| self.root.join("workspace").join(name))
    }

    /// Writes a document as a person would.
    pub(crate) fn write_by_hand(&self, scope: &Scope, id: &DocumentId, content: &Content) {
        let path = self.base(scope).join(id.path(scope));
        match content {
            Content::Text(text) => write(&path, text.as_bytes(), false),
            Content::Skill(skill) => {
                let _ = fs::remove_dir_all(&path);
                for (name, file) in &skill.files {
                    write(&path.join(name), &file.bytes, file.executable);
                }
            }
        }
    }

    pub(crate) fn remove_by_hand(&self, scope: &Scope, id: &DocumentId) {
        let path = self.base(scope).join(id.path(scope));
        if id.kind() == Kind::Skill { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
    }
}

fn write(path: &Path, bytes: &[u8], executable: bool) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(if executable { 0o755 } else { 0o644 })).unwrap();
}

/// Names that a kind's folder gives its documents.
fn names(folder: &Path, kind: Kind) -> Vec<String> {
    if folder.is_symlink() {
        return Vec::new();
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let (path, name) = (entry.as_ref().unwrap().path(), entry.unwrap().file_name().into_string().unwrap());
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() && kind == Kind::Skill {
            names.push(name);
        } else if path.is_dir() {
            names.extend(self::names(&path, kind).into_iter().map(|inner| format!("{name}/{inner}")));
        } else if let Some(name) = name.strip_suffix(".md") {
            names.push(name.to_owned());
        }
    }
    names
}

fn add(documents: &mut Documents, scope: &Scope, base: &Path, id: DocumentId) {
    let path = base.join(id.path(scope));
    let content = if id.kind() == Kind::Skill {
        let mut skill = Skill::default();
        files(&mut skill, &path, "");
        (!skill.files.is_empty()).then_some(Content::Skill(skill))
    } else if path.is_file() && !path.is_symlink() {
        Some(Content::Text(fs::read_to_string(&path).unwrap()))
    } else {
        None
    };
    if let Some(content) = content {
        documents.insert((scope.clone(), id), content);
    }
}

fn files(skill: &mut Skill, folder: &Path, prefix: &str) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            files(skill, &path, &format!("{name}/"));
        } else {
            let executable = fs::metadata(&path).unwrap().permissions().mode() & 0o100 != 0;
            skill.files.insert(name, SkillFile { bytes: fs::read(&path).unwrap(), executable });
        }
    }
}
