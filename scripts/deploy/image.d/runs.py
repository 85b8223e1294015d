"""Tests of the built images. Arguments: the folder of scripts/deploy/image, and what: `files` or `containers`."""

import sys

import engine
import files

work, what = sys.argv[1:]
if what == "files":
    files.check(engine.Engine(work))
else:
    import containers

    containers.check(engine.Engine(work))
