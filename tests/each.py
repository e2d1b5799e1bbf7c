"""Many cases of one behaviour as one test.

Every name of the interpreter's by every way to read it makes thousands of cases, each of which takes less than what
pytest and xdist do for a test of its own (2 to 5 ms). All of them are tried, and the failure names those that failed.
What is told apart by hand, an attack with a name, stays a test of its own: `pytest.mark.parametrize`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

import pytest

Test = Callable[..., None]
#: What pytest raises where a test ends otherwise than by an exception: `pytest.raises` that met none, a skip.
OUTCOMES = (pytest.fail.Exception, pytest.skip.Exception)


def each(names: str | tuple[str, ...], cases: Iterable[Any]) -> Callable[[Test], Test]:
    """Call the test once for each of ``cases``, as `pytest.mark.parametrize` would.

    The test isn't `async`, doesn't skip (that would skip the cases behind it), and has no fixture that a case leaves
    changed. It raises an `ExceptionGroup` of what its cases raised, each with a note that says which one it was.
    """
    named = (names,) if isinstance(names, str) else names
    known = list(cases)
    assert known, "a test without a case can't fail"

    def decorate(test: Test) -> Test:
        assert not inspect.iscoroutinefunction(test)

        @wraps(test)
        def try_each(**others: Any) -> None:
            failed: list[BaseException] = []
            for case in known:
                arguments = dict(zip(named, (case,) if isinstance(names, str) else case, strict=True))
                try:
                    test(**arguments, **others)
                except (Exception, *OUTCOMES) as error:
                    error.add_note(", ".join(f"{name}={value!r}" for name, value in arguments.items()))
                    failed.append(error)
            if failed:
                raise BaseExceptionGroup(f"{len(failed)} of {len(known)} cases failed", failed)

        signature = inspect.signature(test)
        left = [parameter for name, parameter in signature.parameters.items() if name not in named]
        try_each.__signature__ = signature.replace(parameters=left)  # type: ignore[attr-defined] # what pytest reads
        return try_each

    return decorate
