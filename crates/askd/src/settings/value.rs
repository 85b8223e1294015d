//! One value: from the text that was written to a type, and back to text.

use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tracing_subscriber::EnvFilter;

use super::child_env;
use super::declaration::Kind;
use super::network::{AllowedHost, Misread, Origin, network};
use super::otlp::{Collector, attributes};
use super::units::{parse_duration, parse_size, show_duration, show_size};
use crate::usd::Usd;

/// A checked value.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Bool(bool),
    Integer(u64),
    Duration(Duration),
    Size(u64),
    Usd(Usd),
    Ratio(f64),
    Address(SocketAddr),
    Path(PathBuf),
    Text(String),
    List(Vec<String>),
    Secret(SecretString),
}

impl Value {
    /// Whether both say the same.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bool(one), Self::Bool(other)) => one == other,
            (Self::Integer(one), Self::Integer(other)) | (Self::Size(one), Self::Size(other)) => one == other,
            (Self::Duration(one), Self::Duration(other)) => one == other,
            (Self::Usd(one), Self::Usd(other)) => one == other,
            (Self::Ratio(one), Self::Ratio(other)) => one.to_bits() == other.to_bits(),
            (Self::Address(one), Self::Address(other)) => one == other,
            (Self::Path(one), Self::Path(other)) => one == other,
            (Self::Text(one), Self::Text(other)) => one == other,
            (Self::List(one), Self::List(other)) => one == other,
            // Whoever could measure this has written one of the two.
            (Self::Secret(one), Self::Secret(other)) => one.expose_secret() == other.expose_secret(),
            _ => false,
        }
    }
}

/// A value as it was written, before anything is known about its type.
#[derive(Clone, Debug)]
pub(super) enum Raw {
    Text(String),
    List(Vec<String>),
    /// Something of the settings file that no setting can be, such as a table.
    Unfit(&'static str),
}

impl Raw {
    /// For error messages.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::List(items) => items.join(","),
            Self::Unfit(kind) => (*kind).to_owned(),
        }
    }
}

/// Why a value is refused: a fragment that follows it, and what to do when that is not the kind's
/// usual hint.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) what: String,
    pub(super) hint: Option<String>,
}

impl Refusal {
    fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None }
    }
}

impl Kind {
    /// Checks a value; `folder` is where relative paths start.
    pub(super) fn read(&self, raw: &Raw, folder: &Path) -> Result<Value, Refusal> {
        match raw {
            Raw::Unfit(_) => Err(Refusal::new("has the wrong type")),
            Raw::List(items) if self.is_list() => self.read_list(items.clone()),
            Raw::List(_) => Err(Refusal::new("is a list where one value is expected")),
            Raw::Text(text) if text.contains('\u{fffd}') => Err(Refusal::new("is not valid UTF-8")),
            Raw::Text(text) if self.is_list() => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                self.read_list(items.map(str::to_owned).collect())
            }
            Raw::Text(text) if text.is_empty() => Err(Refusal::new("is empty")),
            Raw::Text(text) => self.read_text(text, folder),
        }
    }

    /// Whether a value that was refused is not to be shown, since it is a secret or somebody took it for the place of one.
    pub(super) fn may_hold_a_secret(&self, written: &str) -> bool {
        match self {
            Self::Secret => true,
            // A user and a password, a query with a token.
            Self::Collector => written.contains(['@', '?']),
            _ => false,
        }
    }

    fn read_text(&self, text: &str, folder: &Path) -> Result<Value, Refusal> {
        let invalid = || Refusal::new(format!("is not {}", self.noun()));
        match self {
            Self::Bool => match text {
                "true" | "1" => Ok(Value::Bool(true)),
                "false" | "0" => Ok(Value::Bool(false)),
                _ => Err(invalid()),
            },
            Self::Integer(min, max) => {
                let number = whole_number(text).ok_or_else(invalid)?;
                within(number, min, max, u64::to_string).map(Value::Integer)
            }
            Self::Duration(min, max) => {
                let duration = parse_duration(text).ok_or_else(invalid)?;
                within(duration, min, max, |d| show_duration(*d)).map(Value::Duration)
            }
            Self::Size(min, max) => {
                let size = parse_size(text).ok_or_else(invalid)?;
                within(size, min, max, |s| show_size(*s)).map(Value::Size)
            }
            Self::Usd(min, max) => {
                let amount = decimal(text).and_then(Usd::from_dollars).ok_or_else(invalid)?;
                within(amount, &Usd::from_micros(*min), &Usd::from_micros(*max), Usd::to_string).map(Value::Usd)
            }
            Self::Ratio => {
                let share = decimal(text).ok_or_else(invalid)?;
                within(share, &0.0, &1.0, f64::to_string).map(Value::Ratio)
            }
            Self::Collector => match Collector::read(text) {
                Ok(_) => Ok(Value::Text(text.to_owned())),
                Err(Misread { what, hint }) => Err(Refusal { what, hint }),
            },
            Self::Attributes => match attributes(text) {
                Ok(_) => Ok(Value::Text(text.to_owned())),
                Err(what) => Err(Refusal::new(what)),
            },
            Self::Address => text.parse().map(Value::Address).map_err(|_| invalid()),
            Self::Path => Ok(Value::Path(absolute(text, folder))),
            // A bare name is looked up on PATH, so only a path may be made absolute.
            Self::Program if text.contains('/') => Ok(Value::Path(absolute(text, folder))),
            Self::Program => Ok(Value::Path(PathBuf::from(text))),
            Self::Choice(words) if !words.contains(&text) => Err(invalid()),
            Self::Model if !is_model_id(text) => Err(invalid()),
            Self::Cgroup if !is_cgroup(text) => Err(invalid()),
            Self::User if !is_user(text) => Err(invalid()),
            Self::LogFilter if EnvFilter::try_new(text).is_err() => Err(invalid()),
            Self::Secret if text.chars().any(char::is_control) => {
                Err(Refusal::new("contains a line break or another control character"))
            }
            Self::Secret => Ok(Value::Secret(SecretString::from(text))),
            _ => Ok(Value::Text(text.to_owned())),
        }
    }

    fn read_list(&self, items: Vec<String>) -> Result<Value, Refusal> {
        for item in &items {
            match self {
                Self::Models if !is_model_id(item) => {
                    return Err(Refusal::new(format!("holds {item:?}, which is not a model id")));
                }
                Self::Folders if !is_plain_folder(item) => {
                    return Err(Refusal::new(format!("holds {item:?}, which is empty or contains `..`")));
                }
                Self::Places if !is_place(item) => {
                    return Err(Refusal::new(format!("holds {item:?}, which is no absolute path of a folder")));
                }
                Self::Hosts => refuse_unless(item, AllowedHost::read(item))?,
                Self::Origins => refuse_unless(item, Origin::read(item))?,
                Self::Networks => refuse_unless(item, network(item))?,
                Self::VariableNames => child_env::check_name(item).map_err(|reason| Refusal {
                    what: format!("holds {item:?}, which {reason}"),
                    hint: Some(format!("take {item:?} out of the list")),
                })?,
                _ => {}
            }
        }
        Ok(Value::List(items))
    }

    fn noun(&self) -> &'static str {
        match self {
            Self::Bool => "a yes or no",
            Self::Integer(..) => "a whole number that fits",
            Self::Duration(..) => "a duration",
            Self::Size(..) => "a size",
            Self::Usd(..) => "an amount in US dollars",
            Self::Address => "an address with a port",
            Self::Choice(_) => "one of the known words",
            Self::Model => "a model id",
            Self::Cgroup => "one of the known words or an absolute path",
            Self::User => "a user's name or id",
            Self::LogFilter => "a log filter",
            Self::Ratio => "a number",
            _ => "valid",
        }
    }
}

