//! The user as whom the server works, and with it every agent.
//!
//! A server that is started as root becomes somebody else before it listens, starts a thread or runs a program. What it
//! was told is read before: a secret that only root may read still arrives. See [`settle`].

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::process::{getegid, geteuid};
use supervisor::cgroup::{Delegation, NotDelegated};

use self::users::{Unlisted, Users};
use crate::settings::Settings;
use crate::settings::groups::Cgroup;

mod change;
mod checks;
mod handover;
mod users;

pub use checks::{BEHIND_A_SHUT_FOLDER, access, may_work_in, obstacle, shut_on_the_way};
pub use users::{own_home, powerful_groups};

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The numeric id.
    pub uid: u32,
    /// The id of the primary group.
    pub gid: u32,
    /// Ids of all groups that a process of it gets here, the primary one first.
    pub groups: Vec<u32>,
    /// The name, where there is one.
    pub name: Option<String>,
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "`{name}` (uid {}, gid {})", self.uid, self.gid),
            None => write!(f, "uid {}, gid {}", self.uid, self.gid),
        }
    }
}

/// As whom a server works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// As whoever started it, who is not root.
    AsStarted,
    /// As root, as the operator has allowed.
    Root,
    /// As this user, though it was started as root.
    Dropped(User),
}

/// Why a server does not start as the user that it was started as. The texts say what to do.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegesError {
    /// Nobody has said who the agents are to be.
    #[error(
        "askd runs agents with its own rights and was started as root, and WORKSPACE_DIR `{0}` belongs to root. Set \
         ASKD_RUN_AS to an unprivileged user (or give WORKSPACE_DIR to one: askd becomes its owner), or set \
         ASKD_ALLOW_ROOT=1 if this machine is the agent's alone"
    )]
    Root(PathBuf),
    /// A command would work in a data folder of root's whose name others can give to something else.
    #[error(
        "root does this as the user to whom ASKD_DATA_DIR belongs, and `{0}` belongs to root, though others decide what is \
         there: give it to the server's user (chown)"
    )]
    DataOfRoot(PathBuf),
    /// The same of one that is not there.
    #[error(
        "root does this as the user to whom ASKD_DATA_DIR belongs, and `{0}` is not there: make it and give it to the \
         server's user (mkdir, chown), or set ASKD_RUN_AS"
    )]
    DataOfNobody(PathBuf),
    /// The setting names root.
    #[error("ASKD_RUN_AS names root; choose an unprivileged user, or set ASKD_ALLOW_ROOT=1 instead to stay root")]
    RunAsRoot,
    /// The setting names another user, and only root can become one.
    #[error("ASKD_RUN_AS names {wanted}, and askd was started as uid {own}: only root can become another user")]
    NotRoot {
        /// The user of the setting.
        wanted: User,
        /// The server's own id.
        own: u32,
    },
    /// There is no such user or group.
    #[error("ASKD_RUN_AS: `{name}` is not in {file}; give the numbers, as UID:GID")]
    Unknown {
        /// The user or group.
        name: String,
        /// Where it was looked for.
        file: &'static str,
    },
    /// The list of users cannot be read.
    #[error("cannot read `{file}`, which ASKD_RUN_AS needs: {source}")]
    Users {
        /// The file.
        file: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// The kernel says no.
    #[error(
        "cannot become {user}: {source}; a container needs the capabilities SETUID and SETGID for it, or start \
         askd as that user"
    )]
    Change {
        /// The user.
        user: User,
        /// What went wrong.
        source: io::Error,
    },
    /// The user can do too little.
    #[error("askd works as {user}, who cannot use {what} `{path}`: {source}; {hint}")]
    Unusable {
        /// The user.
        user: User,
        /// The setting that names it.
        what: &'static str,
        /// The folder or file at fault.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
        /// What to do.
        hint: &'static str,
    },
    /// The user cannot start a program without which nothing works.
    #[error(
        "askd works as {user}, who cannot use {what} `{path}`: `{obstacle}`: {source}; install it where this user may read it"
    )]
    Program {
        /// The user.
        user: Box<User>,
        /// Which one.
        what: &'static str,
        /// Where it is.
        path: PathBuf,
        /// The folder that is in the way, or the program itself.
        obstacle: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl PrivilegesError {
    /// What is at fault, by the word that `askd doctor` has for it.
    pub fn subject(&self) -> &'static str {
        match self {
            Self::Unusable { what: "WORKSPACE_DIR", .. } => "workspace_dir",
            Self::Unusable { what: "CONFIG_DIR", .. } => "config_dir",
            Self::Unusable { .. } => "data_dir",
            Self::Program { what: checks::CLI, .. } => "cli",
            Self::Program { .. } => "executable",
            _ => "user",
        }
    }
}

