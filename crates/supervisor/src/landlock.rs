//! The view of a run where namespaces are not to be had: Landlock, by which a process gives up rights for good.
//!
//! Landlock knows grants only, and a grant holds for everything beneath. So what is to stay out of sight must not be
//! granted, nor anything above it: [`restrict`] walks down from `/` and grants each entry on the way that neither is
//! hidden nor has something hidden beneath it. What appears later in a folder that it walked through is not granted
//! either. The price: such a folder, `/` to begin with, can be entered but not listed.
//!
//! What Landlock cannot do at all, and what this kernel's does not do yet, says [`lacking()`].

mod descent;
mod lacking;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use thiserror::Error;

pub use self::lacking::{costs, lacking};

use crate::confinement::Access;

/// The oldest version that is of use: before it, a file that may not be written could still be truncated.
pub const NEEDED_ABI: u32 = 3;
/// Since this version signals and abstract sockets end at the borders of the run.
const SCOPES_ABI: u32 = 6;
/// Since this version connecting to a socket's path is a right like others.
pub(crate) const SOCKETS_ABI: u32 = 9;
/// The newest version whose rights are known here. Later ones add nothing to this.
const KNOWN: ABI = ABI::V9;

/// How many grants there may be. Some hundred are usual; more means that something hidden lies in a very full folder.
const MAX_GRANTS: usize = 4096;

/// What is never granted from above: devices are granted one by one, and temporary files of others are not ours to see.
const ALWAYS_HIDDEN: [&str; 3] = ["/dev", "/tmp", "/var/tmp"];

/// What may be opened of `/dev`. Writing there harms nobody; without a terminal of its own a run needs `pts` for the
/// ones that it makes.
const DEVICES: [&str; 8] =
    ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx", "/dev/pts"];

