//! The command line of bubblewrap for a view.
//!
//! bubblewrap takes its acts in the order of its arguments. So what is mounted is sorted by path, parents first: what is
//! let in below a hidden folder comes after the mask, and what is hidden below something that is let in is masked again.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crate::confinement::Access;

/// Where the run's own temporary folder goes.
const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];

/// The system's part of every view: read-only, with namespaces, devices and processes of its own.
const SYSTEM: &[&str] = &[
    "--unshare-user",
    "--unshare-pid",
    "--unshare-ipc",
    "--unshare-uts",
    "--unshare-cgroup-try",
    "--cap-drop ALL",
    "--die-with-parent",
    "--ro-bind / /",
    "--dev /dev",
    // A watch over the run's memory sees of a file here only what is mapped; a cgroup sees all of it. So it is bounded.
    "--size 67108864 --tmpfs /dev/shm",
    "--remount-ro /dev",
    "--proc /proc",
];

/// For uid 0, who owns what is below `/proc` also in a user namespace: `/proc/sys/kernel/core_pattern` was writable
/// (checked), and bubblewrap covers other folders only. Not for other users: they may write nothing there, and with
/// anything covered the kernel would refuse a `/proc` to the sandbox that the program itself may make (checked).
const SYSTEM_FOR_ROOT: &[&str] = &["--ro-bind /proc/sys /proc/sys", "--ro-bind-try /proc/mtrr /proc/mtrr"];

/// How much a mask may hold, in bytes: the empty folders and files that binds below it are mounted on.
const MASK_SIZE: &str = "1048576";

/// Something that is mounted in the view.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Where: absolute, without links.
    pub(crate) path: PathBuf,
    /// What.
    pub(crate) what: What,
}

/// What is mounted. Of two at one path the greater is mounted later, and seen: a bind beats a mask, writing beats reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum What {
    /// An empty folder that cannot be written.
    EmptyFolder,
    /// An empty file.
    EmptyFile,
    /// An open folder or file.
    Bind(Access, RawFd),
    /// The run's own temporary folder.
    Temporary(RawFd),
}

/// The masks for what is to be hidden. What does not exist, or cannot be reached by this user, needs none.
pub(crate) fn masks(hidden: &[PathBuf]) -> io::Result<Vec<Place>> {
    let mut masks = Vec::new();
    for path in hidden {
        let folder = match fs::symlink_metadata(path) {
            Ok(found) => found.is_dir(),
            Err(error) if is_out_of_reach(&error) => continue,
            Err(error) => return Err(about(path, &error.to_string())),
        };
        // A mask over a link would hide the link, or worse: what it leads to *inside* of the view.
        let real = fs::canonicalize(path).map_err(|error| about(path, &error.to_string()))?;
        if real != *path {
            return Err(about(
                path,
                &format!("is to be hidden, and is a link or lies behind one: hide `{}`", real.display()),
            ));
        }
        masks.push(Place { path: real, what: if folder { What::EmptyFolder } else { What::EmptyFile } });
    }
    Ok(masks)
}

/// Which of the places for temporary files this machine has. A link to the other one needs nothing.
pub(crate) fn temporary_places() -> Vec<PathBuf> {
    let is_folder = |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
    TEMPORARY.iter().map(PathBuf::from).filter(is_folder).collect()
}

fn is_out_of_reach(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied)
}

fn about(path: &Path, what: &str) -> io::Error {
    io::Error::other(format!("`{}` {what}", path.display()))
}

