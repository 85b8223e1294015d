//! What a process that has given up rights can still do, each time beside the same act before.
//!
//! Landlock and the filter of calls bind a thread and what it starts, so that a test restricts a thread of its own.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};
use supervisor::confinement::Access;
use supervisor::landlock::{self, LandlockError, NEEDED_ABI, restrict};
use supervisor::seccomp::{self, Profile};
use tempfile::TempDir;

/// Folders of a run, in a place that is not hidden by itself.
struct World {
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        for name in ["secret", "secret/home", "secret/library", "secret/other", "open", "temporary"] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("file"), "text").unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Does something with `secret` hidden, but its `home` writable and its `library` readable.
    fn inside<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        self.inside_with(&[self.path("secret")], act).unwrap()
    }

    fn inside_with<T: Send>(&self, hidden: &[PathBuf], act: impl FnOnce() -> T + Send) -> Result<T, LandlockError> {
        let [home, library, temporary] =
            ["secret/home", "secret/library", "temporary"].map(|name| File::open(self.path(name)).unwrap());
        let binds = [(home.as_fd(), Access::ReadWrite), (library.as_fd(), Access::ReadOnly)];
        thread::scope(|scope| {
            let restricted = scope.spawn(|| {
                restrict(hidden, &binds, temporary.as_fd())?;
                Ok(act())
            });
            restricted.join().unwrap()
        })
    }
}

/// Whether this kernel can do it. Past the harness, which shows nothing of a test that passes.
fn is_there() -> bool {
    let is_there = landlock::abi() >= NEEDED_ABI;
    if !is_there {
        drop(io::Write::write_all(&mut io::stderr(), b"NOT RUN: the kernel has no Landlock, or too old a one\n"));
    }
    is_there
}

fn command(program: &str) -> Command {
    #[expect(clippy::disallowed_methods, reason = "what is restricted is this very process")]
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    command
}

fn shell(script: &str) -> Command {
    let mut shell = command("/bin/sh");
    shell.args(["-c", script]);
    shell
}

/// A process of the same user that is not part of the run.
struct Stranger(Child);

impl Stranger {
    fn new() -> Self {
        // Capabilities would be a reason of their own for keeping a run without any away from it.
        let start = || {
            without_capabilities();
            // Not through a shell: while a second program is executed, there is no environment for a moment.
            command("/bin/sleep").arg("1000").env("SECRET", "of-the-stranger").spawn().unwrap()
        };
        Self(thread::scope(|scope| scope.spawn(start).join().unwrap()))
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }

    fn file(&self, name: &str) -> PathBuf {
        format!("/proc/{}/{name}", self.0.id()).into()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// What this thread executes from now on is as powerless as the programs of an ordinary user, whoever runs the tests.
fn without_capabilities() {
    let none = CapabilitySet::empty();
    set_no_new_privs(true).unwrap();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none }).unwrap();
}

fn denied<T: std::fmt::Debug>(result: io::Result<T>) -> bool {
    result.unwrap_err().kind() == ErrorKind::PermissionDenied
}

#[test]
fn what_is_hidden_cannot_be_read_and_what_is_bound_beneath_it_can() {
    if !is_there() {
        return;
    }
    let world = World::new();
    symlink(world.path("secret/other/file"), world.path("secret/home/link")).unwrap();
    let read = |name: &str| fs::read_to_string(world.path(name));
    assert_eq!(read("secret/home/link").unwrap(), "text");
    world.inside(|| {
        for name in ["secret/file", "secret/other/file", "secret/home/link", "secret/home/../file"] {
            assert!(denied(read(name)), "{name}");
        }
        for name in ["secret/home/file", "secret/library/file", "open/file", "temporary/file"] {
            assert_eq!(read(name).unwrap(), "text", "{name}");
        }
        assert!(denied(fs::read_dir(world.path("secret"))));
        assert!(denied(fs::read_dir(world.path(""))), "what leads to something hidden can be entered, not listed");
        assert!(fs::read_dir(world.path("secret/home")).is_ok());
    });
}

