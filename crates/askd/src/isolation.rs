//! What confines a run, chosen once at the start, and the truth about it.
//!
//! A layer is chosen because a [probe](mod@probe) has shown that it holds, and not because it is installed: askd's own executable
//! is started in it as a run would be, tries what must not be possible, and what must ([`attempts`]). What was confirmed is
//! what is told, on every run ([`RunIsolation`]) and by `GET /v1/isolation` ([`report`]).

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use supervisor::cgroup::RunCgroup;
use supervisor::confinement::{Bubblewrap, Confinement, View};

use crate::privileges;
use crate::settings::groups::Cgroup;
use crate::settings::{IsolationPolicy, Settings, WriteRoot};
use cgroups::Cgroups;
use probe::probe;
use protection::Protection;
use report::{LayerReport, Limits, Report};
use view::{HostView, RunView};
use words::{Situation, Weakness, not_prevented};

pub mod attempts;
pub mod place;
pub mod probe;
pub mod protection;
pub mod report;

pub mod view;

mod cgroups;
mod judge;
mod mounts;
mod user;
mod words;

pub use probe::Ground;

/// What keeps a run from the rest of the machine: exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// Namespaces, with a read-only view of the system.
    Bubblewrap,
    /// Rules of Landlock and a filter of system calls.
    Landlock,
    /// Nothing but what every child has.
    None,
}

impl Layer {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bubblewrap => "bubblewrap",
            Self::Landlock => "landlock",
            Self::None => "none",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What confines a run; kept with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RunIsolation {
    /// The layer.
    #[schema(value_type = String)]
    pub layer: Layer,
    /// What is in force.
    #[schema(value_type = Vec<String>)]
    pub in_force: Vec<Protection>,
    /// Why it is not a stronger layer; `None`: there is none.
    #[schema(required)]
    pub reason: Option<String>,
}

/// Why there is no stronger layer where the program for it is missing.
pub const NO_BUBBLEWRAP: &str = "bubblewrap is not installed";

/// Why, where what was named is something else.
pub const BWRAP_IS_NO_PROGRAM: &str = "ASKD_BWRAP_BIN names no executable file";

/// What is asked for cannot be had. The texts say what to do.
#[derive(Debug, thiserror::Error)]
pub enum Unisolated {
    /// No layer holds, and one is required.
    #[error(
        "ASKD_ISOLATION is required, and no layer holds here: {0}. Install bubblewrap and allow user namespaces, or use a \
         kernel with Landlock (Linux 6.2 or newer), or set ASKD_ISOLATION=best_effort; `askd doctor` says more"
    )]
    NoLayer(String),
    /// The operator has named a cgroup, and it is none for this server.
    #[error(
        "the folder of ASKD_CGROUP cannot be used: {0}. Name a folder of the cgroup2 file system that the server's user may \
         write and that has no processes in it, or set ASKD_CGROUP=auto"
    )]
    Cgroup(String),
}

/// What confines runs.
#[derive(Debug)]
pub struct Isolation {
    host: HostView,
    bwrap: PathBuf,
    cgroups: Cgroups,
    run: RunIsolation,
    report: Report,
}

