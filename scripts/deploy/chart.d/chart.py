"""The chart, and what it makes of values: Helm itself, as a library."""

import copy
from pathlib import Path

import helm_python as helm
import yaml

FOLDER = Path("deploy/helm/askd")
VARIANTS = sorted((FOLDER / "ci").glob("*-values.yaml"))
RELEASE, NAMESPACE = "demo", "agents"


class UniqueKeys(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """YAML in which no key is there twice: Kubernetes takes the last one, silently."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        assert len(keys) == len(set(map(str, keys))), f"a key is there twice: {keys}"
        return super().construct_mapping(node, deep)


def load(text):
    return [document for document in yaml.load_all(text, UniqueKeys) if document]


def values(name):
    """The values of a variant, by its name."""
    return yaml.safe_load((FOLDER / "ci" / f"{name}-values.yaml").read_text())


def names():
    return [path.name.removesuffix("-values.yaml") for path in VARIANTS]


def merged(base, changes):
    result = copy.deepcopy(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


class Rendered:
    """The objects, and the notes that the operator reads."""

    def __init__(self, given, *, folder=FOLDER, release=RELEASE, is_upgrade=False):
        with helm.Chart.load(folder) as loaded:
            files = loaded.render(given, name=release, namespace=NAMESPACE, is_install=not is_upgrade, is_upgrade=is_upgrade)
        self.notes = files.pop("askd/templates/NOTES.txt")
        self.objects = [document for text in files.values() for document in load(text)]

    def of(self, kind):
        return [found for found in self.objects if found["kind"] == kind]

    def one(self, kind, suffix=""):
        found = [found for found in self.of(kind) if found["metadata"]["name"].endswith(suffix)]
        assert len(found) == 1, f"{len(found)} objects of kind {kind}{suffix}"
        return found[0]

    @property
    def server(self):
        return self.one("StatefulSet")

    @property
    def pod(self):
        return self.server["spec"]["template"]["spec"]

    @property
    def container(self):
        return next(container for container in self.pod["containers"] if container["name"] == "askd")


def tried(given):
    """What the chart makes, or with which words Helm refuses these values; the other one is `None`."""
    try:
        return Rendered(given), None
    except helm.HelmError as error:
        return None, str(error)


def refusal(given):
    return tried(given)[1]
