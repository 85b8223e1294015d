"""Reads a unit of systemd, as far as askd's one goes."""

from pathlib import Path


def read(path: Path) -> dict[str, list[str]]:
    """Every value of [Service], by its name. An empty value takes back what stood before it, and stays as a sign of that."""
    values: dict[str, list[str]] = {}
    section = ""
    for line in path.read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif section == "Service" and "=" in line and not line.startswith(("#", ";")):
            name, value = line.split("=", 1)
            values.setdefault(name, []).append(value)
    return values


def one(values: dict[str, list[str]], name: str) -> str | None:
    """The value that counts: the last one."""
    return values[name][-1] if name in values else None
