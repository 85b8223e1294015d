"""Compose files as this project uses them: read, merged, filled in, and turned into what podman takes."""

import os
import re

import yaml


def load(*files, variables=None):
    """What `docker compose -f FILE -f FILE` makes of the files: mappings are merged, lists are joined."""
    whole = {}
    for file in files:
        with open(file, encoding="utf-8") as text:
            whole = _merged(whole, yaml.safe_load(text))
    return _filled_in(whole, variables or {})


def _merged(first, second):
    if isinstance(first, dict) and isinstance(second, dict):
        return first | {key: _merged(first[key], value) if key in first else value for key, value in second.items()}
    if isinstance(first, list) and isinstance(second, list):
        return first + [item for item in second if item not in first]
    return second


def _filled_in(value, variables):
    if isinstance(value, dict):
        return {key: _filled_in(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled_in(item, variables) for item in value]
    if isinstance(value, str):
        return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: variables.get(found[1]) or found[2], value)
    return value


def seconds(text):
    """A duration of compose or of askd, such as 90s or 1m30s; a bare number of askd's is in milliseconds."""
    text = text if re.search("[a-z]", text) else f"{text}ms"
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
    parts = re.findall(r"(\d+)(ms|s|m|h)", text)
    assert parts and "".join(a + b for a, b in parts) == text, f"{text!r} is no duration"
    return sum(int(number) * units[unit] for number, unit in parts)


def size(text):
    """A size of compose (7g) or of askd (2GiB), in bytes."""
    number, unit = re.fullmatch(r"(\d+)\s*([kmg])?(?:i?b)?", text.lower()).groups()
    return int(number) * {None: 1, "k": 2**10, "m": 2**20, "g": 2**30}[unit]


def podman_options(service, secrets, volumes, folder):
    """The options of `podman run` for this service.

    `volumes` gives a folder of this machine for each named volume; `secrets` is the folder of all secrets. What podman
    calls otherwise is translated. Left out: limits, which need cgroups of one's own; ports and networks, for the tests
    have one of their own; the health check, which tests run themselves; AppArmor, which the tests' machines lack.
    """
    options = [f"--env={name}={value}" for name, value in service.get("environment", {}).items()]
    options += [
        f"--volume={os.path.join(secrets, name)}:/run/secrets/{name}:ro" for name in service.get("secrets", [])
    ]
    for volume in service.get("volumes", []):
        name, _, rest = volume.partition(":")
        options.append(f"--volume={volumes[name]}:{rest}")
    options += [f"--tmpfs={place}" for place in service.get("tmpfs", [])]
    options += [f"--cap-drop={name}" for name in service.get("cap_drop", [])]
    if service.get("read_only"):
        options += ["--read-only", "--read-only-tmpfs=false"]
    if "user" in service:
        options.append(f"--user={service['user']}")
    for option in service.get("security_opt", []):
        name, _, value = re.sub(r"^(no-new-privileges):true$", r"\1", option).partition("=")
        if name == "systempaths" and value == "unconfined":
            options.append("--security-opt=unmask=ALL")
        elif name == "seccomp":
            options.append(f"--security-opt=seccomp={os.path.join(folder, value)}")
        elif name == "no-new-privileges":
            options.append("--security-opt=no-new-privileges")
        else:
            assert (name, value) == ("apparmor", "unconfined"), f"{option} is not known to the tests"
    known = {
        "image",
        "build",
        "environment",
        "secrets",
        "volumes",
        "tmpfs",
        "cap_drop",
        "read_only",
        "user",
        "security_opt",
        "healthcheck",
        "ports",
        "networks",
        "depends_on",
        "mem_limit",
        "pids_limit",
        "stop_grace_period",
        "restart",
        "logging",
    }
    assert not set(service) - known, f"not known to the tests: {set(service) - known}"
    return options
