//! Settings of what confines a run.

use crate::settings::choices::{IsolationPolicy, WriteRoot};
use crate::settings::declaration::Fallback::{Unset, Value};
use crate::settings::declaration::Kind::{Cgroup, Choice, Integer, Places, Program, Size};
use crate::settings::declaration::Setting;

pub(super) const WHAT_A_RUN_MAY_REACH: &[Setting] = &[
    Setting::new(
        "isolation",
        "ASKD_ISOLATION",
        Choice(IsolationPolicy::WORDS),
        Value("best_effort"),
        "Whether runs get a view of their own of the file system and of processes: `required` (the server does not start without), `best_effort` (what this machine allows; `askd doctor` says what that is) or `off`.",
    ),
    Setting::new(
        "bwrap_bin",
        "ASKD_BWRAP_BIN",
        Program,
        Value("bwrap"),
        "bubblewrap, with which a run gets namespaces of its own. Without it Landlock is used.",
    ),
    Setting::new(
        "hidden_folders",
        "ASKD_HIDDEN_FOLDERS",
        Places,
        Value(""),
        "Folders that no run may see, besides those that are always hidden: `ASKD_DATA_DIR`, `CONFIG_DIR`, `WORKSPACE_DIR` (but for what the run works in), the home of the server's user and `/run`.",
    ),
    Setting::new(
        "readable_folders",
        "ASKD_READABLE_FOLDERS",
        Places,
        Value(""),
        "Folders that every run may read although they lie in something hidden, such as a toolchain in the home of the server's user.",
    ),
    Setting::new(
        "writable_folders",
        "ASKD_WRITABLE_FOLDERS",
        Places,
        Value(""),
        "Folders that every run may write, such as a cache that runs share. What one run leaves there, another one reads.",
    ),
    Setting::new(
        "write_root",
        "ASKD_WRITE_ROOT",
        Choice(WriteRoot::WORDS),
        Value("workspace"),
        "Where a run may write: in the `workspace` that its working folder lies in, or in the whole `root`, `WORKSPACE_DIR`. A request may ask for less as `write_root`, and for further folders of any workspace as `additional_folders`: this is what a run gets by itself, and no bound for who may ask.",
    ),
    Setting::new(
        "cgroup",
        "ASKD_CGROUP",
        Cgroup,
        Value("auto"),
        "Where each run gets a cgroup (v2) of its own: `auto` where this server was given one to divide (systemd: `Delegate=yes`), `off`, or below this folder, without which the server does not start.",
    ),
];

pub(super) const WHAT_A_RUN_MAY_USE_UP: &[Setting] = &[
    Setting::new(
        "max_memory",
        "ASKD_MAX_MEMORY",
        Size(16 << 20, 1 << 44),
        Value("4GiB"),
        "Most memory of a run, all its processes together; a run that takes more is ended.",
    ),
    Setting::new(
        "max_processes",
        "ASKD_MAX_PROCESSES",
        Integer(16, 1 << 22),
        Value("2048"),
        "Most processes and threads of a run; a run that reaches it is ended.",
    ),
    Setting::new(
        "max_open_files",
        "ASKD_MAX_OPEN_FILES",
        Integer(64, 1 << 20),
        Value("16384"),
        "Most files that one process of a run may have open; a run that reaches it is ended. A lower limit of the server's own is kept.",
    ),
    Setting::new(
        "max_home",
        "ASKD_MAX_HOME",
        Size(1 << 20, 1 << 44),
        Value("5GiB"),
        "Most disk that a run's private home may take, its temporary files included, and the largest file that a run may write; a run that takes more is ended.",
    ),
    Setting::new(
        "max_home_files",
        "ASKD_MAX_HOME_FILES",
        Integer(1_000, 10_000_000),
        Value("200000"),
        "Most files and folders in a run's private home, its temporary files included; a run that makes more is ended. The more there are, the longer each look at the home takes, and the later `ASKD_MAX_HOME` is noticed.",
    ),
    Setting::new(
        "max_cpu_percent",
        "ASKD_MAX_CPU_PERCENT",
        Integer(1, 100_000),
        Unset,
        "Most of the processor that a run gets, in percent of one: 150 is one and a half. Kept only where a run has a cgroup; it slows the run and ends nothing.",
    ),
    Setting::new(
        "min_free_disk",
        "ASKD_MIN_FREE_DISK",
        Size(0, 1 << 50),
        Value("256MiB"),
        "While less is free on the disk of `ASKD_DATA_DIR`, no new run is taken in; 0 takes runs in until nothing is left.",
    ),
];
