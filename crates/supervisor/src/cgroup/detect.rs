//! Which folder of the hierarchy is ours, if any.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, Mode, OFlags, access, accessat, fstatfs, getxattr, mkdirat, openat};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::{Controller, Delegation, NotDelegated, SERVER, files};

/// `CGROUP2_SUPER_MAGIC`
const CGROUP2: u64 = 0x6367_7270;
/// How many processes are moved aside. A service has a handful when it starts.
const MAX_MOVED: usize = 1024;
/// What systemd writes at a group that it has delegated; the first can be read by root only.
const MARKS: [&str; 2] = ["trusted.delegate", "user.delegate"];

fn not(words: impl Into<String>) -> NotDelegated {
    NotDelegated(words.into())
}

/// The folder that the operator has named.
pub(super) fn configured(folder: &Path) -> Result<Delegation, NotDelegated> {
    let opened = open(folder)?;
    let shown = folder.display();
    if !fstatfs(&opened).is_ok_and(|system| u64::try_from(system.f_type) == Ok(CGROUP2)) {
        return Err(not(format!("{shown} is not a folder of cgroup v2")));
    }
    if is_root_of_all(&opened) {
        return Err(not(format!("{shown} is the root of all groups, which is the system's; name one below it")));
    }
    let has_processes = files::read(opened.as_fd(), "cgroup.procs").is_ok_and(|list| !list.trim().is_empty());
    if has_processes {
        return Err(not(format!("{shown} has processes in it, and must have none")));
    }
    Delegation::at(folder)
}

/// The group that this process is in, or the one above it if that was made ready already.
pub(super) fn own() -> Result<Delegation, NotDelegated> {
    let read = |path| fs::read_to_string(path).map_err(|error| not(format!("cannot read {path}: {error}")));
    let path = own_path(&read("/proc/self/cgroup")?).ok_or_else(|| not("there is no cgroup v2 on this machine"))?;
    let mounts = read("/proc/self/mountinfo")?;
    let place = mounts_of(&mounts)
        .find_map(|mount| mount.folder_of(&path))
        .ok_or_else(|| not("no hierarchy of cgroup v2 is mounted in which the own group can be seen"))?;
    let was_here = place.file_name().is_some_and(|name| name == SERVER);
    let folder = place.parent().filter(|_| was_here).unwrap_or(&place).to_owned();
    // A container's own root is the whole of what it was given.
    let is_whole = path == "/" || (was_here && path.trim_start_matches('/') == SERVER);
    let opened = open_as_own(&folder)?;
    let is_marked = MARKS.iter().any(|mark| is_marked(&folder, mark));
    // Without the mark the group may be a session's, which belongs to its user as well: then the operator's shell would
    // be moved. Not every user can see every mark; a group with nobody else in it is ours as well. Root could move all.
    let is_ours = !geteuid().is_root() && (was_here || is_alone(&opened));
    if !is_whole && !is_marked && !is_ours {
        return Err(not(format!(
            "the group {path} was not delegated to this service (for systemd: Delegate=yes in its unit)"
        )));
    }
    if !was_here {
        move_aside(&opened)?;
    }
    let controllers = switch_on(&opened)?;
    Ok(Delegation { folder: opened, controllers })
}

fn open_as_own(folder: &Path) -> Result<OwnedFd, NotDelegated> {
    let opened = openat(rustix::fs::CWD, folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| not(format!("cannot open the own group: {error}")))?;
    if is_root_of_all(&opened) {
        return Err(not("the server is in the root of all groups, which is the system's"));
    }
    drop(opened);
    open(folder)
}

/// Opens a folder in which we may make groups and move processes.
pub(super) fn open(folder: &Path) -> Result<OwnedFd, NotDelegated> {
    let shown = folder.display();
    let opened = openat(rustix::fs::CWD, folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| not(format!("cannot open {shown}: {error}")))?;
    let not_writable = |what: &str, error: Errno| not(format!("cannot write {what} of {shown}: {error}"));
    access(folder, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| not_writable("the folder", error))?;
    for file in ["cgroup.procs", "cgroup.subtree_control"] {
        accessat(&opened, file, Access::WRITE_OK, AtFlags::empty()).map_err(|error| not_writable(file, error))?;
    }
    Ok(opened)
}

/// The root of the whole hierarchy is the only group without a type, also seen from a container.
fn is_root_of_all(folder: &OwnedFd) -> bool {
    accessat(folder, "cgroup.type", Access::EXISTS, AtFlags::empty()) == Err(Errno::NOENT)
}

fn is_marked(folder: &Path, mark: &str) -> bool {
    let mut value = [0; 8];
    getxattr(folder, mark, &mut value[..]).is_ok_and(|length| value.get(..length) == Some(b"1"))
}

