"""Data of the previous release, as files of this repository: made with it, and put where they were."""

import json
import re
import tarfile
import time
from pathlib import Path

from place import DATA, DUMP, FOLDERS, SRV, new_folders, own

PREVIOUS = Path(__file__).parent / "previous"
SEEN = SRV / "seen.json"
# What the CLI and the server make anew.
LEFT_OUT = re.compile(r"data/(cli\.json|homes/[^/]*/(tmp|\.claude/(shell-snapshots|sessions|plugins|\.claude\.json)))(/|$)")
# The later ones of Python ask for it.
EXTRACTED = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}


def pack(engine, seen):
    """Keeps what a server has left that was killed, and what was seen of it before."""
    engine.save()
    SEEN.write_text(json.dumps(seen, indent=1))
    for transcript in DATA.rglob("*.jsonl"):
        transcript.write_text(said(transcript.read_text()))
    archive = _archive(engine)
    with tarfile.open(archive, "w:xz", preset=9) as made:
        for path in (*FOLDERS, SEEN, *([DUMP] if DUMP.exists() else [])):
            made.add(path, path.name, filter=_plain)
    print(f"{archive.name}: {archive.stat().st_size} bytes")


def said(transcript):
    """What was said, and nothing of what the CLI notes besides: its own texts are not ours to pass on."""
    kept, parents = [], {}
    for entry in map(json.loads, transcript.splitlines()):
        while entry.get("parentUuid") in parents:
            entry["parentUuid"] = parents[entry["parentUuid"]]
        if entry["type"] in ("user", "assistant", "last-prompt"):
            kept.append(json.dumps(entry))
        elif "uuid" in entry:
            parents[entry["uuid"]] = entry.get("parentUuid")
    return "".join(f"{line}\n" for line in kept)


def unpack(engine):
    """The data as they were when the previous release was killed; what was seen of them."""
    # What the key has spent is to be of the same day as the questions for it.
    while 86400 - time.time() % 86400 < 120:
        time.sleep(1)
    new_folders()
    with tarfile.open(_archive(engine)) as archive:
        archive.extractall(SRV, **EXTRACTED)
    for folder in FOLDERS:
        own(folder)
    engine.load()
    # Time has passed since: what waits would have waited too long, what was spent would be of another day, and a revoked key
    # is kept for 30 days.
    now, today = f"{engine.now} * 1000", f"{engine.now} / 86400"
    engine.execute(
        f"UPDATE runs SET created_at = {now} WHERE state = 'queued'; UPDATE budget_days SET day = {today};"
        f"UPDATE keys SET revoked_at = {now} WHERE revoked_at IS NOT NULL"
    )
    return json.loads(SEEN.read_text())


def _archive(engine):
    return PREVIOUS / f"{engine.name}.tar.xz"


def _plain(entry):
    if LEFT_OUT.match(entry.name):
        return None
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry
