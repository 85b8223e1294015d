//! Where values come from: flags over environment over settings file, and which of them wins.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::child_env::PASSED;
use super::declaration::Setting;
use super::file::FileLayer;
use super::problem::{Origin, Problem};
use super::process_environment;
use super::table;
use super::value::Raw;
use crate::small_file;

/// The largest file of a secret, in bytes: the kernel takes no longer variable, and the CLI gets some of them as variables.
const MAX_SECRET: u64 = 128 << 10;

/// Everything that settings are read from; tests give their own.
#[derive(Clone, Default)]
pub struct Sources {
    /// Flags that were given: the setting's key and the text.
    pub flags: Vec<(String, String)>,
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// The settings file of `--config`; else `ASKD_CONFIG` of [`Sources::env`] names it.
    pub file: Option<PathBuf>,
    /// Where relative paths in flags and environment start.
    pub current_dir: PathBuf,
}

impl Sources {
    /// What this process was started with.
    pub fn of_process(matches: &clap::ArgMatches) -> Self {
        // A folder that has been deleted has no name; relative paths then fail by themselves.
        let current_dir = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        Self::new(matches, process_environment(), current_dir)
    }

    /// Flags from the command line, and the environment that is passed in.
    pub fn new(matches: &clap::ArgMatches, env: Vec<(String, String)>, current_dir: PathBuf) -> Self {
        let given = |key: &str| matches.try_get_one::<String>(key).ok().flatten().cloned();
        let keys = table::all().filter(|setting| !setting.is_secret()).map(|setting| setting.key);
        let flags = keys.filter_map(|key| given(key).map(|text| (key.to_owned(), text))).collect();
        Self { flags, env, file: given(table::CONFIG.key).map(PathBuf::from), current_dir }
    }

    /// With something in the place of the server's key, for a command that has no use for it: the key is often not at hand.
    #[must_use]
    pub fn without_api_key(mut self) -> Self {
        self.env.retain(|(name, _)| !matches!(name.as_str(), "API_KEY" | "API_KEY_FILE"));
        self.env.push(("API_KEY".to_owned(), "not-needed-here".to_owned()));
        self
    }
}

/// A value together with its origin.
pub(super) struct Found {
    pub(super) raw: Raw,
    pub(super) origin: Origin,
    /// Where a relative path in it starts.
    pub(super) folder: PathBuf,
}

/// The three layers.
pub(super) struct Layers<'a> {
    flags: &'a [(String, String)],
    current_dir: &'a Path,
    /// Without empty ones: `VAR=${VAR:-}` in a compose file means "not set".
    pub(super) env: BTreeMap<&'a str, &'a str>,
    pub(super) file: FileLayer,
}

impl<'a> Layers<'a> {
    pub(super) fn read(sources: &'a Sources, problems: &mut Vec<Problem>) -> Self {
        let pairs = sources.env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let env: BTreeMap<&str, &str> = pairs.filter(|(_, value)| !value.is_empty()).collect();
        let from_env = env.get(table::CONFIG.env).map(PathBuf::from);
        let origin = match sources.file {
            Some(_) => Origin::Flag(table::CONFIG.key.to_owned()),
            None => Origin::Environment(table::CONFIG.env.to_owned()),
        };
        let file = match sources.file.clone().or(from_env) {
            Some(path) => FileLayer::read(&path, &sources.current_dir, &origin, problems),
            None => FileLayer::default(),
        };
        Self { flags: &sources.flags, current_dir: &sources.current_dir, env, file }
    }

    /// The value that wins, or `None` when nobody has set it.
    pub(super) fn find(&self, setting: &Setting) -> Result<Option<Found>, Box<Problem>> {
        if let Some((_, text)) = self.flags.iter().find(|(key, _)| key == setting.key) {
            let name = setting.flag().unwrap_or_default();
            return Ok(Some(self.here(Raw::Text(text.clone()), Origin::Flag(name))));
        }
        match self.variable(setting.env, setting.file_variable().as_deref())? {
            Some(found) => Ok(Some(found)),
            None => self.file_value(setting),
        }
    }

