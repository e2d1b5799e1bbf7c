"""The recursion limit is the task's own: what of the worker lies below it doesn't count."""

from __future__ import annotations

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
