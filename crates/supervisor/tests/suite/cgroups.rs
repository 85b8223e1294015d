//! Groups of the kernel: on a folder that looks like one, and for real where we may make some.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use supervisor::cgroup::{CgroupEvents, CgroupLimits, Controller, Delegation};
use tempfile::TempDir;

/// A folder with the files of a group.
fn fake() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in
        [("cgroup.controllers", "cpuset cpu memory pids\n"), ("cgroup.subtree_control", ""), ("cgroup.procs", "")]
    {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[test]
fn what_is_offered_is_switched_on_and_what_is_on_is_listed() {
    let folder = fake();
    let switched = Delegation::at(folder.path()).unwrap();
    // A plain file keeps what was written last.
    assert_eq!(fs::read_to_string(folder.path().join("cgroup.subtree_control")).unwrap(), "+cpu");
    assert_eq!(switched.controllers(), []);
    fs::write(folder.path().join("cgroup.controllers"), "").unwrap();
    fs::write(folder.path().join("cgroup.subtree_control"), "memory pids\n").unwrap();
    assert_eq!(Delegation::at(folder.path()).unwrap().controllers(), [Controller::Memory, Controller::Pids]);
}

#[test]
fn a_folder_that_is_none_of_the_hierarchy_is_not_taken_for_one() {
    let folder = fake();
    let words = Delegation::detect(Some(folder.path())).unwrap_err().to_string();
    assert!(words.contains("is not a folder of cgroup v2"), "{words}");
    fs::remove_file(folder.path().join("cgroup.procs")).unwrap();
    assert!(Delegation::at(folder.path()).is_err());
    assert!(Delegation::at(Path::new("/nowhere")).is_err());
}

#[test]
fn a_group_whose_limits_cannot_be_written_is_not_left_behind() {
    let folder = fake();
    fs::write(folder.path().join("cgroup.controllers"), "").unwrap();
    fs::write(folder.path().join("cgroup.subtree_control"), "memory\n").unwrap();
    let delegation = Delegation::at(folder.path()).unwrap();
    let limits = CgroupLimits { memory_bytes: Some(1), ..CgroupLimits::default() };
    assert_eq!(delegation.create("run", &limits).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!folder.path().join("askd-run-run").exists());
    assert_eq!(delegation.create("../run", &limits).unwrap_err().kind(), ErrorKind::InvalidInput);
}

/// A real group to make others in, for one test.
struct Ground(PathBuf);

impl Ground {
    /// `None`, and a word about it, where there is nothing to be made.
    fn new(test: &str) -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mount = mounts.lines().find(|line| line.contains(" - cgroup2 ")).and_then(|line| line.split(' ').nth(4));
        let own = fs::read_to_string("/proc/self/cgroup").unwrap();
        let own = own.lines().find_map(|line| line.strip_prefix("0::/"));
        let folder = Path::new(mount?).join(own?).join(format!("askd-test-{test}-{}", std::process::id()));
        match fs::create_dir(&folder) {
            Ok(()) => Some(Self(folder)),
            Err(error) => {
                not_run(&format!("no group can be made here: {error}"));
                None
            }
        }
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        fs::remove_dir(&self.0).unwrap();
    }
}

/// Past the harness, which shows nothing of a test that passes.
fn not_run(why: &str) {
    drop(io::Write::write_all(&mut io::stderr(), format!("NOT RUN: {why}\n").as_bytes()));
}

/// A shell in a group.
fn shell_in(folder: &Path, script: &str) -> Child {
    #[expect(clippy::disallowed_methods, reason = "a process that is in a group and in nobody's care")]
    let mut command = Command::new("/bin/sh");
    let script = format!("echo 0 >'{}/cgroup.procs' && {script}", folder.display());
    command.args(["-c", &script]).stdout(std::process::Stdio::piped()).spawn().unwrap()
}

fn wait_for_line(child: &mut Child) {
    let mut line = String::new();
    io::BufRead::read_line(&mut io::BufReader::new(child.stdout.as_mut().unwrap()), &mut line).unwrap();
    assert_eq!(line, "ready\n");
}

