"""An update over the data of the previous release, and the ways back.

    upgrade.py ENGINE          the tests, on the data in `previous`
    upgrade.py --make ENGINE   makes these data anew, with the previous release

In the namespaces of `namespaces`. ENGINE is `sqlite` or `postgres`."""

import json
import sys

import story
from archive import pack, unpack
from place import DATA, SRV, Askd, Model, Postgres, Sqlite, fail, files, new_folders

CURRENT, PREVIOUS = SRV / "bin/askd", SRV / "bin/previous"
# How often it was tried whether it can be written is in it.
OF_STARTS = ("store",)


def say(text):
    print(text, flush=True)


def make(engine, model):
    new_folders()
    askd = Askd(PREVIOUS, engine, model).start()
    seen = story.tell(askd)
    askd.kill()
    pack(engine, seen)


def check(engine, model):
    goes_on(engine, model)
    is_refused(engine, model)
    if PREVIOUS.exists():
        goes_back(engine, model)
        if engine.url:
            works_beside(engine, model)


def goes_on(engine, model):
    say(f"\n-- {engine.name}: the update")
    seen = unpack(engine)
    askd = Askd(CURRENT, engine, model)
    code, said = unchanged(engine, askd, ("migrate", "--check"))
    if code != 3:
        fail(f"it does not say that there is something to do: {code}: {said}")
    askd.start()
    told = [line for line in askd.log.read_text().splitlines() if "brought the store's tables from version" in line]
    if len(told) != 1:
        fail(f"the migration is to be told once: {told}", askd.log)
    say(told[0])
    story.compare(askd, seen)
    story.goes_on(askd, model, seen)
    askd.stop()

    before = engine.rows(but=OF_STARTS)
    askd.start()
    if "the store's tables" in askd.log.read_text():
        fail("a second start migrates again", askd.log)
    askd.stop()
    if engine.rows(but=OF_STARTS) != before:
        fail("a second start has changed the store")
    say("a second start changes nothing")


def is_refused(engine, model):
    say(f"\n-- {engine.name}: a downgrade is refused")
    if PREVIOUS.exists():
        say("the previous release, on what this askd has brought up to date:")
        refuses(engine, Askd(PREVIOUS, engine, model), ("serve",), codes=(1, 2))
    say("this askd, on what a later one has brought up to date:")
    askd = Askd(CURRENT, engine, model)
    engine.execute("UPDATE store SET version = version + 1, brought_by = '99.0.0'")
    # 2: whoever watches over the server is not to start it again.
    refuses(engine, askd, ("serve",), codes=(2,))
    refuses(engine, askd, ("migrate", "--check"), ("migrate",))
    if not engine.url:
        refuses(engine, askd, ("backup", "--to", str(DATA / "never.tar.zst")))
        # The doctor does not look into the log of a server that was cut off, and says so.
        engine.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    refuses(engine, askd, ("doctor",))


def refuses(engine, askd, *commands, codes=(1,)):
    for command in commands:
        code, said = unchanged(engine, askd, command)
        if code not in codes or "version" not in said:
            fail(f"it does not say what is wrong: {said}")


def unchanged(engine, askd, command):
    """A command that changes nothing: exit code, and what it said of versions."""
    before = files(), engine.rows()
    code, said = askd.command(*command)
    said = "\n".join(line for line in said.splitlines() if "version" in line and ("knows" in line or "brings" in line))
    say(f"askd {' '.join(command)}: exit code {code}: {said}")
    after = files(), engine.rows()
    if before != after:
        changed = sorted(name for name in before[0].keys() | after[0].keys() if before[0].get(name) != after[0].get(name))
        fail(f"it has changed the store, or {changed}")
    return code, said


def goes_back(engine, model):
    say(f"\n-- {engine.name}: back to the previous release, by a backup")
    seen = unpack(engine)
    previous, current = Askd(PREVIOUS, engine, model), Askd(CURRENT, engine, model)
    archive = str(SRV / "backups/before.tar.zst")
    has_backup = not engine.url and previous.command("backup", "--help")[0] == 0
    if has_backup and previous.command("backup", "--to", archive)[0] != 0:
        fail("it makes no backup")
    current.start()
    current.run({"prompt": "[[text:Nobody will know of this.]]"})
    current.stop()
    if has_backup:
        code, said = previous.command("restore", "--replace", "--from", archive)
        say(f"askd restore: exit code {code}: {said}")
    else:
        # A copy of the folder, and a dump of the database.
        unpack(engine)
    previous.start()
    story.compare(previous, seen)
    run = previous.run({"prompt": "[[text:As before.]]", "session_id": seen["session"], "cwd": "shop"})
    if run["state"] != "completed":
        fail(f"it does not work as before: {json.dumps(run, indent=1)}")
    previous.stop()
    say("it works as before")


def works_beside(engine, model):
    """Two versions on one database, which docs/operations.md advises against."""
    say(f"\n-- {engine.name}: a newer server starts beside an older one")
    unpack(engine)
    older = Askd(PREVIOUS, engine, model, log="older")
    # The one that waits is run as well.
    older.env["MAX_CONCURRENT"] = "3"
    older.start()
    work = {"prompt": '[[tool:Bash {"command":"ls"}]][[then]][[delay_ms:4000]][[text:I have ended.]]', "cwd": "shop"}
    run = older.json("POST", "/v1/runs", work)["id"]
    older.events(run, "tool_result")
    newer = Askd(CURRENT, engine, model, data=SRV / "newer/data", port=3001, log="newer").start()
    if older.events(run) != newer.events(run):
        fail("they tell different events of a run")
    runs = [newer.json("GET", f"/v1/runs/{run}")]
    runs += [server.run({"prompt": "[[text:It works.]]", "cwd": "shop"}) for server in (older, newer)]
    states = [run["state"] for run in runs]
    say(f"a run that the older one had at work, a new one of the older one, one of the newer one: {', '.join(states)}")
    if states[2] != "completed":
        fail("the newer one does not work")
    older.stop()
    refuses(engine, older, ("serve",), codes=(1, 2))
    newer.stop()


def main(action, name):
    engine = {"sqlite": Sqlite, "postgres": Postgres}[name]()
    model = Model(CURRENT)
    try:
        engine.begin()
        action(engine, model)
    finally:
        engine.end()
        model.end()


if __name__ == "__main__":
    main(make if sys.argv[1] == "--make" else check, sys.argv[-1])