impl Isolation {
    /// Tries the layers that the policy allows, the strongest first, until one holds.
    pub async fn choose(ground: Ground<'_>) -> Result<Self, Unisolated> {
        let (settings, policy) = (ground.settings, ground.settings.isolation.policy);
        let mut cgroups =
            Cgroups::detect(&settings.isolation.cgroup, &settings.run_limits).map_err(Unisolated::Cgroup)?;
        if let Err(error) = cgroups.remove_leftovers() {
            tracing::warn!(%error, "cannot remove the cgroups of an earlier server");
        }
        let cgroup = match cgroups.create(&format!("probe-{}", ground.name)) {
            Err(error) if matches!(settings.isolation.cgroup, Cgroup::Folder(_)) => {
                return Err(Unisolated::Cgroup(format!("no cgroup can be made in it: {error}")));
            }
            Err(error) => {
                cgroups.give_up(error.to_string());
                None
            }
            Ok(cgroup) => cgroup,
        };
        let bwrap = settings.child.find_program(&settings.isolation.bwrap_bin);
        let candidates: &[Layer] = match policy {
            IsolationPolicy::Off => &[],
            IsolationPolicy::Required | IsolationPolicy::BestEffort => &[Layer::Bubblewrap, Layer::Landlock],
        };
        let mut layers: Vec<LayerReport> = Vec::new();
        for layer in candidates {
            let report = try_layer(&ground, *layer, bwrap.as_deref(), cgroup.as_ref()).await;
            let holds = report.is_available();
            layers.push(report);
            if holds {
                break;
            }
        }
        if policy == IsolationPolicy::Required && !layers.iter().any(LayerReport::is_available) {
            cgroups.try_out(cgroup);
            return Err(Unisolated::NoLayer(why_not(&layers, |report| {
                report.detail.as_ref().or(report.reason.as_ref())
            })));
        }
        if !layers.iter().any(LayerReport::is_available) {
            layers.push(try_layer(&ground, Layer::None, None, cgroup.as_ref()).await);
        }
        cgroups.try_out(cgroup);
        let report = put_together(settings, &ground.host, layers, &cgroups);
        report.log();
        let run =
            RunIsolation { layer: report.layer, in_force: report.in_force.clone(), reason: report.reason.clone() };
        Ok(Self { host: ground.host, bwrap: bwrap.unwrap_or_default(), cgroups, run, report })
    }

    /// The layer that runs get.
    pub fn layer(&self) -> Layer {
        self.run.layer
    }

    /// What is kept with each run.
    pub fn of_run(&self) -> &RunIsolation {
        &self.run
    }

    /// The whole truth.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// What is hidden from runs, and let in all the same.
    pub fn host(&self) -> &HostView {
        &self.host
    }

    /// What one run may see and reach. Its limits and its cgroup are left to the caller.
    pub fn confinement(&self, run: &RunView<'_>) -> io::Result<Confinement> {
        confine(&self.host, self.run.layer, &self.bwrap, run)
    }

    /// A cgroup for one run, by a name that only this run has; `None` where there are none.
    pub fn cgroup(&self, run: &str) -> io::Result<Option<RunCgroup>> {
        self.cgroups.create(run)
    }

    /// Ends and removes the cgroups of runs that are not `in_use` by these names; how many there were.
    pub fn clear_cgroups(&self, in_use: impl Fn(&str) -> bool) -> io::Result<usize> {
        self.cgroups.clear(in_use)
    }
}

