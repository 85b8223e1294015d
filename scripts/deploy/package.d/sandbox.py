"""Becomes the service of a unit, in the namespaces and with the rights that systemd would make of it.

    unshare --mount --propagation private sandbox.py ROOT CLI [NAME=VALUE...]
    unshare --mount --propagation private sandbox.py ROOT CLI --shell COMMANDS

The second is a shell of root in the same system. ROOT is a system in which askd is installed, CLI is what npm has made of /opt/claude. NAME=VALUE change the
unit. What a unit asks for and this does not know ends it: nothing is passed over.
"""

import ctypes
import os
import resource
import shlex
import subprocess
import sys
from pathlib import Path

import units

# They say when and how askd is started and ended, or count for what is not there where there is no systemd.
OF_THE_MANAGER = {
    "Type", "NotifyAccess", "ExecStart", "ExecReload", "EnvironmentFile", "TimeoutStartSec", "TimeoutStopSec", "WatchdogSec",
    "Restart", "RestartSec", "RestartPreventExitStatus", "KillMode", "OOMPolicy", "Delegate", "TasksMax", "KeyringMode",
    "RemoveIPC",
}
# Filters of system calls. scripts/deploy/package says that they are not tried.
FILTERS = {
    "SystemCallFilter", "SystemCallErrorNumber", "SystemCallArchitectures", "RestrictAddressFamilies", "RestrictRealtime",
    "RestrictSUIDSGID", "LockPersonality", "ProtectClock",
}
APPLIED = {
    "User", "Group", "UMask", "WorkingDirectory", "StateDirectory", "StateDirectoryMode", "LimitNOFILE", "LimitCORE",
    "NoNewPrivileges", "CapabilityBoundingSet", "ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateDevices", "MountFlags",
    "ProtectKernelModules", "ProtectKernelTunables", "ProtectKernelLogs", "ProtectProc",
}
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}


def mount(*words: str | Path) -> None:
    subprocess.run(["mount", *map(str, words)], check=True)


def closed(folder: Path) -> None:
    """As `InaccessiblePaths=`: there, and of no use."""
    if folder.is_dir():
        mount("-t", "tmpfs", "-o", "mode=000,size=4k,ro", "none", folder)
    elif folder.exists():
        mount("--bind", "/dev/null", folder)


def view(root: Path, unit: dict[str, list[str]], cli: Path) -> None:
    def on(name: str) -> bool:
        return units.one(unit, name) in ("yes", "true", "1")

    mount("--rbind", root, root)
    cli_place = root / "opt/claude"
    cli_place.mkdir(parents=True, exist_ok=True)
    mount("--bind", cli, cli_place)
    if units.one(unit, "ProtectSystem") == "strict":
        mount("-o", "remount,bind,ro", root)
        for folder in units.one(unit, "StateDirectory").split():
            place = root / "var/lib" / folder
            # The outer ones are there: tmpfiles.d makes them as StateDirectory= would.
            if not os.path.ismount(place.parent) and "/" not in folder:
                mount("--bind", place, place)
                mount("-o", "remount,bind,rw", place)
    mount("-t", "proc", "proc", root / "proc")
    mount("--rbind", "/sys", root / "sys")
    mount("-t", "tmpfs", "-o", "mode=755", "none", root / "run")
    # The socket of systemd, which the test listens at.
    if unit:
        (root / "run/systemd").mkdir(parents=True)
        (root / "run/systemd/notify").touch()
        mount("--bind", os.environ["TEST_NOTIFY_SOCKET"], root / "run/systemd/notify")
    if on("PrivateDevices") or not unit:
        devices = root / "dev"
        mount("-t", "tmpfs", "-o", "mode=755,noexec,nosuid", "none", devices)
        for name in ("null", "zero", "full", "random", "urandom", "tty"):
            (devices / name).touch()
            mount("--bind", f"/dev/{name}", devices / name)
        for name in ("pts", "shm"):
            (devices / name).mkdir()
        mount("-t", "devpts", "-o", "newinstance,ptmxmode=0666,mode=620", "none", devices / "pts")
        links = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd"}
        links |= {name: f"/proc/self/fd/{number}" for number, name in enumerate(("stdin", "stdout", "stderr"))}
        for name, target in links.items():
            (devices / name).symlink_to(target)
        mount("-t", "tmpfs", "-o", "mode=1777,nosuid,nodev", "none", devices / "shm")
        mount("-o", "remount,bind,ro", devices)
    if on("PrivateTmp"):
        for name in ("tmp", "var/tmp"):
            mount("-t", "tmpfs", "-o", "mode=1777,size=256m", "none", root / name)
    if on("ProtectHome"):
        for name in ("home", "root"):
            closed(root / name)
    if on("ProtectKernelModules"):
        closed(root / "usr/lib/modules")
    if on("ProtectKernelTunables"):
        for name in ("proc/sys", "proc/irq", "proc/bus"):
            if (root / name).exists():
                mount("--bind", root / name, root / name)
                mount("-o", "remount,bind,ro", root / name)
    if on("ProtectKernelLogs"):
        closed(root / "proc/kmsg")
    if units.one(unit, "ProtectProc") == "invisible":
        mount("-o", "remount,hidepid=invisible", root / "proc")


