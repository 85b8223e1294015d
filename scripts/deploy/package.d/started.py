"""Starts the installed askd as its unit says, and holds what it does against what systemd expects of such a service.

    started.py ROOT CLI

in network and process namespaces of its own. ROOT is a system in which askd is installed, CLI is what npm has made of /opt/claude.
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pages

HERE = Path(__file__).parent
ROOT, CLI = Path(sys.argv[1]), Path(sys.argv[2])
PATIENCE = 60
# As the settings that are shipped say.
SERVER = "http://127.0.0.1:3000"


class Service:
    """A started one, and what it tells systemd."""

    def __init__(self, name: str, changes: list[str]) -> None:
        path = ROOT.parent / f"notify-{name}"
        path.unlink(missing_ok=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        os.chmod(path, 0o666)
        self.said: list[str] = []
        self.log = ROOT.parent / f"log-{name}"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--propagation", "private", sys.executable, "-B", HERE / "sandbox.py", ROOT, CLI, *changes],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, "TEST_NOTIFY_SOCKET": str(path)},
            )

    def fail(self, why: str) -> None:
        print(self.log.read_text()[-6000:])
        print("told systemd:", *self.said[-10:], sep="\n  ")
        self.process.kill()
        sys.exit(why)

    def hears(self, word: str, after: int = 0) -> int:
        """Waits for a word; where it was said."""
        deadline = time.monotonic() + PATIENCE
        while True:
            for at, said in enumerate(self.said[after:], after):
                if word in said:
                    return at + 1
            if self.process.poll() is not None:
                self.fail(f"askd ended with {self.process.returncode} before it said {word}")
            if time.monotonic() > deadline:
                self.fail(f"askd did not say {word}")
            self.socket.settimeout(1)
            try:
                self.said.append(self.socket.recv(4096).decode())
            except TimeoutError:
                pass

    def ends(self) -> int:
        deadline = time.monotonic() + PATIENCE
        self.socket.settimeout(0.2)
        while self.process.poll() is None:
            if time.monotonic() > deadline:
                self.fail("askd did not end")
            try:
                self.said.append(self.socket.recv(4096).decode())
            except TimeoutError:
                pass
        # What it said last.
        self.socket.setblocking(False)
        try:
            while True:
                self.said.append(self.socket.recv(4096).decode())
        except BlockingIOError:
            pass
        return self.process.returncode


def key() -> str:
    return (ROOT / "etc/askd/credentials/api-key").read_text().strip()


def get(path: str) -> dict:
    request = urllib.request.Request(SERVER + path, headers={"x-api-key": key()})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def shell(commands: str) -> None:
    """Commands of a page, in a shell of root beside the server."""
    print(commands, end="", flush=True)
    subprocess.run(
        ["unshare", "--mount", "--propagation", "private", sys.executable, "-B", HERE / "sandbox.py", ROOT, CLI, "--shell", commands],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True,
    )


def refused(service: Service, key: str) -> None:
    try:
        urllib.request.urlopen(urllib.request.Request(f"{SERVER}/v1/isolation", headers={"x-api-key": key}), timeout=30)
    except urllib.error.HTTPError as error:
        assert error.code == 401
    else:
        service.fail("askd answers without a key, or with an old one")


def layer(changes: list[str]) -> str:
    service = Service("changed", changes)
    service.hears("READY=1")
    found = get("/v1/isolation")["layer"]
    service.process.terminate()
    service.ends()
    return found


def main() -> None:
    service = Service("unit", [])
    service.hears("READY=1")
    print("ready, and told systemd so")

    with urllib.request.urlopen(f"{SERVER}/readyz", timeout=30) as answer:
        assert answer.status == 200
    isolation = get("/v1/isolation")
    print(f"isolation: {isolation['layer']}: {', '.join(isolation['in_force'])}")
    if isolation["layer"] != "bubblewrap":
        service.fail(f"the unit takes bubblewrap away: {isolation.get('reason')}")
    refused(service, "")

    status = Path(f"/proc/{service.process.pid}/status").read_text()
    rights = dict(line.split(":\t", 1) for line in status.splitlines())
    assert rights["NoNewPrivs"] == "1" and int(rights["CapBnd"], 16) == 0 and int(rights["CapEff"], 16) == 0, rights
    assert rights["Uid"].split()[0] != "0"

    service.hears("WATCHDOG=1")
    service.hears("WATCHDOG=1", len(service.said))
    print("the watchdog is fed")

    for block in pages.after_start():
        if not block.mark:
            shell(block.text)

    # A new key counts after a reload: the reason why secrets are files here and not copies that systemd makes.
    place = ROOT / "etc/askd/credentials/api-key"
    old = key()
    place.write_text(f"{secrets.token_hex(24)}\n")
    at = len(service.said)
    service.process.send_signal(signal.SIGHUP)
    at = service.hears("RELOADING=1", at)
    assert "MONOTONIC_USEC=" in service.said[at - 1]
    service.hears("READY=1", at)
    get("/v1/isolation")
    refused(service, old)
    print("reloaded, with the new key and not with the old one")

    service.process.terminate()
    code = service.ends()
    if code != 0:
        service.fail(f"ended with {code}")
    assert not list((ROOT / "var/lib/askd/data/homes").glob("*"))
    print("ended with 0")

    # What the unit says of the lines that it leaves out.
    for change in ("ProtectKernelTunables=yes", "ProtectKernelLogs=yes"):
        found = layer([change])
        print(f"with {change}: {found}")
        if found == "bubblewrap":
            sys.exit(f"{change} takes nothing away here; the unit may have it")


main()
