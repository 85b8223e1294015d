"""What the chart repeats of other files is the same there: alerts, the dashboard, settings, versions, and its table of values.

With --update the copies are made anew."""

import json
import re
import sys
from pathlib import Path

import chart
import settings

COPIES = {
    "deploy/prometheus/alerts.yaml": "files/alerts.yaml",
    "deploy/grafana/askd.json": "files/askd-dashboard.json",
}
BEGIN, END = "<!-- values: generated from values.yaml -->\n", "<!-- /values -->\n"


def table():
    """The values as a table: every line of values.yaml that has a comment which begins with `# --`."""
    lines = (chart.FOLDER / "values.yaml").read_text().splitlines()
    rows, path, comment = [], [], None
    for line in lines:
        text = line.strip()
        depth = (len(line) - len(line.lstrip())) // 2
        if text.startswith("# -- "):
            comment = text.removeprefix("# -- ")
        elif text.startswith("# ") and comment is not None:
            comment += " " + text.removeprefix("# ")
        elif match := re.match(r"([A-Za-z]\w*):(.*)", text):
            path = path[:depth] + [match[1]]
            if comment is not None:
                rows.append((".".join(path), match[2].strip(), comment))
            comment = None
        elif text:
            comment = None
    values = chart.yaml.safe_load("\n".join(lines))
    shown = []
    for name, _, comment in rows:
        value = values
        for part in name.split("."):
            value = value[part]
        told = json.dumps(value, ensure_ascii=False)
        # What is long is read in values.yaml itself.
        told = f"`{told}`" if len(told) <= 40 else "see values.yaml"
        shown.append(f"| `{name}` | {told} | {comment.rstrip('.')} |")
    return "| Value | Default | |\n|---|---|---|\n" + "\n".join(shown) + "\n"


def documented(values, at=""):
    """Every value that can be set, by its whole name."""
    for key, value in values.items():
        if isinstance(value, dict) and value and key not in WHOLE:
            yield from documented(value, f"{at}{key}.")
        else:
            yield f"{at}{key}"


# Maps that are one value: what stands in them is an example of the operator's.
WHOLE = {"settings", "resources", "behavior", "labels"}


def main(is_update):
    wrong = []

    def same(path, text):
        if is_update:
            Path(path).write_text(text)
        elif Path(path).read_text() != text:
            wrong.append(str(path))

    for source, copy in COPIES.items():
        same(chart.FOLDER / copy, Path(source).read_text())
    same(chart.FOLDER / "files/variables.json", json.dumps(settings.places(), indent=2, sort_keys=True) + "\n")
    place = chart.FOLDER / "values.schema.json"
    schema = json.loads(place.read_text())
    schema["properties"]["settings"] = settings.schema()
    same(place, json.dumps(schema, indent=2) + "\n")
    readme = (chart.FOLDER / "README.md").read_text()
    before, rest = readme.split(BEGIN)
    same(chart.FOLDER / "README.md", before + BEGIN + "\n" + table() + "\n" + END + rest.split(END)[1])
    if wrong:
        raise SystemExit(f"out of date: {', '.join(wrong)}; run scripts/deploy/chart --update")

    names = {line.split("`")[1] for line in table().splitlines() if line.startswith("| `")}
    values = chart.yaml.safe_load((chart.FOLDER / "values.yaml").read_text())
    undocumented = set(documented(values)) - names
    assert not undocumented, f"values.yaml says nothing of {sorted(undocumented)}; begin a comment with `# --`"

    version = re.search(r'^version = "(.*)"$', Path("Cargo.toml").read_text(), re.M)[1]
    described = chart.yaml.safe_load((chart.FOLDER / "Chart.yaml").read_text())
    assert described["appVersion"] == version, f"Chart.yaml is made for askd {described['appVersion']}, and this is {version}"
    # The profile for bubblewrap is written for Docker. containerd reads the same file on a node, but takes a rule for some
    # capabilities or kernels only for one that always holds.
    profile = json.loads(Path("deploy/image/seccomp.json").read_text())
    for rule in profile["syscalls"]:
        assert rule.keys() <= {"names", "action", "args", "errnoRet", "comment"}, f"containerd does not know {rule.keys()}"
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO", "the profile allows what it does not name"
    # Every variant is told of, with its file.
    untold = [path.name for path in chart.VARIANTS if f"ci/{path.name}" not in readme]
    assert not untold, f"the chart's README.md does not name {untold}"
    print("copies, schema and table are up to date")


if __name__ == "__main__":
    main("--update" in sys.argv)
