//! What was read of an archive so far, and whether the next entry fits beside it.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;

use super::super::document::{Content, Skill, SkillFile};
use super::super::limits::Limits;
use super::super::name::DocumentId;
use super::super::problem::Problem;
use super::super::scope::Scope;
use super::looks::is_junk;
use super::paths::{self, NoPlace, Place};
use super::{ArchiveError, MAX_ENTRIES, MAX_UNPACKED};

/// The most problems that are told of one archive.
const MAX_PROBLEMS: usize = 20;
/// The most bytes of a character.
const MAX_CHARACTER: u64 = 4;

/// Documents in the making.
#[derive(Debug)]
pub(super) struct Gathered<'a> {
    scope: &'a Scope,
    limits: &'a Limits,
    documents: BTreeMap<DocumentId, Content>,
    /// Every path that is taken, in lower case.
    taken: HashMap<String, Taken>,
    entries: usize,
    bytes: u64,
    problems: Vec<Problem>,
    /// What to do, if files were where none can be.
    hint: Option<&'static str>,
}

/// What has a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Taken {
    File,
    /// With its spelling.
    Folder(String),
}

/// An entry's data.
pub(super) struct Data<'a> {
    pub(super) reader: &'a mut dyn Read,
    /// The size that the archive gives. It bounds nothing, but it must be true.
    pub(super) said_size: u64,
    pub(super) is_executable: bool,
}

impl<'a> Gathered<'a> {
    pub(super) fn new(scope: &'a Scope, limits: &'a Limits) -> Self {
        let (documents, taken, problems) = (BTreeMap::new(), HashMap::new(), Vec::new());
        Self { scope, limits, documents, taken, entries: 0, bytes: 0, problems, hint: None }
    }

    /// The documents, if nothing was wrong with any entry.
    pub(super) fn documents(mut self) -> Result<Vec<(DocumentId, Content)>, ArchiveError> {
        if self.problems.is_empty() { Ok(self.documents.into_iter().collect()) } else { Err(self.invalid()) }
    }

    /// Notes what is wrong with an entry; an error when that is enough.
    pub(super) fn refuse(&mut self, name: &[u8], message: impl Into<String>) -> Result<(), ArchiveError> {
        self.problems.push(Problem::new(message).in_file(paths::shown(name)));
        if self.problems.len() < MAX_PROBLEMS { Ok(()) } else { Err(self.invalid()) }
    }

    /// The archive itself is broken: nothing more can be read.
    pub(super) fn broken(&mut self, message: impl Into<String>) -> ArchiveError {
        self.problems.push(Problem::new(message));
        self.invalid()
    }

    fn invalid(&mut self) -> ArchiveError {
        let problems = std::mem::take(&mut self.problems);
        match self.hint {
            Some(hint) => ArchiveError::Foreign(problems, hint),
            None => ArchiveError::Invalid(problems),
        }
    }

    /// A folder. It counts only as a place for files.
    pub(super) fn folder(&mut self, name: &[u8]) -> Result<(), ArchiveError> {
        self.count()?;
        match self.try_folder(name) {
            Ok(()) => Ok(()),
            Err(message) => self.refuse(name, message),
        }
    }

    fn try_folder(&mut self, name: &[u8]) -> Result<(), String> {
        let path = paths::parse(name)?;
        if !is_junk(path) && !paths::is_folder(self.scope, path) {
            return Err(self.foreign(path, "folder"));
        }
        if path.is_empty() || is_junk(path) { Ok(()) } else { self.take_folders(path) }
    }

    /// What is wrong with a path that nothing of the scope has.
    fn foreign(&mut self, path: &str, what: &str) -> String {
        self.hint = Some(paths::hint(self.scope, path));
        format!("this is no {what} of the configuration of this scope ({})", self.scope)
    }

    /// A file.
    pub(super) fn file(&mut self, name: &[u8], data: &mut Data<'_>) -> Result<(), ArchiveError> {
        self.count()?;
        let read = match self.try_file(name) {
            Ok(None) => return Ok(()),
            Ok(Some(place)) => self.read(&place, data)?.map(|bytes| (place, bytes)),
            Err(message) => Err(message),
        };
        match read.and_then(|(place, bytes)| self.keep(place, bytes, data.is_executable)) {
            Ok(()) => Ok(()),
            Err(message) => self.refuse(name, message),
        }
    }

