"""The recursion limit is the task's own: what of the worker lies below it doesn't count."""

from __future__ import annotations

import inspect
import sys

import pytest

from reptarium.sandbox.language import discount_frames
from tests.unit.language.support import OPEN, execute


def test_frames_of_ours_are_no_business_of_a_task() -> None:
    """It sees, and sets, what a script of its own would; the process's limit is so much higher."""
    before = sys.getrecursionlimit()
    program = """
import sys
seen = sys.getrecursionlimit()
sys.setrecursionlimit(3000)
return seen, sys.getrecursionlimit()
"""
    try:
        discount_frames(20)
        discount_frames(16)
        assert execute(program, OPEN) == (before, 3000)
        assert sys.getrecursionlimit() == 3016
        with pytest.raises(ValueError, match="recursion limit must be greater"):
            execute("import sys\nsys.setrecursionlimit(0)", OPEN)
    finally:
        discount_frames(0)
        sys.setrecursionlimit(before)


def test_a_limit_that_the_code_could_not_go_on_with_is_refused_in_its_own_numbers() -> None:
    """As Python refuses one: nothing is changed, and the frames below the task aren't told of."""
    before = sys.getrecursionlimit()
    program = """
import sys
def deeper(n):
    if n:
        return deeper(n - 1)
    try:
        sys.setrecursionlimit(LIMIT)
    except RecursionError as error:
        return str(error), sys.getrecursionlimit()
    return sys.getrecursionlimit()
return deeper(9)
"""
    text = "cannot set the recursion limit to {} at the recursion depth {}: the limit is too low"
    frames = len(inspect.stack(0))
    discount_frames(frames)
    try:
        found = [execute(program.replace("LIMIT", str(limit)), OPEN) for limit in (1, 3, 12, 15)]
        depth = int(found[0][0].split("depth ")[1].split(":")[0])
        assert found == [(text.format(limit, depth), before) for limit in (1, 3, 12, 15)]
        assert execute(program.replace("LIMIT", str(depth + 10)), OPEN) == depth + 10
    finally:
        sys.setrecursionlimit(before + frames)
        discount_frames(0)