/// The arguments of bubblewrap up to its `--`, which is not included: each ends with a zero, as `--args` wants it.
///
/// `cwd` is the folder to begin in, as it is found inside. It must lie in something that is let in. `is_root`: whether
/// this user is uid 0.
pub(crate) fn arguments(mut places: Vec<Place>, cwd: &Path, is_root: bool) -> io::Result<Vec<u8>> {
    for path in places.iter().map(|place| place.path.as_path()).chain([cwd]) {
        check(path)?;
    }
    places.sort();
    let places = without_needless(&places);
    if !matches!(innermost(&places, cwd), Some(What::Bind(..) | What::Temporary(_))) {
        return Err(about(cwd, "is the folder to work in, and nothing that is let in holds it"));
    }
    let for_root = SYSTEM_FOR_ROOT.iter().filter(|_| is_root);
    let mut arguments = Vec::new();
    let mut say = |words: &[&OsStr]| {
        for word in words {
            arguments.extend_from_slice(word.as_bytes());
            arguments.push(0);
        }
    };
    for word in SYSTEM.iter().chain(for_root).flat_map(|act| act.split(' ')) {
        say(&[word.as_ref()]);
    }
    for Place { path, what } in &places {
        match what {
            What::EmptyFolder => {
                say(&["--size".as_ref(), MASK_SIZE.as_ref(), "--tmpfs".as_ref(), path.as_ref()]);
            }
            What::EmptyFile => say(&["--ro-bind".as_ref(), "/dev/null".as_ref(), path.as_ref()]),
            What::Bind(Access::ReadOnly, descriptor) => {
                say(&["--ro-bind-fd".as_ref(), descriptor.to_string().as_ref(), path.as_ref()]);
            }
            What::Bind(Access::ReadWrite, descriptor) | What::Temporary(descriptor) => {
                say(&["--bind-fd".as_ref(), descriptor.to_string().as_ref(), path.as_ref()]);
            }
        }
    }
    // Only now: until here, places were made in them for what is mounted below.
    for Place { path, .. } in places.iter().filter(|place| place.what == What::EmptyFolder) {
        say(&["--remount-ro".as_ref(), path.as_ref()]);
    }
    say(&["--chdir".as_ref(), cwd.as_ref()]);
    Ok(arguments)
}

/// No path that means something else than it says, and not the root, which everything lies in.
fn check(path: &Path) -> io::Result<()> {
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if path.is_absolute() && plain && path != Path::new("/") {
        Ok(())
    } else {
        Err(about(path, "has no place in a view: it must be absolute, without `..`, and not the root"))
    }
}

/// Leaves out the masks in what is empty, or the run's own, already.
fn without_needless(sorted: &[Place]) -> Vec<Place> {
    let mut kept: Vec<Place> = Vec::with_capacity(sorted.len());
    for (index, place) in sorted.iter().enumerate() {
        let replaced = sorted.get(index + 1).is_some_and(|next| next.path == place.path);
        let is_mask = matches!(place.what, What::EmptyFolder | What::EmptyFile);
        let hidden_already = matches!(innermost(&kept, &place.path), Some(What::EmptyFolder | What::Temporary(_)));
        if !is_mask || !(replaced || hidden_already) {
            kept.push(place.clone());
        }
    }
    kept
}

