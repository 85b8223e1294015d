//! What is done to a child before its program runs, as the child sees it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Resource, Signal, getrlimit};
use secrecy::SecretString;
use supervisor::confinement::Resources;
use supervisor::ladder::Rung;
use supervisor::spawn::{Secret, SpawnError, spawn};

use crate::support::{LAUNCHER, limits, script, stop, unique_marker};
use crate::world::{Kind, World, not_run, said};

/// Limits that nothing else has.
fn resources() -> Resources {
    Resources {
        processes: Some(1234),
        processes_backstop: Some(4321),
        open_files: Some(345),
        file_size: Some(7_654_400),
    }
}

const LOOK: &str = "grep NoNewPrivs /proc/self/status; umask; \
    grep -E 'core|open files|file size|processes' /proc/self/limits | tr -s ' ' | sed 's/ *[a-z]* *$//'";

#[tokio::test]
async fn every_child_has_the_limits_it_was_given() {
    let world = World::new();
    let mut launches: Vec<_> = Kind::working().into_iter().map(|kind| (Some(kind), world.launch(kind, LOOK))).collect();
    launches.push((None, script(LOOK)));
    for (kind, mut launch) in launches {
        launch.confinement.resources = resources();
        let own = if kind == Some(Kind::Bubblewrap) { 1234 } else { 4321 };
        let expected = [
            "NoNewPrivs:\t1".to_owned(),
            "0077".to_owned(),
            "Max file size 7654400 7654400".to_owned(),
            "Max core file size 0 0".to_owned(),
            format!("Max processes {own} {own}"),
            "Max open files 345 345".to_owned(),
        ];
        let lines: Vec<String> = said(launch).await.into_iter().map(|line| line.trim_end().to_owned()).collect();
        assert_eq!(lines, expected, "{kind:?}");
    }
}

#[tokio::test]
async fn a_limit_is_never_above_what_there_was() {
    let mut launch = script("ulimit -n 100; ulimit -Hn");
    launch.confinement.resources.open_files = Some(u64::MAX - 1);
    let limit: u64 = said(launch).await[0].parse().unwrap_or(u64::MAX);
    assert!(limit <= getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX));
}

#[tokio::test]
async fn a_child_may_open_fewer_files_than_the_server_whatever_it_is_given() {
    let Some(own) = getrlimit(Resource::Nofile).current else { return not_run("no limit of open files here") };
    for given in [None, Some(own)] {
        let mut launch = script("ulimit -Hn");
        launch.confinement.resources.open_files = given;
        assert_eq!(said(launch).await, [own.saturating_sub(512).max(own / 2).to_string()], "{given:?}");
    }
}

#[tokio::test]
async fn descriptors_that_a_run_lets_wait_in_sockets_keep_no_other_from_starting() {
    // The kernel counts them for each user, and lets root send all the same: root runs this test again as somebody else.
    if rustix::process::geteuid().is_root() {
        return;
    }
    let world = World::new();
    for kind in Kind::working() {
        let mut launch = world.launch(kind, "");
        launch.program = LAUNCHER.into();
        launch.args = vec!["flood".into()];
        let mut hog = spawn(launch, limits()).await.unwrap();
        let waiting: u64 = hog.lines.next().await.unwrap().unwrap().as_str().parse().unwrap();
        let own = getrlimit(Resource::Nofile).current.unwrap();
        // Once above the limit, it could send no more.
        assert!(waiting >= own.saturating_sub(1024).max(253), "the attack itself does not work: {waiting} of {own}");
        assert_eq!(world.says(kind, "echo started").await, ["started"], "{kind:?}");
        stop(hog, Rung::Kill).await;
    }
}

#[tokio::test]
async fn signals_have_their_defaults_in_every_view() {
    let world = World::new();
    for kind in Kind::working() {
        for line in world.says(kind, "grep -E 'Sig(Blk|Ign)' /proc/self/status").await {
            // As on the host: the C library leaves two of its own ignored.
            let set = u64::from_str_radix(line.split('\t').nth(1).unwrap(), 16).unwrap();
            assert_eq!(set & 0x7fff_ffff, 0, "{kind:?}: {line}");
        }
    }
}

