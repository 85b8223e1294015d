//! What the probe's findings say of a layer: which protections are confirmed, and which are not.

use super::attempts::{Attempt, Findings, Own, Targets};
use super::protection::Protection;
use supervisor::confinement::Resources;

/// What the probe was given, and what it is compared with.
#[derive(Debug)]
pub(super) struct Given<'a> {
    /// What the layer claims, besides what every child has.
    pub(super) claims: &'a [Protection],
    pub(super) targets: &'a Targets,
    pub(super) resources: &'a Resources,
    /// The server's own namespaces and state.
    pub(super) outside: (&'a std::collections::BTreeMap<String, String>, &'a Own),
}

/// What was found out about a layer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) confirmed: Vec<Protection>,
    /// What was claimed and is not so, each with why, for the operator.
    pub(super) refuted: Vec<(Protection, String)>,
    /// Why no run could work in it, for the operator.
    pub(super) unusable: Option<String>,
}

/// What every child has, whatever its layer.
const BASE: [Protection; 3] = [Protection::UnprivilegedUser, Protection::NoNewPrivileges, Protection::Limits];

impl Verdict {
    /// Whether the layer may be used.
    pub(super) fn holds(&self) -> bool {
        // A server that runs agents as root was told to.
        self.unusable.is_none()
            && self.refuted.iter().all(|(protection, _)| *protection == Protection::UnprivilegedUser)
    }
}

/// Judges.
pub(super) fn judge(given: &Given<'_>, found: &Findings) -> Verdict {
    let mut verdict = Verdict { unusable: unusable(given, found), ..Verdict::default() };
    for protection in BASE.iter().chain(given.claims) {
        match check(*protection, given, found) {
            Ok(()) => verdict.confirmed.push(*protection),
            Err(why) => verdict.refuted.push((*protection, why)),
        }
    }
    verdict.confirmed.sort_unstable();
    verdict
}

/// What a run needs and does not have.
fn unusable(given: &Given<'_>, found: &Findings) -> Option<String> {
    let targets = given.targets;
    let needed = targets.needed.iter().zip(&found.needed).map(|(path, attempt)| ("written", path, attempt));
    let programs = targets.programs.iter().zip(&found.programs).map(|(path, attempt)| ("executed", path, attempt));
    for (what, path, attempt) in needed.chain(programs) {
        if let Attempt::Refused(why) = attempt {
            return Some(format!("`{}` cannot be {what} inside: {why}", path.display()));
        }
    }
    match &found.fork {
        Attempt::Refused(why) => Some(format!("no process can be forked inside: {why}")),
        Attempt::Done => None,
    }
}