/// What one sees at a path: the last mounted of the deepest places that hold it.
fn innermost(places: &[Place], path: &Path) -> Option<What> {
    let holding = places.iter().filter(|place| path.starts_with(&place.path));
    holding.max_by_key(|place| place.path.components().count()).map(|place| place.what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(path: &str, what: What) -> Place {
        Place { path: path.into(), what }
    }

    fn words(arguments: &[u8]) -> String {
        let text = str::from_utf8(arguments).unwrap();
        text.strip_suffix('\0').unwrap().replace('\0', " ")
    }

    /// The arguments after the system's part, one act a line.
    fn acts(places: Vec<Place>, cwd: &str) -> String {
        let text = words(&arguments(places, Path::new(cwd), false).unwrap())
            .replace(" --", "\n--")
            .replace("\n--tmpfs", " --tmpfs");
        text.split_once("--proc /proc\n").unwrap().1.to_owned()
    }

    const RW: Access = Access::ReadWrite;
    const RO: Access = Access::ReadOnly;

    #[test]
    fn a_whole_view_reads_in_the_order_of_its_acts() {
        let places = vec![
            place("/srv/data", What::EmptyFolder),
            place("/srv/ws", What::EmptyFolder),
            place("/etc/askd.key", What::EmptyFile),
            place("/run", What::EmptyFolder),
            place("/tmp", What::Temporary(20)),
            place("/var/tmp", What::Temporary(21)),
            place("/srv/data/homes/one", What::Bind(RW, 11)),
            place("/srv/ws/shop", What::Bind(RO, 12)),
            place("/srv/ws/shop/site", What::Bind(RW, 13)),
            place("/run/resolv.conf", What::Bind(RO, 14)),
        ];
        let all = arguments(places, Path::new("/srv/ws/shop/site/pages"), true).unwrap();
        let expected = "--unshare-user --unshare-pid --unshare-ipc --unshare-uts --unshare-cgroup-try --cap-drop ALL \
            --die-with-parent --ro-bind / / --dev /dev --size 67108864 --tmpfs /dev/shm --remount-ro /dev --proc /proc \
            --ro-bind /proc/sys /proc/sys --ro-bind-try /proc/mtrr /proc/mtrr \
            --ro-bind /dev/null /etc/askd.key \
            --size 1048576 --tmpfs /run --ro-bind-fd 14 /run/resolv.conf \
            --size 1048576 --tmpfs /srv/data --bind-fd 11 /srv/data/homes/one \
            --size 1048576 --tmpfs /srv/ws --ro-bind-fd 12 /srv/ws/shop --bind-fd 13 /srv/ws/shop/site \
            --bind-fd 20 /tmp --bind-fd 21 /var/tmp \
            --remount-ro /run --remount-ro /srv/data --remount-ro /srv/ws \
            --chdir /srv/ws/shop/site/pages";
        assert_eq!(words(&all), expected);
    }

    #[test]
    fn what_is_hidden_below_a_bind_is_masked_after_it() {
        let places = vec![
            place("/ws/.askd", What::EmptyFolder),
            place("/ws/.askd/deeper", What::EmptyFolder),
            place("/ws", What::Bind(RW, 9)),
            place("/ws/.askd/homes/one", What::Bind(RW, 10)),
        ];
        assert_eq!(
            acts(places, "/ws"),
            "--bind-fd 9 /ws\n--size 1048576 --tmpfs /ws/.askd\n--bind-fd 10 /ws/.askd/homes/one\n\
             --remount-ro /ws/.askd\n--chdir /ws"
        );
    }

    #[test]
    fn what_lies_in_a_temporary_folder_needs_no_mask() {
        let places = vec![
            place("/tmp", What::Temporary(8)),
            place("/tmp/data", What::EmptyFolder),
            place("/tmp/data/homes/one", What::Bind(RW, 9)),
        ];
        assert_eq!(acts(places, "/tmp"), "--bind-fd 8 /tmp\n--bind-fd 9 /tmp/data/homes/one\n--chdir /tmp");
    }

    #[test]
    fn of_two_at_one_path_a_bind_beats_a_mask_and_writing_beats_reading() {
        let places =
            vec![place("/ws", What::Bind(RW, 8)), place("/ws", What::EmptyFolder), place("/ws", What::Bind(RO, 9))];
        assert_eq!(acts(places, "/ws"), "--ro-bind-fd 9 /ws\n--bind-fd 8 /ws\n--chdir /ws");
    }

    #[test]
    fn a_sibling_with_a_longer_name_is_no_child() {
        let places =
            vec![place("/ws", What::EmptyFolder), place("/ws-2", What::EmptyFolder), place("/ws/a", What::Bind(RW, 8))];
        assert!(acts(places, "/ws/a").contains("--tmpfs /ws-2"));
    }

    #[test]
    fn no_view_has_a_place_that_means_something_else() {
        for path in ["/", "work", "/ws/../etc"] {
            let places = vec![place(path, What::EmptyFolder), place("/home/one", What::Bind(RW, 8))];
            assert!(arguments(places, Path::new("/home/one"), false).is_err(), "{path}");
        }
        for cwd in ["/usr", "/ws/b", "/"] {
            let places = vec![place("/ws", What::EmptyFolder), place("/ws/a", What::Bind(RW, 8))];
            let error = arguments(places, Path::new(cwd), false).unwrap_err();
            assert!(error.to_string().contains(cwd), "{error}");
        }
    }

    #[test]
    fn a_link_is_not_hidden_and_the_missing_needs_no_mask() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::write(root.join("file"), "").unwrap();
        std::os::unix::fs::symlink(root.join("file"), root.join("link")).unwrap();
        let found = masks(&[root.clone(), root.join("file"), root.join("missing"), root.join("file/below")]).unwrap();
        let expected = [
            Place { path: root.clone(), what: What::EmptyFolder },
            Place { path: root.join("file"), what: What::EmptyFile },
        ];
        assert_eq!(found, expected);
        let error = masks(&[root.join("link")]).unwrap_err();
        assert!(error.to_string().contains("/file`"), "{error}");
    }
}