    /// A variable, or the contents of the file that its `…_FILE` form names.
    pub(super) fn variable(&self, name: &str, file_variable: Option<&str>) -> Result<Option<Found>, Box<Problem>> {
        let direct = self.env.get(name);
        let path = file_variable.and_then(|variable| self.env.get_key_value(variable));
        match (direct, path) {
            (None, None) => Ok(None),
            (Some(text), None) => {
                let origin = Origin::Environment(name.to_owned());
                Ok(Some(self.here(Raw::Text((*text).to_owned()), origin)))
            }
            (None, Some((variable, path))) => {
                let origin = Origin::Environment((*variable).to_owned());
                let text = secret_file(name, Path::new(path), self.current_dir, &origin)?;
                Ok(Some(self.here(Raw::Text(text), origin)))
            }
            (Some(_), Some((variable, _))) => Err(both(name, variable, Origin::Environment((*variable).to_owned()))),
        }
    }

    fn file_value(&self, setting: &Setting) -> Result<Option<Found>, Box<Problem>> {
        let direct = self.file.find(setting.key);
        let path = setting.file_key().and_then(|key| self.file.find(&key).map(|found| (key, found)));
        match (direct, path) {
            (direct, None) => Ok(direct),
            (None, Some((_, Found { raw, origin, folder }))) => {
                let text = secret_file(setting.key, Path::new(&raw.shown()), &folder, &origin)?;
                Ok(Some(Found { raw: Raw::Text(text), origin, folder }))
            }
            (Some(_), Some((key, found))) => Err(both(setting.key, &key, found.origin)),
        }
    }

    /// Whether a setting names a file with its value that this process may not read: a server that was started as root has read
    /// it as root.
    pub(super) fn is_shut(&self, setting: &Setting) -> bool {
        let by_variable = setting.file_variable().and_then(|name| self.env.get(name.as_str()));
        let by_key = setting.file_key().and_then(|key| self.file.find(&key));
        let path = match (by_variable, by_key) {
            (Some(path), _) => self.current_dir.join(path),
            (None, Some(found)) => found.folder.join(found.raw.shown()),
            (None, None) => return false,
        };
        small_file::read_text(&path, 0).is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
    }

    /// The files that hold secrets, and the settings file, which may: agents must not read them.
    pub(super) fn private_files(&self) -> Vec<PathBuf> {
        let settings = || table::all().filter(|setting| setting.is_secret());
        let passed = PASSED.iter().filter(|passed| passed.secret).map(|passed| format!("{}_FILE", passed.name));
        let variables = settings().filter_map(Setting::file_variable).chain(passed);
        let named = variables.filter_map(|name| self.env.get(name.as_str()).map(|path| self.current_dir.join(path)));
        let keys = settings().filter_map(Setting::file_key).filter_map(|key| self.file.find(&key));
        let in_file = keys.map(|found| found.folder.join(found.raw.shown()));
        named.chain(in_file).chain(self.file.path()).collect()
    }

    fn here(&self, raw: Raw, origin: Origin) -> Found {
        Found { raw, origin, folder: self.current_dir.to_owned() }
    }
}

fn both(direct: &str, from_file: &str, origin: Origin) -> Box<Problem> {
    Box::new(Problem {
        setting: direct.to_owned(),
        value: None,
        origin: Some(origin),
        what: format!("both `{direct}` and `{from_file}` are given"),
        hint: "keep one of them".to_owned(),
    })
}

/// Reads a secret. Its path is never shown: who mixes up the two forms has put the secret there.
fn secret_file(name: &str, path: &Path, folder: &Path, origin: &Origin) -> Result<String, Box<Problem>> {
    let problem = |what: String, hint: &str| {
        Box::new(Problem {
            setting: name.to_owned(),
            value: None,
            origin: Some(origin.clone()),
            what,
            hint: hint.to_owned(),
        })
    };
    let text = small_file::read_text(&folder.join(path), MAX_SECRET).map_err(|error| {
        problem(
            format!("cannot read the file that it names: {error}"),
            "give the path of a readable file, no pipe, that holds the secret and nothing else",
        )
    })?;
    if text.contains('\0') {
        return Err(problem("the file that it names holds a zero byte".to_owned(), "write the secret as plain text"));
    }
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(problem("the file that it names is empty".to_owned(), "write the secret into it"));
    }
    Ok(text.to_owned())
}
