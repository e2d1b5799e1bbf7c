"""Exit statuses of the commands, and what they look for in errors."""

from __future__ import annotations

from typing import TypeVar

_E = TypeVar("_E", bound=BaseException)

#: A failed task; bad input or usage; a configuration that can't work (sysexits(3), EX_CONFIG); Ctrl-C (128 + SIGINT).
FAILED, BAD_INPUT, BAD_CONFIG, INTERRUPTED = 1, 2, 78, 130


def contained(error: BaseException, kind: type[_E]) -> _E | None:
    """The first of that kind in an error that may be a group; None where there is none."""
    if not isinstance(error, BaseExceptionGroup):
        return error if isinstance(error, kind) else None
    return next((found for inner in error.exceptions if (found := contained(inner, kind)) is not None), None)
