"""An upgrade of a release never asks Kubernetes for what it refuses, and stops no server without need."""

import re
import shutil
import sys
from pathlib import Path

import chart

# Of a StatefulSet everything else can never be changed.
CHANGEABLE = {
    "replicas", "template", "updateStrategy", "persistentVolumeClaimRetentionPolicy", "minReadySeconds", "revisionHistoryLimit",
}


def fixed(rendered):
    """What must be the same after an upgrade. Of a claim only its size can be changed."""
    server = {key: value for key, value in rendered.server["spec"].items() if key not in CHANGEABLE}
    claims = {found["metadata"]["name"]: found["spec"] | {"resources": None} for found in rendered.of("PersistentVolumeClaim")}
    return server, claims


def main(work):
    newer = Path(work) / "askd"
    shutil.rmtree(newer, ignore_errors=True)
    shutil.copytree(chart.FOLDER, newer)
    text = (newer / "Chart.yaml").read_text()
    bumped, found = re.subn(r"^version: .*$", "version: 9.9.9", text, flags=re.M)
    assert found == 1, "the version of the chart is not where it was"
    (newer / "Chart.yaml").write_text(bumped)
    for name in chart.names():
        given = chart.values(name)
        before, after = chart.Rendered(given), chart.Rendered(given, folder=newer, is_upgrade=True)
        assert fixed(before) == fixed(after), f"{name}: a newer chart changes what cannot be changed"
        assert before.server["spec"]["template"] == after.server["spec"]["template"], f"{name}: a newer chart stops servers"
    (newer / "Chart.yaml").write_text(re.sub(r"^appVersion: .*$", 'appVersion: "9.9.9"', text, flags=re.M))
    base = chart.values("default")
    before, after = chart.Rendered(base), chart.Rendered(base, folder=newer)
    assert fixed(before) == fixed(after), "a newer askd changes what cannot be changed"
    assert after.container["image"].endswith(":9.9.9"), "a newer askd is not the image"
    shutil.rmtree(newer)

    # With other settings the server begins anew, unless the operator wants to reload them.
    after = chart.Rendered(chart.merged(base, {"settings": {"max_concurrent": 2}}))
    assert fixed(before) == fixed(after) and before.server["spec"]["template"] != after.server["spec"]["template"]
    reloads = chart.merged(base, {"restartOnSettings": False})
    after = chart.Rendered(chart.merged(reloads, {"settings": {"max_concurrent": 2}}))
    assert chart.Rendered(reloads).server == after.server, "other settings make new pods"
    assert chart.Rendered(reloads).objects != after.objects, "other settings are not in the ConfigMap"
    after = chart.Rendered(chart.merged(base, {"persistence": {"config": {"size": "2Gi"}}}))
    assert fixed(before) == fixed(after), "a claim cannot be enlarged"
    # From one server to several: what is there stays, the claim of the configuration too. It was made for several.
    one = chart.merged(base, {
        "secrets": {"databaseUrl": {"existingSecret": "askd-database"}},
        "persistence": {"config": {"accessModes": ["ReadWriteMany"]}},
    })
    assert fixed(before) != fixed(chart.Rendered(one)), "other access modes of a claim are not noticed"
    before, after = chart.Rendered(one), chart.Rendered(chart.merged(one, {"replicas": 3}))
    assert fixed(before) == fixed(after), "several servers need other objects"
    strategy = [found.server["spec"]["updateStrategy"]["type"] for found in (before, after)]
    assert strategy == ["RollingUpdate", "OnDelete"], strategy

    # Names stay within their bounds, whatever the release is called.
    for release in ("a", "askd", "my-askd", "x" * 53):
        for found in chart.Rendered(chart.values("monitoring"), release=release).objects:
            assert len(found["metadata"]["name"]) <= 63, found["metadata"]["name"]
            for label in found["metadata"]["labels"].values():
                assert len(label) <= 63, label
        # The name of a revision is a label: that of the set, and a hash of ten characters.
        assert len(chart.Rendered(chart.values("default"), release=release).server["metadata"]["name"]) <= 52
    print("an upgrade changes nothing that cannot be changed, and stops no server for the chart's own version")


if __name__ == "__main__":
    main(sys.argv[1])
