//! The folders in which agents work: found below the workspace root, never outside it, and entered by descriptor.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, fstat, open, openat2};
use rustix::io::Errno;

/// The workspace root.
#[derive(Debug)]
pub struct Workspaces {
    root: OwnedFd,
    path: PathBuf,
}

/// A working folder, held open: whatever its name points to later, the run starts in the folder that was checked.
#[derive(Debug)]
pub struct Folder {
    descriptor: OwnedFd,
    place: Place,
}

/// A folder that was found, not held open: runs that wait for their turn would use up the server's descriptors.
/// [`Workspaces::reopen`] opens the very same one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    relative: PathBuf,
    path: PathBuf,
    /// Its device and inode: another folder in its place has others.
    identity: (u64, u64),
}

/// Why a folder cannot be worked in. The texts are for the caller, and follow the name of a field.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FolderError {
    /// An absolute path.
    #[error("must be relative to the workspace root")]
    Absolute,
    /// It leads out of the root, by `..` or by a link.
    #[error("must stay inside the workspace root")]
    Outside,
    /// Nothing there.
    #[error("does not exist in the workspace root")]
    NotFound,
    /// A file.
    #[error("is not a folder")]
    NotAFolder,
    /// The server may not enter it.
    #[error("cannot be entered by the server's user")]
    Forbidden,
    /// No path can look like this.
    #[error("is not a valid path")]
    Invalid,
    /// Another folder than the one that was found.
    #[error("is no longer the folder that it was when the run was taken in")]
    Replaced,
    /// The server cannot open it at this moment: a disk that fails, no descriptors, no memory.
    #[error("cannot be opened at the moment; the server's log says why")]
    Unavailable,
}

impl FolderError {
    /// Whether it is the server's trouble, and no fault of the path.
    pub fn is_the_server_s(&self) -> bool {
        matches!(self, Self::Unavailable)
    }
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Links are followed.
const FOLLOWED: ResolveFlags = ResolveFlags::empty();

impl Workspaces {
    /// Opens the root; the error says what is missing.
    pub fn open(path: &Path) -> io::Result<Self> {
        let root = open(path, FOLDER, Mode::empty())?;
        let workspaces = Self { root, path: path.canonicalize()? };
        // Now rather than at every request.
        match workspaces.resolve(Path::new("."), FOLLOWED) {
            Ok(_) => Ok(workspaces),
            Err(error) => Err(unresolvable(error)),
        }
    }

    /// The root's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The root itself.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Opens a folder that is given relative to the root, such as a run's `cwd`. Links are followed as long as they stay
    /// inside the root.
    ///
    /// The kernel does the resolving in one call (`openat2`), so a link that is swapped meanwhile changes nothing.
    pub fn folder(&self, relative: &str) -> Result<Folder, FolderError> {
        if relative.starts_with('/') {
            return Err(FolderError::Absolute);
        }
        self.enter(name(relative.as_ref()), FOLLOWED)
    }

    /// Why a folder cannot be entered by its own path; `None` if it can, or if a link is on the way: what is wrong where a
    /// link leads to is then not told. For those who must not learn what there is elsewhere.
    pub fn trouble_without_links(&self, relative: &str) -> Option<FolderError> {
        let name = name(relative.as_ref());
        match self.resolve(name, ResolveFlags::NO_SYMLINKS) {
            Ok(_) | Err(Errno::LOOP) => None,
            Err(errno) => Some(reason(name, errno)),
        }
    }

    /// Opens a folder that was found before. Whatever is in its place now instead is refused.
    pub fn reopen(&self, place: &Place) -> Result<Folder, FolderError> {
        // A link there is none of its own, and where it leads to is not looked at.
        let folder = self.enter(name(&place.relative), ResolveFlags::NO_SYMLINKS).map_err(|error| match error {
            FolderError::Outside => FolderError::Replaced,
            error => error,
        })?;
        if folder.place == *place { Ok(folder) } else { Err(FolderError::Replaced) }
    }

    fn enter(&self, relative: &Path, links: ResolveFlags) -> Result<Folder, FolderError> {
        let descriptor = self.resolve(relative, links).map_err(|errno| reason(relative, errno))?;
        let stat = fstat(&descriptor).map_err(|errno| reason(relative, errno))?;
        let relative = self.below_root(&descriptor)?;
        let place = Place { path: self.path.join(&relative), relative, identity: (stat.st_dev, stat.st_ino) };
        Ok(Folder { descriptor, place })
    }

    /// The workspace that a folder lies in, opened; for the root itself the root.
    pub fn workspace_of(&self, folder: &Folder) -> Result<Folder, FolderError> {
        let name = folder.relative().components().next().map_or(".".as_ref(), |name| Path::new(name.as_os_str()));
        let workspace = self.enter(name, FOLLOWED)?;
        // Between the two looks the name may have become a link to another workspace.
        if folder.relative().starts_with(workspace.relative()) { Ok(workspace) } else { Err(FolderError::NotFound) }
    }

