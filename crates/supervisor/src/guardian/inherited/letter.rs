//! The words that go with the descriptors: what each of them is.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Share;
use crate::confinement::{Access, Bind, Bubblewrap, Confinement, Folders, Resources, View};

/// Everything of a [`Share`] but its descriptors. Paths that are not UTF-8 cannot be written.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Letter {
    cwd: PathBuf,
    secret: bool,
    cgroup: bool,
    resources: Resources,
    view: Sight,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Sight {
    Host,
    Bubblewrap { program: PathBuf, folders: Names },
    Landlock { folders: Names },
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Names {
    hidden: Vec<PathBuf>,
    binds: Vec<(PathBuf, Access)>,
}

impl Letter {
    /// Takes a share apart: the letter, and what is enclosed in the order in which [`read`](Self::read) wants it.
    pub(super) fn write(share: Share) -> (Self, Vec<OwnedFd>) {
        let Share { directory, cwd, environment, secret, confinement } = share;
        let Confinement { view, resources, cgroup } = confinement;
        let mut enclosed = vec![directory, environment];
        let (has_secret, has_cgroup) = (secret.is_some(), cgroup.is_some());
        enclosed.extend(secret);
        enclosed.extend(cgroup);
        let view = match view {
            View::Host => Sight::Host,
            View::Bubblewrap(Bubblewrap { program, folders }) => {
                Sight::Bubblewrap { program, folders: Names::write(folders, &mut enclosed) }
            }
            View::Landlock(folders) => Sight::Landlock { folders: Names::write(folders, &mut enclosed) },
        };
        (Self { cwd, secret: has_secret, cgroup: has_cgroup, resources, view }, enclosed)
    }

    /// Puts a share together; `None`: too little is enclosed.
    pub(super) fn read(self, enclosed: &mut impl Iterator<Item = OwnedFd>) -> Option<Share> {
        let Self { cwd, secret, cgroup, resources, view } = self;
        let (directory, environment) = (enclosed.next()?, enclosed.next()?);
        let secret = if secret { Some(enclosed.next()?) } else { None };
        let cgroup = if cgroup { Some(enclosed.next()?) } else { None };
        let view = match view {
            Sight::Host => View::Host,
            Sight::Bubblewrap { program, folders } => {
                View::Bubblewrap(Bubblewrap { program, folders: folders.read(enclosed)? })
            }
            Sight::Landlock { folders } => View::Landlock(folders.read(enclosed)?),
        };
        Some(Share { directory, cwd, environment, secret, confinement: Confinement { view, resources, cgroup } })
    }
}

impl Names {
    fn write(folders: Folders, enclosed: &mut Vec<OwnedFd>) -> Self {
        let Folders { hidden, binds, temporary } = folders;
        enclosed.push(temporary);
        let binds = binds.into_iter().map(|Bind { descriptor, path, access }| {
            enclosed.push(descriptor);
            (path, access)
        });
        Self { hidden, binds: binds.collect() }
    }

    fn read(self, enclosed: &mut impl Iterator<Item = OwnedFd>) -> Option<Folders> {
        let temporary = enclosed.next()?;
        let bind = |(path, access)| Some(Bind { descriptor: enclosed.next()?, path, access });
        let binds = self.binds.into_iter().map(bind).collect::<Option<_>>()?;
        Some(Folders { hidden: self.hidden, binds, temporary })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn a_share_is_the_same_after_its_journey() {
        let open = || OwnedFd::from(File::open("/").unwrap());
        let bind = |path: &str, access| Bind { descriptor: open(), path: path.into(), access };
        let share = Share {
            directory: open(),
            cwd: "/ws/grün".into(),
            environment: open(),
            secret: Some(open()),
            confinement: Confinement {
                view: View::Bubblewrap(Bubblewrap {
                    program: "bwrap".into(),
                    folders: Folders {
                        hidden: vec!["/work".into()],
                        binds: vec![bind("/ws/a", Access::ReadOnly), bind("/ws/b", Access::ReadWrite)],
                        temporary: open(),
                    },
                }),
                resources: Resources { processes: Some(7), ..Resources::default() },
                cgroup: None,
            },
        };
        let (letter, enclosed) = Letter::write(share);
        let numbers: Vec<_> = enclosed.iter().map(AsRawFd::as_raw_fd).collect();
        let text = serde_json::to_vec(&letter).unwrap();
        let letter: Letter = serde_json::from_slice(&text).unwrap();
        let share = letter.read(&mut enclosed.into_iter()).unwrap();
        let (letter, enclosed) = Letter::write(share);
        assert_eq!(serde_json::to_vec(&letter).unwrap(), text);
        assert_eq!(enclosed.iter().map(AsRawFd::as_raw_fd).collect::<Vec<_>>(), numbers);
        assert!(letter.read(&mut enclosed.into_iter().take(3)).is_none());
    }
}