#[test]
fn a_group_is_killed_at_once_with_its_daemons_and_then_removed() {
    let Some(ground) = Ground::new("kill") else { return };
    let delegation = Delegation::detect(Some(&ground.0)).unwrap();
    let cgroup = delegation.create("one", &CgroupLimits::default()).unwrap();
    let folder = ground.0.join("askd-run-one/run");
    let mut child = shell_in(&folder, "(setsid sleep 1000 >/dev/null &); echo ready; sleep 1000");
    wait_for_line(&mut child);
    assert!(fs::read_to_string(folder.join("cgroup.procs")).unwrap().lines().count() >= 2);
    cgroup.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(cgroup.events().unwrap(), CgroupEvents::default());
    cgroup.remove().unwrap();
    assert!(!ground.0.join("askd-run-one").exists());
}

#[test]
fn a_group_that_cannot_be_removed_keeps_no_other_from_it() {
    let folder = fake();
    let delegation = Delegation::at(folder.path()).unwrap();
    for name in ["one", "two"] {
        drop(delegation.create(name, &CgroupLimits::default()).unwrap());
    }
    // Neither has a `cgroup.kill`, as before Linux 5.14.
    let error = delegation.remove_leftovers().unwrap_err();
    assert!(error.kind() == ErrorKind::NotFound && error.to_string().contains("askd-run-"), "{error}");
    let Some(ground) = Ground::new("errors") else { return };
    let delegation = Delegation::detect(Some(&ground.0)).unwrap();
    for name in ["one", "two", "three"] {
        drop(delegation.create(name, &CgroupLimits::default()).unwrap());
    }
    // Deeper than what is cleared up.
    let deep = ground.0.join("askd-run-two/run").join(["x"; 8].join("/"));
    for depth in ["askd-run-two/cgroup.max.depth", "askd-run-two/cgroup.max.descendants"] {
        fs::write(ground.0.join(depth), "max").unwrap();
    }
    fs::create_dir_all(&deep).unwrap();
    let error = delegation.remove_leftovers().unwrap_err();
    assert!(error.to_string().starts_with("askd-run-two: "), "{error}");
    for (name, left) in [("one", false), ("two", true), ("three", false)] {
        assert_eq!(ground.0.join(format!("askd-run-{name}")).exists(), left, "{name}");
    }
    let mut folder = deep.as_path();
    while folder != ground.0 {
        fs::remove_dir(folder).unwrap();
        folder = folder.parent().unwrap();
    }
}

/// What a run does to its own group: it mounts the hierarchy in namespaces of its own, goes as far up as it gets, and
/// writes there. Nothing of it needs more than its user has.
const LIFT: &str = r#"unshare --user --map-root-user --mount --cgroup sh -c '
    mount -t cgroup2 none "$0" || exit 3
    mkdir "$0/another" && echo made
    echo 7 > "$0/cgroup.max.depth" && echo written
    ' "$PLACE" 2>/dev/null"#;