    /// Where an open folder is: without links, `.` and `..`, empty for the root itself.
    fn below_root(&self, descriptor: &OwnedFd) -> Result<PathBuf, FolderError> {
        let path_of = |fd: &OwnedFd| {
            let path = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()));
            path.map_err(|error| unavailable(Path::new("/proc/self/fd"), &error))
        };
        let path = path_of(descriptor)?;
        // Not below it: it was moved or removed meanwhile.
        Ok(path.strip_prefix(path_of(&self.root)?).map_err(|_| FolderError::NotFound)?.to_owned())
    }

    fn resolve(&self, relative: &Path, links: ResolveFlags) -> Result<OwnedFd, Errno> {
        let flags = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | links;
        // With `..` in the path the kernel asks for another try when something was renamed meanwhile.
        for _ in 0..16 {
            match openat2(&self.root, relative, FOLDER, Mode::empty(), flags) {
                Err(Errno::AGAIN) => {}
                result => return result,
            }
        }
        Err(Errno::AGAIN)
    }
}

/// How the root calls a folder below it.
fn name(relative: &Path) -> &Path {
    if relative.as_os_str().is_empty() { Path::new(".") } else { relative }
}

/// Why a folder was not opened.
fn reason(relative: &Path, errno: Errno) -> FolderError {
    match errno {
        Errno::XDEV | Errno::LOOP => FolderError::Outside,
        Errno::NOENT => FolderError::NotFound,
        Errno::NOTDIR => FolderError::NotAFolder,
        Errno::ACCESS | Errno::PERM => FolderError::Forbidden,
        Errno::INVAL | Errno::NAMETOOLONG => FolderError::Invalid,
        // EMFILE, ENFILE, ENOMEM, EIO, ESTALE, and whatever else a file system may say.
        _ => unavailable(relative, &errno.into()),
    }
}

fn unavailable(path: &Path, error: &io::Error) -> FolderError {
    tracing::error!(path = %path.display(), %error, "cannot open a folder of the workspaces");
    FolderError::Unavailable
}

/// What to say of a root that was opened and cannot be resolved in. Filters of older container runtimes say EPERM for
/// calls that they do not know.
fn unresolvable(error: Errno) -> io::Error {
    if matches!(error, Errno::NOSYS | Errno::PERM) {
        return io::Error::other(format!(
            "the system call openat2 is not available ({error}). askd needs Linux 5.6 or newer, and a sandbox or seccomp \
             filter that lets openat2 through"
        ));
    }
    error.into()
}

impl Folder {
    /// The same folder by a descriptor of its own.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { descriptor: self.descriptor.try_clone()?, place: self.place.clone() })
    }

    /// What to note of it, to open it again.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The open folder.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    /// Where it was when it was opened: absolute, without links.
    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// The path below the root, without links, `.` and `..`; empty for the root itself.
    pub fn relative(&self) -> &Path {
        self.place.relative()
    }
}

impl Place {
    /// The workspace that it lies in: the folder directly below the root; `None` for the root itself.
    pub fn workspace(&self) -> Option<&str> {
        self.relative.components().next()?.as_os_str().to_str()
    }

    /// Where it was when it was found: absolute, without links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path below the root, without links, `.` and `..`; empty for the root itself.
    pub fn relative(&self) -> &Path {
        &self.relative
    }

