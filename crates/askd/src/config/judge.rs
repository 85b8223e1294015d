//! Whether a content may be put: by this caller, in this place, at all.

use memchr::memmem::Finder;
use secrecy::{ExposeSecret as _, SecretString};

use super::change::{Author, May};
use super::document::{Content, Skill};
use super::error::ConfigError;
use super::kind::Kind;
use super::limits::Limits;
use super::name::DocumentId;
use super::problem::{Problem, Report};
use super::scope::Scope;
use super::validate;

/// A shorter value would be found in ordinary text, and is no secret.
const SHORTEST_SECRET: usize = 8;

/// Values that must not come into a document: every run could read them.
#[derive(Default)]
pub(super) struct Secrets(Vec<Finder<'static>>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} secrets", self.0.len())
    }
}

impl Secrets {
    /// These, and more of them.
    pub(super) fn and(&self, values: &[SecretString]) -> Self {
        let values = values.iter().map(|value| value.expose_secret().trim());
        let spellings = values.flat_map(|value| [value.to_owned(), escaped(value)]);
        let mut all = self.0.clone();
        for spelling in spellings.filter(|spelling| spelling.len() >= SHORTEST_SECRET) {
            if !all.iter().any(|known| known.needle() == spelling.as_bytes()) {
                all.push(Finder::new(&spelling).into_owned());
            }
        }
        Self(all)
    }

    fn are_in(&self, content: &Content) -> bool {
        let found = |bytes: &[u8]| self.0.iter().any(|secret| secret.find(bytes).is_some());
        match content {
            Content::Text(text) => found(text.as_bytes()),
            Content::Skill(skill) => skill.files.values().any(|file| found(&file.bytes)),
        }
    }
}

/// As it stands in a JSON string.
fn escaped(secret: &str) -> String {
    let quoted = serde_json::Value::from(secret).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// What is judged, besides the contents.
pub(super) struct Case<'a> {
    pub(super) scope: &'a Scope,
    pub(super) id: &'a DocumentId,
    pub(super) by: &'a Author,
    pub(super) limits: &'a Limits,
    pub(super) secrets: &'a Secrets,
}

impl Case<'_> {
    /// Refuses what may not be; otherwise gives what is odd about it. `has_old` says whether there is something, even if
    /// it could not be read as text.
    pub(super) fn judge(
        &self,
        has_old: bool,
        old: Option<&Content>,
        new: Option<&Content>,
    ) -> Result<Vec<Problem>, ConfigError> {
        if *self.scope != Scope::User && !self.id.kind().is_in_workspaces() {
            let problem = Problem::new("there is none in a workspace");
            return Err(ConfigError::Invalid(Report { errors: vec![problem], ..Report::default() }));
        }
        let report = match new {
            Some(new) => {
                self.check_size(new)?;
                validate::check(self.id, new)
            }
            None => Report::default(),
        };
        if !report.is_valid() {
            return Err(ConfigError::Invalid(report));
        }
        if self.by.may == May::Texts {
            let mut reasons = report.executes;
            match old {
                Some(old) => reasons.extend(validate::check(self.id, old).executes),
                None if has_old => reasons.push("what is there cannot be read".to_owned()),
                None => {}
            }
            reasons.sort();
            reasons.dedup();
            if !reasons.is_empty() {
                return Err(ConfigError::NeedsExec(reasons));
            }
        }
        if let (Kind::Settings, Some(Content::Text(new))) = (self.id.kind(), new) {
            let forbidden = validate::forbidden::forbidden(old.and_then(Content::text), new);
            if !forbidden.is_empty() {
                return Err(ConfigError::Forbidden(forbidden));
            }
        }
        if new.is_some_and(|new| self.secrets.are_in(new)) {
            return Err(ConfigError::Secret);
        }
        Ok(report.warnings)
    }

    /// Before anything looks into it.
    fn check_size(&self, content: &Content) -> Result<(), ConfigError> {
        let limits = self.limits;
        let too_large = |what: String, most: usize, unit| Err(ConfigError::TooLarge { what, most: most as u64, unit });
        match content {
            Content::Text(text) => {
                // There are at most as many characters as bytes.
                if text.len() > limits.characters && text.chars().count() > limits.characters {
                    return too_large("the content".to_owned(), limits.characters, "characters");
                }
            }
            Content::Skill(Skill { files }) => {
                if files.len() > limits.skill_files {
                    return too_large("the skill".to_owned(), limits.skill_files, "files");
                }
                for (path, file) in files {
                    if file.bytes.len() > limits.skill_file_bytes {
                        return too_large(format!("`{path}`"), limits.skill_file_bytes, "bytes");
                    }
                }
                if content.size() > limits.skill_bytes {
                    return too_large("the skill".to_owned(), limits.skill_bytes, "bytes");
                }
            }
        }
        Ok(())
    }
}
