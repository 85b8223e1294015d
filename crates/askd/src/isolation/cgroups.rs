//! Layer 1: cgroups, where the server was given one to divide.

use supervisor::cgroup::{CgroupLimits, Controller, Delegation, RunCgroup};

use super::protection::Protection;
use super::report::CgroupReport;
use crate::settings::groups::{Cgroup, RunLimits};

/// Where runs get cgroups of their own, and with which limits.
#[derive(Debug)]
pub(super) struct Cgroups {
    delegation: Option<Delegation>,
    limits: CgroupLimits,
    pub(super) report: CgroupReport,
}

impl Cgroups {
    /// Looks whether there are some. With `Auto` the server moves into a leaf of its own cgroup, if it may. The error is what is
    /// wrong with the folder that the operator has named.
    pub(super) fn detect(setting: &Cgroup, limits: &RunLimits) -> Result<Self, String> {
        let delegation = match setting {
            Cgroup::Off => return Ok(Self::without(limits, "ASKD_CGROUP is off", None)),
            Cgroup::Auto => Delegation::detect(None),
            Cgroup::Folder(folder) => Delegation::detect(Some(folder)),
        };
        match delegation {
            Ok(delegation) => {
                let confirmed = in_force(delegation.controllers(), limits);
                let reason = (confirmed == [Protection::CgroupKill])
                    .then(|| "its controllers are not offered to the server".to_owned());
                let report = CgroupReport { available: true, reason, confirmed, detail: None };
                Ok(Self { delegation: Some(delegation), limits: wanted(limits), report })
            }
            Err(error) if matches!(setting, Cgroup::Folder(_)) => Err(error.to_string()),
            Err(error) => {
                Ok(Self::without(limits, "the server was given no cgroup to divide", Some(error.to_string())))
            }
        }
    }

    /// Without cgroups.
    pub(super) fn without(limits: &RunLimits, reason: &str, detail: Option<String>) -> Self {
        let report = CgroupReport { available: false, reason: Some(reason.to_owned()), confirmed: Vec::new(), detail };
        Self { delegation: None, limits: wanted(limits), report }
    }

    /// A run's own one; `None` where there are none.
    pub(super) fn create(&self, name: &str) -> std::io::Result<Option<RunCgroup>> {
        self.delegation.as_ref().map(|delegation| delegation.create(name, &self.limits)).transpose()
    }

    /// Takes back what was promised: a cgroup could not be made.
    pub(super) fn give_up(&mut self, detail: String) {
        self.delegation = None;
        let reason = Some("a cgroup could not be made in the one that the server was given".to_owned());
        self.report = CgroupReport { available: false, reason, confirmed: Vec::new(), detail: Some(detail) };
    }

    /// Tries whether everything in the probe's cgroup could be killed, and removes it. The probe has ended.
    pub(super) fn try_out(&mut self, cgroup: Option<RunCgroup>) {
        let Some(cgroup) = cgroup else { return };
        if let Err(error) = cgroup.kill() {
            // Before Linux 5.14 there is no such file.
            self.report.detail = Some(format!("cgroup.kill cannot be used: {error}"));
            self.report.confirmed.retain(|protection| *protection != Protection::CgroupKill);
        }
        if let Err(error) = cgroup.remove() {
            tracing::warn!(%error, "cannot remove the cgroup of a probe");
        }
    }

    /// Ends and removes those that are not in use; how many there were.
    pub(super) fn clear(&self, in_use: impl Fn(&str) -> bool) -> std::io::Result<usize> {
        self.delegation.as_ref().map_or(Ok(0), |delegation| delegation.remove_unless(in_use))
    }

    /// Ends and removes what a dead server has left; how many there were.
    pub(super) fn remove_leftovers(&self) -> std::io::Result<usize> {
        self.delegation.as_ref().map_or(Ok(0), Delegation::remove_leftovers)
    }
}

fn wanted(limits: &RunLimits) -> CgroupLimits {
    CgroupLimits { memory_bytes: Some(limits.memory), tasks: Some(limits.processes), cpu_percent: limits.cpu_percent }
}

fn in_force(controllers: &[Controller], limits: &RunLimits) -> Vec<Protection> {
    let all = [
        (Controller::Memory, Protection::CgroupMemory),
        (Controller::Pids, Protection::CgroupPids),
        (Controller::Cpu, Protection::CgroupCpu),
    ];
    let offered = all.into_iter().filter(|(controller, _)| controllers.contains(controller));
    let mut in_force: Vec<_> = offered
        .map(|(_, protection)| protection)
        .filter(|protection| *protection != Protection::CgroupCpu || limits.cpu_percent.is_some())
        .collect();
    in_force.push(Protection::CgroupKill);
    in_force
}
