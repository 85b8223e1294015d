//! Rights of new namespaces, turned against the view.

use std::fs;
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, unshare};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount_bind_recursive, mount_change, mount_remount,
    unmount as unmount_at,
};

use crate::{Outcome, files};

/// A copy of the mounts, and all rights over it: by a user namespace, or, for root, without. Never the host's own mounts:
/// where nothing stops the attack, the machine should go on.
pub(crate) fn gain_rights() -> Result<(), rustix::io::Errno> {
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    let copied = unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS).is_ok();
    if copied {
        // What cannot be mapped stays unmapped; the rights are there.
        drop(fs::write("/proc/self/setgroups", "deny"));
        drop(fs::write("/proc/self/uid_map", format!("0 {} 1", user.as_raw())));
        drop(fs::write("/proc/self/gid_map", format!("0 {} 1", group.as_raw())));
    } else {
        unshare(CloneFlags::CLONE_NEWNS).map_err(|error| rustix::io::Errno::from_raw_os_error(error as i32))?;
    }
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
}

pub(crate) fn remount(folder: &str) -> Outcome {
    gain_rights()?;
    // What is no mount of its own can be made one.
    let itself = mount_remount(folder, MountFlags::BIND, "");
    itself.or_else(|_| {
        mount_bind_recursive(folder, folder)?;
        mount_remount(folder, MountFlags::BIND, "")
    })?;
    files::write(&format!("{folder}/attacked"))
}

pub(crate) fn unmount(folder: &str) -> Outcome {
    gain_rights()?;
    // Below a mask is what it hides; and a copy of the root shows it, unless what lies upon the root comes along.
    let direct = unmount_at(folder, UnmountFlags::DETACH).map_err(Into::into).and_then(|()| files::list(folder));
    direct.or_else(|_| {
        mount_bind_recursive("/", "/mnt")?;
        files::list(&format!("/mnt{folder}"))
    })
}

pub(crate) fn nested(folder: &str) -> Outcome {
    #[expect(clippy::disallowed_methods, reason = "what an agent's tools do")]
    let mut command = Command::new("bwrap");
    command.args(["--unshare-all", "--bind", "/", "/", "--dev-bind", "/dev", "/dev", "ls", folder]);
    let output = command.stdin(Stdio::null()).output()?;
    let names = String::from_utf8_lossy(&output.stdout).trim().replace('\n', " ");
    if output.status.success() && !names.is_empty() {
        return Ok(names);
    }
    Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()).into())
}

/// Rights that the process has, or could get back.
pub(crate) fn capabilities() -> Outcome {
    let status = fs::read_to_string("/proc/self/status")?;
    let sets: Vec<&str> = status.lines().filter(|line| line.starts_with("Cap")).collect();
    let has_some = |line: &&&str| {
        !line.starts_with("CapBnd") && line.trim_end_matches('0').ends_with(|last: char| last.is_alphanumeric())
    };
    let found: Vec<&str> = sets.iter().filter(has_some).copied().collect();
    if found.is_empty() { Err("there are none".into()) } else { Ok(found.join(", ").replace('\t', " ")) }
}
