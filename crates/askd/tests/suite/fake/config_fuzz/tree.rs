//! What lies on the disk.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use askd::config::document::Content;

use super::draw::Act;
use super::model::Model;
use super::{CANARY, WORKSPACE, World};

/// Files and links by their paths; folders do not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tree(BTreeMap<String, Node>);

#[derive(Clone, PartialEq, Eq)]
enum Node {
    File { bytes: Vec<u8>, executable: bool },
    Link(String),
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { bytes, executable } => {
                let text: String = String::from_utf8_lossy(bytes).chars().take(60).collect();
                write!(f, "{text:?} ({} bytes{})", bytes.len(), if *executable { ", executable" } else { "" })
            }
            Self::Link(target) => write!(f, "-> {target}"),
        }
    }
}

impl Tree {
    pub(crate) fn of(folder: &Path) -> Self {
        let mut tree = Self(BTreeMap::new());
        tree.add(folder, "");
        tree
    }

    fn add(&mut self, folder: &Path, prefix: &str) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type().unwrap();
            let node = if kind.is_dir() {
                assert!(!path.contains(".askd-"), "an unfinished folder is left: {path}");
                self.add(&entry.path(), &format!("{path}/"));
                continue;
            } else if kind.is_symlink() {
                Node::Link(fs::read_link(entry.path()).unwrap().to_string_lossy().into_owned())
            } else {
                let executable = entry.metadata().unwrap().permissions().mode() & 0o100 != 0;
                Node::File { bytes: fs::read(entry.path()).unwrap(), executable }
            };
            self.0.insert(path, node);
        }
    }
}

const TRAPS: [(&str, &str); 5] = [
    ("config/agents/link.md", "../../outside/secret.md"),
    ("config/skills/linked", "../../outside/folder"),
    ("config/skills/real/inner.md", "../../../outside/secret.md"),
    ("workspace/shop/.claude/rules", "../../../outside/folder"),
    ("workspace/trap", "../outside/folder"),
];

/// Empties the folders; with links that lead out of them, if the story has such.
pub(crate) fn reset(root: &Path, has_traps: bool) -> Model {
    for folder in ["config", "workspace"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                fs::remove_dir_all(path).unwrap();
            } else {
                fs::remove_file(path).unwrap();
            }
        }
    }
    fs::create_dir_all(root.join("workspace").join(WORKSPACE)).unwrap();
    if has_traps {
        fs::create_dir_all(root.join("config/skills/real")).unwrap();
        for (path, target) in TRAPS {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            symlink(target, path).unwrap();
        }
    }
    Model { has_traps, ..Model::default() }
}

impl World {
    /// The disk holds what the model says and nothing else, and what lies outside is as it was.
    pub(crate) fn check_disk(&self, act: &Act) {
        let mut expected = BTreeMap::new();
        for ((scope, id), content) in &self.model.documents {
            let folder = scope.workspace().map_or("config".into(), |name| format!("workspace/{name}"));
            let path = format!("{folder}/{}", id.path(scope).display());
            match content {
                Content::Text(text) => {
                    expected.insert(path, Node::File { bytes: text.clone().into_bytes(), executable: false });
                }
                Content::Skill(skill) => {
                    let nodes = skill.files.iter().map(|(file, content)| {
                        let node = Node::File { bytes: content.bytes.clone(), executable: content.executable };
                        (format!("{path}/{file}"), node)
                    });
                    expected.extend(nodes);
                }
            }
        }
        if self.model.has_traps {
            expected.extend(TRAPS.map(|(path, target)| (path.to_owned(), Node::Link(target.to_owned()))));
        }
        let mut found = BTreeMap::new();
        for folder in ["config", "workspace"] {
            let tree = Tree::of(&self.root.join(folder));
            found.extend(tree.0.into_iter().map(|(path, node)| (format!("{folder}/{path}"), node)));
        }
        if found != expected {
            let lost: Vec<_> = expected.iter().filter(|(path, node)| found.get(*path) != Some(node)).collect();
            let odd: Vec<_> = found.iter().filter(|(path, node)| expected.get(*path) != Some(node)).collect();
            panic!("after {act:#?}\nexpected on the disk: {lost:#?}\nfound instead: {odd:#?}");
        }
        assert_eq!(Tree::of(&self.root.join("outside")), self.outside, "after {act:#?}");
        let mut beside: Vec<_> = fs::read_dir(&self.root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        beside.sort();
        assert_eq!(beside, ["config", "data", "outside", "workspace"], "after {act:#?}");
    }

    /// Neither a file outside nor the place of the folders is in an answer.
    pub(crate) fn check_leaks(&self, act: &Act, bytes: &[u8]) {
        let root = self.root.as_os_str().as_encoded_bytes();
        for secret in [CANARY.as_bytes(), root, self.key.as_bytes()] {
            assert!(
                memchr::memmem::find(bytes, secret).is_none(),
                "{act:#?}\nhas in its answer {:?}: {}",
                String::from_utf8_lossy(secret),
                String::from_utf8_lossy(bytes)
            );
        }
    }
}