/// Whether a protection is there, or why not.
fn check(protection: Protection, given: &Given<'_>, found: &Findings) -> Result<(), String> {
    let targets = given.targets;
    match protection {
        Protection::UnprivilegedUser if found.own.uid == 0 => Err("agents run as root".into()),
        Protection::UnprivilegedUser => unless(!no_capabilities(&found.own), "the process has capabilities"),
        Protection::NoNewPrivileges => unless(!found.own.no_new_privileges, "NoNewPrivs is not set"),
        Protection::Limits => limits(given.resources, &found.own),
        // The root of all workspaces is one of the hidden places.
        Protection::PrivateFiles | Protection::PrivateWorkspaces => {
            refused("a file of the server's data could be read", &found.secret)?;
            for (hidden, attempt) in targets.hidden.iter().zip(&found.hidden) {
                refused(&format!("`{}` could be opened", hidden.path.display()), attempt)?;
            }
            for (hidden, attempt) in targets.hidden.iter().zip(&found.hidden_writes) {
                refused(&format!("`{}` could be written", hidden.path.display()), attempt)?;
            }
            maybe_refused("a socket in the server's data could be reached", found.hidden_socket.as_ref())
        }
        Protection::PrivateTmp => {
            unless(!found.own_temporary, "/tmp or /var/tmp is not the run's own")?;
            for (folder, attempt) in targets.shared.iter().zip(&found.shared) {
                refused(&format!("the machine's `{}` could be opened", folder.path.display()), attempt)?;
            }
            Ok(())
        }
        Protection::ReadOnlySystem => {
            if let Attempt::Refused(why) = &found.shown {
                return Err(format!("a folder that is let in cannot be read: {why}"));
            }
            refused("a folder that is let in for reading could be written", &found.shown_write)?;
            for (folder, attempt) in targets.system.iter().zip(&found.system_writes) {
                refused(&format!("`{}` could be written", folder.display()), attempt)?;
            }
            refused("a setting of the kernel could be opened for writing", &found.kernel_write)
        }
        Protection::WriteRoot => {
            refused("the workspace outside of the write root could be written", &found.beside_write)
        }
        Protection::PidNamespace => {
            own_namespace("pid", given, found)?;
            unless(found.processes.iter().any(|process| process.seen), "a process outside could be seen")?;
            untouched(found)
        }
        Protection::IpcNamespace => own_namespace("ipc", given, found),
        Protection::UtsNamespace => own_namespace("uts", given, found),
        Protection::Seccomp => filters(given, found),
        Protection::LandlockFiles => {
            for process in &found.processes {
                refused("the environment of a process outside could be read", &process.environment)?;
                refused("a process outside could be traced", &process.trace)?;
            }
            Ok(())
        }
        Protection::LandlockSignals => found
            .processes
            .iter()
            .try_for_each(|process| refused("a process outside could be signalled", &process.signal)),
        Protection::LandlockSockets => {
            maybe_refused("an abstract socket outside could be reached", found.abstract_socket.as_ref())
        }
        Protection::UsageWatch
        | Protection::CgroupMemory
        | Protection::CgroupPids
        | Protection::CgroupCpu
        | Protection::CgroupKill => Err("nothing that a probe inside could see".into()),
    }
}

/// Whoever may trace a process can have it make every call that it may make. In a PID namespace the first process is the
/// run's to trace, so it has to be filtered as well.
fn filters(given: &Given<'_>, found: &Findings) -> Result<(), String> {
    let outside = given.outside.1.filters;
    unless(found.own.filters <= outside, "the process has no filter of its own")?;
    let first_is_outside = own_namespace("pid", given, found).is_err();
    unless(
        !first_is_outside && found.first_filters.is_none_or(|filters| filters <= outside),
        "the first process of the PID namespace has no filter",
    )
}

/// Nothing can be done to the processes outside.
fn untouched(found: &Findings) -> Result<(), String> {
    for process in &found.processes {
        refused("a process outside could be signalled", &process.signal)?;
        refused("the environment of a process outside could be read", &process.environment)?;
        refused("a process outside could be traced", &process.trace)?;
    }
    Ok(())
}

fn limits(resources: &Resources, own: &Own) -> Result<(), String> {
    unless(own.core != Some(0), "core dumps are not forbidden")?;
    let exceeds =
        |found: Option<u64>, wanted: Option<u64>| wanted.is_some_and(|wanted| found.is_none_or(|found| found > wanted));
    unless(exceeds(own.open_files, resources.open_files), "open files are not limited")?;
    unless(exceeds(own.file_size, resources.file_size), "the size of a file is not limited")
}

fn no_capabilities(own: &Own) -> bool {
    own.capabilities.bytes().all(|digit| digit == b'0')
}

fn own_namespace(name: &str, given: &Given<'_>, found: &Findings) -> Result<(), String> {
    let (inside, outside) = (found.namespaces.get(name), given.outside.0.get(name));
    unless(inside.is_none() || inside == outside, &format!("there is no {name} namespace of its own"))
}

/// An error if the attempt succeeded.
fn refused(what: &str, attempt: &Attempt) -> Result<(), String> {
    unless(attempt.is_done(), what)
}

fn maybe_refused(what: &str, attempt: Option<&Attempt>) -> Result<(), String> {
    attempt.map_or(Ok(()), |attempt| refused(what, attempt))
}

fn unless(bad: bool, what: &str) -> Result<(), String> {
    if bad { Err(what.to_owned()) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
