//! What is not prevented, in sentences for whoever has to answer for this server.
//!
//! All of them are here, so that they can be read beside each other; `docs/security.md` says the same at length.

use super::Layer;
use super::protection::Protection;

/// What the sentences depend on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation<'a> {
    pub(super) layer: Layer,
    pub(super) in_force: &'a [Protection],
    /// Whether the folder that a run asks for may be the root of all workspaces with all of it writable.
    pub(super) root_is_writable: bool,
    /// Whether the probe could connect to a unix socket that lies in the view.
    pub(super) shown_sockets: bool,
    /// What Landlock, as this kernel has it, does not do.
    pub(super) landlock_lacks: &'a [&'static str],
}

/// The sentences, the most important first.
pub(super) fn not_prevented(situation: &Situation<'_>) -> Vec<String> {
    let has = |protection| situation.in_force.contains(&protection);
    let signals = !has(Protection::PidNamespace) && !has(Protection::LandlockSignals);
    let lines: &[(bool, &str)] = &[
        (
            !has(Protection::UnprivilegedUser),
            "Agents run as root (ASKD_ALLOW_ROOT), or with capabilities that the server was given. What a layer does not hold \
             back, an agent may do to the whole machine.",
        ),
        (
            situation.layer == Layer::None,
            "A run can read and change whatever the server's user can: other workspaces, other runs' homes and \
             transcripts, the server's database and its configuration. Only the CLI's own rules stand before them.",
        ),
        (signals, "A run can signal other runs' processes and its own guardian."),
        (
            !has(Protection::PidNamespace) && !has(Protection::LandlockFiles),
            "A run can trace other runs' processes and read their environment; the server itself cannot be traced, unless \
             agents are root.",
        ),
        (
            signals,
            "A run that kills its own guardian may leave processes behind until the server is next started; the start \
             ends them within two seconds.",
        ),
        (
            true,
            "The network is shared: a run can reach whatever the machine can reach, services on loopback and the cloud's \
             metadata address among it, and can send away whatever it can read.",
        ),
        (
            true,
            "The credential for the model is in the run: in the CLI's memory, and in its environment where the CLI does not \
             take it from a pipe.",
        ),
        (
            !has(Protection::LandlockSockets),
            "Abstract unix sockets of the machine can be connected to: they belong to the network, which is shared.",
        ),
        (
            situation.shown_sockets && situation.layer != Layer::None,
            "Unix sockets that lie in folders that the view shows can be connected to. /run is hidden; a socket elsewhere, \
             such as in a workspace or below /var, is not.",
        ),
        (
            situation.layer != Layer::None,
            "Files of the machine that everybody may read, such as those in /etc and /usr, can be read; \
             ASKD_HIDDEN_FOLDERS hides more.",
        ),
        (situation.layer != Layer::None, "A run whose cwd is the root of the workspaces sees all workspaces."),
        (
            situation.layer != Layer::None && situation.root_is_writable,
            "Every run may write in all workspaces (ASKD_WRITE_ROOT=root).",
        ),
        (true, "What a run writes into its workspace is bounded by the disk alone."),
        (
            !has(Protection::CgroupMemory) || !has(Protection::CgroupPids),
            "Memory and processes are measured four times a second and not bounded by a cgroup: within such a moment a run can \
             take more than its limit, and slow others down, before it is ended.",
        ),
        (
            !has(Protection::CgroupMemory),
            "Memory that is in no process is not measured without a cgroup: files in memory (memfd, a tmpfs in namespaces of \
             the run's own) are bounded by the machine alone.",
        ),
        (
            !has(Protection::CgroupCpu),
            "Processor time is not bounded: a run can take all processors until its time is up.",
        ),
        (
            true,
            "Disk in a run's home is measured about once a second; within that second it can take more than its limit.",
        ),
        (true, "A file that a run has removed and still holds open does not count as disk of its home."),
        (
            !has(Protection::Seccomp),
            "System calls are not filtered: the whole interface of the kernel is open to a run.",
        ),
        (
            true,
            "Holes in the kernel: all runs share it with the server. A virtual machine, or gVisor, around the server bounds \
             what such a hole gives.",
        ),
    ];
    let mut sentences: Vec<_> =
        lines.iter().filter(|(applies, _)| *applies).map(|(_, line)| (*line).to_owned()).collect();
    if situation.layer == Layer::Landlock {
        sentences.extend(situation.landlock_lacks.iter().map(|lack| format!("With Landlock: {lack}.")));
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(layer: Layer, in_force: &[Protection]) -> String {
        let landlock_lacks = &["names can be learnt"];
        let situation = Situation { layer, in_force, root_is_writable: false, shown_sockets: true, landlock_lacks };
        not_prevented(&situation).join("\n")
    }

    #[test]
    fn the_less_is_in_force_the_more_is_said() {
        let nothing = said(Layer::None, &[]);
        let all = said(Layer::Bubblewrap, Protection::ALL);
        for always in ["network is shared", "kernel", "workspace is bounded by the disk"] {
            assert!(nothing.contains(always) && all.contains(always), "{always}");
        }
        for only_without in ["run as root", "other runs' homes", "kills its own guardian", "four times a second"] {
            assert!(nothing.contains(only_without) && !all.contains(only_without), "{only_without}");
        }
        assert!(all.contains("sees all workspaces"));
    }

    #[test]
    fn a_layer_is_not_said_to_do_what_another_does() {
        let bubblewrap = [Protection::PidNamespace, Protection::PrivateTmp, Protection::Seccomp];
        assert!(said(Layer::Bubblewrap, &bubblewrap).contains("Abstract unix sockets"));
        let landlock = [Protection::LandlockFiles, Protection::LandlockSignals, Protection::LandlockSockets];
        let landlock = said(Layer::Landlock, &landlock);
        assert!(!landlock.contains("Abstract unix sockets"));
        assert!(!landlock.contains("kills its own guardian") && landlock.contains("names can be learnt"));
        let old = said(Layer::Landlock, &[Protection::LandlockFiles]);
        assert!(
            old.contains("A run can signal") && old.contains("kills its own guardian") && !old.contains("can trace")
        );
        assert!(!said(Layer::Bubblewrap, &bubblewrap).contains("names can be learnt"));
    }
}