    /// Whether it is the root of all workspaces.
    pub fn is_root(&self) -> bool {
        self.relative.as_os_str().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn root() -> (tempfile::TempDir, Workspaces) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("root/project/src")).unwrap();
        fs::create_dir(folder.path().join("outside")).unwrap();
        fs::write(folder.path().join("root/file"), "").unwrap();
        let workspaces = Workspaces::open(&folder.path().join("root")).unwrap();
        (folder, workspaces)
    }

    #[test]
    fn folders_below_the_root_are_entered() {
        let (_guard, workspaces) = root();
        for cwd in ["", ".", "project", "project/src", "project/../project", "./project/"] {
            assert!(workspaces.folder(cwd).is_ok(), "{cwd}");
        }
    }

    #[test]
    fn a_system_without_openat2_is_named_at_the_start() {
        for errno in [Errno::NOSYS, Errno::PERM] {
            let text = unresolvable(errno).to_string();
            assert!(text.contains("openat2") && text.contains("Linux 5.6") && text.contains("seccomp"), "{text}");
        }
        assert_eq!(unresolvable(Errno::ACCESS).kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn a_folder_knows_its_plain_place() {
        let (guard, workspaces) = root();
        symlink("project/src", guard.path().join("root/link")).unwrap();
        for (cwd, place) in
            [("", ""), (".", ""), ("./project/", "project"), ("project/../project", "project"), ("link", "project/src")]
        {
            assert_eq!(workspaces.folder(cwd).unwrap().relative(), Path::new(place), "{cwd}");
        }
    }

    #[test]
    fn a_folder_lies_in_the_workspace_below_the_root_and_the_root_in_itself() {
        let (guard, workspaces) = root();
        symlink("project/src", guard.path().join("root/link")).unwrap();
        for (cwd, workspace) in [("", ""), ("project", "project"), ("project/src", "project"), ("link", "project")] {
            let folder = workspaces.folder(cwd).unwrap();
            let found = workspaces.workspace_of(&folder).unwrap();
            assert_eq!(found.relative(), Path::new(workspace), "{cwd}");
            assert_eq!(found.path(), workspaces.path().join(workspace));
        }
    }

    #[test]
    fn a_workspace_that_became_a_link_to_another_one_is_not_taken_for_it() {
        let (guard, workspaces) = root();
        let (folder, root) = (workspaces.folder("project/src").unwrap(), guard.path().join("root"));
        fs::rename(root.join("project"), root.join("other")).unwrap();
        symlink("other", root.join("project")).unwrap();
        assert_eq!(workspaces.workspace_of(&folder).unwrap_err(), FolderError::NotFound);
    }

    #[test]
    fn every_way_out_is_refused() {
        let (guard, workspaces) = root();
        let root = guard.path().join("root");
        symlink(guard.path().join("outside"), root.join("absolute")).unwrap();
        symlink("../outside", root.join("relative")).unwrap();
        symlink("/proc/self/cwd", root.join("magic")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        symlink("project", root.join("inside")).unwrap();
        for cwd in ["..", "project/../..", "absolute", "relative", "relative/x", "magic", "loop"] {
            assert_eq!(workspaces.folder(cwd).unwrap_err(), FolderError::Outside, "{cwd}");
        }
        assert_eq!(workspaces.folder("/etc").unwrap_err(), FolderError::Absolute);
        assert!(workspaces.folder("inside").is_ok(), "a link that stays inside is followed");
    }

    #[test]
    fn a_bad_folder_says_what_is_wrong() {
        let (_guard, workspaces) = root();
        assert_eq!(workspaces.folder("missing").unwrap_err(), FolderError::NotFound);
        assert_eq!(workspaces.folder("file").unwrap_err(), FolderError::NotAFolder);
        assert_eq!(workspaces.folder("a\0b").unwrap_err(), FolderError::Invalid);
        assert_eq!(workspaces.folder(&"x".repeat(10_000)).unwrap_err(), FolderError::Invalid);
    }

    #[test]
    fn without_links_only_what_the_path_itself_meets_is_told() {
        let (guard, workspaces) = root();
        symlink("../outside/absent", guard.path().join("root/project/link")).unwrap();
        for (path, trouble) in [
            ("project", None),
            ("project/link", None),
            ("project/link/deeper", None),
            ("project/absent", Some(FolderError::NotFound)),
            ("file", Some(FolderError::NotAFolder)),
        ] {
            assert_eq!(workspaces.trouble_without_links(path), trouble, "{path}");
        }
    }

    #[test]
    fn a_place_is_opened_again_unless_another_folder_or_a_link_is_there() {
        let (guard, workspaces) = root();
        let root = guard.path().join("root");
        for cwd in ["", "project/src"] {
            let place = workspaces.folder(cwd).unwrap().place().clone();
            assert_eq!(workspaces.reopen(&place).unwrap().path(), root.canonicalize().unwrap().join(cwd));
        }
        let place = workspaces.folder("project").unwrap().place().clone();
        fs::rename(root.join("project"), root.join("moved")).unwrap();
        assert_eq!(workspaces.reopen(&place).unwrap_err(), FolderError::NotFound);
        symlink("moved", root.join("project")).unwrap();
        assert_eq!(workspaces.reopen(&place).unwrap_err(), FolderError::Replaced);
        fs::remove_file(root.join("project")).unwrap();
        symlink("absent", root.join("project")).unwrap();
        assert_eq!(workspaces.reopen(&place).unwrap_err(), FolderError::Replaced, "what is elsewhere is not told");
        fs::remove_file(root.join("project")).unwrap();
        fs::create_dir(root.join("project")).unwrap();
        assert_eq!(workspaces.reopen(&place).unwrap_err(), FolderError::Replaced);
        fs::remove_dir(root.join("project")).unwrap();
        fs::rename(root.join("moved"), root.join("project")).unwrap();
        assert!(workspaces.reopen(&place).is_ok());
    }

    #[test]
    fn trouble_of_the_server_is_no_fault_of_the_path() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::IO, Errno::STALE, Errno::AGAIN] {
            assert!(reason(Path::new("x"), errno).is_the_server_s(), "{errno}");
        }
        for errno in [Errno::NOENT, Errno::ACCESS, Errno::INVAL, Errno::NAMETOOLONG, Errno::LOOP] {
            assert!(!reason(Path::new("x"), errno).is_the_server_s(), "{errno}");
        }
    }

    #[test]
    fn a_folder_stays_the_one_that_was_checked() {
        let (guard, workspaces) = root();
        let folder = workspaces.folder("project").unwrap();
        let root = guard.path().join("root");
        fs::rename(root.join("project"), root.join("moved")).unwrap();
        symlink(guard.path().join("outside"), root.join("project")).unwrap();
        assert!(
            rustix::fs::accessat(folder.descriptor(), "src", rustix::fs::Access::EXISTS, rustix::fs::AtFlags::empty())
                .is_ok()
        );
    }
}