#[tokio::test]
async fn bubblewraps_first_process_is_filtered_and_limited_as_the_program_is() {
    if !Kind::Bubblewrap.works() {
        return;
    }
    let world = World::new();
    let look = "for id in 1 self; do grep -E '^(Seccomp|Seccomp_filters|NoNewPrivs|CapEff):' /proc/$id/status; \
                grep -E 'processes|open files|core' /proc/$id/limits; done";
    let mut launch = world.launch(Kind::Bubblewrap, look);
    launch.confinement.resources = resources();
    let lines = said(launch).await;
    let (first, program) = lines.split_at(lines.len() / 2);
    assert_eq!(first, program);
    let words: Vec<String> = first.iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for expected in ["Seccomp: 2", "Seccomp_filters: 2", "Max processes 1234 1234 processes"] {
        assert!(words.iter().any(|line| line == expected), "{expected}: {words:?}");
    }
}

#[tokio::test]
async fn what_a_run_may_not_call_it_cannot_have_bubblewraps_first_process_call() {
    if !cfg!(target_arch = "x86_64") || !Kind::Bubblewrap.works() {
        return not_run("the attack is written for bubblewrap on x86_64");
    }
    // bubblewrap alone, with the filter for the program only, as it would be if the program did it by itself.
    let plain = ["--unshare-user", "--unshare-pid", "--die-with-parent", "--ro-bind", "/", "/", "--proc", "/proc"];
    #[expect(clippy::disallowed_methods, reason = "this is bubblewrap without us")]
    let output = Command::new("bwrap").args(plain).args([LAUNCHER, "inject"]).output().unwrap();
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    let refused = -i64::from(rustix::io::Errno::PERM.raw_os_error());
    if !words.contains("injected Some(") || words.contains(&format!("injected Some({refused})")) {
        return not_run(&format!("the attack itself does not work here: {words}"));
    }
    let world = World::new();
    let mut launch = world.launch(Kind::Bubblewrap, "");
    launch.program = LAUNCHER.into();
    launch.args = vec!["inject".into()];
    assert_eq!(said(launch).await, [format!("own {refused}"), format!("injected Some({refused})")]);
}

#[tokio::test]
async fn no_command_line_holds_what_a_run_sees() {
    if !Kind::Bubblewrap.works() {
        return;
    }
    let world = World::new();
    let mut child = world.start(Kind::Bubblewrap, "cat /proc/1/cmdline | tr '\\0' ' '; echo; read line").await.unwrap();
    let inner = child.lines.next().await.unwrap().unwrap().as_str().to_owned();
    let of = |pid: u32| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap().replace('\0', " ");
    let identity = child.identity();
    for line in [inner, of(identity.child.pid), of(identity.guardian.pid)] {
        assert!(line.contains("read line") && !line.contains(world.root().to_str().unwrap()), "{line}");
    }
    stop(child, Rung::Kill).await;
}

#[tokio::test]
async fn a_guardian_that_does_not_get_all_descriptors_names_the_limit() {
    let world = World::new();
    let mut launch = world.launch(Kind::Landlock, "true");
    launch.launcher = world.launcher_named("narrow");
    let error = spawn(launch, limits()).await.unwrap_err();
    assert!(matches!(error, SpawnError::Guardian { .. }) && error.to_string().contains("ulimit -n"), "{error}");
}

#[tokio::test]
async fn a_child_is_to_be_ended_before_the_server_when_memory_runs_out() {
    let own: i32 = fs::read_to_string("/proc/self/oom_score_adj").unwrap().trim().parse().unwrap();
    let expected = (own + 500).min(1000).to_string();
    let world = World::new();
    assert_eq!(said(script("cat /proc/self/oom_score_adj")).await, std::slice::from_ref(&expected));
    for kind in Kind::working() {
        let lines = world.says(kind, "cat /proc/self/oom_score_adj").await;
        assert_eq!(lines, std::slice::from_ref(&expected), "{kind:?}");
    }
}

