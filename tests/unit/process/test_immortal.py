"""Objects that the zygote makes immortal: all of them, or none where the interpreter counts in another way."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import gc, json, sys
from reptarium.sandbox.process.immortal import immortalize

class Thing:
    def method(self):
        return ("a constant", 12345.5)

thing, table = Thing(), {"key": ["value"]}
watched = [thing, Thing, Thing.method, Thing.method.__code__, table, table["key"], "a constant", 12345.5, "value"]
watched.append(Thing.method.__code__.co_consts)
count = immortalize()
before = [sys.getrefcount(each) for each in watched]
more = watched * 100
gc.collect()
after = [sys.getrefcount(each) for each in watched]
del more
fresh = [object(), [1], {"a": 1}]
print(json.dumps({
    "count": count,
    "unmoved": before == after,
    "counted": [sys.getrefcount(each) < 100 for each in fresh],
    "works": thing.method() == ("a constant", 12345.5) and table == {"key": ["value"]},
}))
"""


def test_references_stop_counting() -> None:
    """From 3.12 on every object that there was keeps its mark whatever refers to it, and what comes later counts
    as always; before, nothing is touched.
    """
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["works"]
    assert all(found["counted"])
    if sys.version_info >= (3, 12):
        assert found["count"] > 5000
        assert found["unmoved"]
    else:
        assert found["count"] == 0
        assert not found["unmoved"]