/// Not what anybody wants, but what the report says.
#[test]
fn names_and_links_in_a_hidden_folder_can_be_learnt() {
    use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
    if !is_there() {
        return;
    }
    let world = World::new();
    symlink("a-goal", world.path("secret/link")).unwrap();
    world.inside(|| {
        assert_eq!(fs::read_link(world.path("secret/link")).unwrap(), Path::new("a-goal"));
        add_watch(init(CreateFlags::CLOEXEC).unwrap(), world.path("secret"), WatchFlags::CREATE).unwrap();
    });
    assert!(landlock::lacking().iter().any(|words| words.contains("inotify") && words.contains("readlink")));
}

#[test]
fn written_is_only_what_was_given_for_writing() {
    if !is_there() {
        return;
    }
    let world = World::new();
    world.inside(|| {
        for name in ["open", "secret/library", "secret/other", ""] {
            assert!(denied(fs::write(world.path(name).join("new"), "")), "{name}");
            assert!(denied(fs::create_dir(world.path(name).join("folder"))), "{name}");
        }
        let open = world.path("open/file");
        assert!(denied(File::options().append(true).open(&open)));
        assert!(denied(File::options().write(true).truncate(true).open(&open)));
        assert!(denied(fs::remove_file(&open)));
        assert!(denied(fs::rename(&open, world.path("secret/home/taken"))));
        assert!(fs::hard_link(&open, world.path("secret/home/taken")).is_err());
        for name in ["secret/home", "temporary"] {
            fs::write(world.path(name).join("file"), "new").unwrap();
            fs::create_dir(world.path(name).join("folder")).unwrap();
        }
        fs::rename(world.path("secret/home/file"), world.path("temporary/moved")).unwrap();
    });
    assert_eq!(fs::read_to_string(world.path("open/file")).unwrap(), "text");
}

#[test]
fn a_hidden_file_that_comes_to_be_later_is_hidden() {
    if !is_there() {
        return;
    }
    let world = World::new();
    let (restricted, made) = (Barrier::new(2), Barrier::new(2));
    let later = |name: &str| {
        restricted.wait();
        made.wait();
        fs::read(world.path(name))
    };
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                restricted.wait();
                fs::write(world.path("open/later"), "").unwrap();
                made.wait();
            });
            let hidden = [world.path("secret"), world.path("open/later")];
            if world.path("open/later").exists() {
                fs::remove_file(world.path("open/later")).unwrap();
                assert!(world.inside(|| later("open/later")).is_ok(), "what is not hidden is seen");
            } else {
                assert!(denied(world.inside_with(&hidden, || later("open/later")).unwrap()));
            }
        }
    });
}

#[test]
fn the_machine_s_temporary_files_are_out_of_sight() {
    if !is_there() {
        return;
    }
    let of_another = tempfile::NamedTempFile::new_in("/tmp").unwrap();
    World::new().inside(|| {
        assert!(denied(File::open(of_another.path())));
        assert!(denied(fs::read_dir("/tmp")));
        assert!(denied(fs::read_dir("/dev/shm")));
        assert!(denied(File::create("/dev/shm/askd-test")));
    });
}

