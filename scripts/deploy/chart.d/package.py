"""Helm finds nothing wrong with the chart, and what it packages is the chart."""

import shutil
import subprocess
import sys
from pathlib import Path

import helm_python as helm

import chart

WARNING = 2


def same_with(program, name):
    """The machine's own Helm, which may be an older one, makes the same of a variant."""
    file = chart.FOLDER / "ci" / f"{name}-values.yaml"
    command = [program, "template", chart.RELEASE, chart.FOLDER, "--namespace", chart.NAMESPACE, "--values", file]
    made = chart.load(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    def order(found):
        return found["kind"], found["metadata"]["name"]

    assert sorted(made, key=order) == sorted(chart.Rendered(chart.values(name)).objects, key=order), f"{name}: {program}"


def main(work):
    for name in ["", *chart.names()]:
        # Without values, too: people look at a chart before they have any.
        report = helm.lint(chart.FOLDER, chart.values(name) if name else None, strict=True)
        found = [message for message in report["messages"] if message["severity"] >= WARNING] + report["errors"]
        assert not found, f"{name or 'without values'}: {found}"
    work = Path(work)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    with helm.Chart.load(chart.FOLDER) as loaded:
        archive = loaded.save(work)
    helm.expand(work, archive)
    packed = {path.relative_to(work / "askd").as_posix() for path in (work / "askd").rglob("*") if path.is_file()}
    source = {path.relative_to(chart.FOLDER).as_posix() for path in chart.FOLDER.rglob("*") if path.is_file()}
    wanted = {path for path in source if not path.startswith("ci/")}
    assert packed | {".helmignore"} == wanted, f"the package and the chart differ in {packed ^ wanted}"
    for name in chart.names():
        given = chart.values(name)
        assert chart.Rendered(given).objects == chart.Rendered(given, folder=archive).objects, f"{name}: the package is another"
    if program := shutil.which("helm"):
        for name in chart.names():
            same_with(program, name)
        print(f"{program} makes the same")
    print(f"Helm {helm.helm_sdk_version()} has no remark; {Path(archive).name} has {len(packed)} files")
    shutil.rmtree(work)


if __name__ == "__main__":
    main(sys.argv[1])
