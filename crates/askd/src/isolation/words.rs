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
    /// What is worse here than it has to be.
    pub(super) weaknesses: &'a [Weakness],
    /// Groups of the server's user that are as good as root on many machines.
    pub(super) powerful_groups: &'a [String],
    /// What Landlock, as this kernel has it, does not do.
    pub(super) landlock_lacks: &'a [&'static str],
}

/// What a setting or the machine opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weakness {
    /// The folder that a run asks for may be the root of all workspaces with all of it writable.
    RootIsWritable,
    /// The probe could connect to a unix socket that lies in the view.
    ShownSockets,
    /// What the machine mounts from now on comes into a view.
    MountsArePassedOn,
    /// A file with secrets lies in a folder that cannot be hidden as a whole.
    SecretsBesideOthers,
    /// Something hidden is mounted a second time where it cannot be hidden.
    SeenElsewhere,
}

impl Situation<'_> {
    fn has(&self, protection: Protection) -> bool {
        self.in_force.contains(&protection)
    }

    fn is(&self, weakness: Weakness) -> bool {
        self.weaknesses.contains(&weakness)
    }
}

/// A sentence, and whether it applies.
type Line = (bool, &'static str);

/// The sentences, the most important first.
pub(super) fn not_prevented(situation: &Situation<'_>) -> Vec<String> {
    let mut lines = of_reach(situation);
    lines.extend(of_use(situation));
    lines.extend([
        (
            !situation.has(Protection::Seccomp),
            "System calls are not filtered: the whole interface of the kernel is open to a run.",
        ),
        (
            true,
            "Holes in the kernel: all runs share it with the server. A virtual machine, or gVisor, around the server bounds \
             what such a hole gives.",
        ),
    ]);
    let mut sentences: Vec<_> =
        lines.iter().filter(|(applies, _)| *applies).map(|(_, line)| (*line).to_owned()).collect();
    if !situation.powerful_groups.is_empty() {
        let groups = situation.powerful_groups.join(", ");
        let sentence = format!(
            "Agents are in groups that are as good as root on many machines ({groups}). What such a group may open and a layer \
             does not hide, an agent may use."
        );
        sentences.insert(0, sentence);
    }
    if situation.layer == Layer::Landlock {
        sentences.extend(situation.landlock_lacks.iter().map(|lack| format!("With Landlock: {lack}.")));
    }
    sentences
}

/// What a run can read, change and reach.
fn of_reach(situation: &Situation<'_>) -> Vec<Line> {
    let has = |protection| situation.has(protection);
    let in_bubblewrap_and = |weakness| situation.layer == Layer::Bubblewrap && situation.is(weakness);
    let signals = !has(Protection::PidNamespace) && !has(Protection::LandlockSignals);
    vec![
        (
            !has(Protection::UnprivilegedUser),
            "Agents run as root, or with capabilities that the server was given. What a layer does not hold \
             back, an agent may do to the whole machine.",
        ),
        (
            situation.layer == Layer::None,
            "A run can read and change whatever the server's user can: other workspaces, other runs' homes and \
             transcripts, the server's database and its configuration. Only the CLI's own rules stand before them.",
        ),
        (
            situation.is(Weakness::SeenElsewhere) && situation.layer != Layer::None,
            "Something that is hidden is mounted a second time, in a folder that runs need: it can be reached there. `askd doctor` \
             names the folder.",
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
            situation.is(Weakness::ShownSockets) && situation.layer != Layer::None,
            "Unix sockets that lie in folders that the view shows can be connected to. /run is hidden; a socket elsewhere, \
             such as in a workspace or below /var, is not.",
        ),
        (
            situation.layer != Layer::None,
            "Files of the machine that everybody may read, such as those in /etc and /usr, can be read; \
             ASKD_HIDDEN_FOLDERS hides more.",
        ),
        (
            in_bubblewrap_and(Weakness::SecretsBesideOthers),
            "A file with secrets lies in a folder that runs need, and is masked by itself: once it is replaced by renaming, \
             runs that are under way can read the new one. Keep secret files in a folder of their own.",
        ),
        (
            in_bubblewrap_and(Weakness::MountsArePassedOn),
            "What the machine mounts while a run is under way appears in the run's view, and can be written as far as its \
             user may: the machine's mounts are passed on to the server (systemd: MountFlags=private stops it).",
        ),
        (
            situation.layer == Layer::Bubblewrap,
            "Named pipes of the machine that lie in the view can be opened for writing as far as its user may: that a mount is \
             read-only does not hold for them.",
        ),
        (
            situation.layer != Layer::None,
            "A run whose cwd is the root of the workspaces sees and may change all workspaces, and what is written there for all \
             of them (CLAUDE.md, .claude): every later run may take it for its operator's word. One whose cwd is .claude may \
             change that. A request that names no cwd has the root.",
        ),
        (
            situation.layer != Layer::None,
            "A request may name folders of any workspace, to be read or written (additional_folders): whoever has a key whose \
             policy names no workspaces is trusted with all of them, and ASKD_WRITE_ROOT is no bound for requests.",
        ),
        (
            situation.layer != Layer::None && situation.is(Weakness::RootIsWritable),
            "Every run may write in all workspaces (ASKD_WRITE_ROOT=root).",
        ),
    ]
}

/// What a run can use up.
fn of_use(situation: &Situation<'_>) -> Vec<Line> {
    let has = |protection| situation.has(protection);
    let cgroups = [Protection::CgroupMemory, Protection::CgroupPids, Protection::CgroupCpu].into_iter().any(has);
    vec![
        (true, "What a run writes into its workspace is bounded by the disk alone."),
        (
            !has(Protection::CgroupMemory) || !has(Protection::CgroupPids),
            "Memory and processes are measured four times a second and not bounded by a cgroup: within such a moment, \
             on a machine with very many processes a second and more, a run can take more than its limit, and slow others down.",
        ),
        (
            !has(Protection::CgroupMemory),
            "Memory that no process has mapped is not measured without a cgroup: files in memory (memfd, a tmpfs in namespaces \
             of the run's own) are bounded by the machine alone.",
        ),
        (
            situation.layer == Layer::None && cgroups,
            "Without a layer around it a run can undo the limits of its cgroup, and leave it: the groups belong to the user \
             that it is.",
        ),
        (
            situation.layer != Layer::Landlock,
            "That runs are the first to be killed when the machine's memory is short holds only as long as they leave it so \
             (oom_score_adj).",
        ),
        (
            !has(Protection::CgroupCpu),
            "Processor time is not bounded: a run can take all processors until its time is up.",
        ),
        (
            true,
            "Disk in a run's home is measured about once a second, and with very many files (ASKD_MAX_HOME_FILES) up to five seconds \
             after the last look; in between it can take more than its limit.",
        ),
        (true, "A file that a run has removed and still holds open does not count as disk of its home."),
    ]
}

/// What programs of a run cannot do because of a layer, though it would harm nobody.
pub(super) fn costs(layer: Layer) -> Vec<&'static str> {
    match layer {
        Layer::Bubblewrap => vec![
            "a server or daemon that a run has started ends with the run",
            "/run is empty: what is reached by sockets there (a database, the name service cache, docker) is not there",
        ],
        Layer::Landlock => supervisor::landlock::costs(),
        Layer::None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANDLOCK_LACKS: &[&str] = &["names can be learnt"];

    fn situation(layer: Layer, in_force: &[Protection]) -> Situation<'_> {
        Situation {
            layer,
            in_force,
            weaknesses: &[Weakness::ShownSockets],
            powerful_groups: &[],
            landlock_lacks: LANDLOCK_LACKS,
        }
    }

    fn said(layer: Layer, in_force: &[Protection]) -> String {
        not_prevented(&situation(layer, in_force)).join("\n")
    }

    #[test]
    fn what_this_machine_makes_worse_is_said_where_it_matters() {
        for layer in [Layer::Bubblewrap, Layer::Landlock, Layer::None] {
            let weaknesses = &[Weakness::MountsArePassedOn, Weakness::SecretsBesideOthers];
            let with = Situation { weaknesses, ..situation(layer, Protection::ALL) };
            let (with, without) = (not_prevented(&with).join("\n"), said(layer, Protection::ALL));
            for words in ["MountFlags=private", "a folder of their own"] {
                assert_eq!(with.contains(words), layer == Layer::Bubblewrap, "{layer}: {words}");
                assert!(!without.contains(words), "{layer}: {words}");
            }
        }
    }

    #[test]
    fn groups_and_second_names_are_said_where_there_are_some() {
        let groups = ["docker".to_owned()];
        for layer in [Layer::Bubblewrap, Layer::Landlock, Layer::None] {
            let (weaknesses, powerful_groups) = (&[Weakness::SeenElsewhere], &groups);
            let with = Situation { weaknesses, powerful_groups, ..situation(layer, Protection::ALL) };
            let (with, without) = (not_prevented(&with).join("\n"), said(layer, Protection::ALL));
            assert!(with.contains("as good as root on many machines (docker)") && !without.contains("as good as root"));
            assert_eq!(with.contains("mounted a second time"), layer != Layer::None, "{layer}");
            assert!(!without.contains("mounted a second time"), "{layer}");
        }
    }

    #[test]
    fn what_a_run_can_undo_is_said() {
        let undo = "undo the limits of its cgroup";
        assert!(said(Layer::None, &[Protection::CgroupPids]).contains(undo));
        assert!(!said(Layer::None, &[Protection::CgroupKill]).contains(undo));
        assert!(!said(Layer::Bubblewrap, Protection::ALL).contains(undo));
        assert!(said(Layer::Bubblewrap, Protection::ALL).contains("oom_score_adj"));
        assert!(said(Layer::Bubblewrap, Protection::ALL).contains("Named pipes"));
        assert!(!said(Layer::Landlock, Protection::ALL).contains("Named pipes"));
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
        assert!(all.contains("sees and may change all workspaces") && all.contains("additional_folders"));
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
