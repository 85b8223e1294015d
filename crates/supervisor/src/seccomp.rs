//! System calls that no run needs and that have a history of leading out of one.
//!
//! A list of what is refused, not of what is allowed: a run compiles, debugs and tests whatever a model thinks of. What
//! is refused fails with `EPERM`; calls for which programs have an older way fail with `ENOSYS`, so that they take it.
//! Programs of another architecture than the filter's (32 bit) are killed at their first call.

mod lists;

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter, sock_filter,
};

use crate::landlock;

/// What is around the filter, and so what it has to refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// The namespaces of bubblewrap. Namespaces and mounts of the run's own go on working: the CLI's sandbox is made
    /// of them. What can be debugged is in the run's own PID namespace.
    Namespaces,
    /// Landlock, which leaves open what this closes: namespaces, mounts, debugging, limits of other processes, and
    /// unix sockets, where this kernel's Landlock cannot tell one from another. A `socketpair` of streams stays.
    Landlock,
}

/// Whether there is a filter for this architecture, in a kernel that takes one.
pub fn is_available() -> bool {
    /// `SECCOMP_GET_ACTION_AVAIL`
    const ASK: libc::c_uint = 2;
    let action = libc::SECCOMP_RET_ERRNO;
    #[expect(unsafe_code, reason = "nothing safe asks the kernel")]
    // SAFETY: the kernel reads one number, which outlives the call.
    let answer = unsafe { libc::syscall(libc::SYS_seccomp, ASK, 0, &raw const action) };
    architecture().is_some() && answer == 0
}

/// Filters the calling thread and whatever it starts from now on, for good.
///
/// To be called by a process of one thread that has given up new privileges, as the last act before it executes the
/// program: what is refused is refused to the caller as well.
pub fn apply(profile: Profile) -> io::Result<()> {
    programs(profile)?.iter().try_for_each(|program| apply_filter(program)).map_err(io::Error::other)
}

fn programs(profile: Profile) -> io::Result<[BpfProgram; 2]> {
    Ok([compile(refused(profile)?, libc::EPERM)?, compile(absent(profile), libc::ENOSYS)?])
}

/// For each call the conditions, of which one has to hold; none: always.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn architecture() -> Option<TargetArch> {
    TargetArch::try_from(std::env::consts::ARCH)
        .ok()
        .filter(|_| cfg!(any(target_arch = "x86_64", target_arch = "aarch64")))
}

fn compile(rules: Rules, errno: i32) -> io::Result<BpfProgram> {
    let unsupported = || io::Error::new(io::ErrorKind::Unsupported, "there is no filter for this architecture");
    let architecture = architecture().ok_or_else(unsupported)?;
    let refuse = SeccompAction::Errno(errno.cast_unsigned());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, architecture).map_err(io::Error::other)?;
    let compiled = BpfProgram::try_from(filter).map_err(io::Error::other)?;
    Ok(without_x32(architecture, compiled))
}

/// Puts in front that the calls of x32 do not exist: the same calls under other numbers, which no list would match.
fn without_x32(architecture: TargetArch, compiled: BpfProgram) -> BpfProgram {
    /// `__X32_SYSCALL_BIT`
    const FIRST_OF_X32: u32 = 0x4000_0000;
    if architecture != TargetArch::x86_64 {
        return compiled;
    }
    // `BPF_LD | BPF_W | BPF_ABS`: the number of the call is the first word.
    let load = sock_filter { code: 0x20, jt: 0, jf: 0, k: 0 };
    // `BPF_JMP | BPF_JGE | BPF_K`: over the next instruction if it is smaller. Jumps are relative, so the rest stays.
    let is_x32 = sock_filter { code: 0x35, jt: 0, jf: 1, k: FIRST_OF_X32 };
    // `BPF_RET | BPF_K`
    let absent = sock_filter { code: 0x06, jt: 0, jf: 0, k: libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned() };
    [load, is_x32, absent].into_iter().chain(compiled).collect()
}

fn refused(profile: Profile) -> io::Result<Rules> {
    let mut rules: Rules = lists::REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    // Typing into a terminal on behalf of its user.
    rules.insert(libc::SYS_ioctl, any(lists::TYPING.map(|command| is(1, command)))?);
    // A machine and its host talk by these sockets; no view of files covers them.
    let mut sockets = vec![is(0, libc::AF_VSOCK.cast_unsigned().into())];
    if profile == Profile::Landlock {
        rules.extend(lists::REFUSED_WITHOUT_NAMESPACES.iter().map(|call| (*call, Vec::new())));
        let new = lists::NEW_NAMESPACES.map(|flag| has(0, flag));
        rules.insert(libc::SYS_clone, any(new.clone())?);
        rules.insert(libc::SYS_unshare, any(new.into_iter().chain([has(0, lists::NEW_TIME)]))?);
        // Of oneself they can be set. Of another process of the same user this would end it: a limit on its time.
        rules.insert(libc::SYS_prlimit64, any([(0, SeccompCmpOp::Ne, 0)])?);
        if landlock::abi() < landlock::SOCKETS_ABI {
            sockets.push(is(0, libc::AF_UNIX.cast_unsigned().into()));
            // A datagram socket of a pair can be sent from to any path (checked), and RAW is another name for it.
            let datagrams = [libc::SOCK_DGRAM, libc::SOCK_RAW].map(|kind| kind_is(1, kind));
            rules.insert(libc::SYS_socketpair, any(datagrams)?);
        }
    }
    rules.insert(libc::SYS_socket, any(sockets)?);
    Ok(rules)
}

fn absent(profile: Profile) -> Rules {
    let clone3 = (profile == Profile::Landlock).then_some(libc::SYS_clone3);
    lists::ABSENT.iter().copied().chain(clone3).map(|call| (call, Vec::new())).collect()
}

/// What of an argument is compared with what.
type Condition = (u8, SeccompCmpOp, u64);

/// One rule for each condition.
///
/// Compared is the lower half of an argument only, which is all that the kernel looks at with these: it cuts them off,
/// and a comparison of the whole could be got around by setting a bit above.
fn any(conditions: impl IntoIterator<Item = Condition>) -> io::Result<Vec<SeccompRule>> {
    let rule = |(argument, operator, value)| {
        SeccompRule::new(vec![SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)?])
    };
    conditions.into_iter().map(rule).collect::<Result<_, _>>().map_err(io::Error::other)
}

fn is(argument: u8, value: u64) -> Condition {
    (argument, SeccompCmpOp::Eq, value)
}

fn has(argument: u8, flag: i32) -> Condition {
    let flag = u64::from(flag.cast_unsigned());
    (argument, SeccompCmpOp::MaskedEq(flag), flag)
}

/// The type of a socket without its flags.
fn kind_is(argument: u8, kind: i32) -> Condition {
    (argument, SeccompCmpOp::MaskedEq(0xf), u64::from(kind.cast_unsigned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_profiles_compile_where_there_is_a_filter() {
        for profile in [Profile::Namespaces, Profile::Landlock] {
            let compiled = compile(refused(profile).unwrap(), libc::EPERM);
            assert_eq!(compiled.is_ok(), architecture().is_some());
        }
    }

    #[test]
    fn nested_namespaces_are_left_to_those_who_have_namespaces() {
        let namespaces = refused(Profile::Namespaces).unwrap();
        let landlock = refused(Profile::Landlock).unwrap();
        for call in [libc::SYS_mount, libc::SYS_setns, libc::SYS_unshare, libc::SYS_clone, libc::SYS_ptrace] {
            assert!(!namespaces.contains_key(&call));
            assert!(landlock.contains_key(&call));
        }
    }
}
