"""Objects that the zygote makes immortal: all of them, or none where the interpreter counts in another way."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig

import pytest

from reptarium.sandbox.process import immortal
from tests.limits import within

PROGRAM = """
import gc, json, sys
from reptarium.sandbox.process.immortal import immortalize

class Thing:
    def method(self):
        return ("a constant", 12345.5)

thing, table = Thing(), {"key": ["value"]}
watched = [thing, Thing, Thing.method, Thing.method.__code__, table, table["key"], "a constant", 12345.5, "value"]
watched.append(Thing.method.__code__.co_consts)
count, obstacle = immortalize()
before = [sys.getrefcount(each) for each in watched]
more = watched * 100
gc.collect()
after = [sys.getrefcount(each) for each in watched]
del more
fresh = [object(), [1], {"a": 1}]
print(json.dumps({
    "count": count,
    "obstacle": obstacle,
    "unmoved": before == after,
    "counted": [sys.getrefcount(each) < 100 for each in fresh],
    "works": thing.method() == ("a constant", 12345.5) and table == {"key": ["value"]},
}))
"""


def test_references_stop_counting() -> None:
    """From 3.12 on every object that there was keeps its mark whatever refers to it, and what comes later counts
    as always; before, nothing is touched.
    """
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=within(60), check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["works"]
    assert all(found["counted"])
    if sys.version_info >= (3, 12):
        assert found["count"] > 5000
        assert found["unmoved"]
        assert found["obstacle"] == ""
    else:
        assert found["count"] == 0
        assert not found["unmoved"]
        assert "3.12" in found["obstacle"]


class Elsewhere:
    """A place in memory where no references are counted, and that may not be written to."""

    def __init__(self, address: int) -> None:
        self.address = address

    @property
    def value(self) -> int:
        """Always the same."""
        return 7


def test_nothing_is_written_where_counts_do_not_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that isn't a count is left alone: the place is read first, and refused."""
    monkeypatch.setattr(immortal, "_count", Elsewhere)
    assert immortal.immortalize() == (0, "references are not counted where they were expected")


def test_other_builds_are_refused_before_their_memory_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A free-threaded interpreter, and one that traces references, lay objects out in other ways."""
    monkeypatch.setattr(immortal, "_count", None)  # whoever looks fails
    monkeypatch.setattr(sys, "getobjects", list, raising=False)
    assert immortal.immortalize()[0] == 0
    assert "traces references" in immortal.immortalize()[1]
    monkeypatch.delattr(sys, "getobjects")
    monkeypatch.setattr(sysconfig, "get_config_var", {"Py_GIL_DISABLED": 1}.get)
    assert immortal.immortalize()[0] == 0
    assert "global lock" in immortal.immortalize()[1]
