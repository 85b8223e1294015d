//! Becoming another user for good.

use std::fs;
use std::io;

use rustix::process::{Gid, Uid, getegid, geteuid, getgid, getgroups, getuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};

use super::User;

/// Does something as this user and is root again afterwards. Others must not be started meanwhile.
///
/// It is for asking the kernel what that user may do: it knows of more than modes.
pub(super) fn as_user<T>(user: &User, act: impl FnOnce() -> T) -> io::Result<T> {
    let (groups, group, root) = (getgroups()?, getegid(), geteuid());
    let (theirs, their_group) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    let changed = || -> io::Result<()> {
        set_thread_groups(&groups_of(user))?;
        set_thread_res_gid(their_group, their_group, group)?;
        // Root stays as the saved one, which is the way back.
        Ok(set_thread_res_uid(theirs, theirs, root)?)
    };
    let done = changed().map(|()| act());
    set_thread_res_uid(root, root, root)?;
    set_thread_res_gid(group, group, group)?;
    set_thread_groups(&groups)?;
    done
}

fn groups_of(user: &User) -> Vec<Gid> {
    user.groups.iter().copied().map(Gid::from_raw).collect()
}

/// Groups, then the group, then the user: each needs the rights that the last one takes away.
pub(super) fn become_user(user: &User) -> io::Result<()> {
    // For the kernel these are a thread's, and another one would keep root's.
    if fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("the process has more than one thread"));
    }
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    set_thread_groups(&groups_of(user))?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    // The kernel has dropped them, unless it was told to keep them (securebits).
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    check(uid, gid)
}

/// That it is so, and that there is no way back.
fn check(uid: Uid, gid: Gid) -> io::Result<()> {
    let ids = (getuid(), geteuid(), getgid(), getegid());
    if ids != (uid, uid, gid, gid) {
        return Err(io::Error::other(format!("the process is {ids:?} now")));
    }
    let left = capabilities(None)?;
    if !(left.effective | left.permitted | left.inheritable).is_empty() {
        return Err(io::Error::other(format!("capabilities are left: {left:?}")));
    }
    let (root, root_group) = (Uid::ROOT, Gid::ROOT);
    if set_thread_res_uid(root, root, root).is_ok()
        || (!gid.is_root() && set_thread_res_gid(root_group, root_group, root_group).is_ok())
    {
        return Err(io::Error::other("root can be regained"));
    }
    Ok(())
}
