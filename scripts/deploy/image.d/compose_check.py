"""Checks every documented combination of compose files. Argument: the JSON schema of the compose specification."""

import json
import re
import sys
from pathlib import Path

import jsonschema
import yaml
from compose import load, seconds, size

COMBINATIONS = [
    ["compose.yaml"],
    ["compose.yaml", "compose.postgres.yaml"],
    ["compose.yaml", "compose.bubblewrap.yaml"],
    ["compose.yaml", "compose.postgres.yaml", "compose.bubblewrap.yaml"],
]

settings = Path("docs/reference/settings.md").read_text(encoding="utf-8")
names = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", settings))
defaults = dict(re.findall(r"^\| `(\w+)` \| `\w+` \| `([^`]+)` \|", settings, re.M))


def check(files):
    for file in files:
        whole = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
        errors = [f"{file}: {'/'.join(map(str, e.absolute_path))}: {e.message}" for e in validator.iter_errors(whole)]
        assert not errors, "\n".join(errors)

    whole = load(*files)
    askd = whole["services"]["askd"]
    for name, value in askd["environment"].items():
        assert name in names, f"{name} is no setting of docs/reference/settings.md"
        assert name.endswith("_FILE") or "KEY" not in name, f"{name} belongs into a secret"
        if name.endswith("_FILE"):
            assert value.removeprefix("/run/secrets/") in askd["secrets"], (
                f"{name}: {value} is no secret of the service"
            )
    for service in whole["services"].values():
        for secret in service["secrets"]:
            assert secret in whole["secrets"], f"there is no secret {secret}"
        for volume in service["volumes"]:
            assert volume.split(":")[0] in whole["volumes"], f"{volume} is no named volume"
        assert "no-new-privileges:true" in service["security_opt"]
        assert {"mem_limit", "pids_limit", "logging", "restart"} <= set(service), "something is without bounds"
        assert not service.get("privileged") and not service.get("cap_add")
    for secret in whole["secrets"].values():
        assert secret["file"].startswith("./secrets/"), secret

    assert askd["read_only"] is True and askd["cap_drop"] == ["ALL"] and askd["user"] == "1000:1000"
    assert askd["ports"] and all(port.startswith("127.0.0.1:") for port in askd["ports"]), (
        "it listens beyond this machine"
    )
    for option in askd["security_opt"]:
        if option.startswith("seccomp="):
            json.loads(Path(option.removeprefix("seccomp=")).read_text(encoding="utf-8"))

    value = lambda name: askd["environment"].get(name, defaults[name])  # noqa: E731
    stopping = [
        "ASKD_DRAIN_DELAY",
        "ASKD_SHUTDOWN_GRACE",
        "ASKD_STOP_SOFT",
        "ASKD_STOP_EOF",
        "ASKD_STOP_TERM",
        "ASKD_STOP_KILL",
    ]
    needed = sum(seconds(value(name)) for name in stopping if name in defaults)
    assert seconds(askd["stop_grace_period"]) > needed, f"askd needs {needed} s to stop, stop_grace_period is less"
    needed = int(value("MAX_CONCURRENT")) * size(value("ASKD_MAX_MEMORY")) + 512 * 2**20
    assert size(askd["mem_limit"]) >= needed, f"mem_limit is below the {needed} bytes that runs may take"
    assert askd["pids_limit"] >= int(value("MAX_CONCURRENT")) * int(value("ASKD_MAX_PROCESSES")) + 512, "pids_limit"


validator = jsonschema.Draft7Validator(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
for files in COMBINATIONS:
    check(files)
    print("checked", *files)

# The page's command for who has no Compose starts the same.
askd = load("compose.yaml")["services"]["askd"]
page = Path("docs/install/docker.md").read_text(encoding="utf-8")
command = re.search(r"^docker build --tag askd \.\n(docker run.*?)^```$", page, re.M | re.S)[1]
wanted = ["--read-only", "--restart " + askd["restart"], "--pids-limit " + str(askd["pids_limit"])]
wanted += [f"--memory {askd['mem_limit']}", f"--stop-timeout {round(seconds(askd['stop_grace_period']))}"]
wanted += ["--publish " + askd["ports"][0], *(f"--tmpfs {place}" for place in askd["tmpfs"])]
wanted += [f"--cap-drop {name}" for name in askd["cap_drop"]]
wanted += [f"--security-opt {option.removesuffix(':true')}" for option in askd["security_opt"]]
wanted += [f"--volume askd-{volume}" for volume in askd["volumes"]]
wanted += [f"--env {name}={value}" for name, value in askd["environment"].items() if name.endswith("_FILE")]
wanted += [f'--volume "$PWD/secrets/{name}:/run/secrets/{name}:ro"' for name in askd["secrets"]]
missing = [words for words in [w.replace("${ASKD_PORT:-3000}", "3000") for w in wanted] if words not in command]
assert not missing, f"docs/install/docker.md starts the container without {missing}"

# The page on health shows what the image asks, and says why it is not what compose.yaml asks.
asked = re.search(r"^HEALTHCHECK .*$", Path("Dockerfile").read_text(encoding="utf-8"), re.M)[0]
assert asked in Path("docs/health.md").read_text(encoding="utf-8"), f"docs/health.md does not have the image's {asked}"
assert asked.endswith('"--live"]') and "--live" not in askd["healthcheck"]["test"], "docs/health.md: what is asked of which"

# A slip is found.
slip = {"services": {"askd": {"image": "askd", "read_onyl": True}}}
assert list(validator.iter_errors(slip)), "the schema takes anything"
