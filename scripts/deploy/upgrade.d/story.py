"""What a server is used for before it is brought up to date, and whether all of it is there afterwards."""

import hashlib
import json

from place import fail, until

UPLOAD = "The meeting begins at nine.\n"
TOKEN = "xK9fQ2mZ-w7Lr4Tn8"
RULES = ["Indent with tabs.\n", "Indent with four blanks.\n"]
# These change when somebody uses them, with the day, and when the data are put in place.
VOLATILE = {"last_used_at", "last_used_address", "resets_at", "revoked_at"}


def tell(askd):
    """Uses a new server in every way that leaves something in its store, and ends in the middle; what was seen."""
    for content in RULES:
        askd.json("PUT", "/v1/config/rules/tabs", {"content": content})
    askd.json("PUT", "/v1/config/claude-md", {"content": "Be brief.\n"})
    # Enough for a run of all of it, with the margin, as long as nothing is spent.
    policy = {"max_usd_per_run": 2, "max_usd_per_day": 2.1, "models": ["sonnet"]}
    scopes = ["runs:read", "runs:write", "usage:read"]
    made = askd.json("POST", "/v1/keys", {"name": "ci", "scopes": scopes, "policy": policy})
    key = made["key"]
    gone = askd.json("POST", "/v1/keys", {"name": "gone", "scopes": ["ask"]})
    askd.json("POST", f"/v1/keys/{gone['id']}/revoke")

    first = askd.run({
        "prompt": 'Remember the word "heron". [[text:I look.]][[tool:Write {"file_path":"/srv/workspaces/shop/note.txt",'
                  '"content":"heron\\n"}]][[then]][[text:A heron, then.]][[usage:input=5000,output=50]]',
        "cwd": "shop", "model": "sonnet", "metadata": {"ticket": "A-7"},
    }, key)
    second = askd.run({"prompt": "[[text:Still a heron.]]", "cwd": "shop", "session_id": first["session_id"]}, key)
    failed = askd.run({"prompt": '[[error:400,message="no such thing"]]', "cwd": "shop"}, key)
    cancelled = askd.json("POST", "/v1/runs", {"prompt": "[[text:I begin.]][[hang]]", "cwd": "shop"}, key)
    askd.events(cancelled["id"], "run.started")
    askd.json("POST", f"/v1/runs/{cancelled['id']}/cancel", key=key)
    askd.events(cancelled["id"])
    ended = {"first": first, "second": second, "failed": failed, "cancelled": cancelled}
    ended = {name: askd.json("GET", f"/v1/runs/{run['id']}") for name, run in ended.items()}
    states = [run["state"] for run in ended.values()]
    if states != ["completed", "completed", "failed", "cancelled"]:
        fail(f"the runs ended as {states}: {json.dumps(ended, indent=1)}")

    upload = askd.json("POST", "/v1/uploads?name=notes.txt", UPLOAD.encode(), content_type="text/plain")
    working = askd.json("POST", "/v1/runs", {
        "prompt": "[[text:I begin.]][[tool:Bash {\"command\":\"ls\"}]][[then]][[text:I go on.]][[hang]]", "cwd": "shop",
    })
    events = askd.events(working["id"], "tool_result")
    waiting = askd.json("POST", "/v1/runs", {
        "content": [
            {"type": "document", "source": {"type": "upload", "upload_id": upload["id"]}},
            {"type": "text", "text": '[[tool:Bash {"command":"printf %s \\"$DEPLOY_TOKEN\\" | sha256sum"}]]'
                                     "[[then]][[text:Done.]]"},
        ],
        "cwd": "shop", "env": {"DEPLOY_TOKEN": TOKEN}, "allowed_tools": ["Bash"],
    })
    paths = [f"/v1/runs/{run['id']}" for run in ended.values()]
    paths += [f"/v1/keys/{made['id']}", f"/v1/keys/{gone['id']}", f"/v1/uploads/{upload['id']}"]
    paths += ["/v1/config/rules/tabs", "/v1/config/claude-md", "/v1/config/history"]
    history = askd.json("GET", "/v1/config/history?kind=rules&name=tabs")["data"]
    paths += [f"/v1/config/history/{change['id']}{what}" for change in history for what in ("", "/diff")]
    day = first["created_at"][:10]
    paths += [
        f"/v1/usage?from={day}&to={day}&key={made['id']}&group_by={group}"
        for group in ("day", "workspace", "model", "session")
    ]
    return {
        "day": day,
        "key": key,
        "session": first["session_id"],
        "runs": {name: run["id"] for name, run in ended.items()},
        "working": {"id": working["id"], "events": events},
        "waiting": waiting["id"],
        "upload": upload["id"],
        "answers": {path: _plain(askd.ask("GET", path)) for path in paths},
        "events": {run["id"]: askd.events(run["id"]) for run in ended.values()},
        "audit": askd.json("GET", "/v1/audit?limit=200")["data"],
        "self": askd.json("GET", "/v1/keys/self", key=key),
    }


