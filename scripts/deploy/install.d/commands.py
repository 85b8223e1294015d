"""The commands of the install pages, and what parts of scripts/test-deploy say of them.

Each part has a ledger, a file in target/deploy/ledger: which commands of a page it ran, and what it could not run. The part
`install` holds the pages against the ledgers. A comment before a block says why no part runs the commands of it that none runs
(`<!-- not run: WHY -->`), or is a name by which a part finds the block.

    commands.py ran PAGE [HOW] <COMMANDS
"""

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

NOT_RUN = "not run: "


@dataclass
class Block:
    """What stands between two fences of `sh`."""

    line: int
    mark: str
    text: str

    @property
    def why_not(self):
        return self.mark.removeprefix(NOT_RUN) if self.mark.startswith(NOT_RUN) else None


def blocks(text):
    found = re.finditer(r"(?:^<!-- (.*?) -->\n)?^```sh[^\n]*\n(.*?)^```", text, re.M | re.S)
    return [Block(text[: each.start(2)].count("\n") + 1, each[1] or "", each[2]) for each in found]


def commands(text):
    """One for each line, and lines that go on are one."""
    lines = (" ".join(line.split()) for line in text.replace("\\\n", " ").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _write(*words):
    with open(os.environ["ASKD_DEPLOY_LEDGER"], "a", encoding="utf-8") as ledger:
        ledger.write("\t".join(words) + "\n")


def ran(page, text, how="run"):
    """These commands of the page were run by this part, just now, and did what they should."""
    known = {command for block in blocks(Path(page).read_text(encoding="utf-8")) for command in commands(block.text)}
    for command in commands(text):
        assert command in known, f"{page} has no command {command!r}"
        _write("ran", str(page), command, how)


def not_run(what, why):
    print(f"NOT RUN: {Path(os.environ['ASKD_DEPLOY_LEDGER']).name}: {what}: {why}")
    _write("not-run", what, why)


if __name__ == "__main__":
    assert sys.argv[1] == "ran", sys.argv
    ran(*sys.argv[2:3], sys.stdin.read(), *sys.argv[3:])
