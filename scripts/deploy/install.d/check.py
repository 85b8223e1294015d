"""Every command of the install pages was run by a part of scripts/test-deploy, or stands in a block that says why not.

Arguments: the folder of the ledgers, and the parts whose pages are looked at."""

import re
import sys
from collections import Counter
from pathlib import Path

from commands import Block, blocks, commands, not_run

# Which part runs the commands of a page.
PAGES = {
    "docs/install/docker.md": "image",
    "docs/install/kubernetes.md": "chart",
    "docs/how-to/kubernetes.md": "chart",
    "deploy/helm/askd/README.md": "chart",
    "docs/install/server.md": "package",
}
# scripts/test runs the commands of all other pages. This says by which test, and leaves the pages above out.
REGISTRY = Path("crates/askd/tests/pages/registry.rs")


class Ledger:
    """What a part has written down."""

    def __init__(self, lines):
        self.ran, self.said, self.nothing, self.passed = {}, set(), {}, False
        for kind, *words in (line.split("\t") for line in lines):
            if kind == "ran":
                page, command, how = words
                self.ran[page, command] = how
            elif kind == "not-run":
                self.said.add(words[0])
            elif kind == "nothing":
                page, why = words
                self.nothing[page] = why
            elif kind == "passed":
                self.passed = True


def judge(page, found, ledger):
    """Of a page's blocks: how many commands were run in which way, which were not and why, and what is wrong."""
    how, left, wrong = Counter(), [], []
    for block in found:
        every = commands(block.text)
        how.update(ledger.ran[page, command] for command in every if (page, command) in ledger.ran)
        # What the part itself could not run on this machine, it has said.
        missing = [each for each in every if (page, each) not in ledger.ran and f"{page}: {each}" not in ledger.said]
        why = block.why_not or ledger.nothing.get(page)
        if block.why_not and not missing:
            wrong.append(f"{page}:{block.line}: a part runs all of it, so it is not to be marked as not run")
        if not why:
            wrong += [f"{page}:{block.line}: no part runs: {command}" for command in missing]
        else:
            left += [(command, why) for command in missing]
    return how, left, wrong


def slips_are_noticed():
    """A command that nobody ran, and a mark that is out of date."""
    ledger = Ledger(["ran\tpage\ta\trun"])
    assert judge("page", [Block(1, "", "a\n")], ledger) == (Counter(run=1), [], [])
    assert judge("page", [Block(1, "not run: why", "a\nb\n")], ledger) == (Counter(run=1), [("b", "why")], [])
    unable = Ledger(["not-run\tpage: a\twhy"])
    assert judge("page", [Block(1, "", "a\n")], unable) == (Counter(), [], [])
    assert judge("page", [Block(1, "", "a\nb\n")], ledger)[2], "a command that nobody runs is not noticed"
    assert judge("page", [Block(1, "not run: why", "a\n")], ledger)[2], "a mark that is out of date is not noticed"
    assert judge("other", [Block(1, "", "a\n")], ledger)[2], "a command that another page has is not noticed"


def nothing_is_said_past_the_ledgers():
    """What a part prints itself, this part and `target/deploy/not-run` do not know."""
    sources = (file for file in Path("scripts/deploy").rglob("*") if file.is_file() and file.suffix in ["", ".py"])
    say = {str(file.relative_to("scripts/deploy")) for file in sources if b"NOT RUN" + b": " in file.read_bytes()}
    assert say == {"common", "install.d/commands.py"}, f"{sorted(say)} print what was not run"


def of_scripts_test(page):
    """A page whose commands scripts/test runs: by which tests, and what it leaves out."""
    registry = REGISTRY.read_text(encoding="utf-8")
    tests = set(re.findall(rf'part\(\s*"(\w+)",\s*"{re.escape(page)}"', registry))
    assert tests, f"{page}: no part of scripts/test-deploy runs its commands, and {REGISTRY} names no test that does"
    left_out = re.findall(rf'\(\s*"{re.escape(page)}",\s*"([^"]+)",\s*"([^"]+)",?\s*\)', registry)
    for block in blocks(Path(page).read_text(encoding="utf-8")):
        for begin, why in left_out:
            if block.text.startswith(begin):
                for command in commands(block.text):
                    not_run(f"{page}: {command}", why)
    print(f"{page}: scripts/test runs its commands: {', '.join(sorted(tests))}")


def main(folder, *parts):
    slips_are_noticed()
    nothing_is_said_past_the_ledgers()
    wrong = []
    for page, part in PAGES.items():
        if part not in parts:
            print(f"{page}: not looked at, since the part {part} was not asked for")
            continue
        ledger = Ledger((Path(folder) / part).read_text(encoding="utf-8").splitlines())
        if not ledger.passed:
            wrong.append(f"{page}: the part {part} did not pass")
            continue
        how, left, problems = judge(page, blocks(Path(page).read_text(encoding="utf-8")), ledger)
        wrong += problems
        for command, why in left:
            not_run(f"{page}: {command}", why)
        ways = "".join(f", {number} {way}" for way, number in sorted(how.items()))
        print(f"{page}: of {how.total() + len(left)} commands {len(left)} not run{ways}")
    left_out = re.search(r"const SHIPPED: [^=]*=(.*?);", REGISTRY.read_text(encoding="utf-8"), re.S)[1]
    shipped = {page for page in PAGES if page.startswith("docs/")}
    assert set(re.findall(r'"([^"]+)"', left_out)) == shipped, f"SHIPPED of {REGISTRY} is not {sorted(shipped)}"
    for page in ["README.md", *sorted(map(str, Path("docs/install").glob("*.md")))]:
        if page not in PAGES:
            of_scripts_test(page)
    if wrong:
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    main(*sys.argv[1:])
