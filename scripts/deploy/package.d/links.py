"""Every relative link of a package's pages leads to a file or folder of the package, and every path of documents that its
other files name is there.

    links.py FOLDER    a package, unpacked
"""

import re
import sys
import tempfile
from pathlib import Path

PLACE = "/usr/share/doc/askd/"


def links(text):
    """Where the links of a page lead, without those of blocks and to other hosts, and without their anchors."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    found = re.findall(r"\]\(([^)\s]+)\)", text)
    return [target.split("#")[0] for target in found if not re.match(r"#|[a-z]+:", target)]


def wrong(folder):
    folder = folder.resolve()
    pages = sorted(folder.rglob("*.md"))
    for page in pages:
        for target in links(page.read_text(encoding="utf-8")):
            there = (page.parent / target).resolve()
            if not there.is_relative_to(folder) or not there.exists():
                yield f"{page.relative_to(folder)}: {target}"
    for file in sorted(folder.rglob("*")):
        # Neither the program nor a symbolic link, which may lead out.
        if file.is_symlink() or not file.is_file() or file.stat().st_size > 1 << 20 or file in pages:
            continue
        for path in re.findall(re.escape(PLACE) + r"[\w./-]*\w", file.read_text(encoding="utf-8", errors="replace")):
            if not (folder / path.lstrip("/")).exists():
                yield f"{file.relative_to(folder)}: {path}"


def slips_are_noticed():
    with tempfile.TemporaryDirectory() as folder:
        documents = Path(folder) / PLACE.lstrip("/")
        (documents / "docs").mkdir(parents=True)
        (documents / "docs/a.md").write_text("[a](a.md#b) [b](../b.md) [c](https://c.example) [d](#d)\n```\n[e](e)\n```\n")
        (Path(folder) / "unit").write_text(f"file:{PLACE}docs/a.md and {PLACE}a.md.\n")
        found = list(wrong(Path(folder)))
        assert found == ["usr/share/doc/askd/docs/a.md: ../b.md", f"unit: {PLACE}a.md"], found


def main(folder):
    slips_are_noticed()
    found = list(wrong(Path(folder)))
    if found:
        raise SystemExit("links and paths that lead nowhere in the package:\n" + "\n".join(found))
    pages = list(Path(folder).rglob("*.md"))
    assert len(pages) > 50, f"only {len(pages)} pages are there"
    print(f"{len(pages)} pages link to what the package has")


main(*sys.argv[1:])
