"""Runs files/clone.sh with the real git, as an ordinary user, against repositories of this test, one of them over HTTP with a
password."""

import base64
import http.server
import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import chart

SCRIPT = (chart.FOLDER / "files/clone.sh").resolve()
# Who runs it: nobody, if this is root.
USER = 65534 if os.geteuid() == 0 else os.geteuid()
AS_USER = {"user": USER, "group": USER, "extra_groups": []} if os.geteuid() == 0 else {}
PASSWORD = "a-password-of-this-test"


def git(*arguments, folder):
    quiet = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/nonexistent"}
    who = {f"GIT_{role}_{what}": "test@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=os.environ | quiet | who, check=True, capture_output=True, text=True, **AS_USER
    )
    return done.stdout.strip()


class Backend(http.server.BaseHTTPRequestHandler):
    """git's own server side, behind a password."""

    root = None

    def answer(self):
        wanted = "Basic " + base64.b64encode(f"me:{PASSWORD}".encode()).decode()
        if self.headers.get("authorization") != wanted:
            self.send_response(401)
            self.send_header("www-authenticate", 'Basic realm="test"')
            self.send_header("content-length", "0")
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        env = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(self.root), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path,
            "QUERY_STRING": query, "REQUEST_METHOD": self.command, "CONTENT_TYPE": self.headers.get("content-type", ""),
            "CONTENT_LENGTH": str(len(body)), "HTTP_CONTENT_ENCODING": self.headers.get("content-encoding", ""),
            "GIT_PROTOCOL": self.headers.get("git-protocol", ""), "REMOTE_USER": "me",
        }
        said = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True, **AS_USER).stdout
        head, _, rest = said.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
        self.send_response(int(headers.pop("Status", "200 OK").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


class Place:
    def __init__(self, work):
        self.work = Path(work).resolve()
        shutil.rmtree(self.work, ignore_errors=True)
        self.into, self.tmp, self.source = (self.work / name for name in ("workspace", "tmp", "source"))
        for folder in (self.into, self.tmp, self.source):
            folder.mkdir(parents=True)
            self.give(folder)
        git("init", "--quiet", "--initial-branch=main", ".", folder=self.source)
        for number in range(3):
            (self.source / "README").write_text(f"version {number}\n")
            git("add", "README", folder=self.source)
            git("commit", "--quiet", "--message", f"version {number}", folder=self.source)
        git("tag", "--annotate", "--message", "one", "v1", "HEAD~1", folder=self.source)

    def give(self, path):
        """To the user who runs the script."""
        if os.geteuid() == 0:
            os.chown(path, USER, USER, follow_symlinks=False)

    def clone(self, **given):
        """Runs the script with these variables; those that are `None` are not set."""
        wanted = {
            "name": "shop", "url": f"file://{self.source}", "ref": "main", "depth": "1", "existing": "keep", "seconds": "30",
            "into": str(self.into), "protocols": "file:http",
        } | given
        env = {"PATH": os.environ["PATH"], "HOME": str(self.tmp)}
        env |= {f"CLONE_{key.upper()}": value for key, value in wanted.items() if value is not None}
        return subprocess.run(["sh", str(SCRIPT)], env=env, cwd="/", capture_output=True, text=True, timeout=60, **AS_USER)

    def fresh(self):
        subprocess.run(["chmod", "-R", "u+rwX", str(self.into)], check=False)
        for found in self.into.iterdir():
            shutil.rmtree(found) if found.is_dir() and not found.is_symlink() else found.unlink()

    def left(self):
        return sorted(found.name for found in self.into.iterdir())

    @property
    def text(self):
        return (self.into / "shop/README").read_text()

    @property
    def commits(self):
        return git("rev-list", "--count", "HEAD", folder=self.into / "shop")


def a_branch_a_tag_and_a_commit_are_cloned_as_deep_as_asked(place):
    commit = git("rev-parse", "HEAD~2", folder=place.source)
    wanted = [("main", "1", "version 2\n", "1"), ("v1", "0", "version 1\n", "2"), (commit, "1", "version 0\n", "1")]
    for ref, depth, text, commits in wanted:
        place.fresh()
        done = place.clone(ref=ref, depth=depth)
        assert done.returncode == 0, done.stderr
        assert (place.text, place.commits, place.left()) == (text, commits, ["shop"]), done
        mode = stat.S_IMODE((place.into / "shop").stat().st_mode)
        assert mode == 0o700, oct(mode)


def what_is_not_there_fails_and_leaves_nothing(place):
    place.fresh()
    for given in ({"ref": "no-such-branch"}, {"ref": "f" * 40}, {"url": f"file://{place.work}/nowhere"}):
        done = place.clone(**given)
        assert done.returncode != 0 and "could not be fetched" in done.stderr, done
        assert not (place.into / "shop").exists()


def only_https_and_ssh_are_spoken(place):
    place.fresh()
    done = place.clone(protocols=None)
    assert done.returncode != 0 and "'file' not allowed" in done.stderr, done
    done = place.clone(protocols=None, url="ext::sh -c 'touch /tmp/owned'")
    assert done.returncode != 0 and "'ext' not allowed" in done.stderr, done


def what_is_there_is_kept_and_git_is_not_run_in_it(place):
    place.fresh()
    assert place.clone().returncode == 0
    (place.into / "shop/README").write_text("an agent's\n")
    evil = place.into / "shop/.git/config"
    owned = place.tmp / "owned"
    evil.write_text(evil.read_text() + f"[core]\n\tfsmonitor = touch {owned}\n\thooksPath = /nonexistent\n")
    for _ in range(2):
        done = place.clone()
        assert done.returncode == 0 and "is kept" in done.stdout, done
    assert place.text == "an agent's\n" and not owned.exists()
    done = place.clone(existing="replace")
    assert done.returncode == 0 and place.text == "version 2\n" and not owned.exists(), done


def replacing_removes_what_agents_left_and_nothing_outside(place):
    place.fresh()
    assert place.clone().returncode == 0
    outside = place.tmp / "outside"
    outside.mkdir(exist_ok=True)
    (outside / "file").write_text("stays\n")
    locked = place.into / "shop/locked"
    (locked / "inside").mkdir(parents=True)
    (place.into / "shop/link").symlink_to(outside)
    for path in (locked, locked / "inside", place.into / "shop/link"):
        place.give(path)
    locked.chmod(0)
    done = place.clone(existing="replace", ref="v1")
    assert done.returncode == 0 and place.text == "version 1\n", done
    assert place.left() == ["shop"] and (outside / "file").read_text() == "stays\n"


def a_link_in_the_place_of_a_workspace_is_not_followed(place):
    place.fresh()
    outside = place.tmp / "linked"
    outside.mkdir()
    place.give(outside)
    outside.chmod(0o500)
    for link in (place.into / "shop", place.into / ".shop.cloning"):
        link.symlink_to(outside)
        place.give(link)
    done = place.clone(existing="replace")
    assert done.returncode == 0 and place.text == "version 2\n" and place.left() == ["shop"], done
    mode = stat.S_IMODE(outside.stat().st_mode)
    assert mode == 0o500, f"what a link leads to has got {oct(mode)}"


def an_interrupted_start_is_mended(place):
    place.fresh()
    assert place.clone().returncode == 0
    # Between the two renames.
    (place.into / "shop").rename(place.into / ".shop.replaced")
    half = place.into / ".shop.cloning"
    half.mkdir()
    place.give(half)
    done = place.clone()
    assert done.returncode == 0 and "is kept" in done.stdout and place.left() == ["shop"], done


def a_password_is_used_and_left_nowhere(place):
    place.fresh()
    secret = place.work / "secret"
    secret.mkdir(exist_ok=True)
    Backend.root = place.work
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/source/.git"
        try:
            done = place.clone(url=url)
            assert done.returncode != 0, "it was cloned without a password"
            (secret / "username").write_text("me")
            (secret / "password").write_text("wrong")
            done = place.clone(url=url, secret=str(secret))
            assert done.returncode != 0 and "wrong" not in done.stderr.replace("wrongly", ""), done
            assert "could not be fetched; git's words" in done.stderr, done
            (secret / "password").write_text(PASSWORD)
            done = place.clone(url=url, secret=str(secret))
        finally:
            server.shutdown()
    assert done.returncode == 0 and place.text == "version 2\n" and place.commits == "1", done
    assert PASSWORD not in done.stdout + done.stderr
    for file in place.into.rglob("*"):
        assert not file.is_file() or PASSWORD.encode() not in file.read_bytes(), f"{file} has the password"


def a_server_that_says_nothing_is_given_up(place):
    place.fresh()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        done = place.clone(url=f"http://127.0.0.1:{silent.getsockname()[1]}/x", seconds="1")
    assert done.returncode != 0 and "could not be fetched within 1 s" in done.stderr, done
    assert not (place.into / "shop").exists()


def a_secret_without_what_it_needs_is_told(place):
    place.fresh()
    secret = place.work / "ssh"
    secret.mkdir(exist_ok=True)
    done = place.clone(url="ssh://git@127.0.0.1:1/x", secret=str(secret), protocols=None)
    assert done.returncode != 0 and "neither ssh-privatekey nor password" in done.stderr, done
    (secret / "ssh-privatekey").write_text("no key")
    done = place.clone(url="ssh://git@127.0.0.1:1/x", secret=str(secret), protocols=None)
    wanted = "no known_hosts" if shutil.which("ssh") else "the image has no ssh"
    assert done.returncode != 0 and wanted in done.stderr, done


CASES = [
    a_branch_a_tag_and_a_commit_are_cloned_as_deep_as_asked,
    what_is_not_there_fails_and_leaves_nothing,
    only_https_and_ssh_are_spoken,
    what_is_there_is_kept_and_git_is_not_run_in_it,
    replacing_removes_what_agents_left_and_nothing_outside,
    a_link_in_the_place_of_a_workspace_is_not_followed,
    an_interrupted_start_is_mended,
    a_password_is_used_and_left_nowhere,
    a_server_that_says_nothing_is_given_up,
    a_secret_without_what_it_needs_is_told,
]


def main(work):
    place = Place(work)
    try:
        for case in CASES:
            case(place)
            print(case.__name__.replace("_", " "))
    finally:
        place.fresh()
        shutil.rmtree(place.work, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