#[test]
fn programs_run_also_by_descriptor_and_harmless_devices_are_there() {
    if !is_there() {
        return;
    }
    let world = World::new();
    let program = File::open("/bin/echo").unwrap();
    rustix::io::fcntl_setfd(&program, rustix::io::FdFlags::empty()).unwrap();
    let script = format!(
        "set -e; ls /usr >/dev/null; head -c 4 /dev/urandom >/dev/full 2>&1 || true; cat /proc/self/status >/dev/null
        echo x >'{}'; exec /proc/self/fd/{} done",
        world.path("temporary/by-the-shell").display(),
        program.as_raw_fd(),
    );
    let output = world.inside(|| shell(&script).output().unwrap());
    assert_eq!(String::from_utf8_lossy(&output.stdout), "done\n", "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_process_outside_can_neither_be_looked_into_nor_signalled() {
    if !is_there() {
        return;
    }
    let stranger = Stranger::new();
    let environment = || fs::read(stranger.file("environ"));
    let has_secret = |text: &[u8]| text.windows(15).any(|part| part == b"of-the-stranger");
    // Its environment is not there at the very moment at which it starts.
    while !has_secret(&environment().unwrap()) {
        thread::yield_now();
    }
    thread::scope(|scope| {
        scope.spawn(|| {
            without_capabilities();
            assert!(has_secret(&environment().unwrap()), "Landlock must be what prevents it");
            fs::read_link(stranger.file("fd/0")).unwrap();
            kill_process(stranger.pid(), Signal::CONT).unwrap();
        });
    });
    World::new().inside(|| {
        assert!(denied(environment()));
        assert!(denied(fs::read_link(stranger.file("fd/0"))), "how many there are can be seen, not what");
        assert!(denied(fs::read_dir(stranger.file("root/"))));
        assert!(denied(File::open(stranger.file("mem"))));
        if landlock::abi() >= 6 {
            assert_eq!(kill_process(stranger.pid(), Signal::CONT), Err(rustix::io::Errno::PERM));
        }
        let mut own = shell("exec sleep 1000").spawn().unwrap();
        assert!(fs::read(format!("/proc/{}/environ", own.id())).is_ok(), "its own processes it can look into");
        own.kill().unwrap();
        own.wait().unwrap();
    });
}

#[test]
fn sockets_of_the_machine_are_out_of_reach_by_path_by_name_and_from_a_pair() {
    if !is_there() || !seccomp::is_available() || landlock::abi() >= 9 {
        return;
    }
    let world = World::new();
    let path = world.path("open/socket");
    let _listener = UnixListener::bind(&path).unwrap();
    let datagrams_path = world.path("open/datagrams");
    let datagrams = UnixDatagram::bind(&datagrams_path).unwrap();
    let by_pair = || UnixDatagram::pair().and_then(|(one, _other)| one.send_to(b"hello", &datagrams_path));
    UnixStream::connect(&path).unwrap();
    by_pair().unwrap();
    let connected = world.inside(|| UnixStream::connect(&path));
    assert!(connected.is_ok(), "Landlock alone does not know of sockets");
    world.inside(|| {
        seccomp::apply(Profile::Landlock).unwrap();
        assert!(denied(UnixStream::connect(&path)));
        assert!(denied(by_pair()));
        assert!(UnixStream::pair().is_ok());
    });
    drop(datagrams);
}

#[test]
fn an_abstract_socket_of_the_machine_is_out_of_reach() {
    use std::os::linux::net::SocketAddrExt;
    if !is_there() || landlock::abi() < 6 {
        return;
    }
    let name = format!("askd-test-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name).unwrap();
    let _listener = UnixListener::bind_addr(&address).unwrap();
    UnixStream::connect_addr(&address).unwrap();
    World::new().inside(|| assert!(denied(UnixStream::connect_addr(&address))));
}

#[test]
fn a_hidden_place_in_a_very_full_folder_is_an_error_that_names_the_folder() {
    if !is_there() {
        return;
    }
    let world = World::new();
    for number in 0..4200 {
        File::create(world.path("open").join(number.to_string())).unwrap();
    }
    let error = world.inside_with(&[world.path("open/hidden")], || ()).unwrap_err();
    assert!(matches!(error, LandlockError::TooMany { folder } if folder == world.path("open")));
    let error = world.inside_with(&["relative".into()], || ()).unwrap_err();
    assert!(matches!(error, LandlockError::NotAbsolute(path) if path == Path::new("relative")));
}

#[test]
fn a_read_only_folder_in_a_writable_one_is_an_error_and_not_silently_writable() {
    if !is_there() {
        return;
    }
    let world = World::new();
    let [outer, inner, temporary] =
        ["secret", "secret/library", "temporary"].map(|name| File::open(world.path(name)).unwrap());
    let restrict_with = |of_outer, of_inner| {
        let binds = [(outer.as_fd(), of_outer), (inner.as_fd(), of_inner)];
        thread::scope(|scope| scope.spawn(|| restrict(&[], &binds, temporary.as_fd())).join().unwrap())
    };
    let error = restrict_with(Access::ReadWrite, Access::ReadOnly).unwrap_err();
    assert!(matches!(error, LandlockError::ReadOnlyWithin(path) if path == world.path("secret/library")));
    restrict_with(Access::ReadOnly, Access::ReadWrite).unwrap();
}

/// Does something in a thread with the filter.
fn filtered<T: Send>(profile: Profile, act: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let filtered = scope.spawn(|| {
            set_no_new_privs(true).unwrap();
            seccomp::apply(profile).unwrap();
            act()
        });
        filtered.join().unwrap()
    })
}

