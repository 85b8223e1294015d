"""Gives what the chart makes of every variant to askd itself: it takes the settings, and means by them what the chart does.

The files of the pod are stood in for by files of this test."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import chart
import rules

SECRETS = {
    "api-key": "a-key-of-this-test-only",
    "secret-key": base64.b64encode(os.urandom(32)).decode(),
    "database-url": "postgres://askd:secret@127.0.0.1/askd",
    "otlp-headers": "authorization=secret",
}
POD = {"POD_NAME": "demo-askd-0", "POD_IP": "10.42.0.7"}


def certificate(folder):
    """A certificate of an authority of its own, as the Secrets of the variant `tls` have them."""
    folder.mkdir()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=askd", "-keyout", folder / "tls.key", "-out", folder / "tls.crt"],
        check=True, capture_output=True,
    )
    shutil.copy(folder / "tls.crt", folder / "ca.crt")


def environment(name, rendered, work):
    """The variables of the container, with the paths of stand-ins."""
    (work / "askd.toml").write_text(rendered.one("ConfigMap", "-settings")["data"]["askd.toml"])
    stand_ins = {"/etc/askd/settings": work, "/etc/askd/tls": work / "tls", "/etc/askd/client-ca": work / "tls"}
    pod = POD | ({"POD_IP": "fd00::7"} if name == "other" else {})
    env = {}
    for variable in rendered.container["env"]:
        value = variable.get("value", pod.get(variable["name"], ""))
        value = re.sub(r"\$\((\w+)\)", lambda found: env[found[1]], value)
        if variable["name"].endswith("_FILE"):
            file = work / Path(value).name
            file.write_text(SECRETS.get(file.name, "secret"))
            value = str(file)
        for path, stand_in in stand_ins.items():
            if value.startswith(f"{path}/"):
                value = str(stand_in / Path(value).name)
        env[variable["name"]] = value
    return env


def main(askd, work):
    work = Path(work).resolve()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    certificate(work / "tls")
    for name in chart.names():
        rendered = chart.Rendered(chart.values(name))
        env = environment(name, rendered, work)
        done = subprocess.run([askd, "settings", "--json"], env=env | {"PATH": os.environ["PATH"]}, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{name}: askd refuses what the chart makes:\n{done.stderr}")
        told = json.loads(done.stdout)["settings"]
        for key, value in tomllib.loads(rendered.one("ConfigMap", "-settings")["data"]["askd.toml"]).items():
            rules.check(told[key]["origin"]["kind"] == "file", f"{name}: {key} = {value!r} is not what askd takes: {told[key]}")
        hosts = told["allowed_hosts"]["value"]
        wanted = ["agents", "[fd00::7]"] if name == "other" else ["demo-askd", "demo-askd-0.demo-askd-pods", POD["POD_IP"]]
        rules.check(set(wanted) <= set(hosts.split(",") if isinstance(hosts, str) else hosts), f"{name}: {hosts}")
        for secret in [*SECRETS.values(), "a-key-for-trials-only"]:
            rules.check(secret not in done.stdout, f"{name}: askd shows a secret")
    shutil.rmtree(work)
    print(f"askd takes the settings of all {len(chart.names())} variants")


if __name__ == "__main__":
    main(*sys.argv[1:])
