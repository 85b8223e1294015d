"""Starts askd as the chart starts it in a pod: with its variables, its settings file and its secrets as files. Then asks it
what the kubelet, Prometheus, a client and `helm test` ask, by the names that they use, the question of the install page, and
stops it as a pod is stopped.

Addresses, folders and the model are stood in for; the rest is what the chart makes."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from commands import blocks, commands, ran

import accepted
import chart

# Who runs it, if this is root: a user whom no file of the system knows, as in the variant `restricted`.
USER = chart.values("restricted")["runAsUser"]
AS_USER = {"user": USER, "group": USER, "extra_groups": []} if os.geteuid() == 0 else {}


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [found.getsockname()[1] for found in sockets]
    for found in sockets:
        found.close()
    return ports


def ask(port, path, host):
    """The status; `None`: nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.putrequest("GET", path, skip_host=True)
        connection.putheader("host", host)
        connection.endheaders()
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()


def until(what, holds, server, log, patience=60):
    end = time.monotonic() + patience
    while not holds():
        if server.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"{what}: not within {patience} s; the log of askd:\n{log.read_text()}")
        time.sleep(0.05)


@contextlib.contextmanager
def scripted_model(askd):
    """Its address; it ends when nobody holds its stdin."""
    command = [askd, "demo", "--only-model"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as model:
        try:
            yield model.stdout.readline().strip()
        finally:
            model.stdin.close()
            model.wait(timeout=30)


def question(port):
    """That of the install page, as it stands there; a script plays the model."""
    page = "docs/install/kubernetes.md"
    every = [command for block in blocks(Path(page).read_text()) for command in commands(block.text)]
    (command,) = [command for command in every if command.startswith("curl http://localhost:3000/ask")]
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command.replace("curl ", "curl --silent --show-error ", 1).replace(":3000", f":{port}")],
        env={"PATH": os.environ["PATH"], "API_KEY": accepted.SECRETS["api-key"]}, capture_output=True, text=True, timeout=90,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["is_error"] is False and answer["result"], answer
    ran(page, command)


def probes(rendered):
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = rendered.container[probe]["httpGet"]
        yield asked["path"], asked["httpHeaders"][0]["value"]


def main(askd, cli, work):
    work = Path(work).resolve()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    rendered = chart.Rendered(chart.values("default"))
    env = accepted.environment("default", rendered, work)
    http_port, metrics_port = free_ports(2)
    folders = {name: work / name.lower() for name in ("CONFIG_DIR", "WORKSPACE_DIR", "VOLUME")}
    for folder in folders.values():
        folder.mkdir()
    for path in [work, *work.iterdir()]:
        if AS_USER:
            os.chown(path, USER, USER)
    env |= {
        "ASKD_LISTEN": f"127.0.0.1:{http_port}",
        "ASKD_METRICS_LISTEN": f"127.0.0.1:{metrics_port}",
        "CONFIG_DIR": str(folders["CONFIG_DIR"]),
        "WORKSPACE_DIR": str(folders["WORKSPACE_DIR"]),
        # It makes the folder itself, as it has to on a new volume.
        "ASKD_DATA_DIR": str(folders["VOLUME"] / "data"),
        "ASKD_CLAUDE_BIN": cli,
        # What this machine allows is not what is tried here.
        "ASKD_ISOLATION": "best_effort",
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
    }
    log = work / "log"
    with scripted_model(askd) as model, log.open("w") as output:
        env["ANTHROPIC_BASE_URL"] = model
        server = subprocess.Popen([askd, "serve"], env=env, cwd="/", stdout=output, stderr=output, **AS_USER)
        try:
            until("askd is started", lambda: ask(metrics_port, "/startupz", "localhost") == 200, server, log)
            for path, host in probes(rendered):
                status = ask(metrics_port, path, host)
                assert status == 200, f"the kubelet asks {path} and gets {status}"
            for host in ("demo-askd:3000", "demo-askd.agents.svc.cluster.local", "demo-askd-0.demo-askd-pods", "10.42.0.7:3000"):
                status = ask(http_port, "/readyz", host)
                assert status == 200, f"a client asks {host} and gets {status}"
            assert ask(http_port, "/readyz", "evil.example.com") == 421, "it answers under any name"
            assert ask(http_port, "/v1/runs", "demo-askd") == 401, "it answers without a key"
            for host in ("10.42.0.7:9464", "demo-askd-metrics:9464"):
                status = ask(metrics_port, "/metrics", host)
                assert status == 200, f"Prometheus asks {host} and gets {status}"
            question(http_port)
            test = rendered.one("Pod", "-test-ready")["spec"]["containers"][0]["command"]
            test = [askd, *test[1:-1], f"http://127.0.0.1:{http_port}"]
            subprocess.run(test, check=True, stdout=subprocess.DEVNULL, env={"PATH": os.environ["PATH"]})

            begun = time.monotonic()
            server.send_signal(signal.SIGTERM)
            # During drain_delay it is not ready any more, lives, and still answers.
            until("it is not ready", lambda: ask(metrics_port, "/readyz", "localhost") == 503, server, log)
            assert ask(metrics_port, "/livez", "localhost") == 200, "it is killed while it drains"
            grace = rendered.pod["terminationGracePeriodSeconds"]
            status = server.wait(grace)
            took = time.monotonic() - begun
            assert status == 0, f"it ends with {status}; its log:\n{log.read_text()}"
            assert took >= 4.5, f"it took {took:.1f} s, and drain_delay is 5 s"
            print(f"askd answers as the chart expects it, and ends {took:.1f} s after SIGTERM; the pod would wait {grace} s")
        finally:
            if server.poll() is None:
                server.kill()
                server.wait()
            shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
