//! What is in force, why not more, and what is not prevented: for `GET /v1/isolation`, `askd doctor` and the log.

use serde::Serialize;
use utoipa::ToSchema;

use super::Layer;
use super::judge::Verdict;
use super::protection::Protection;
use crate::settings::groups::RunLimits;

/// The whole truth, as callers may see it: it names no path of the server.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = IsolationReport)]
pub struct Report {
    /// `ASKD_ISOLATION`.
    pub policy: &'static str,
    /// The layer that runs get.
    #[schema(value_type = String)]
    pub layer: Layer,
    /// What is in force for every run.
    #[schema(value_type = Vec<String>)]
    pub in_force: Vec<Protection>,
    /// Why it is not more; `None`: it is the most that askd knows.
    #[schema(required)]
    pub reason: Option<String>,
    /// Each layer, the strongest first.
    pub layers: Vec<LayerReport>,
    /// What is not prevented, in sentences.
    pub not_prevented: Vec<String>,
    /// What programs of a run cannot do because of the layer, though it would harm nobody; in sentences.
    pub costs: Vec<&'static str>,
    /// Whether programs inside can make namespaces of their own, as the CLI's own sandbox does; `None`: not tried.
    #[schema(required)]
    pub nested_namespaces: Option<bool>,
    /// Who agents are.
    pub user: User,
    /// What a run may use up.
    pub limits: Limits,
    /// Layer 1.
    pub cgroup: CgroupReport,
}

/// What is known of one layer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LayerReport {
    /// Which.
    #[schema(value_type = String)]
    pub name: Layer,
    /// Whether it works here; `None`: it was not tried.
    #[schema(required)]
    pub available: Option<bool>,
    /// Why it does not, or was not tried.
    #[schema(required)]
    pub reason: Option<String>,
    /// What the probe has confirmed.
    #[schema(value_type = Vec<String>)]
    pub confirmed: Vec<Protection>,
    /// What the layer should have done, and did not.
    #[schema(value_type = Vec<String>)]
    pub not_confirmed: Vec<Protection>,
    /// The same with what an operator needs to know: paths, and what programs said.
    #[serde(skip)]
    pub detail: Option<String>,
    /// Whether programs inside can make namespaces of their own.
    #[serde(skip)]
    pub nested: Option<bool>,
    /// Whether a unix socket inside the view could be connected to.
    #[serde(skip)]
    pub shown_sockets: bool,
}

impl LayerReport {
    /// A layer that was not tried.
    pub(super) fn untried(name: Layer, reason: &str) -> Self {
        Self {
            name,
            available: None,
            reason: Some(reason.to_owned()),
            confirmed: Vec::new(),
            not_confirmed: Vec::new(),
            detail: None,
            nested: None,
            shown_sockets: false,
        }
    }

    /// A layer that could not even be tried. `detail` is for the operator.
    pub(super) fn failed(name: Layer, reason: &str, detail: String) -> Self {
        Self { available: Some(false), detail: Some(detail), ..Self::untried(name, reason) }
    }

    /// A layer that was tried.
    pub(super) fn tried(name: Layer, verdict: Verdict) -> Self {
        let available = verdict.holds();
        let refuted: Vec<_> = verdict.refuted.iter().map(|(protection, _)| *protection).collect();
        let words = refuted.iter().map(|protection| protection.as_str()).collect::<Vec<_>>().join(", ");
        let reason = match (&verdict.unusable, available) {
            (Some(_), _) => {
                Some("a run cannot work in it: a folder or program that it needs is out of reach".to_owned())
            }
            (None, false) => Some(format!("the probe got through: {words}")),
            (None, true) => None,
        };
        let matters = verdict.refuted.iter().filter(|_| !available);
        let why = matters.map(|(protection, why)| format!("{protection}: {why}"));
        let detail: Vec<_> = verdict.unusable.into_iter().chain(why).collect();
        Self {
            name,
            available: Some(available),
            reason,
            confirmed: verdict.confirmed,
            not_confirmed: refuted,
            detail: (!detail.is_empty()).then(|| detail.join("; ")),
            nested: None,
            shown_sockets: false,
        }
    }

    /// Whether it may be used.
    pub fn is_available(&self) -> bool {
        self.available == Some(true)
    }
}

/// Who agents are.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = IsolationUser)]
pub struct User {
    /// The effective user of the server, and of every run.
    pub uid: u32,
    /// Its name, if it has one.
    #[schema(required)]
    pub name: Option<String>,
    /// Whether that is root.
    pub root: bool,
}

/// What a run may use up.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = IsolationLimits)]
pub struct Limits {
    /// Memory of all its processes together.
    pub memory_bytes: u64,
    /// Its processes and threads.
    pub processes: u64,
    /// Files that one of its processes may have open.
    pub open_files: u64,
    /// Disk that its home may take, `/tmp` included.
    pub home_bytes: u64,
    /// Processor time, in percent of one processor.
    #[schema(required)]
    pub cpu_percent: Option<u32>,
}

impl Limits {
    pub(super) fn of(limits: &RunLimits) -> Self {
        Self {
            memory_bytes: limits.memory,
            processes: limits.processes,
            open_files: limits.open_files,
            home_bytes: limits.home,
            cpu_percent: limits.cpu_percent,
        }
    }
}

/// Layer 1.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CgroupReport {
    /// Whether every run gets a cgroup of its own.
    pub available: bool,
    /// Why not.
    #[schema(required)]
    pub reason: Option<String>,
    /// What is in force by it.
    #[schema(value_type = Vec<String>)]
    pub confirmed: Vec<Protection>,
    /// What an operator needs to know besides.
    #[serde(skip)]
    pub detail: Option<String>,
}

impl Report {
    /// Tells the operator, with everything that callers are not told.
    pub(super) fn log(&self) {
        let words = self.in_force.iter().map(|protection| protection.as_str()).collect::<Vec<_>>().join(" ");
        for layer in self.layers.iter().filter(|layer| layer.name < self.layer && layer.available == Some(false)) {
            let (reason, detail) = (layer.reason.as_deref(), layer.detail.as_deref());
            tracing::warn!(layer = %layer.name, reason, detail, "a layer of isolation does not hold here");
        }
        if let (Some(reason), Some(detail)) = (&self.cgroup.reason, &self.cgroup.detail) {
            tracing::info!(reason, detail, "runs get no cgroup");
        }
        if self.layer == Layer::None {
            let reason = self.reason.as_deref();
            tracing::warn!(in_force = words, reason, "runs can read and change whatever the server's user can");
        } else {
            tracing::info!(layer = %self.layer, in_force = words, "runs are isolated");
        }
    }
}
