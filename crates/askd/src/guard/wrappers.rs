//! Programs that run the command that stands among their arguments. Knowledge of programs, as a shell's grammar is: a
//! policy does not change it.

use super::word::Word;

/// How a program names the command that it runs.
pub(super) struct Wrapper {
    names: &'static [&'static str],
    /// Options that take the next word as their value.
    pub(super) value_options: &'static [&'static str],
    /// If it wraps only with some subcommands, these; they count as an argument before the command.
    subcommands: &'static [&'static str],
    /// Arguments before the command.
    pub(super) before: usize,
    /// Options whose value is a script.
    pub(super) script_options: &'static [&'static str],
    /// Whether the words are joined and given to a shell.
    pub(super) joins: bool,
}

const fn plain(names: &'static [&'static str]) -> Wrapper {
    Wrapper { names, value_options: &[], subcommands: &[], before: 0, script_options: &[], joins: false }
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
    Wrapper {
        script_options: &["-c", "--call"],
        ..with_values(&["npx", "bunx", "pnpx", "uvx"], &["-p", "--package", "--from", "--with"])
    },
    Wrapper {
        subcommands: &["exec", "x", "dlx", "run"],
        before: 1,
        script_options: &["-c", "--call"],
        ..with_values(
            &[
                "asdf",
                "bundle",
                "conda",
                "doppler",
                "dotenv",
                "hatch",
                "infisical",
                "mamba",
                "mise",
                "npm",
                "op",
                "pipenv",
                "pixi",
                "pnpm",
                "poetry",
                "pyenv",
                "rbenv",
                "rye",
                "uv",
                "yarn",
            ],
            &[
                "-C",
                "-n",
                "-p",
                "-w",
                "--directory",
                "--env-file",
                "--extra",
                "--filter",
                "--name",
                "--package",
                "--python",
                "--with",
                "--workspace",
            ],
        )
    },
    Wrapper { subcommands: &["exec"], before: 2, ..plain(&["aws-vault", "direnv"]) },
    with_values(&["screen"], &["-S", "-c", "-h", "-p", "-s", "-t"]),
    Wrapper {
        joins: true,
        before: 1,
        subcommands: &[
            "new",
            "new-session",
            "new-window",
            "neww",
            "split-window",
            "splitw",
            "respawn-pane",
            "respawn-window",
            "send-keys",
            "send",
            "run-shell",
            "run",
            "if-shell",
            "popup",
            "display-popup",
        ],
        ..with_values(&["tmux"], &["-F", "-L", "-S", "-c", "-e", "-f", "-n", "-p", "-s", "-t", "-x", "-y"])
    },
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

/// The wrapper that a program is with these arguments.
pub(super) fn wrapper(name: &str, words: &[Word]) -> Option<&'static Wrapper> {
    let first = || words.iter().find(|word| !word.text.starts_with('-')).map(|word| &*word.text);
    let is_it = |wrapper: &&Wrapper| {
        let is_named = wrapper.names.contains(&name);
        is_named
            && (wrapper.subcommands.is_empty() || first().is_some_and(|first| wrapper.subcommands.contains(&first)))
    };
    WRAPPERS.iter().find(is_it)
}

impl Wrapper {
    /// Whether the last of several options in one word takes the next word as its value: `sudo -iu root`.
    pub(super) fn takes_next(&self, text: &str) -> bool {
        let Some(letters) = text.strip_prefix('-').filter(|letters| !letters.starts_with('-')) else { return false };
        let takes = |letter: char| self.value_options.contains(&&*format!("-{letter}"));
        letters.chars().position(takes).is_some_and(|at| at > 0 && at + 1 == letters.chars().count())
    }
}

/// Whether a program reads a script of the shell.
pub(super) fn is_shell(name: &str) -> bool {
    matches!(name, "sh" | "bash" | "dash" | "zsh" | "ksh" | "mksh" | "ash" | "rbash" | "yash")
}
