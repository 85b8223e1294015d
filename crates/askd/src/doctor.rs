//! `askd doctor`: looks at this machine with the server's settings, and says what works, what does not, and what to do.
//!
//! It becomes the user that the server would become, and tries every layer of isolation by a probe, as the server does. It
//! holds no lock, changes nothing of the server's, asks no model and shows nobody a credential, so it may run beside a server.
//! From the provider it wants a connection only. What it tries, it tries in a
//! folder in `/tmp`; where that cannot be written, in one in `ASKD_DATA_DIR`, which a server's janitor removes should the doctor
//! be killed.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use crate::ambient::Ambient;
use crate::isolation::report::Report;
use crate::privileges::{self, Rehearsal, Standing};
use crate::serve::lock;
use crate::settings::{Loaded, Problem, Settings, SettingsErrors};

mod checks;
mod clock;
mod ground;
mod layers;
mod limits;
mod path;
mod server;
mod space;
mod store;
mod upstream;

/// The name of every finding there can be. `docs/health.md` says of each what is looked at.
pub const NAMES: [&str; 37] = [
    "settings",
    "user",
    "groups",
    "executable",
    "api_key",
    "folders",
    "workspace_dir",
    "home",
    "config_dir",
    "configuration",
    "data_dir",
    "credential",
    "secret_key",
    "listen",
    "server",
    "store",
    "disk",
    "open_files",
    "processes",
    "memory",
    "somaxconn",
    "clock",
    "upstream",
    "temporary_folder",
    "cli",
    "bubblewrap",
    "view",
    "path",
    "secret_files",
    "second_mounts",
    "user_namespaces",
    "layer_bubblewrap",
    "layer_landlock",
    "layer_none",
    "isolation",
    "cgroup",
    "metrics",
];

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// Not looked at: only the server itself can.
    Skip,
    /// The server starts, and something is less than it could be, or runs may or will fail.
    Warn,
    /// The server does not start, or no run can begin.
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

    fn skip(name: &'static str, message: impl Into<String>) -> Self {
        Self { name, status: Status::Skip, message: message.into(), hint: None }
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
    /// What the start itself would refuse.
    refusal: Option<Check>,
    /// A server that is started as root makes its data folder, or gives it away.
    data_is_handed_over: bool,
}

impl Patient {
    /// Becomes the user that a server with these settings would become. To be called while the process has one thread.
    pub fn admit(loaded: Loaded, has_key: bool) -> Self {
        let Loaded { settings, warnings, .. } = loaded;
        let (standing, data_is_handed_over, refusal) = match privileges::rehearse(&settings) {
            Ok(Rehearsal { standing, data_is_handed_over, refusal }) => (Ok(standing), data_is_handed_over, refusal),
            Err(error) => (Err(error.to_string()), false, None),
        };
        let refusal = refusal.map(|error| Check {
            name: error.subject(),
            status: Status::Fail,
            message: error.to_string(),
            hint: None,
        });
        Self { settings, warnings, has_key, standing, refusal, data_is_handed_over }
    }
}

/// Looks at everything. `launcher` is the executable that answers to `__launch` and `__probe`; `is_offline`: nobody outside of
/// this machine is to be asked, but for the database.
pub async fn examine(patient: Patient, ambient: &Ambient, launcher: PathBuf, is_offline: bool) -> Diagnosis {
    let mut checks = checks::before(&patient);
    checks.extend(beside(&patient.settings, ambient, is_offline).await);
    let gives_cgroup = matches!(patient.standing, Ok(Standing::Dropped(_)));
    let isolation = match ground::Ground::make(patient.settings.clone(), ambient, launcher) {
        Ok(ground) => {
            let program = ground.cli(&mut checks).await;
            ground.isolation(program, gives_cgroup, &mut checks).await
        }
        Err(error) => {
            let hint = "let the user write /tmp or ASKD_DATA_DIR";
            checks.push(Check::fail("temporary_folder", format!("no folder to try anything in: {error}"), hint));
            None
        }
    };
    if let Some(refusal) = patient.refusal {
        // The start's own words are better than what was found out here about the same thing.
        let at = checks.iter().position(|check| check.name == refusal.name).unwrap_or(checks.len());
        checks.retain(|check| check.name != refusal.name);
        checks.insert(at, refusal);
    }
    let ok = checks.iter().all(|check| check.status != Status::Fail);
    Diagnosis { ok, checks, isolation }
}

/// What is around the server: other servers, its store, the machine and the provider. They are waited for together.
async fn beside(settings: &Settings, ambient: &Ambient, is_offline: bool) -> Vec<Check> {
    let is_at_work = lock::is_held(&settings.paths.data_dir);
    let now = ambient.now();
    let (server, (store, difference), disk, upstream) = tokio::join!(
        server::server(settings, is_at_work),
        store::store(settings, is_at_work, now.as_millisecond()),
        space::disk(settings),
        upstream::upstream(settings, is_offline),
    );
    let mut checks = vec![server, store, disk];
    checks.extend(limits::limits(settings));
    checks.extend([clock::clock(now, difference), upstream]);
    checks
}

impl Diagnosis {
    /// What is wrong with settings that cannot even be read.
    pub fn of_settings(errors: &SettingsErrors) -> Self {
        let finding = |problem: &Problem| Check {
            name: "settings",
            status: Status::Fail,
            message: problem.to_string(),
            hint: None,
        };
        Self { ok: false, checks: errors.problems().iter().map(finding).collect(), isolation: None }
    }

    /// For people: a line for each finding, what to do below it, then what is not prevented, and at last which fail or warn.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for Check { name, status, message, hint } in &self.checks {
            let status = match status {
                Status::Ok => "ok  ",
                Status::Skip => "skip",
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
            let begin = if self.ok {
                "In force for a run"
            } else {
                "Mend what says FAIL first: as things are the server would not start, or its runs would fail. In force for a run would be"
            };
            let _ = writeln!(text, "\n{begin}: {}: {}", report.layer, words.join(", "));
            if !report.costs.is_empty() {
                let _ = writeln!(text, "What programs of a run cannot do because of it:");
                for sentence in &report.costs {
                    let _ = writeln!(text, "  - {sentence}");
                }
            }
            let _ = writeln!(text, "Not prevented:");
            for sentence in &report.not_prevented {
                let _ = writeln!(text, "  - {sentence}");
            }
        }
        // Last, where a terminal leaves it in sight.
        let _ = writeln!(text, "\n{}", self.summary());
        text
    }

    /// Which fail, and which warn.
    fn summary(&self) -> String {
        let named = |wanted: Status, word: &str| {
            let mut names: Vec<_> =
                self.checks.iter().filter(|check| check.status == wanted).map(|check| check.name).collect();
            names.dedup();
            (!names.is_empty()).then(|| format!("{word}: {}", names.join(", ")))
        };
        let parts = [named(Status::Fail, "FAIL"), named(Status::Warn, "warn")];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        if parts.is_empty() { "Nothing fails, and nothing is to be warned of".to_owned() } else { parts.join("; ") }
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

        FAIL: cli
        ");
    }
}
