//! Programs that run the command that stands among their arguments. Knowledge of programs, as a shell's grammar is: a
//! policy does not change it.

/// How a program names the command that it runs.
pub(super) struct Wrapper {
    names: &'static [&'static str],
    /// Options that take the next word as their value.
    pub(super) value_options: &'static [&'static str],
    /// Arguments before the command.
    pub(super) before: usize,
    /// Options whose value is a script.
    pub(super) script_options: &'static [&'static str],
    /// Whether the words are joined and given to a shell.
    pub(super) joins: bool,
}

const fn plain(names: &'static [&'static str]) -> Wrapper {
    Wrapper { names, value_options: &[], before: 0, script_options: &[], joins: false }
}

const fn with_values(names: &'static [&'static str], value_options: &'static [&'static str]) -> Wrapper {
    Wrapper { value_options, ..plain(names) }
}

const WRAPPERS: &[Wrapper] = &[
    plain(&[
        "nohup",
        "setsid",
        "busybox",
        "toybox",
        "builtin",
        "command",
        "chronic",
        "unbuffer",
        "k3s",
        "microk8s",
        "minikube",
        "pkexec",
        "fakeroot",
        "noglob",
        "nocorrect",
        "then",
        "do",
        "else",
    ]),
    with_values(
        &["sudo"],
        &[
            "-u", "-g", "-h", "-p", "-C", "-T", "-r", "-t", "-D", "-R", "-U", "--user", "--group", "--host",
            "--prompt", "--chdir", "--chroot",
        ],
    ),
    with_values(&["doas"], &["-u", "-C"]),
    with_values(&["env"], &["-u", "-C", "--unset", "--chdir"]),
    with_values(&["exec"], &["-a"]),
    with_values(&["time"], &["-o", "-f", "--output", "--format"]),
    with_values(&["nice"], &["-n", "--adjustment"]),
    with_values(&["ionice"], &["-c", "-n", "-p", "--class", "--classdata"]),
    with_values(&["stdbuf"], &["-i", "-o", "-e", "--input", "--output", "--error"]),
    with_values(&["strace", "ltrace"], &["-o", "-e", "-p", "-s", "-u", "-E", "-P"]),
    with_values(&["setpriv"], &["--reuid", "--regid", "--groups", "--inh-caps", "--bounding-set"]),
    with_values(&["unshare"], &["-S", "-G", "-R", "-w", "--root", "--wd", "--setuid", "--setgid"]),
    with_values(&["nsenter"], &["-t", "-S", "-G", "--target"]),
    with_values(
        &["prlimit", "numactl", "cgexec", "systemd-run", "proxychains", "proxychains4", "bwrap"],
        &["-g", "-p", "-u", "-f"],
    ),
    with_values(
        &["xargs"],
        &[
            "-n",
            "-P",
            "-L",
            "-s",
            "-d",
            "-a",
            "-E",
            "-I",
            "--max-args",
            "--max-procs",
            "--max-lines",
            "--delimiter",
            "--arg-file",
            "--replace",
        ],
    ),
    Wrapper { before: 1, ..with_values(&["timeout"], &["-k", "-s", "--kill-after", "--signal"]) },
    Wrapper { before: 1, ..with_values(&["chroot", "taskset", "chrt"], &[]) },
    Wrapper { before: 1, script_options: &["-c", "--command"], ..with_values(&["flock"], &["-w", "-E", "--timeout"]) },
    Wrapper {
        before: 1,
        script_options: &["-c", "--command"],
        ..with_values(&["su"], &["-s", "-g", "-G", "-w", "--shell", "--group"])
    },
    Wrapper { script_options: &["-c", "--command"], ..with_values(&["runuser"], &["-u", "-g", "-G", "-s", "--user"]) },
    Wrapper { before: 1, script_options: &["-c", "--command"], ..plain(&["script"]) },
    Wrapper { joins: true, ..with_values(&["watch"], &["-n", "--interval"]) },
    Wrapper { joins: true, ..with_values(&["parallel"], &["-j", "--jobs", "-n", "-a", "--colsep"]) },
    Wrapper {
        joins: true,
        before: 1,
        ..with_values(
            &["ssh"],
            &[
                "-b", "-c", "-D", "-E", "-e", "-F", "-I", "-i", "-J", "-L", "-l", "-m", "-O", "-o", "-p", "-Q", "-R",
                "-S", "-W", "-w",
            ],
        )
    },
];

pub(super) fn wrapper(name: &str) -> Option<&'static Wrapper> {
    WRAPPERS.iter().find(|wrapper| wrapper.names.contains(&name))
}

/// Whether a program reads a script of the shell.
pub(super) fn is_shell(name: &str) -> bool {
    matches!(name, "sh" | "bash" | "dash" | "zsh" | "ksh" | "mksh" | "ash" | "rbash" | "yash")
}
