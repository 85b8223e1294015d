"""The shell commands of docs/install/server.md: which a test runs, and which not, and why.

A comment before a block says `not run: WHY`, or names the part of a test that runs it, such as `archive`.
"""

import re
from pathlib import Path

PAGE = Path("docs/install/server.md")
START = "systemctl enable --now askd"


class Block:
    def __init__(self, mark: str | None, text: str) -> None:
        self.mark, self.text = mark or "", text

    @property
    def why_not(self) -> str | None:
        return self.mark.removeprefix("not run: ") if self.mark.startswith("not run: ") else None


def blocks() -> list[Block]:
    found = re.findall(r"(?:^<!-- (.*?) -->\n)?^```sh\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    return [Block(*each) for each in found]


def before_start() -> list[Block]:
    every = blocks()
    return every[: next(at for at, block in enumerate(every) if START in block.text)]


def after_start() -> list[Block]:
    return blocks()[len(before_start()) + 1 :]


def marked(mark: str) -> str:
    """The commands of the block with this mark."""
    return next(block.text for block in blocks() if block.mark == mark)
