"""Where a server of the tests has its files, and how it is started and asked.

Everything is in /srv, which is empty at first: data that were made on another machine find the paths that they had. Nothing
else is in these namespaces, so ports are free and processes are ours."""

import hashlib
import http.client
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

SRV = Path("/srv")
FOLDERS = DATA, CONFIG, WORKSPACES = [SRV / name for name in ("data", "config", "workspaces")]
LOGS = SRV / "logs"
# Of PostgreSQL, the newest that is here.
PROGRAMS = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda found: int(found.parent.name), default=Path("/usr/bin"))
DUMP = SRV / "dump.sql"
ADMIN = "the-key-of-an-upgrade"
SECRET_KEY = hashlib.sha256(ADMIN.encode()).hexdigest()
# A user whom no file of the system knows.
USER = 1000
# With what hangs; a machine may be slow.
PATIENCE = 180


def fail(why, log=None):
    if log:
        print("\n".join(log.read_text().splitlines()[-60:]), flush=True)
    sys.exit(why)


def until(what, holds, log=None):
    end = time.monotonic() + PATIENCE
    while True:
        found = holds()
        if found:
            return found
        if time.monotonic() > end:
            fail(f"not within {PATIENCE} s: {what}", log)
        time.sleep(0.05)


class Model:
    """The scripted model of askd."""

    def __init__(self, program):
        self.process = subprocess.Popen(
            [program, "demo", "--only-model"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.address = self.process.stdout.readline().strip()

    def heard_last(self):
        """What the CLI asked last, as text."""
        host = self.address.removeprefix("http://").rstrip("/")
        connection = http.client.HTTPConnection(host, timeout=30)
        connection.request("GET", "/__requests?last=3")
        return connection.getresponse().read().decode()

    def end(self):
        self.process.stdin.close()
        self.process.wait(PATIENCE)


class Sqlite:
    """The store of one server."""

    name, url = "sqlite", None
    now = "CAST(strftime('%s') AS INTEGER)"

    def begin(self):
        pass

    def end(self):
        pass

    def save(self):
        """Nothing that is not in the data folder."""

    def load(self):
        pass

    def execute(self, sql):
        """By a process that ends without closing the file, so that SQLite's log stays as it is."""
        code = "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('PRAGMA wal_autocheckpoint = 0');"
        code += "c.executescript(sys.argv[2]); c.commit(); os._exit(0)"
        subprocess.run([sys.executable, "-c", code, DATA / "askd.db", sql], check=True)
        own(DATA)

    def rows(self, *, but=()):
        """Everything that is in it."""
        copy = SRV / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        for file in DATA.glob("askd.db*"):
            shutil.copy(file, copy)
        connection = sqlite3.connect(copy / "askd.db")
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {name: sorted(map(repr, connection.execute(f"SELECT * FROM {name}"))) for name in tables}
        connection.close()
        return {name: rows for name, rows in found.items() if name not in but}


class Postgres:
    """The store of several: a private PostgreSQL."""

    name, url = "postgres", "postgres://postgres@localhost/askd?host=/srv/postgres"
    now = "extract(epoch FROM now())::bigint"
    folder = SRV / "postgres"

    process = None

    def begin(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        shutil.chown(self.folder, "postgres", "postgres")
        data = self.folder / "data"
        made = "-U postgres -A trust -N --no-instructions -E UTF8 --locale=C.UTF-8".split()
        self._run("initdb", "-D", data, *made, user="postgres")
        settings = ["-c", "listen_addresses=", "-c", "fsync=off"]
        self.process = subprocess.Popen(
            [PROGRAMS / "postgres", "-D", data, "-k", self.folder, *settings],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", user="postgres", group="postgres", extra_groups=[],
        )
        ready = [PROGRAMS / "pg_isready", "-q", "-h", self.folder]
        until("PostgreSQL starts", lambda: subprocess.run(ready).returncode == 0)
        self._run("createdb", "askd")

    def end(self):
        if self.process:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(PATIENCE)
            self.process = None

    def save(self):
        DUMP.write_text(self.dump())

    def load(self):
        for done in (["dropdb", "--force", "askd"], ["createdb", "askd"], ["psql", "-qX", "-v", "ON_ERROR_STOP=1", "-f", DUMP]):
            self._run(*done)

    def execute(self, sql):
        self._run("psql", "-qX", "-v", "ON_ERROR_STOP=1", "-c", sql)

    def dump(self):
        """A dump that any later version can load: what newer programs write for their own psql alone is left out."""
        text = self._run("pg_dump", "--no-owner", "--no-privileges", "--inserts", "askd")
        return "".join(line for line in text.splitlines(True) if not line.startswith(("\\", "SET transaction_timeout")))

    def rows(self, *, but=()):
        """Everything that is in it."""
        inserts = [line for line in self.dump().splitlines() if line.startswith("INSERT INTO ")]
        return sorted(line for line in inserts if line.split()[2].removeprefix("public.") not in but)

    def _run(self, program, *arguments, user=None):
        env = {"PGHOST": str(self.folder), "PGUSER": "postgres", "PGDATABASE": "askd" if program == "psql" else "postgres"}
        env["PATH"] = os.environ["PATH"]
        more = {"user": user, "group": user, "extra_groups": []} if user else {}
        done = subprocess.run(
            [PROGRAMS / program, *arguments], env=env, cwd="/", capture_output=True, text=True, **more
        )
        if done.returncode:
            fail(f"{program}: {done.stderr}")
        return done.stdout


def _as_user():
    return {"user": USER, "group": USER, "extra_groups": []}


class Askd:
    """A program, on the store of an engine."""

    def __init__(self, program, engine, model, *, data=DATA, port=3000, log="log"):
        self.program, self.port, self.log = program, port, LOGS / log
        self.process = None
        self.env = {
            "API_KEY": ADMIN,
            "ASKD_SECRET_KEY": SECRET_KEY,
            "ASKD_LISTEN": f"127.0.0.1:{port}",
            "ASKD_DATA_DIR": str(data),
            "CONFIG_DIR": str(CONFIG),
            "WORKSPACE_DIR": str(WORKSPACES),
            "ASKD_CLAUDE_BIN": "/srv/cli/claude",
            "ANTHROPIC_BASE_URL": model.address,
            "ANTHROPIC_API_KEY": "sk-scripted-model",
            # What this machine allows is not what is tried here.
            "ASKD_ISOLATION": "best_effort",
            # One works, the next one waits.
            "MAX_CONCURRENT": "1",
            # However old the data are.
            "ASKD_RUN_RETENTION": "87600h", "ASKD_EVENT_RETENTION": "87600h", "ASKD_SESSION_RETENTION": "87600h",
            "ASKD_UPLOAD_RETENTION": "87600h", "ASKD_AUDIT_RETENTION": "87600h",
            "PATH": os.environ["PATH"], "HOME": "/nonexistent",
        }
        if engine.url:
            self.env["ASKD_DATABASE_URL"] = engine.url

    def command(self, *arguments):
        """A command that ends by itself: exit code, and what it said."""
        done = subprocess.run(
            [self.program, *arguments], env=self.env, cwd="/", text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **_as_user(),
        )
        return done.returncode, done.stdout.strip()

    def start(self):
        LOGS.mkdir(exist_ok=True)
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [self.program, "serve"], env=self.env, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log, **_as_user()
            )
        until(f"{self.program} is ready", self._is_ready, self.log)
        return self

    def _is_ready(self):
        if self.process.poll() is not None:
            fail(f"{self.program} ended with {self.process.returncode} instead of being ready", self.log)
        try:
            return self.ask("GET", "/readyz")[0] == 200
        except OSError:
            return False

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(PATIENCE):
            fail(f"{self.program} ends with {self.process.returncode}", self.log)

    def kill(self):
        """As a crash does it. The guardians end what it has started."""
        self.process.kill()
        self.process.wait()
        until("nothing of askd is left", lambda: not _processes(str(self.program)))

    def ask(self, method, path, body=None, key=ADMIN, **headers):
        """Status, headers and bytes of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        headers = {name.replace("_", "-"): value for name, value in headers.items()} | {"x-api-key": key}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if body is not None:
            headers.setdefault("content-type", "application/json")
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def json(self, method, path, body=None, key=ADMIN, **headers):
        status, _, answer = self.ask(method, path, body, key, **headers)
        if status >= 300:
            fail(f"{method} {path}: {status} {answer.decode()}", self.log)
        return json.loads(answer)

    def run(self, body, key=ADMIN):
        """A run, from its submission to its end."""
        run = self.json("POST", "/v1/runs", body, key)["id"]
        self.events(run)
        return self.json("GET", f"/v1/runs/{run}")

    def events(self, run, until_word=None):
        """All events of a run that has ended; of another one those up to one with this word."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request("GET", f"/v1/runs/{run}/events", headers={"x-api-key": ADMIN, "accept": "application/x-ndjson"})
        answer, lines = connection.getresponse(), []
        assert answer.status == 200, f"the events of {run}: {answer.status}"
        for line in answer:
            lines.append(line.decode())
            if until_word and until_word in lines[-1]:
                break
        connection.close()
        return lines


def _processes(word):
    """Processes of these namespaces that are this program, or the CLI."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if "demo\0--only-model" not in line and (line.startswith((word, "/srv/cli/claude")) or "__launch" in line):
            found.append(folder.name)
    return found


def files():
    """What is in the data folder, by name, as hashes; without what every command may make anew."""
    found = {}
    for file in DATA.rglob("*"):
        name = str(file.relative_to(DATA))
        is_content = file.is_file() and name not in ("lock", "cli.json", "askd.db-shm")
        # SQLite's log, in which nothing is, may be there or not.
        if is_content and not (name == "askd.db-wal" and file.stat().st_size == 0):
            found[name] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def new_folders():
    for folder in (*FOLDERS, LOGS):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    (WORKSPACES / "shop").mkdir()
    for folder in (SRV / "newer", SRV / "backups"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        own(folder)
    for folder in FOLDERS:
        own(folder)


def own(folder):
    for path in (folder, *folder.rglob("*")):
        os.chown(path, USER, USER, follow_symlinks=False)