/// Whether this process is all that is in a group.
fn is_alone(folder: &OwnedFd) -> bool {
    let own = std::process::id().to_string();
    files::read(folder.as_fd(), "cgroup.procs").is_ok_and(|list| list.lines().eq([own.as_str()]))
}

/// Moves all processes of a group into one below it.
fn move_aside(folder: &OwnedFd) -> Result<(), NotDelegated> {
    let failed = |error: std::io::Error| not(format!("cannot move the server into a group of its own: {error}"));
    match mkdirat(folder, SERVER, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(failed(error.into())),
    }
    let server = openat(folder, SERVER, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| failed(error.into()))?;
    // `0`: whoever writes.
    files::write(server.as_fd(), "cgroup.procs", "0").map_err(failed)?;
    let others = files::read(folder.as_fd(), "cgroup.procs").map_err(failed)?;
    for process in others.lines().take(MAX_MOVED) {
        // It may be gone. If it stays, no controller can be switched on, and that is noticed.
        drop(files::write(server.as_fd(), "cgroup.procs", process));
    }
    Ok(())
}

/// Switches on the controllers that are offered, one by one, and says which are on.
pub(super) fn switch_on(folder: &OwnedFd) -> Result<Vec<Controller>, NotDelegated> {
    let read = |file: &str| {
        files::read(folder.as_fd(), file).map_err(|error| not(format!("cannot read {file} of the group: {error}")))
    };
    for controller in Controller::among(&read("cgroup.controllers")?) {
        // One may be refused (processes that run in real time forbid `cpu`): then the others still help.
        drop(files::write(folder.as_fd(), "cgroup.subtree_control", &format!("+{}", controller.name())));
    }
    Ok(Controller::among(&read("cgroup.subtree_control")?))
}

/// The path in version 2's line of `/proc/self/cgroup`.
fn own_path(text: &str) -> Option<String> {
    text.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned)
}

/// Where the hierarchy is mounted.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    /// Which of its groups is at the mount point.
    root: String,
    point: PathBuf,
}

impl Mount {
    fn folder_of(&self, path: &str) -> Option<PathBuf> {
        let below = Path::new(path).strip_prefix(&self.root).ok()?;
        // A group above the own namespace is shown as `/..`.
        if below.components().any(|part| part == std::path::Component::ParentDir) {
            return None;
        }
        Some(if below.as_os_str().is_empty() { self.point.clone() } else { self.point.join(below) })
    }
}

/// The mounts of the type in `/proc/self/mountinfo`, be it the only hierarchy or one beside version 1.
fn mounts_of(text: &str) -> impl Iterator<Item = Mount> {
    text.lines().filter_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        if right.split(' ').next() != Some("cgroup2") {
            return None;
        }
        let mut fields = left.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        // The kernel writes a space as `\040`. Nobody mounts it there.
        Some(Mount { root: root.to_owned(), point: PathBuf::from(point) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate
";

    #[test]
    fn a_group_with_others_in_it_is_not_ours_alone() {
        let folder = tempfile::tempdir().unwrap();
        let opened: OwnedFd = fs::File::open(folder.path()).unwrap().into();
        let own = std::process::id();
        for (list, alone) in [(format!("{own}\n"), true), (format!("1\n{own}\n"), false), (String::new(), false)] {
            fs::write(folder.path().join("cgroup.procs"), &list).unwrap();
            assert_eq!(is_alone(&opened), alone, "{list:?}");
        }
    }

    #[test]
    fn the_hierarchy_of_version_2_is_found_beside_version_1() {
        let mount = mounts_of(HYBRID).next().unwrap();
        assert_eq!(mount, Mount { root: "/".into(), point: "/sys/fs/cgroup/unified".into() });
        let folder = mount.folder_of("/system.slice/askd.service").unwrap();
        assert_eq!(folder, Path::new("/sys/fs/cgroup/unified/system.slice/askd.service"));
        assert_eq!(mount.folder_of("/").unwrap(), Path::new("/sys/fs/cgroup/unified"));
    }

    #[test]
    fn a_container_without_a_namespace_of_its_own_is_mounted_part_of_the_hierarchy() {
        let mount = mounts_of("9 8 0:5 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n").next().unwrap();
        assert_eq!(mount.folder_of("/docker/abc/x").unwrap(), Path::new("/sys/fs/cgroup/x"));
        assert_eq!(mount.folder_of("/docker/other"), None);
    }

    #[test]
    fn a_group_outside_of_the_namespace_is_not_ours() {
        let mount = mounts_of(HYBRID).next().unwrap();
        assert_eq!(mount.folder_of("/../elsewhere"), None);
    }

    #[test]
    fn version_1_alone_is_none() {
        assert_eq!(own_path("9:name=systemd:/\n8:pids:/\n"), None);
        assert_eq!(own_path("9:name=systemd:/\n0::/a b\n").as_deref(), Some("/a b"));
        assert_eq!(mounts_of("40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw\n").count(), 0);
    }
}