def enter(root: Path) -> None:
    """Not chroot: the kernel lets nobody in one make a user namespace."""
    os.chdir(root)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(PIVOT_ROOT[os.uname().machine], b".", b".") != 0:
        raise OSError(ctypes.get_errno(), "pivot_root")
    subprocess.run(["umount", "--lazy", "."], check=True)
    os.chdir("/")


def environment(unit: dict[str, list[str]], root: Path) -> dict[str, str]:
    user = units.one(unit, "User")
    values = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin",
        "LANG": "C.UTF-8",
        "USER": user,
        "LOGNAME": user,
        "HOME": "/var/lib/askd",
        "SHELL": "/usr/sbin/nologin",
        "INVOCATION_ID": "0123456789abcdef0123456789abcdef",
        "STATE_DIRECTORY": ":".join(f"/var/lib/{name}" for name in units.one(unit, "StateDirectory").split()),
        "NOTIFY_SOCKET": "/run/systemd/notify",
        "WATCHDOG_USEC": "2000000",
    }
    for file in unit.get("EnvironmentFile", []):
        path = root / file.lstrip("-").lstrip("/")
        if path.exists() or not file.startswith("-"):
            for line in path.read_text().splitlines():
                if line and not line.startswith("#"):
                    name, value = line.split("=", 1)
                    values[name] = value
    return values


def main() -> None:
    root, cli = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    if sys.argv[3:4] == ["--shell"]:
        view(root, {}, cli)
        enter(root)
        os.chdir("/root")
        # What the pages take for granted.
        values = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
        values |= {"ANTHROPIC_API_KEY": "sk-ant-of-a-test-of-the-pages", "DEBIAN_FRONTEND": "noninteractive"}
        os.execvpe("bash", ["bash", "-euo", "pipefail", "-c", sys.argv[4]], values)
    unit = units.read(root / "usr/lib/systemd/system/askd.service")
    for change in sys.argv[3:]:
        name, value = change.split("=", 1)
        unit[name] = [value]
    unknown = set(unit) - OF_THE_MANAGER - FILTERS - APPLIED
    if unknown:
        sys.exit(f"sandbox.py does not know what these do to askd: {', '.join(sorted(unknown))}")
    values = environment(unit, root)
    view(root, unit, cli)
    enter(root)
    os.chdir(units.one(unit, "WorkingDirectory"))
    os.umask(int(units.one(unit, "UMask"), 8))
    # Root of a machine like this one may not be able to raise it.
    files = min(int(units.one(unit, "LimitNOFILE")), resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    become = ["setpriv", "--reuid", units.one(unit, "User"), "--regid", units.one(unit, "Group"), "--init-groups"]
    if "CapabilityBoundingSet" in unit:
        become += ["--bounding-set=-all", "--inh-caps=-all"]
    if units.one(unit, "NoNewPrivileges") == "yes":
        become += ["--no-new-privs"]
    os.execvpe("setpriv", [*become, "--", *shlex.split(units.one(unit, "ExecStart"))], values)


main()
