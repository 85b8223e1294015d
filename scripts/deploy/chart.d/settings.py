"""The settings of askd as the reference page has them, and the part of the chart's schema that follows from it."""

import re
from pathlib import Path

REFERENCE = Path("docs/reference/settings.md")

# The chart decides these itself, by other values: a second place would contradict the first.
CHART_DECIDES = {
    "allow_root",
    "allowed_hosts",
    "config_dir",
    "data_dir",
    "isolation",
    "listen",
    "metrics_listen",
    "run_as",
    "tls_cert",
    "tls_client_ca",
    "tls_key",
    "workspace_dir",
}

DURATION = {"$ref": "#/definitions/askdDuration"}
SIZE = {"$ref": "#/definitions/askdSize"}
LIST = {"$ref": "#/definitions/askdList"}


def rows():
    """Every setting: (variables, keys, what the page says of it). One without a key has only a flag or a variable."""
    text = REFERENCE.read_text()
    said = dict(re.findall(r"^- `([A-Z0-9_]+)`: (.*)$", text, re.M))
    found = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("| `") or len(cells) < 4:
            continue
        variables, keys = (re.findall(r"`([^`]+)`", cell) for cell in cells[:2])
        found.append((variables, [key for key in keys if not key.startswith("--")], said.get(variables[0], "")))
    return found


def variables():
    """Every variable that askd knows, those that it passes on to the CLI among them."""
    text = REFERENCE.read_text()
    passed_on = re.findall(r"^\| `([A-Za-z0-9_]+)` \|", text.split("## Passed to the CLI")[1], re.M)
    names = {name for names, _, _ in rows() for name in names}
    assert len(names) > 100 and "API_KEY_FILE" in names and "PATH" in passed_on, "the reference page has changed its form"
    # A secret that is passed on may be given as a file.
    return names | set(passed_on) | {f"{name}_FILE" for name in passed_on}


def form(said):
    """The schema of a value, by what the page expects."""
    expected = said.rsplit("Expects ", 1)[1] if "Expects " in said else ""
    if number := re.match(r"a whole number from (\d+) to (\d+)", expected):
        return {"type": "integer", "minimum": int(number[1]), "maximum": int(number[2])}
    if re.match(r"an amount in US dollars|a number from", expected):
        return {"type": "number", "minimum": 0}
    if expected.startswith("a duration"):
        return DURATION
    if expected.startswith("a size"):
        return SIZE
    if expected.startswith("`true`, `false`"):
        return {"type": "boolean"}
    if expected.startswith("one of "):
        return {"enum": re.findall(r"`([^`]+)`", expected)}
    if re.match(r"(absolute paths|folders|origins|names (or|of)|model ids|IP addresses and networks)", expected):
        return LIST
    return {"type": "string"}


def places():
    """Where the chart takes each setting, by its variable: `extraEnv` is not the place. Secrets may come by it."""
    return {
        names[0]: "other values of the chart" if keys[0] in CHART_DECIDES else f"settings.{keys[0]}"
        for names, keys, _ in rows() if keys and len(names) == 1
    }


def schema():
    """`settings` of values.schema.json: every setting that is no secret and that the chart does not decide itself."""
    properties = {}
    for names, keys, said in rows():
        is_secret = any(name.endswith("_FILE") for name in names)
        if not keys or is_secret or keys[0] in CHART_DECIDES:
            continue
        properties[keys[0]] = form(said)
    missing = CHART_DECIDES - {key for _, keys, _ in rows() for key in keys}
    assert not missing, f"there are no such settings any more: {sorted(missing)}"
    return {"type": "object", "additionalProperties": False, "properties": dict(sorted(properties.items()))}
