"""The shell commands of docs/install/server.md, as a person would take them from it.

    pages.py SECTION        those of a section, but for blocks with a mark
    pages.py --mark MARK    those of the block that has this mark
"""

import re
import sys
from pathlib import Path

from commands import blocks

PAGE = Path("docs/install/server.md")


def main(first: str, *rest: str) -> None:
    text = PAGE.read_text(encoding="utf-8")
    if first == "--mark":
        wanted = [block.text for block in blocks(text) if [block.mark] == list(rest)]
    else:
        sections = dict(re.findall(r"^## ([^\n]*)\n(.*?)(?=^## |\Z)", text, re.M | re.S))
        wanted = [block.text for block in blocks(sections[first]) if not block.mark]
    if not wanted:
        sys.exit(f"{PAGE} has no commands of {first} {' '.join(rest)}")
    print("".join(wanted), end="")


main(*sys.argv[1:])
