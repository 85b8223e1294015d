"""The plain manifests of deploy/kubernetes: every object of a variant fits Kubernetes, strictly, and so does what kustomize makes
of them, which is what `kubectl apply -k` sends."""

import copy
import json
import re
import shutil
import subprocess
from pathlib import Path

from commands import not_run
from kubernetes_validate import ValidationError

import chart
import strict

FOLDER = Path("deploy/kubernetes")
VARIANTS = ("sqlite", "postgresql")
PAGE = Path("docs/how-to/kubernetes.md")


def objects(folder):
    """All objects of a variant, with those of what it builds on."""
    (kustomization,) = chart.load((folder / "kustomization.yaml").read_text())
    for name in kustomization["resources"]:
        place = folder / name
        yield from objects(place) if place.is_dir() else chart.load(place.read_text())


def identities(found):
    return sorted((each["kind"], each["metadata"]["name"]) for each in found)


def database_is_reached(variant, found):
    """Nothing but what some policy says goes out, so a server of PostgreSQL needs one that says it."""
    workload = next(each["spec"]["template"] for each in found if "template" in each.get("spec", {}))
    variables = {each["name"] for each in workload["spec"]["containers"][0].get("env", [])}
    rules = [
        rule for each in found if each["kind"] == "NetworkPolicy"
        and each["spec"]["podSelector"]["matchLabels"].items() <= workload["metadata"]["labels"].items()
        and "Egress" in each["spec"]["policyTypes"] for rule in each["spec"]["egress"]
    ]
    is_open = any(rule.get("to") and {"protocol": "TCP", "port": 5432} in rule["ports"] for rule in rules)
    assert is_open == ("ASKD_DATABASE_URL_FILE" in variables), f"{variant}: the port of PostgreSQL is open: {is_open}"


def metrics_are_reached(variant, found):
    """Prometheus calls pods by their address, which has to be one of the names of the server."""
    container = next(each["spec"]["template"] for each in found if "template" in each.get("spec", {}))["spec"]["containers"][0]
    policies = [each["spec"] for each in found if each["kind"] == "NetworkPolicy"]
    ports = [port["port"] for policy in policies for rule in policy.get("ingress", []) for port in rule["ports"]]
    assert "metrics" in ports, f"{variant}: nobody reaches the metrics"
    # One refers to another that stands before it.
    first, *others = container["env"]
    address = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    hosts = next(each["value"] for each in others if each["name"] == "ASKD_ALLOWED_HOSTS").split(",")
    assert first == address and "$(POD_IP)" in hosts, f"{variant}: who reaches the metrics is refused by ASKD_ALLOWED_HOSTS"


def slips_are_noticed(workload):
    """A name that there is not, at three depths, and a value of another type."""
    for change in (
        lambda slip: slip.update(specs={}),
        lambda slip: slip["spec"]["template"]["spec"].update(terminationGraceperiodSeconds=180),
        lambda slip: slip["spec"]["template"]["spec"]["containers"][0].update(readynessProbe={}),
        lambda slip: slip["spec"]["template"]["spec"].update(terminationGracePeriodSeconds="180"),
    ):
        slip = copy.deepcopy(workload)
        change(slip)
        for version in strict.VERSIONS:
            try:
                strict.validate(slip, [version])
            except ValidationError:
                continue
            raise SystemExit(f"a slip is not noticed with the schemas of Kubernetes {version}")


def kustomize():
    """A kubectl that goes with the oldest Kubernetes that is meant; earlier ones know another kustomization."""
    why = "kubectl is not on this machine"
    if kubectl := shutil.which("kubectl"):
        told = subprocess.run([kubectl, "version", "--client", "--output", "json"], check=True, capture_output=True, text=True)
        version = json.loads(told.stdout)["clientVersion"]
        if int(re.match(r"\d+", version["minor"])[0]) >= int(strict.VERSIONS[0].split(".")[1]):
            return kubectl
        why = f"the kubectl of this machine is {version['gitVersion']}"
    not_run("kustomize over deploy/kubernetes", why)
    return None


def main():
    kubectl = kustomize()
    for variant in VARIANTS:
        found = list(objects(FOLDER / variant))
        made = found
        if kubectl:
            done = subprocess.run([kubectl, "kustomize", FOLDER / variant], check=True, capture_output=True, text=True)
            made = chart.load(done.stdout)
            assert identities(made) == identities(found), f"{variant}: kustomize makes {identities(made)}"
            assert all(each["metadata"]["namespace"] == "askd" for each in made), f"{variant}: an object has no namespace"
        for each in [*found, *made]:
            try:
                strict.validate(each)
            except ValidationError as error:
                at = ".".join(map(str, error.absolute_path))
                raise SystemExit(f"{variant}: {each['kind']} {each['metadata']['name']}: {at}: {error.message}") from error
        database_is_reached(variant, made)
        metrics_are_reached(variant, made)
        slips_are_noticed(next(each for each in found if "template" in each.get("spec", {})))
        print(f"{variant}: {len(found)} objects fit Kubernetes {' and '.join(strict.VERSIONS)}, and a slip does not")
    told = f"the schemas of Kubernetes {' and '.join(strict.VERSIONS)}"
    for page in (PAGE, chart.FOLDER / "README.md"):
        assert told in " ".join(page.read_text().split()), f"{page} does not say that it was checked against {told}"


if __name__ == "__main__":
    main()
