"""What runners are compared with beside n8n's way: what is missing is said, what is there runs the same program."""

from __future__ import annotations

import json
import sys
import textwrap
from contextlib import ExitStack
from typing import Any

import pytest

from reptarium.pool.bench.cases import CASES
from reptarium.pool.bench.others import OTHERS, Missing

MODULES = {"monty": "pydantic_monty", "nsjail": "nsjail"}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_not_installed_is_said_with_the_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is measured in its place."""
    monkeypatch.setitem(sys.modules, MODULES[name], None)
    with ExitStack() as stack, pytest.raises(Missing, match=r"reptarium\[bench\]"):
        OTHERS[name](1, stack)


@pytest.mark.parametrize("name", OTHERS)
def test_it_runs_the_trivial_program(name: str) -> None:
    """The same as everybody: two tasks, one after the other, and an error for what it can't run."""
    pytest.importorskip(MODULES[name])
    with ExitStack() as stack:
        try:
            perform = OTHERS[name](1, stack)
        except Missing as missing:
            pytest.skip(str(missing))
        for number in (1, 2):
            ok, data = perform(CASES["trivial"].code, b'[{"json": {"n": %d}}]' % number, False)
            assert (ok, json.loads(data)) == (True, [{"json": {"n": number + 1}}])
        assert perform("return 1 / 0", b"[]", False)[0] is False
        assert perform("return _item", b"[]", True) == (False, b"not compared: code for each item")


@pytest.mark.parametrize("name", ["prints", "flood", "format"])
def test_a_case_prints_what_it_says(name: str) -> None:
    """As many prints as its tasks are held against."""
    printed: list[tuple[Any, ...]] = []
    names: dict[str, Any] = {"_items": [{"json": {"n": 1}}], "print": lambda *values: printed.append(values)}
    exec("def task():\n" + textwrap.indent(CASES[name].code, "    ") + "\nresult = task()", names)  # noqa: S102 (ours)
    assert len(printed) == CASES[name].prints
    assert names["result"] == [{"json": {"n": 2}}]
