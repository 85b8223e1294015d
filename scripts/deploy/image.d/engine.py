"""podman, as scripts/deploy/image has set it up, and the containers that tests start with it."""

import json
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

ADDRESS = "http://127.0.0.1:3000"


class Engine:
    """The image store in the folder `work`."""

    def __init__(self, work):
        self.work = Path(work)
        self.command = (self.work / "podman").read_text().splitlines()

    def call(self, *arguments, timeout=120, check=True):
        """What podman prints; both of its outputs are in the error, if it fails."""
        done = subprocess.run(
            [*self.command, *arguments], capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL
        )
        if check and done.returncode != 0:
            raise AssertionError(f"podman {' '.join(arguments[:2])} failed: {done.stderr}{done.stdout}")
        return done

    def config(self, image):
        return json.loads(self.call("image", "inspect", image).stdout)[0]


class Container:
    """One that is removed at the end, and whose log is printed if something did not hold."""

    # This machine may forbid to raise limits, which podman would do.
    OPTIONS = (
        "--cgroups=disabled",
        "--network=host",
        "--ulimit=nofile=16384:16384",
        "--ulimit=nproc=8192:8192",
        "--pull=never",
    )

    def __init__(self, engine, name, image, options, arguments=()):
        self.engine, self.name = engine, name
        self.options = [*self.OPTIONS, f"--name={name}", *options]
        self.image, self.arguments = image, arguments

    def __enter__(self):
        self.engine.call("run", "--detach", *self.options, self.image, *self.arguments)
        return self

    def __exit__(self, kind, error, _traceback):
        if error is not None:
            print(f"the log of {self.name}:\n{self.log()}")
        self.engine.call("rm", "--force", "--time=0", self.name, check=False)

    def log(self):
        done = self.engine.call("logs", self.name, check=False)
        return done.stdout + done.stderr

    def state(self):
        return json.loads(self.engine.call("container", "inspect", self.name).stdout)[0]["State"]

    def inside(self, *command):
        """What a program in the container prints."""
        return self.engine.call("exec", self.name, *command).stdout

    def until_ready(self, deadline=60):
        end = time.monotonic() + deadline
        while True:
            try:
                if get("/readyz")[0] == 200:
                    return self
            except OSError:
                pass
            assert self.state()["Status"] == "running", f"it ended: {self.log()}"
            assert time.monotonic() < end, f"it was not ready within {deadline} s: {self.log()}"
            time.sleep(0.1)

    def until_ended(self, deadline):
        """Its exit code, and the seconds that it took."""
        begun = time.monotonic()
        while self.state()["Status"] == "running":
            assert time.monotonic() - begun < deadline, f"it did not end within {deadline} s"
            time.sleep(0.1)
        return self.state()["ExitCode"], time.monotonic() - begun


def get(path, key=""):
    return _answer(urllib.request.Request(ADDRESS + path, headers={"x-api-key": key}))


def post(path, body, key):
    headers = {"x-api-key": key, "content-type": "application/json"}
    return _answer(urllib.request.Request(ADDRESS + path, json.dumps(body).encode(), headers))


def _answer(request):
    """Status and body, whatever the status is."""
    try:
        with urllib.request.urlopen(request, timeout=90) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    return status, json.loads(text)


def until(condition, what, deadline=30):
    end = time.monotonic() + deadline
    while True:
        if found := condition():
            return found
        assert time.monotonic() < end, f"not within {deadline} s: {what}"
        time.sleep(0.1)