def _plain(answer):
    status, _, body = answer
    if status != 200:
        fail(f"{status} {body.decode()}")
    return body.decode()


def compare(askd, seen):
    """Holds what a server tells against what was seen before."""
    more = set()
    for path, before in seen["answers"].items():
        after = _plain(askd.ask("GET", path))
        if path.startswith("/v1/usage"):
            # The budget is of today.
            before, after = [json.dumps(json.loads(text) | {"budget": None}) for text in (before, after)]
        _same(path, *map(_parsed, (before, after)), more)
    for run, before in seen["events"].items():
        if askd.events(run) != before:
            fail(f"the events of {run} are not what they were")
    audit = {entry["id"]: entry for entry in askd.json("GET", "/v1/audit?limit=200")["data"]}
    for entry in seen["audit"]:
        _same("/v1/audit", entry, audit.get(entry["id"]), more)
    _same("/v1/keys/self", seen["self"], askd.json("GET", "/v1/keys/self", key=seen["key"]), more)
    count = sum(map(len, seen["events"].values()))
    print(f"{len(seen['answers'])} answers, {count} events and {len(seen['audit'])} entries of the audit are what they were"
          + (f"; new fields: {', '.join(sorted(more))}" if more else ""))


def _parsed(text):
    try:
        return json.loads(text)
    except ValueError:
        return text


def _same(where, before, after, more):
    """All that was there is there. What a later version tells besides is noted."""
    if isinstance(before, dict) and isinstance(after, dict):
        more |= {f"{where.split('?')[0].rsplit('/', 1)[0]}: {name}" for name in after.keys() - before.keys()}
        for name, value in before.items():
            if name not in VOLATILE:
                _same(f"{where}: {name}", value, after.get(name, "(absent)"), more)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for one, other in zip(before, after):
            _same(where, one, other, more)
    elif before != after:
        fail(f"{where} was {json.dumps(before)} and is {json.dumps(after)}")


def goes_on(askd, model, seen):
    """What had not ended, and what is begun now."""
    lost = askd.json("GET", f"/v1/runs/{seen['working']['id']}")
    events, before = askd.events(lost["id"]), seen["working"]["events"]
    if lost["state"] != "lost" or events[:len(before)] != before:
        fail(f"the run that was at work: {json.dumps(lost, indent=1)}")
    if f'"session_id": "{lost["session_id"]}"' not in lost["error"]["hint"]:
        fail(f"nothing says how to go on: {lost['error']}")
    print(f"the run at work is lost, with its {len(before)} events: {lost['error']['message']}; {lost['error']['hint']}")

    done = until("the run that waited ends", lambda: _ended(askd, seen["waiting"]), askd.log)
    hash = hashlib.sha256(TOKEN.encode()).hexdigest()
    if done["state"] != "completed" or hash not in "".join(askd.events(done["id"])):
        fail(f"the run that waited: {json.dumps(done, indent=1)}")
    if UPLOAD.strip() not in model.heard_last():
        fail("the upload of the run that waited was not in its message")
    print("the run that waited has been run, with its secret and its upload")

    for session, words in ((seen["session"], ("heron", "Still a heron.")), (lost["session_id"], ("I begin.",))):
        run = {"prompt": "[[text:I remember.]]", "cwd": "shop", "session_id": session}
        key = seen["key"] if session == seen["session"] else None
        run = askd.run(run, key) if key else askd.run(run)
        heard = model.heard_last()
        if run["state"] != "completed" or not all(word in heard for word in words):
            fail(f"the session {session} goes on without its history: {json.dumps(run, indent=1)}\n{heard[-3000:]}")
    print("both sessions go on with what was said in them, by the real CLI")
    status, _, said = askd.ask("POST", "/v1/runs", {"prompt": "x", "max_budget_usd": 2, "cwd": "shop"}, seen["key"])
    if status != 402:
        fail(f"what the key has spent does not count: {status} {said.decode()}")
    print(f"the key counts, and what it has spent: {json.loads(said)['error']['message']}")
    again = askd.json("GET", "/v1/config/history?kind=rules&name=tabs")["data"][-1]["id"]
    askd.json("POST", f"/v1/config/history/{again}/restore")
    if askd.json("GET", "/v1/config/rules/tabs")["content"] != RULES[0]:
        fail("a version of the configuration could not be put back")


def _ended(askd, run):
    run = askd.json("GET", f"/v1/runs/{run}")
    return run if run["finished_at"] else None
