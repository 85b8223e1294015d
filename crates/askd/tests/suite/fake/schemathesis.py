"""What Schemathesis does not know of askd: bodies that are archives are sent as they were made up."""

import schemathesis


@schemathesis.serializer("application/x-tar", "application/zip")
def archive(ctx, value):
    return value if isinstance(value, bytes) else str(value).encode()


# Parameters that are true or false. `1`, `0` and the name alone are taken as well, for people who type them.
FLAGS = {"all", "contents", "deltas", "dry_run", "fail_http", "verbose"}


@schemathesis.hook
def filter_case(ctx, case):
    # Every server passes over headers that it does not know: an unknown one is no wrong request.
    if any(name.lower() == "x-schemathesis-unknown-property" for name in case.headers or {}):
        return False
    query = case.query or {}
    return not any(name in FLAGS and str(value) in ("", "0", "1", "[]", "['']") for name, value in query.items())
