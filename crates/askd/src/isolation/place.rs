//! What the probe is surrounded with: a home, a workspace and a write root as a run has them, and things to get at.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// What the names of the folders begin with; the janitor removes what a crash has left. All names in them are short, for
/// a socket's path has at most 107 bytes.
pub const PREFIX: &str = "probe-";

/// The only workspace.
pub(super) const WORKSPACE: &str = "one";

/// Its part that may be written, relative to the root of workspaces.
pub(super) const WRITE_ROOT: &str = "one/rw";

/// A name for a probe: only those that are there at the same time must differ.
pub fn short_name(random: Uuid) -> String {
    random.simple().to_string()[..8].to_owned()
}

/// One probe's folder; removed when dropped.
#[derive(Debug)]
pub(super) struct Place {
    root: PathBuf,
    name: String,
    /// Listened on and never answered; that a connection is taken is enough.
    hidden_socket: Option<UnixListener>,
    shown_socket: Option<UnixListener>,
    abstract_socket: Option<UnixListener>,
}

impl Place {
    /// Makes it in `folder`, in which runs see nothing. `name` is one that nothing else has.
    pub(super) fn make(folder: &Path, name: &str) -> io::Result<Self> {
        let root = folder.join(format!("{PREFIX}{name}"));
        let make = |path: &Path| DirBuilder::new().mode(0o700).create(path);
        make(&root)?;
        // From here on it is removed, whatever fails.
        let mut place = Self {
            root,
            name: format!("{PREFIX}{name}"),
            hidden_socket: None,
            shown_socket: None,
            abstract_socket: None,
        };
        let homes = place.root.join("homes");
        for folder in [&homes, &place.home(), &place.temporary(), &place.shown(), &place.workspaces()] {
            make(folder)?;
        }
        make(&place.beside())?;
        make(&place.write_root())?;
        fs::write(place.secret(), "not to be read")?;
        // A path may be too long for a socket, and a sandbox around the server may have none: then there is nothing to try.
        place.hidden_socket = UnixListener::bind(place.root.join("s")).ok();
        place.shown_socket = UnixListener::bind(place.write_root().join("s")).ok();
        let address = SocketAddr::from_abstract_name(&place.name)?;
        place.abstract_socket = UnixListener::bind_addr(&address).ok();
        Ok(place)
    }

    /// A name that no file of others has.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// All of it; to be hidden.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn home(&self) -> PathBuf {
        self.root.join("homes/own")
    }

    pub(super) fn temporary(&self) -> PathBuf {
        self.home().join("tmp")
    }

    /// To be let in for reading.
    pub(super) fn shown(&self) -> PathBuf {
        self.root.join("shown")
    }

    pub(super) fn workspaces(&self) -> PathBuf {
        self.root.join("w")
    }

    pub(super) fn beside(&self) -> PathBuf {
        self.workspaces().join(WORKSPACE)
    }

    pub(super) fn write_root(&self) -> PathBuf {
        self.workspaces().join(WRITE_ROOT)
    }

    pub(super) fn secret(&self) -> PathBuf {
        self.root.join("secret")
    }

    pub(super) fn hidden_socket(&self) -> Option<PathBuf> {
        self.hidden_socket.is_some().then(|| self.root.join("s"))
    }

    pub(super) fn shown_socket(&self) -> Option<PathBuf> {
        self.shown_socket.is_some().then(|| self.write_root().join("s"))
    }

    pub(super) fn abstract_socket(&self) -> Option<String> {
        self.abstract_socket.is_some().then(|| self.name.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.root) {
            tracing::warn!(folder = %self.root.display(), %error, "cannot remove the folder of a probe");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_it_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::make(folder.path(), "one").unwrap();
        assert!(place.write_root().is_dir() && place.temporary().is_dir());
        assert!(place.hidden_socket().is_some() && place.shown_socket().is_some() && place.abstract_socket().is_some());
        drop(place);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