#[test]
fn a_run_that_mounts_the_hierarchy_comes_to_the_group_of_its_processes_and_not_to_its_limits() {
    let Some(ground) = Ground::new("lift") else { return };
    let delegation = Delegation::detect(Some(&ground.0)).unwrap();
    let place = tempfile::tempdir().unwrap();
    let script = LIFT.replace("$PLACE", place.path().to_str().unwrap());
    let attack = |folder: &Path| {
        let output = shell_in(folder, &script).wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let depth = |folder: &str| fs::read_to_string(ground.0.join(folder).join("cgroup.max.depth")).unwrap();

    // With its processes in the group that has the limits, it works.
    fs::create_dir(ground.0.join("naked")).unwrap();
    let (code, said) = attack(&ground.0.join("naked"));
    if code == Some(1) || code == Some(3) {
        fs::remove_dir(ground.0.join("naked")).unwrap();
        not_run(&format!("no cgroup2 can be mounted in namespaces here: {code:?} {said}"));
        return;
    }
    assert_eq!((said.as_str(), depth("naked").as_str()), ("made\nwritten\n", "7\n"));
    fs::remove_dir(ground.0.join("naked/another")).unwrap();
    fs::remove_dir(ground.0.join("naked")).unwrap();

    let cgroup = delegation.create("one", &CgroupLimits::default()).unwrap();
    let (_, said) = attack(&ground.0.join("askd-run-one/run"));
    assert_eq!(said, "written\n", "a file that limits nothing, and no group of its own");
    assert_eq!((depth("askd-run-one").as_str(), depth("askd-run-one/run").as_str()), ("1\n", "7\n"));
    cgroup.remove().unwrap();
}

#[test]
fn what_a_dead_server_left_is_killed_and_removed_and_a_living_server_s_is_not() {
    let Some(ground) = Ground::new("leftovers") else { return };
    let dead = Delegation::detect(Some(&ground.0)).unwrap();
    assert_eq!(dead.remove_leftovers().unwrap(), 0);
    drop(dead.create("one", &CgroupLimits::default()).unwrap());
    drop(dead.create("two", &CgroupLimits::default()).unwrap());
    let mut child = shell_in(&ground.0.join("askd-run-two/run"), "echo ready; sleep 1000");
    wait_for_line(&mut child);
    let next = Delegation::detect(Some(&ground.0)).unwrap();
    assert_eq!(next.remove_leftovers().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(ground.0.join("askd-run-two").exists());
    drop(dead);
    // A process that another test is just starting has the lock as well, until it executes its program.
    let removed = loop {
        match next.remove_leftovers() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
            other => break other.unwrap(),
        }
    };
    assert_eq!(removed, 2);
    child.wait().unwrap();
}

#[test]
fn a_server_at_work_removes_what_is_not_in_use() {
    let Some(ground) = Ground::new("unused") else { return };
    let delegation = Delegation::detect(Some(&ground.0)).unwrap();
    let used = delegation.create("used", &CgroupLimits::default()).unwrap();
    drop(delegation.create("left", &CgroupLimits::default()).unwrap());
    assert_eq!(delegation.remove_unless(|name| name == "used").unwrap(), 1);
    assert!(ground.0.join("askd-run-used").exists() && !ground.0.join("askd-run-left").exists());
    used.remove().unwrap();
}

#[test]
fn the_root_of_all_groups_and_a_group_with_processes_are_refused() {
    let Some(ground) = Ground::new("refused") else { return };
    let folder = ground.0.join("askd-run-busy");
    fs::create_dir(&folder).unwrap();
    let mut child = shell_in(&folder, "echo ready; sleep 1000");
    wait_for_line(&mut child);
    let words = Delegation::detect(Some(&folder)).unwrap_err().to_string();
    assert!(words.contains("has processes"), "{words}");
    let root = ground.0.ancestors().find(|folder| !folder.join("cgroup.type").exists()).unwrap();
    if root.join("cgroup.procs").exists() {
        let words = Delegation::detect(Some(root)).unwrap_err().to_string();
        assert!(words.contains("the root of all groups"), "{words}");
    }
    assert_eq!(Delegation::detect(Some(&ground.0)).unwrap().remove_leftovers().unwrap(), 1);
    child.wait().unwrap();
}

#[test]
fn limits_of_memory_and_tasks_are_kept_by_the_kernel() {
    let Some(ground) = Ground::new("limits") else { return };
    let delegation = Delegation::detect(Some(&ground.0)).unwrap();
    if !delegation.controllers().contains(&Controller::Memory) || !delegation.controllers().contains(&Controller::Pids)
    {
        not_run("the controllers for memory and pids are not offered by cgroup v2 here");
        return;
    }
    let limits = CgroupLimits { memory_bytes: Some(64 << 20), tasks: Some(8), cpu_percent: None };
    let cgroup = delegation.create("one", &limits).unwrap();
    let folder = ground.0.join("askd-run-one/run");
    let many = shell_in(&folder, "for i in 1 2 3 4 5 6 7 8 9; do sleep 2 & done; wait").wait().unwrap();
    assert!(!many.success());
    let much = shell_in(&folder, "block=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ${#block}").wait().unwrap();
    assert!(!much.success());
    let events = cgroup.events().unwrap();
    assert!(events.tasks_max_hits > 0 && events.oom_kills > 0, "{events:?}");
    cgroup.kill().unwrap();
    cgroup.remove().unwrap();
}
