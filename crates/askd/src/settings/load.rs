//! From sources to [`Loaded`], with every problem that is on the way.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::child_env::PASSED;
use super::declaration::{Fallback, Setting};
use super::problem::{Origin, Problem, SettingsErrors};
use super::sources::{Found, Layers, Sources};
use super::value::{Raw, Value};
use super::values::Values;
use super::{Loaded, Settings, checks, table, tls, unknown};

/// Reads everything, then reports everything that is wrong with it.
pub(super) fn load(sources: &Sources) -> Result<Loaded, SettingsErrors> {
    let mut problems = Vec::new();
    let layers = Layers::read(sources, &mut problems);
    let mut values = Values::default();
    let mut origins = BTreeMap::new();
    for setting in table::all() {
        match one(setting, &layers) {
            Ok(found) => {
                let (value, origin) = found;
                if let Some(value) = value {
                    values.insert(setting.key, value);
                }
                origins.insert(setting.key, origin);
            }
            Err(problem) => problems.push(*problem),
        }
    }
    unknown::find(&layers, &mut problems);
    checks::all(&values, &origins, &mut problems);
    let encryption = tls::load(&values, &origins, &mut problems);
    let mut warnings = checks::warnings(&values);
    let environment = environment(&layers, &values, &mut problems, &mut warnings);
    SettingsErrors::none_of(problems)?;

    let mut settings = Settings::from_values(&values, &environment);
    settings.paths.private_files = layers.private_files();
    settings.paths.private_files.extend(encryption.iter().map(|tls| tls.files.key.clone()));
    settings.server.tls = encryption;
    settings.paths.home = layers.env.get("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    Ok(Loaded { settings, origins, warnings, values, environment })
}

/// The effective value of one setting, and where it came from.
pub(super) fn one(setting: &Setting, layers: &Layers<'_>) -> Result<(Option<Value>, Origin), Box<Problem>> {
    if let Some(found) = layers.find(setting)? {
        let value = read(setting, &found)?;
        return Ok((Some(value), found.origin));
    }
    let (text, origin) = match setting.default {
        Fallback::Value(text) => (text.to_owned(), Origin::Default),
        Fallback::Unset => return Ok((None, Origin::Default)),
        Fallback::Required => return Err(missing(setting).into()),
        Fallback::DataHome => data_home(setting, layers)?,
    };
    let folder = PathBuf::from("/");
    let found = Found { raw: Raw::Text(text), origin: origin.clone(), folder };
    read(setting, &found).map(|value| (Some(value), origin))
}

fn read(setting: &Setting, found: &Found) -> Result<Value, Box<Problem>> {
    setting.kind.read(&found.raw, &found.folder).map_err(|refusal| {
        Box::new(Problem {
            setting: setting.key.to_owned(),
            value: Some(found.raw.shown()).filter(|written| !setting.kind.may_hold_a_secret(written)),
            origin: Some(found.origin.clone()),
            what: refusal.what,
            hint: refusal.hint.unwrap_or_else(|| format!("give {}", setting.kind.expected())),
        })
    })
}

fn missing(setting: &Setting) -> Problem {
    let from_file = setting.file_variable().map(|name| format!(", or {name} to the path of a file that holds it"));
    Problem {
        setting: setting.key.to_owned(),
        value: None,
        origin: None,
        what: "is required and not set (an empty variable counts as not set)".to_owned(),
        hint: format!("set the environment variable {}{}", setting.env, from_file.unwrap_or_default()),
    }
}

fn data_home(setting: &Setting, layers: &Layers<'_>) -> Result<(String, Origin), Box<Problem>> {
    // The XDG rules: a relative path there is to be ignored.
    let absolute = |name| layers.env.get(name).filter(|path| Path::new(path).is_absolute());
    let from = |name: &str, path: String| (path, Origin::Environment(name.to_owned()));
    if let Some(data) = absolute("XDG_DATA_HOME") {
        Ok(from("XDG_DATA_HOME", format!("{data}/askd")))
    } else if let Some(home) = absolute("HOME") {
        Ok(from("HOME", format!("{home}/.local/share/askd")))
    } else {
        let problem = Problem {
            what: "is not set, and neither is XDG_DATA_HOME or HOME".to_owned(),
            hint: format!("set {} to a folder that the server may write to", setting.env),
            ..missing(setting)
        };
        Err(problem.into())
    }
}

/// A variable for the CLI.
#[derive(Clone, Debug)]
pub(super) struct Passed {
    pub(super) name: String,
    pub(super) value: SecretString,
    pub(super) shown: bool,
    pub(super) origin: Origin,
}

/// The CLI's environment: what is on the allow-list or on the operator's list, and set.
fn environment(
    layers: &Layers<'_>,
    values: &Values,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<String>,
) -> Vec<Passed> {
    let mut environment = Vec::new();
    for passed in PASSED {
        let from_file = passed.secret.then(|| format!("{}_FILE", passed.name));
        match layers.variable(passed.name, from_file.as_deref()) {
            Ok(Some(Found { raw, origin, .. })) => {
                let value = SecretString::from(raw.shown());
                environment.push(Passed { name: passed.name.to_owned(), value, shown: !passed.secret, origin });
            }
            Ok(None) => {}
            Err(problem) => problems.push(*problem),
        }
    }
    let Some(Value::List(names)) = values.get("child_env") else { return environment };
    for name in names {
        if environment.iter().any(|passed| passed.name == *name) {
            continue;
        }
        if let Some(text) = layers.env.get(name.as_str()) {
            let (name, value) = (name.clone(), SecretString::from(*text));
            let origin = Origin::Environment(name.clone());
            environment.push(Passed { name, value, shown: false, origin });
        } else {
            warnings.push(format!("`ASKD_CHILD_ENV` names `{name}`, which is not set"));
        }
    }
    environment
}