/// Why a process could not be restricted. It must not go on.
#[derive(Debug, Error)]
pub enum LandlockError {
    /// The kernel has no Landlock, or one that would leave holes.
    #[error("the kernel's Landlock has ABI {found}, needed is {NEEDED_ABI} (Linux 6.2)")]
    TooOld {
        /// What it has; 0 is none.
        found: u32,
    },
    /// A hidden place is not an absolute path, so that nobody knows what it hides.
    #[error("{0} is not an absolute path")]
    NotAbsolute(PathBuf),
    /// A grant holds for all beneath, so that this folder would be writable.
    #[error("{0} is to be read only, but lies in a folder that is writable, and Landlock cannot have both")]
    ReadOnlyWithin(PathBuf),
    /// So many grants that something is wrong.
    #[error("hiding what lies in {folder} takes more than {MAX_GRANTS} rules: too many entries beside it")]
    TooMany {
        /// The folder whose entries were being granted.
        folder: PathBuf,
    },
    /// A folder could not be looked through, for a reason other than missing rights.
    #[error("cannot look through {folder}: {source}")]
    Unreadable {
        /// The folder.
        folder: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel refused a rule or the whole.
    #[error("Landlock refuses: {0}")]
    Refused(#[from] RulesetError),
    /// The capabilities could not be given up.
    #[error("cannot give up capabilities: {0}")]
    Capabilities(io::Error),
    /// Nothing was said to be wrong, and yet not everything asked for is in force.
    #[error("Landlock is not fully in force")]
    NotInForce,
}

/// The version of the kernel's Landlock. 0: there is none, or it is switched off.
pub fn abi() -> u32 {
    /// `LANDLOCK_CREATE_RULESET_VERSION`: asks for the version and makes nothing.
    const VERSION: libc::c_uint = 1;
    #[expect(unsafe_code, reason = "nothing safe asks for the version as a number")]
    // SAFETY: with this flag the kernel reads no memory; no pointer and length 0 are what it asks for.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<libc::c_void>(), 0_usize, VERSION) };
    u32::try_from(version).unwrap_or(0)
}

/// Restricts the calling thread, and whatever it starts from now on, for good.
///
/// Everything can be read and executed but what is `hidden`, `/tmp` and `/var/tmp`, and what lies beneath them. Written
/// can be: binds with [`Access::ReadWrite`], `temporary`, and devices that do no harm. Binds are let in wherever they
/// lie, also beneath something hidden. No signal and no abstract socket reaches out of the run, where the kernel knows
/// how. The environment, memory and descriptors of processes outside cannot be read.
///
/// To be called by a process of one thread; it also gives up all capabilities and new privileges. A hidden place that
/// does not exist stays out of sight should it come to be. The rights to files are all in force, or there is an error
/// and the process must not go on.
///
/// A bind with [`Access::ReadOnly`] must not lie in one that is writable. Bind mounts of the host are not looked
/// through: a folder that has a second path must be hidden under both.
pub fn restrict(
    hidden: &[PathBuf],
    binds: &[(BorrowedFd<'_>, Access)],
    temporary: BorrowedFd<'_>,
) -> Result<(), LandlockError> {
    let found = abi();
    if found < NEEDED_ABI {
        return Err(LandlockError::TooOld { found });
    }
    refuse_read_only_within(binds, temporary)?;
    let mut grants = Grants { ruleset: ruleset()?, count: 0 };
    descent::grant_all_but(&places(hidden)?, &mut grants)?;
    for device in DEVICES {
        // A container may lack some. `O_PATH`: nothing happens to the device.
        if let Ok(device) = open(device, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
            grants.add(&device, device_rights(), Path::new("/dev"))?;
        }
    }
    for (bind, access) in binds {
        let rights = match access {
            Access::ReadOnly => AccessFs::from_read(KNOWN),
            Access::ReadWrite => AccessFs::from_all(KNOWN),
        };
        grants.add(bind, rights, Path::new("what is bound"))?;
    }
    grants.add(&temporary, AccessFs::from_all(KNOWN), Path::new("what is bound"))?;
    let status = grants.ruleset.restrict_self()?;
    // Partly: the kernel lacks what was asked for as a bonus only. What is required would have been an error before.
    if status.ruleset == RulesetStatus::NotEnforced || !status.no_new_privs {
        return Err(LandlockError::NotInForce);
    }
    // Root without them is nobody special. With one of them, PERFMON, it may look into every process in spite of
    // Landlock (checked). New privileges are given up, so that no program gets them back.
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
        .map_err(|source| LandlockError::Capabilities(source.into()))
}

/// What the signature of [`restrict`] allows and Landlock cannot do.
fn refuse_read_only_within(binds: &[(BorrowedFd<'_>, Access)], temporary: BorrowedFd<'_>) -> Result<(), LandlockError> {
    // Where it is now, by the name that the kernel knows. What has none lies in nothing.
    let path = |bind: BorrowedFd<'_>| std::fs::read_link(format!("/proc/self/fd/{}", bind.as_raw_fd())).ok();
    let paths_with = |wanted| {
        let with_it = binds.iter().filter(move |(_, access)| *access == wanted);
        with_it.filter_map(|(bind, _)| path(*bind))
    };
    let writable: Vec<PathBuf> = paths_with(Access::ReadWrite).chain(path(temporary)).collect();
    match paths_with(Access::ReadOnly).find(|path| writable.iter().any(|folder| path.starts_with(folder))) {
        Some(path) => Err(LandlockError::ReadOnlyWithin(path)),
        None => Ok(()),
    }
}

/// Every right that is known is taken away: the files' by necessity, the others where the kernel can.
fn ruleset() -> Result<RulesetCreated, LandlockError> {
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V3))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))?
        .scope(Scope::from_all(KNOWN))?
        .create()?;
    Ok(ruleset)
}

fn device_rights() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::IoctlDev | AccessFs::ReadDir
}

/// Where the hidden places really are.
fn places(hidden: &[PathBuf]) -> Result<Vec<PathBuf>, LandlockError> {
    let always = ALWAYS_HIDDEN.iter().map(Path::new);
    hidden.iter().map(PathBuf::as_path).chain(always).map(place).collect()
}

/// Follows the links in a path as far as it exists: grants go by what is really there.
fn place(path: &Path) -> Result<PathBuf, LandlockError> {
    if !path.is_absolute() {
        return Err(LandlockError::NotAbsolute(path.to_owned()));
    }
    for existing in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (existing.canonicalize(), path.strip_prefix(existing)) {
            // Not `join` of nothing, which would add a slash.
            return Ok(if rest.as_os_str().is_empty() { real } else { real.join(rest) });
        }
    }
    Ok(path.to_owned())
}

/// The rules so far, counted.
struct Grants {
    ruleset: RulesetCreated,
    count: usize,
}

impl Grants {
    /// Grants `rights` to a file or folder and all beneath it; of a file only what can be had of files.
    fn add(&mut self, what: &impl AsFd, rights: BitFlags<AccessFs>, folder: &Path) -> Result<(), LandlockError> {
        self.count += 1;
        if self.count > MAX_GRANTS {
            return Err(LandlockError::TooMany { folder: folder.to_owned() });
        }
        let status = fstat(what)
            .map_err(|source| LandlockError::Unreadable { folder: folder.to_owned(), source: source.into() })?;
        let rights = match FileType::from_raw_mode(status.st_mode) {
            FileType::Directory => rights,
            // There is nothing to grant: what a link leads to counts.
            FileType::Symlink => return Ok(()),
            _ => rights & AccessFs::from_file(KNOWN),
        };
        (&mut self.ruleset).add_rule(PathBeneath::new(what.as_fd(), rights))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hidden_place_is_where_its_links_lead_even_if_it_does_not_exist() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        std::fs::create_dir(real.join("real")).unwrap();
        std::os::unix::fs::symlink(real.join("real"), real.join("link")).unwrap();
        assert_eq!(place(&real.join("link")).unwrap(), real.join("real"));
        assert_eq!(place(&real.join("link/later/still")).unwrap(), real.join("real/later/still"));
        assert!(matches!(place(Path::new("relative")), Err(LandlockError::NotAbsolute(_))));
    }
}
