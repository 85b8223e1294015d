"""Checks every object of every variant against the schemas of Kubernetes, strictly: a field that does not exist is an error.

Objects of others (Prometheus operator, Traefik, KEDA, Gateway API) are checked against schemas.json: it has the fields that
the chart uses, and no others."""

import functools
import itertools
import json
from pathlib import Path

import jsonschema
from kubernetes_validate import utils

import chart

# The oldest that Chart.yaml allows, and the newest that is known.
VERSIONS = ("1.27", utils.major_minor(utils.latest_version()))
FOREIGN = json.loads(Path(__file__).with_name("schemas.json").read_text())

# Reading the definitions takes longer than all the rest.
utils.schema_contents = functools.lru_cache(maxsize=None)(utils.schema_contents)


def validate(found, versions=VERSIONS):
    kind = f"{found['apiVersion']}/{found['kind']}"
    if kind in FOREIGN["schemas"]:
        schema = FOREIGN["schemas"][kind] | {"$defs": FOREIGN["$defs"]}
        jsonschema.Draft202012Validator(schema).validate(found)
        return kind
    for version in versions:
        utils.validate(found, version, strict=True)
    return None


def all_of(name, rendered, versions=VERSIONS):
    """Checks every object; of which foreign kinds there are."""
    kinds = set()
    for found in rendered.objects:
        try:
            kinds |= {validate(found, versions)} - {None}
        except Exception as error:
            at = ".".join(map(str, getattr(error, "absolute_path", [])))
            message = getattr(error, "message", error)
            raise SystemExit(f"{name}: {found['kind']} {found['metadata']['name']}: {at}: {message}") from error
    return kinds


def main():
    foreign, objects, pairs = set(), 0, 0
    for name in chart.names():
        rendered = chart.Rendered(chart.values(name))
        foreign |= all_of(name, rendered)
        objects += len(rendered.objects)
    # What one variant has goes with what another has, or is refused.
    for one, other in itertools.combinations(sorted(set(chart.names()) - {"default"}), 2):
        both, _ = chart.tried(chart.merged(chart.values(one), chart.values(other)))
        if both:
            all_of(f"{one} with {other}", both, VERSIONS[-1:])
            pairs += 1
    unused = set(FOREIGN["schemas"]) - foreign
    assert not unused, f"no variant has {sorted(unused)}"
    print(f"{objects} objects of {len(chart.names())} variants fit Kubernetes {' and '.join(VERSIONS)}")
    print(f"so do {pairs} of their pairs; the others are refused")
    print(f"by schemas of this test, since there is no package with the real ones: {', '.join(sorted(foreign))}")
    # The check itself notices.
    wrong = chart.Rendered(chart.values("default")).server
    wrong["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    try:
        utils.validate(wrong, VERSIONS[-1], strict=True)
    except utils.ValidationError:
        return
    raise SystemExit("a misspelt field is not noticed")


if __name__ == "__main__":
    main()