#[test]
fn namespaces_can_be_made_within_namespaces_and_not_without() {
    let works =
        || shell("unshare --user --map-root-user --mount true").stderr(Stdio::null()).status().unwrap().success();
    if !seccomp::is_available() || !works() {
        drop(io::Write::write_all(&mut io::stderr(), b"NOT RUN: no filter, or no namespaces here\n"));
        return;
    }
    assert!(filtered(Profile::Namespaces, works));
    assert!(!filtered(Profile::Landlock, works));
    assert!(filtered(Profile::Landlock, || shell("sh -c 'true; true' | cat").status().unwrap().success()));
}

#[test]
fn memory_that_outlives_a_run_is_refused_without_namespaces() {
    let works = || {
        let script = "made=$(ipcmk --shmem 1 | grep -o '[0-9]*$') && ipcrm --shmem-id $made";
        shell(script).stderr(Stdio::null()).status().unwrap().success()
    };
    if !seccomp::is_available() || !works() {
        drop(io::Write::write_all(&mut io::stderr(), b"NOT RUN: no filter, or no System V memory here\n"));
        return;
    }
    assert!(filtered(Profile::Namespaces, works), "what is in a namespace ends with it");
    assert!(!filtered(Profile::Landlock, works));
    filtered(Profile::Landlock, || {
        for call in [libc::SYS_shmat, libc::SYS_semget, libc::SYS_msgget, libc::SYS_mq_open] {
            assert_eq!(answer_to(call, [-1, 0]), Some(libc::EPERM), "{call}");
        }
    });
}

#[test]
fn limits_of_a_stranger_cannot_be_changed_and_own_ones_can() {
    use rustix::process::{Resource, Rlimit, getrlimit, prlimit, setrlimit};
    if !seccomp::is_available() {
        return;
    }
    let stranger = Stranger::new();
    let limit = || Rlimit { current: Some(1 << 20), maximum: getrlimit(Resource::Cpu).maximum };
    let of_stranger = || prlimit(Some(stranger.pid()), Resource::Cpu, limit()).map(drop);
    of_stranger().unwrap();
    filtered(Profile::Landlock, || {
        assert_eq!(of_stranger(), Err(rustix::io::Errno::PERM));
        let own = getrlimit(Resource::Cpu);
        setrlimit(Resource::Cpu, own).unwrap();
    });
}

/// What the kernel answers to a call with arguments that do no harm.
fn answer_to(call: i64, arguments: [i64; 2]) -> Option<i32> {
    #[expect(unsafe_code, reason = "only the kernel's answer to a call by its number shows the filter")]
    // SAFETY: every caller passes numbers that are no addresses, or not valid ones: nothing is read or written.
    let answer = unsafe { libc::syscall(call, arguments[0], arguments[1], 0, 0, 0) };
    if answer == -1 { io::Error::last_os_error().raw_os_error() } else { None }
}

#[test]
fn calls_that_lead_out_are_refused_and_those_with_an_older_way_are_not_there() {
    if !seccomp::is_available() {
        return;
    }
    let null = File::open("/dev/null").unwrap();
    let type_a_letter = [i64::from(null.as_raw_fd()), 0x5412];
    // With a bit set that the kernel does not look at.
    let in_disguise = [type_a_letter[0], type_a_letter[1] | 1 << 40];
    assert_eq!(answer_to(libc::SYS_ioctl, type_a_letter), Some(libc::ENOTTY));
    for profile in [Profile::Namespaces, Profile::Landlock] {
        filtered(profile, || {
            assert_eq!(answer_to(libc::SYS_ioctl, type_a_letter), Some(libc::EPERM));
            assert_eq!(answer_to(libc::SYS_ioctl, in_disguise), Some(libc::EPERM));
            assert_eq!(answer_to(libc::SYS_keyctl, [-1, 0]), Some(libc::EPERM));
            assert_eq!(answer_to(libc::SYS_bpf, [-1, 0]), Some(libc::EPERM));
            assert_eq!(answer_to(libc::SYS_io_uring_setup, [0, 0]), Some(libc::ENOSYS));
            if cfg!(target_arch = "x86_64") {
                assert_eq!(answer_to(libc::SYS_getpid | 0x4000_0000, [0, 0]), Some(libc::ENOSYS), "x32");
            }
            let clone3 = if profile == Profile::Landlock { libc::ENOSYS } else { libc::EINVAL };
            assert_eq!(answer_to(libc::SYS_clone3, [0, 0]), Some(clone3));
        });
    }
}