#[tokio::test]
async fn no_descriptor_but_the_standard_ones_and_the_secret_reaches_the_program() {
    // Not close-on-exec, and open while the children start: nothing of the server's may reach them.
    let world = World::new();
    let stray = world.open("work");
    rustix::io::fcntl_setfd(&stray, rustix::io::FdFlags::empty()).unwrap();
    for kind in Kind::working() {
        // One more is the directory that `ls` itself reads.
        let lines = world.says(kind, "ls -l /proc/self/fd | grep -c -- '->'").await;
        assert_eq!(lines, ["4"], "{kind:?}");
        let mut launch = world.launch(kind, "cat /proc/self/fd/$KEY_FD; echo; ls -l /proc/self/fd | grep -c -- '->'");
        launch.secret = Some(Secret { fd_variable: "KEY_FD".into(), value: SecretString::from("s3cret") });
        assert_eq!(said(launch).await, ["s3cret", "5"], "{kind:?}");
    }
}

#[tokio::test]
async fn bubblewrap_itself_is_started_with_everything_given_up() {
    let world = World::new();
    let mut launch = world.launch(Kind::Bubblewrap, "true");
    launch.confinement.view = world.view_by("tell");
    launch.confinement.resources = resources();
    let error = spawn(launch, limits()).await.unwrap_err();
    let SpawnError::View { text, .. } = &error else { panic!("{error}") };
    let expected =
        ["NoNewPrivs: 1", "Umask: 0077", "Max core file size 0 0", "Max open files 345 345", "Max file size 7654400"];
    for act in expected {
        assert!(text.contains(act), "{act} is missing in {text}");
    }
    // The view's folders, our own executable, and the way to report: nothing else of the guardian's.
    let open: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("descriptor ")).collect();
    let of_world = |name: &str| open.iter().filter(|path| **path == world.path(name).display().to_string()).count();
    assert_eq!(["data/homes/one", "data/login", "work/shop", "work/shop/site"].map(of_world), [1; 4], "{text}");
    assert!((1..=2).contains(&of_world("temporary")), "{text}");
    assert_eq!(open.iter().filter(|path| path.ends_with("supervisor-test-launcher")).count(), 1, "{text}");
    // What it is told, what the stage is told, and the program's variables.
    assert_eq!(open.iter().filter(|path| path.starts_with("/memfd:")).count(), 3, "{text}");
    // The signals that a service manager may send to everything.
    let ignored = text.lines().find_map(|line| line.strip_prefix("SigIgn: ")).unwrap();
    let ignored = u64::from_str_radix(ignored, 16).unwrap();
    for signal in [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM, Signal::USR1, Signal::USR2, Signal::ALARM] {
        assert_ne!(ignored & (1 << (signal.as_raw() - 1)), 0, "{signal:?}: {text}");
    }
    // The four standard and report pipes.
    assert_eq!(open.iter().filter(|path| path.starts_with("pipe:")).count(), 4, "{text}");
    assert!(!open.iter().any(|path| path.starts_with("socket:") || path.starts_with("anon_inode:")), "{text}");
}

#[tokio::test]
async fn a_child_enters_its_cgroup_first_of_all() {
    let world = World::new();
    // A folder that merely looks like one: what is written can be read.
    fs::write(world.path("open/cgroup.procs"), "").unwrap();
    let mut launch = script("true");
    launch.confinement.cgroup = Some(world.open("open"));
    said(launch).await;
    assert_eq!(fs::read_to_string(world.path("open/cgroup.procs")).unwrap(), "0");

    let mut launch = script("true");
    launch.confinement.cgroup = Some(world.open("empty"));
    launch.cwd = fs::File::open("/proc/version").unwrap().into();
    let error = spawn(launch, limits()).await.unwrap_err();
    assert!(error.to_string().contains("cannot enter the cgroup"), "{error}");
}