/// Why an item of a list is refused, if it is.
fn refuse_unless<T>(item: &str, read: Result<T, Misread>) -> Result<(), Refusal> {
    let refusal = |Misread { what, hint }| Refusal { what: format!("holds {item:?}, which {what}"), hint };
    read.map(|_| ()).map_err(refusal)
}

/// Without `.` in it, so that paths can be compared and look as one expects.
fn absolute(text: &str, folder: &Path) -> PathBuf {
    folder.join(text).components().filter(|part| *part != Component::CurDir).collect()
}

/// Digits with or without a point: `parse` would also take a sign, an exponent and words.
fn decimal(text: &str) -> Option<f64> {
    text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.').then(|| text.parse().ok())?
}

/// Digits only: `parse` would also take a plus sign.
fn whole_number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn within<T: PartialOrd>(value: T, min: &T, max: &T, show: impl Fn(&T) -> String) -> Result<T, Refusal> {
    if value < *min {
        Err(Refusal::new(format!("is below the smallest value, {}", show(min))))
    } else if value > *max {
        Err(Refusal::new(format!("is above the largest value, {}", show(max))))
    } else {
        Ok(value)
    }
}

/// A model id goes to the CLI as an argument, so it must not look like a flag.
fn is_model_id(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:/@[]".contains(c);
    text.len() <= 256 && text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(allowed)
}

/// Trust is decided by comparing paths, and `..` would make one path mean another.
fn is_plain_folder(text: &str) -> bool {
    !text.is_empty() && !Path::new(text).components().any(|part| part == Component::ParentDir)
}

/// A folder whose place in the file system is known. The root itself would mean everything.
fn is_place(text: &str) -> bool {
    Path::new(text).is_absolute() && is_plain_folder(text) && Path::new(text).parent().is_some()
}

fn is_cgroup(text: &str) -> bool {
    matches!(text, "auto" | "off") || is_place(text)
}

/// A name as `useradd` takes it, with the dots and capitals of directory services, or an id; and after a colon groups alike.
fn is_user(text: &str) -> bool {
    let is_id = |part: &str| whole_number(part).is_some_and(|id| u32::try_from(id).is_ok_and(|id| id != u32::MAX));
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.$@\\".contains(c);
    let is_name = |part: &str| {
        !part.is_empty()
            && part.len() <= 256
            && !part.starts_with(|c: char| c == '-' || c.is_ascii_digit())
            && part.chars().all(allowed)
    };
    let is_either = |part: &str| is_id(part) || is_name(part);
    match text.split_once(':') {
        Some((user, groups)) => is_either(user) && groups.split(',').all(is_either),
        None => is_either(text),
    }
}