    /// Where a file belongs; `None` for what a file manager has left.
    fn try_file(&mut self, name: &[u8]) -> Result<Option<Place>, String> {
        let path = paths::parse(name)?;
        if path.is_empty() || name.ends_with(b"/") {
            return Err("this is a file with the name of a folder".into());
        }
        if is_junk(path) {
            return Ok(None);
        }
        let place = match paths::place(self.scope, path) {
            Ok(place) => place,
            Err(NoPlace::Name(message)) => return Err(message),
            Err(NoPlace::Foreign) => return Err(self.foreign(path, "file")),
        };
        if let Some((folder, _)) = path.rsplit_once('/') {
            self.take_folders(folder)?;
        }
        match self.taken.insert(path.to_lowercase(), Taken::File) {
            None => Ok(Some(place)),
            Some(Taken::Folder(_)) => Err("there is a folder of this name, too".into()),
            Some(Taken::File) => Err("this name is there twice, perhaps in another spelling".into()),
        }
    }

    /// Takes a folder and those above it.
    fn take_folders(&mut self, path: &str) -> Result<(), String> {
        let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
        for folder in ends.filter_map(|end| path.get(..end)) {
            let taken = self.taken.entry(folder.to_lowercase()).or_insert_with(|| Taken::Folder(folder.to_owned()));
            match taken {
                Taken::Folder(spelling) if spelling == folder => {}
                Taken::Folder(spelling) => {
                    return Err(format!("the folder `{folder}` is there in another spelling, `{spelling}`"));
                }
                Taken::File => return Err(format!("`{folder}` is a file, too")),
            }
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), ArchiveError> {
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            return Err(ArchiveError::TooLarge(format!("more than {MAX_ENTRIES} entries")));
        }
        Ok(())
    }

    /// The bytes of a file: never more than one beyond what may be kept.
    fn read(&mut self, place: &Place, data: &mut Data<'_>) -> Result<Result<Vec<u8>, String>, ArchiveError> {
        let most = match place {
            Place::Document(_) => self.limits.characters as u64 * MAX_CHARACTER,
            Place::InSkill(..) => self.limits.skill_file_bytes as u64,
        };
        let total = self.limits.total_bytes.min(MAX_UNPACKED);
        let room = total.saturating_sub(self.bytes);
        let mut bytes = Vec::new();
        if let Err(error) = data.reader.take(most.min(room).saturating_add(1)).read_to_end(&mut bytes) {
            return Ok(Err(format!("it cannot be unpacked: {error}")));
        }
        let length = bytes.len() as u64;
        self.bytes = self.bytes.saturating_add(length);
        if length > room {
            return Err(ArchiveError::TooLarge(format!("it unpacks to more than {total} bytes")));
        }
        Ok(match length {
            length if length > most => Err(format!("it has more than {most} bytes")),
            length if length != data.said_size => Err("it has another size than the archive says".into()),
            _ => Ok(bytes),
        })
    }

    fn keep(&mut self, place: Place, bytes: Vec<u8>, executable: bool) -> Result<(), String> {
        let limits = self.limits;
        match place {
            Place::Document(id) => {
                let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text")?;
                if text.chars().count() > limits.characters {
                    return Err(format!("it has more than {} characters", limits.characters));
                }
                self.documents.insert(id, Content::Text(text));
            }
            Place::InSkill(id, path) => {
                let content = self.documents.entry(id).or_insert_with(|| Content::Skill(Skill::default()));
                if let Content::Skill(skill) = content {
                    skill.files.insert(path, SkillFile { bytes, executable });
                    if skill.files.len() > limits.skill_files {
                        return Err(format!("its skill has more than {} files", limits.skill_files));
                    }
                    if skill.size() as u64 > limits.skill_bytes as u64 {
                        return Err(format!("its skill has more than {} bytes", limits.skill_bytes));
                    }
                }
            }
        }
        if self.documents.len() > limits.documents {
            return Err(format!("there are more than {} documents", limits.documents));
        }
        Ok(())
    }
}
