//! Why configuration is not read or not changed.

use std::io;

use rustix::io::Errno;

use super::change::Condition;
use super::document::Etag;
use super::problem::{Problem, Report};
use crate::aside::Unfinished;
use crate::store::StoreError;

/// Why configuration is not read or not changed. The texts are for callers and name no path of the server; the log has
/// the sources.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The CLI would skip it or a part of it.
    #[error("{}", first(&.0.errors))]
    Invalid(Report),
    /// It is not what the request says it must be.
    #[error("{}", unmet(condition, *current))]
    Precondition {
        /// What is there.
        current: Option<Etag>,
        /// What was asked for.
        condition: Condition,
    },
    /// There is none.
    #[error("there is no such document")]
    NotFound,
    /// It can execute, and the key may not put such things. Says why it can.
    #[error("this needs the permission to change what can execute: {}", .0.join("; "))]
    NeedsExec(Vec<String>),
    /// A file or folder cannot be read or written.
    #[error("{0}")]
    ReadOnly(String),
    /// It is a symbolic link, or lies behind one.
    #[error(
        "`{path}` is a symbolic link, or lies behind one, and is managed by whoever made it; hint: change what it leads to, or replace the link by a file"
    )]
    Link {
        /// Relative to the scope's folder.
        path: String,
    },
    /// It is a link that leads out of the scope's folder, or lies behind one.
    #[error(
        "`{path}` is a symbolic link that leads out of the folder of the configuration, or lies behind one; hint: replace the link by what it leads to"
    )]
    Outside {
        /// Relative to the scope's folder.
        path: String,
    },
    /// A file is where a folder must be.
    #[error("`{path}` is not a folder, and would have to be one; hint: move it away")]
    NotAFolder {
        /// Relative to the scope's folder.
        path: String,
    },
    /// It is more than is taken, or more than is read.
    #[error("{what} is larger than {most} {unit}")]
    TooLarge {
        /// Of what.
        what: String,
        /// The bound.
        most: u64,
        /// Of the bound: `bytes`, `characters`, `files`.
        unit: &'static str,
    },
    /// There are as many documents as there may be.
    #[error("there would be more than {0} documents; remove some first")]
    TooMany(usize),
    /// Others are at work, or the disk does not answer.
    #[error("the configuration is being changed, or its disk does not answer; try again later")]
    Busy,
    /// There is no such workspace.
    #[error("there is no workspace `{0}`")]
    NoWorkspace(String),
    /// Runs can read it.
    #[error("the content holds one of the server's own secrets, and every run could read it; use a variable instead")]
    Secret,
    /// Keys that no caller may set.
    #[error("{}", first(.0))]
    Forbidden(Vec<Problem>),
    /// It cannot be done as things are on the disk.
    #[error("{0}")]
    Conflict(String),
    /// The store does not answer, or does not take it.
    #[error("{0}; try again later")]
    Store(#[from] StoreError),
    /// The change is on the disk, and something went wrong afterwards: with the store, which does not take the note of it,
    /// or with the disk, which may lose it at a power failure.
    #[error("the change is in force, but {0}")]
    Unnoted(String),
    /// The disk is full, or fails, or does not answer. Says by itself whether something may have changed.
    #[error("{0}")]
    Io(String),
}

impl ConfigError {
    /// Of a document that could not be read or written.
    pub(super) fn of(path: &str, error: Errno) -> Self {
        match error {
            Errno::LOOP => Self::Link { path: path.to_owned() },
            Errno::XDEV => Self::Outside { path: path.to_owned() },
            Errno::NOTDIR => Self::NotAFolder { path: path.to_owned() },
            Errno::ROFS => Self::ReadOnly(
                "the file system of the configuration is read-only; hint: mount CONFIG_DIR or WORKSPACE_DIR writable"
                    .to_owned(),
            ),
            Errno::ACCESS | Errno::PERM => Self::ReadOnly(format!(
                "the server's user may not read or write `{path}`; hint: give it the right to do so"
            )),
            Errno::NOSPC | Errno::DQUOT => Self::Io("the disk is full".to_owned()),
            Errno::AGAIN => Self::Busy,
            error => {
                tracing::error!(path, %error, "cannot work on a file of the configuration");
                Self::Io("the disk fails; the server's log says why".to_owned())
            }
        }
    }

    /// Of an error that may carry a number of the system's.
    pub(super) fn of_io(path: &str, error: &io::Error) -> Self {
        match Errno::from_io_error(error) {
            Some(errno) => Self::of(path, errno),
            None => Self::Conflict(format!("`{path}` cannot be used: {error}; hint: move it away")),
        }
    }
}

impl From<Unfinished> for ConfigError {
    fn from(unfinished: Unfinished) -> Self {
        match unfinished {
            Unfinished::Busy | Unfinished::Late => {
                tracing::warn!(?unfinished, "the disk of the configuration does not answer in time");
                Self::Busy
            }
            Unfinished::Failed => Self::Io("the server made a mistake; its log has the details".to_owned()),
        }
    }
}

/// Which header does not hold, and why.
fn unmet(condition: &Condition, current: Option<Etag>) -> String {
    match (condition, current) {
        (Condition::IfMatch(tags), _) if tags.is_empty() => {
            "If-Match does not hold: a weak tag (W/), or one that is not askd's, never matches here"
        }
        (Condition::IfAbsent, _) => "If-None-Match does not hold: it exists",
        (_, None) => "If-Match does not hold: it does not exist",
        (_, Some(_)) => "If-Match does not hold: it was changed since it was read",
    }
    .to_owned()
}

/// The first problems, for one line of text.
fn first(problems: &[Problem]) -> String {
    /// As many as one can act on at a time.
    const SHOWN: usize = 3;
    let mut shown: Vec<_> = problems.iter().take(SHOWN).map(ToString::to_string).collect();
    if problems.len() > SHOWN {
        shown.push(format!("and {} more", problems.len() - SHOWN));
    }
    shown.join("; ")
}
