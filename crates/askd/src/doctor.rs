//! `askd doctor`: looks at this machine with the server's settings, and says what works, what does not, and what to do.
//!
//! It becomes the user that the server would become, and tries every layer of isolation by a probe, as the server does. It
//! takes no lock, writes nothing into the server's folders and asks no model, so it may run beside a server.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use crate::ambient::Ambient;
use crate::isolation::report::Report;
use crate::privileges::{self, Standing};
use crate::settings::{Loaded, Settings};

mod checks;
mod ground;
mod layers;

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// The server starts, and something is less than it could be.
    Warn,
    /// The server does not start, or its runs fail.
    Fail,
}

/// One finding.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What was looked at: a stable word.
    pub name: &'static str,
    /// How it is.
    pub status: Status,
    /// The same in words.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Check {
    fn ok(name: &'static str, message: impl Into<String>) -> Self {
        Self { name, status: Status::Ok, message: message.into(), hint: None }
    }

    fn warn(name: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { name, status: Status::Warn, message: message.into(), hint: Some(hint.into()) }
    }

    fn fail(name: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { name, status: Status::Fail, message: message.into(), hint: Some(hint.into()) }
    }
}

/// Everything that was found.
#[derive(Debug, Serialize)]
pub struct Diagnosis {
    /// Whether a server with these settings would start and work.
    pub ok: bool,
    /// Each finding.
    pub checks: Vec<Check>,
    /// What `GET /v1/isolation` of such a server would say, but for its cgroup; `None`: no process could be started.
    pub isolation: Option<Report>,
}

/// Settings to look at, by the user that the server would work as.
#[derive(Debug)]
pub struct Patient {
    settings: Settings,
    warnings: Vec<String>,
    /// `API_KEY` was given.
    has_key: bool,
    standing: Result<Standing, String>,
    /// A server that is started as root makes its data folder, or gives it away.
    data_is_handed_over: bool,
}

impl Patient {
    /// Becomes the user that a server with these settings would become. To be called while the process has one thread.
    pub fn admit(loaded: Loaded, has_key: bool) -> Self {
        let Loaded { settings, warnings, .. } = loaded;
        let nothing_is_there = checks::is_absent_or_empty(&settings.paths.data_dir);
        let standing = privileges::rehearse(&settings).map_err(|error| error.to_string());
        let data_is_handed_over = nothing_is_there && matches!(standing, Ok(Standing::Dropped(_)));
        Self { settings, warnings, has_key, standing, data_is_handed_over }
    }
}

/// Looks at everything. `launcher` is the executable that answers to `__launch` and `__probe`.
pub async fn examine(patient: Patient, ambient: &Ambient, launcher: PathBuf) -> Diagnosis {
    let mut checks = checks::before(&patient);
    let isolation = match ground::Ground::make(patient.settings.clone(), ambient, launcher) {
        Ok(ground) => {
            let program = ground.cli(&mut checks).await;
            ground.isolation(program, &mut checks).await
        }
        Err(error) => {
            let hint = "let the user write /tmp or ASKD_DATA_DIR";
            checks.push(Check::fail("temporary_folder", format!("no folder to try anything in: {error}"), hint));
            None
        }
    };
    let ok = checks.iter().all(|check| check.status != Status::Fail);
    Diagnosis { ok, checks, isolation }
}

impl Diagnosis {
    /// For people: a line for each finding, what to do below it, then what is not prevented.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for Check { name, status, message, hint } in &self.checks {
            let status = match status {
                Status::Ok => "ok  ",
                Status::Warn => "warn",
                Status::Fail => "FAIL",
            };
            // Writing into a string cannot fail.
            let _ = writeln!(text, "{status}  {name:<22} {message}");
            if let Some(hint) = hint {
                let _ = writeln!(text, "{:<28} -> {hint}", "");
            }
        }
        if let Some(report) = &self.isolation {
            let words: Vec<_> = report.in_force.iter().map(|protection| protection.as_str()).collect();
            let _ = writeln!(text, "\nIn force for a run: {}: {}", report.layer, words.join(", "));
            let _ = writeln!(text, "Not prevented:");
            for sentence in &report.not_prevented {
                let _ = writeln!(text, "  - {sentence}");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finding_is_a_line_and_says_what_to_do_below_it() {
        let checks = vec![Check::ok("user", "is nobody"), Check::fail("cli", "is missing", "install it")];
        let text = Diagnosis { ok: false, checks, isolation: None }.to_text();
        insta::assert_snapshot!(text, @r"
        ok    user                   is nobody
        FAIL  cli                    is missing
                                     -> install it
        ");
    }
}