impl RunIsolation {
    /// As it is kept.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What is known of every layer, each tried whatever the policy says: for `askd doctor`.
pub async fn survey(ground: &Ground<'_>) -> Report {
    let settings = ground.settings;
    let reason = "the server looks for it when it starts";
    let cgroups = Cgroups::without(&settings.run_limits, reason, None);
    let bwrap = settings.child.find_program(&settings.isolation.bwrap_bin);
    let mut layers = Vec::new();
    for layer in [Layer::Bubblewrap, Layer::Landlock, Layer::None] {
        layers.push(try_layer(ground, layer, bwrap.as_deref(), None).await);
    }
    put_together(settings, &ground.host, layers, &cgroups)
}

async fn try_layer(ground: &Ground<'_>, layer: Layer, bwrap: Option<&Path>, cgroup: Option<&RunCgroup>) -> LayerReport {
    let missing = |reason, detail| LayerReport::failed(layer, reason, detail);
    match (layer, bwrap) {
        (Layer::Bubblewrap, None) => {
            let wanted = &ground.settings.isolation.bwrap_bin;
            let program = wanted.display();
            let is_there = wanted.is_absolute() && wanted.exists();
            missing(
                if is_there { BWRAP_IS_NO_PROGRAM } else { NO_BUBBLEWRAP },
                format!("there is no program `{program}`; install bubblewrap, or set ASKD_BWRAP_BIN to its path"),
            )
        }
        (Layer::Landlock, _) if supervisor::landlock::abi() == 0 => {
            let detail = "the kernel has no Landlock, or it was not switched on (lsm=landlock,… at boot)";
            missing("the kernel has no Landlock, or it is switched off", detail.to_owned())
        }
        _ => probe(ground, layer, bwrap.unwrap_or(Path::new("")), cgroup).await,
    }
}

/// The confinement that a layer makes of a view.
fn confine(host: &HostView, layer: Layer, bwrap: &Path, run: &RunView<'_>) -> io::Result<Confinement> {
    let view = match layer {
        Layer::None => View::Host,
        Layer::Bubblewrap => View::Bubblewrap(Bubblewrap { program: bwrap.to_owned(), folders: host.folders(run)? }),
        Layer::Landlock => View::Landlock(host.folders(run)?),
    };
    Ok(Confinement { view, ..Confinement::none() })
}

/// The report: the first layer that holds is the one.
fn put_together(settings: &Settings, host: &HostView, mut layers: Vec<LayerReport>, cgroups: &Cgroups) -> Report {
    let policy = settings.isolation.policy;
    let allowed = |report: &&LayerReport| policy != IsolationPolicy::Off || report.name == Layer::None;
    let chosen = layers.iter().filter(allowed).find(|report| report.is_available()).cloned();
    let layer = chosen.as_ref().map_or(Layer::None, |report| report.name);
    let stronger: Vec<_> = layers.iter().filter(|report| report.name < layer).cloned().collect();
    let reason = match policy {
        IsolationPolicy::Off => Some("ASKD_ISOLATION is off".to_owned()),
        _ if stronger.is_empty() => None,
        _ => Some(why_not(&stronger, |report| report.reason.as_ref())),
    };
    let mut in_force = chosen.as_ref().map(|report| report.confirmed.clone()).unwrap_or_default();
    in_force.push(Protection::UsageWatch);
    in_force.extend(&cgroups.report.confirmed);
    in_force.sort_unstable();
    for name in [Layer::Bubblewrap, Layer::Landlock] {
        if !layers.iter().any(|report| report.name == name) {
            let why =
                if policy == IsolationPolicy::Off { "ASKD_ISOLATION is off" } else { "a stronger layer is in force" };
            layers.push(LayerReport::untried(name, why));
        }
    }
    layers.sort_by_key(|report| report.name);
    let lacks = supervisor::landlock::lacking();
    let weaknesses = [
        (settings.isolation.write_root == WriteRoot::Root, Weakness::RootIsWritable),
        (chosen.as_ref().is_some_and(|report| report.shown_sockets), Weakness::ShownSockets),
        (mounts::are_passed_on(), Weakness::MountsArePassedOn),
        (!host.masked_alone().is_empty(), Weakness::SecretsBesideOthers),
        (!host.seen_elsewhere().is_empty(), Weakness::SeenElsewhere),
    ];
    let weaknesses: Vec<_> = weaknesses.into_iter().filter(|(is_so, _)| *is_so).map(|(_, weakness)| weakness).collect();
    let groups = privileges::powerful_groups();
    let situation = Situation {
        layer,
        in_force: &in_force,
        weaknesses: &weaknesses,
        powerful_groups: &groups,
        landlock_lacks: &lacks,
    };
    Report {
        policy: policy.as_str(),
        layer,
        not_prevented: not_prevented(&situation),
        costs: words::costs(layer),
        in_force,
        reason,
        layers,
        nested_namespaces: chosen.and_then(|report| report.nested),
        user: user::own(),
        limits: Limits::of(&settings.run_limits),
        cgroup: cgroups.report.clone(),
    }
}

/// `bubblewrap: …; landlock: …`
fn why_not<'a>(layers: &'a [LayerReport], why: impl Fn(&'a LayerReport) -> Option<&'a String>) -> String {
    let each = layers.iter().filter_map(|report| Some(format!("{}: {}", report.name, why(report)?)));
    each.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests;