#[tokio::test]
async fn a_real_cgroup_holds_the_whole_tree_and_not_the_guardian() {
    let Some(group) = Group::new() else { return };
    let world = World::new();
    let mut launches = vec![script("sleep 600 & echo ready; wait")];
    if Kind::Bubblewrap.works() {
        launches.push(world.launch(Kind::Bubblewrap, "sleep 600 & echo ready; wait"));
    }
    for mut launch in launches {
        launch.confinement.cgroup = Some(fs::File::open(&group.0).unwrap().into());
        let mut child = spawn(launch, limits()).await.unwrap();
        assert_eq!(child.lines.next().await.unwrap().unwrap().as_str(), "ready");
        let members = fs::read_to_string(group.0.join("cgroup.procs")).unwrap();
        let members: Vec<u32> = members.lines().map(|line| line.parse().unwrap()).collect();
        assert!(members.len() >= 2 && members.contains(&child.pid()), "{members:?}");
        assert!(!members.contains(&child.identity().guardian.pid), "{members:?}");
        stop(child, Rung::Kill).await;
    }
}

/// A cgroup of this test's own.
struct Group(PathBuf);

impl Group {
    fn new() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mount = mounts.lines().find(|line| line.contains(" - cgroup2 ")).and_then(|line| line.split(' ').nth(4));
        let folder = mount.map(|mount| Path::new(mount).join(unique_marker().trim_end_matches('-')));
        let made = folder.filter(|folder| fs::create_dir(folder).is_ok());
        if made.is_none() {
            not_run("no cgroup can be made here");
        }
        made.map(Self)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        drop(fs::remove_dir(&self.0));
    }
}

#[tokio::test]
async fn a_server_that_could_become_root_again_starts_nothing() {
    if !rustix::process::geteuid().is_root() {
        return not_run("only root can keep a way back to root");
    }
    let by_setuid =
        ["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=+setuid", "--ambient-caps=+setuid"];
    for keeps in [&["--euid=65534"][..], &["--ruid=65534"], &by_setuid] {
        let server = server_as(keeps, "echo ready");
        let words = String::from_utf8_lossy(&server.stderr);
        assert!(words.contains("cannot run as this user"), "{keeps:?}: {words}");
        assert!(server.stdout.is_empty(), "{keeps:?}");
    }
}

#[tokio::test]
async fn no_capability_of_an_ordinary_server_goes_on_to_the_program() {
    if !rustix::process::geteuid().is_root() {
        return not_run("only root can give a capability to somebody else");
    }
    let given = ["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=+chown", "--ambient-caps=+chown"];
    let server = server_as(&given, "grep -E 'Cap(Prm|Eff|Amb)' /proc/self/status; echo ready");
    let words = String::from_utf8_lossy(&server.stdout);
    let sets: Vec<&str> = words.lines().filter_map(|line| line.split_once(":\t")).map(|(_, set)| set).collect();
    assert_eq!(sets, ["0000000000000000"; 3], "{words}{}", String::from_utf8_lossy(&server.stderr));
}

/// What a server says that `setpriv` has started with these words.
fn server_as(words: &[&str], text: &str) -> std::process::Output {
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(directory.path(), Some(65534), Some(65534)).unwrap();
    #[expect(clippy::disallowed_methods, reason = "the server must be a process of its own")]
    let mut command = Command::new("setpriv");
    command.args(words).args([LAUNCHER, "serve", directory.path().to_str().unwrap(), &unique_marker(), text]);
    command.stdin(Stdio::null()).output().unwrap()
}

#[tokio::test]
async fn in_namespaces_the_tasks_of_this_run_alone_are_counted() {
    // The kernel does not limit root; it runs this test again as somebody else.
    if rustix::process::geteuid().is_root() || !Kind::Bubblewrap.works() {
        return;
    }
    let world = World::new();
    // As many as this user has already, on the host, and some more.
    let others: Vec<_> = (0..24).map(|_| spawn(script("sleep 600"), limits())).collect();
    let mut alive = Vec::new();
    for other in others {
        alive.push(other.await.unwrap());
    }
    let mut launch =
        world.launch(Kind::Bubblewrap, "n=0; while [ $n -lt 30 ]; do n=$((n+1)); sleep 600 & echo $n; done");
    launch.confinement.resources.processes = Some(16);
    let mut child = spawn(launch, limits()).await.unwrap();
    let started = crate::support::rest(&mut child.lines).await.len();
    assert!((8..16).contains(&started), "{started}");
}