/// As whom a server with these settings would work, if this process started it.
pub fn choose(settings: &Settings) -> Result<Standing, PrivilegesError> {
    let (permissions, workspaces) = (&settings.permissions, &settings.paths.workspace_dir);
    if let Some(run_as) = &permissions.run_as {
        let named = Users::system()?.named(run_as);
        let user = named.map_err(|Unlisted { name, file }| PrivilegesError::Unknown { name, file })?;
        return match (geteuid().as_raw(), user.uid) {
            (_, 0) => Err(PrivilegesError::RunAsRoot),
            (0, _) => Ok(Standing::Dropped(user)),
            (own, wanted) if own == wanted && getegid().as_raw() == user.gid => Ok(Standing::AsStarted),
            (own, _) => Err(PrivilegesError::NotRoot { wanted: user, own }),
        };
    }
    if !geteuid().is_root() {
        return Ok(Standing::AsStarted);
    }
    if permissions.allow_root {
        return Ok(Standing::Root);
    }
    let Ok(owner) = workspaces.metadata() else { return Err(PrivilegesError::Root(workspaces.clone())) };
    if owner.uid() == 0 {
        return Err(PrivilegesError::Root(workspaces.clone()));
    }
    Ok(Standing::Dropped(Users::system()?.owner(owner.uid(), owner.gid())))
}

/// What [`settle`] has done.
#[derive(Debug)]
pub struct Settled {
    /// As whom the server works from now on.
    pub standing: Standing,
    /// Why runs will get no control groups although root could have given some; for the log.
    pub cgroup: Option<String>,
}

/// Makes the process be who the server is to be, for good, and looks whether that user can do what a server does.
///
/// To be called while the process has one thread, before anything is opened that it uses later. It must not be called
/// twice. Of the file system it changes nothing but `ASKD_DATA_DIR`: it is made if it is not there, and given to the
/// user if it is root's and empty. Even that is done only once everything else is known to be usable.
pub fn settle(settings: &Settings) -> Result<Settled, PrivilegesError> {
    let standing = choose(settings)?;
    let Standing::Dropped(user) = &standing else { return Ok(Settled { standing, cgroup: None }) };
    let seen = checks::Seen::by_root(settings);
    let change = |source| PrivilegesError::Change { user: user.clone(), source };
    change::as_user(user, || seen.can_be_used_by(user, settings)).map_err(change)??;
    handover::data_dir(&settings.paths.data_dir, user).map_err(|source| PrivilegesError::Unusable {
        user: user.clone(),
        what: "ASKD_DATA_DIR",
        path: settings.paths.data_dir.clone(),
        source,
        hint: "root could not make it; name another folder",
    })?;
    let cgroup = give_cgroup(&settings.isolation.cgroup, user).err();
    change::become_user(user).map_err(change)?;
    checks::data_dir_can_be_used_by(user, &settings.paths.data_dir)?;
    Ok(Settled { standing, cgroup })
}

