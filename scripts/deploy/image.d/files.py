"""What must hold of the images as they are, before anything is started."""

import hashlib
import os
import stat
from pathlib import Path

USER = 1000
FOLDERS = ["/home/node/.claude", "/var/lib/askd", "/workspace"]
# Limits that are noticed, in MB: of what Debian brings, and of the whole with the CLI, which is two thirds of it.
LARGEST = {"without-cli": 350, "test": 750}


def check(engine):
    with Mounted(engine, "localhost/askd:builder") as root:
        let_in = {path.name for path in (root / "src").iterdir()}
        wanted = {"Cargo.lock", "Cargo.toml", "LICENSE-APACHE", "LICENSE-MIT", "crates", "deploy", "scripts"}
        assert let_in == wanted, f".dockerignore lets other things into the build: {let_in ^ wanted}"
    for tag in ("without-cli", "test"):
        image = f"localhost/askd:{tag}"

        _config(engine.config(image), with_cli=tag == "test")
        with Mounted(engine, image) as root:
            total = _files(root)
            own = (root / "usr/local/bin/askd").stat().st_size
            _texts(root)
            (_the_cli if tag == "test" else _no_cli)(root)
        megabytes = round(total / 1e6)
        assert megabytes < LARGEST[tag], f"the image {tag} has {megabytes} MB"
        print(f"the image {tag} has {megabytes} MB; its askd alone {round(own / 1e6)} MB")


class Mounted:
    """The files of an image."""

    def __init__(self, engine, image):
        self.engine, self.image = engine, image

    def __enter__(self):
        return Path(self.engine.call("image", "mount", self.image).stdout.strip())

    def __exit__(self, *_):
        self.engine.call("image", "unmount", self.image)


def _config(told, with_cli):
    config = told["Config"]
    environment = dict(pair.split("=", 1) for pair in config["Env"])
    path = environment.pop("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    assert "/usr/local/bin" in path.split(":")
    assert environment == {
        "HOME": "/home/node",
        "LANG": "C.UTF-8",
        "ASKD_LISTEN": "0.0.0.0:3000",
        "ASKD_DATA_DIR": "/var/lib/askd",
        "ASKD_CLAUDE_BIN": "/opt/claude/claude",
        "CONFIG_DIR": "/home/node/.claude",
        "WORKSPACE_DIR": "/workspace",
    }, environment
    assert config["User"] == "1000:1000", config["User"]
    assert config["Entrypoint"] == ["askd"] and config["Cmd"] == ["serve"], config
    assert config["StopSignal"] == "SIGTERM"
    assert list(config["ExposedPorts"]) == ["3000/tcp"]
    assert told["Healthcheck"]["Test"] == ["CMD", "askd", "healthcheck", "--live"]
    # A volume that nobody named is a volume that nobody finds again.
    assert not config.get("Volumes"), config["Volumes"]
    labels = config["Labels"]
    assert labels["org.opencontainers.image.title"] == "askd"
    assert ("askd.cli.version" in labels) == with_cli
    assert "Anthropic" in labels["org.opencontainers.image.licenses"] or not with_cli


def _files(root):
    """Nobody but root can change anything outside of the folders for volumes; and how many bytes there are."""
    total, wrong = 0, []
    for folder, names, files in os.walk(root):
        for name in [*names, *files]:
            path = os.path.join(folder, name)
            inside = "/" + os.path.relpath(path, root)
            found = os.lstat(path)
            total += found.st_size if stat.S_ISREG(found.st_mode) else 0
            if stat.S_ISLNK(found.st_mode):
                continue
            mode = found.st_mode
            writable = (
                mode & 0o002 or (found.st_gid == USER and mode & 0o020) or (found.st_uid == USER and mode & 0o200)
            )
            if writable and inside not in [*FOLDERS, "/tmp"] and not stat.S_ISCHR(mode):
                wrong.append(f"{inside} can be written by the user")
            if inside in FOLDERS:
                assert found.st_uid == found.st_gid == USER, f"{inside} is not the user's"
            if stat.S_ISREG(mode) and mode & 0o6000:
                wrong.append(f"{inside} gives rights to who starts it")
            if stat.S_ISREG(mode) and not os.access(path, os.R_OK):
                wrong.append(f"{inside} cannot be read")
    assert not wrong, "\n".join(wrong)
    for empty in [*FOLDERS, "/tmp", "/var/lib/apt/lists", "/var/log", "/var/cache", "/src", "/prebuilt"]:
        place = root / empty.lstrip("/")
        left = [path for path in place.rglob("*") if not path.is_dir()]
        assert not left, f"something was left in {empty}: {left}"
    for program in ["git", "rg", "bwrap", "socat", "bash"]:
        assert (root / "usr/bin" / program).exists(), f"{program} is missing"
    assert (root / "etc/ssl/certs/ca-certificates.crt").stat().st_size > 100_000, "there are no certificates"
    assert "askd:x:1000:1000::/home/node:/bin/bash" in (root / "etc/passwd").read_text()
    return total


def _texts(root):
    texts = root / "usr/share/doc/askd"
    assert "MIT License" in (texts / "LICENSE-MIT").read_text()
    assert "Apache License" in (texts / "LICENSE-APACHE").read_text()
    assert "Anthropic" in (texts / "NOTICE").read_text()
    third = (texts / "THIRD-PARTY-LICENCES").read_text()
    for crate in ["tokio-1.", "ring-0.", "sea-orm-2.", "axum-0."]:
        assert crate in third, f"{crate} is missing in THIRD-PARTY-LICENCES"


def _the_cli(root):
    """The CLI is, byte for byte, the one that npm gives to everybody."""
    place = root / "opt/claude"
    version = Path("scripts/cli-version").read_text().strip()
    own = Path("target/cli") / version / "claude"
    assert own.exists(), f"{own} is missing: run scripts/install-cli"
    assert _sum(place / "claude") == _sum(own), "the CLI in the image is not what npm gave to this checkout"
    texts = [path.name for path in place.iterdir() if path.name != "claude"]
    assert any(name.upper().startswith("LICENSE") for name in texts), f"the licence of the CLI is missing: {texts}"


def _no_cli(root):
    assert not list((root / "opt/claude").iterdir()), "there is something in /opt/claude"


def _sum(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
