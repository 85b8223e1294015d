"""A private PostgreSQL in the tests' own network, at the address that compose.postgres.yaml has."""

import os
import pwd
import re
import shutil
import signal
import subprocess
from pathlib import Path

from engine import until


class Database:
    """Ends with the tests; it is their own, and no other's. It has the role and the database of a URL."""

    @staticmethod
    def programs():
        """The folder of the newest PostgreSQL of this machine."""
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
        return found[-1].parent if found else None

    def __init__(self, programs, folder, url):
        self.programs, self.folder = programs, folder
        self.role, self.password, self.port, self.name = re.match(
            r"postgres://(\w+):(\w+)@postgres:(\d+)/(\w+)\?", url
        ).groups()

    def _call(self, program, *arguments):
        done = subprocess.run(
            [self.programs / program, *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=self.folder,
            **self.user,
        )
        assert done.returncode == 0, f"{program}: {done.stderr}"
        return done.stdout.strip()

    def ask(self, query, name=None):
        place = ["-h", str(self.folder), "-p", self.port, "-U", "postgres", name or self.name]
        return self._call("psql", "--no-psqlrc", "-At", *place, "-c", query)

    def __enter__(self):
        # It refuses to run as root.
        user = pwd.getpwnam("postgres")
        self.user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(mode=0o755)
        os.chown(self.folder, user.pw_uid, user.pw_gid)
        data = self.folder / "data"
        who = ["-U", "postgres", "--auth-local=trust", "--auth-host=scram-sha-256"]
        self._call("initdb", "-D", data, *who, "-N", "-E", "UTF8", "--locale=C.UTF-8")
        settings = [f"--port={self.port}", "--listen_addresses=127.0.0.1", "--fsync=off"]
        self.process = subprocess.Popen(
            [self.programs / "postgres", "-D", data, "-k", self.folder, *settings],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self.user,
        )
        ready = [self.programs / "pg_isready", "-q", "-h", str(self.folder), "-p", self.port]
        until(lambda: subprocess.run(ready, **self.user).returncode == 0, "PostgreSQL is ready")
        self.ask(f"create role {self.role} login password '{self.password}'", "postgres")
        self.ask(f"create database {self.name} owner {self.role}", "postgres")
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=30)