/// Makes the process be to whom the data folder belongs, for good: for a command that works in it without being its server.
///
/// Root must not work there by path: the folder's owner decides what a name in it means, and so do agents where the server
/// has no isolation. To be called like [`settle`]. A folder that is not there is made where root would do it for a server, if
/// it `is_to_be_made`. Root stays root only in a folder of root's, where nobody else decides either.
pub fn become_owner(settings: &Settings, is_to_be_made: bool) -> Result<(), PrivilegesError> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let data = &settings.paths.data_dir;
    let user = match data.metadata() {
        Ok(there) if there.uid() != 0 => Users::system()?.owner(there.uid(), there.gid()),
        // Nobody has been in it, or only a server that was root.
        _ => match choose(settings) {
            Ok(Standing::Dropped(user)) => user,
            Ok(Standing::AsStarted | Standing::Root) => return Ok(()),
            // Whether a server may work as root is asked when one starts.
            Err(PrivilegesError::Root(_)) if handover::is_roots(data).unwrap_or(false) => return Ok(()),
            // Workspaces and agents are no part of what such a command does.
            Err(PrivilegesError::Root(_)) if data.exists() => return Err(PrivilegesError::DataOfRoot(data.clone())),
            Err(PrivilegesError::Root(_)) => return Err(PrivilegesError::DataOfNobody(data.clone())),
            Err(error) => return Err(error),
        },
    };
    if is_to_be_made {
        handover::data_dir(data, &user).map_err(|source| PrivilegesError::Unusable {
            user: user.clone(),
            what: "ASKD_DATA_DIR",
            path: data.clone(),
            source,
            hint: "root could not make it; name another folder",
        })?;
    }
    change::become_user(&user).map_err(|source| PrivilegesError::Change { user, source })
}

/// The absolute path of a folder without links, if nobody but root and this process's user can put something else in the place
/// of what is in it. `Err`: the folder where somebody else can.
pub fn own_folder(path: &Path) -> io::Result<Result<PathBuf, PathBuf>> {
    let own = geteuid().as_raw();
    Ok(match handover::named_by(path, own)? {
        Ok(folder) if !handover::is_own(&folder, own)? => Err(folder),
        named => named,
    })
}

/// Who this process is, and to whom it belongs what it cannot use: for people who have called a command as the wrong user.
pub fn whose(path: &Path) -> String {
    let own = geteuid().as_raw();
    let at = obstacle(&std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
    match at.symlink_metadata() {
        Ok(there) => {
            let (uid, mode) = (there.uid(), there.mode() & 0o7777);
            format!("this process is of uid {own}, and `{}` of uid {uid}, mode {mode:04o}", at.display())
        }
        Err(_) => format!("this process is of uid {own}"),
    }
}

/// What [`rehearse`] has found.
#[derive(Debug)]
pub struct Rehearsal {
    /// As whom such a server would work, and this process does now.
    pub standing: Standing,
    /// Whether root would make the data folder, or give it away.
    pub data_is_handed_over: bool,
    /// What that user cannot use, for which the start would be refused.
    pub refusal: Option<PrivilegesError>,
}

/// [`settle`] for somebody who only looks: nothing is made and nothing is given away.
pub fn rehearse(settings: &Settings) -> Result<Rehearsal, PrivilegesError> {
    let standing = choose(settings)?;
    let (mut data_is_handed_over, mut refusal) = (false, None);
    if let Standing::Dropped(user) = &standing {
        data_is_handed_over = handover::is_due(&settings.paths.data_dir);
        let seen = checks::Seen::by_root(settings);
        change::become_user(user).map_err(|source| PrivilegesError::Change { user: user.clone(), source })?;
        refusal = seen.can_be_used_by(user, settings).err();
    }
    Ok(Rehearsal { standing, data_is_handed_over, refusal })
}

/// A group that this user may divide among runs: afterwards nobody here could give it away.
fn give_cgroup(cgroup: &Cgroup, user: &User) -> Result<(), String> {
    let delegation: Result<Delegation, NotDelegated> = match cgroup {
        Cgroup::Off => return Ok(()),
        Cgroup::Auto => Delegation::detect(None),
        Cgroup::Folder(folder) => Delegation::detect(Some(folder)),
    };
    let given = delegation.map_err(|error| error.to_string())?.give_to(user.uid, user.gid);
    given.map_err(|error| format!("the group cannot be given to {user}: {error}"))
}
