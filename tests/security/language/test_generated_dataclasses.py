"""``dataclasses`` writes source text out of fields' names: whoever lies about a name must not write code."""

from __future__ import annotations

import sys

import pytest

from tests.security.language.programs import outcome

REFUSED = "a name of this dataclass's fields is not allowed: it isn't an identifier"

#: The last argument of a field's, since 3.14.
DOC = (None,) if sys.version_info >= (3, 14) else ()

#: A field whose name is ``x`` but for the one time that it is read for the source text.
LIAR = """
from dataclasses import Field, MISSING, dataclass
reads = []
def read(self):
    reads.append(1)
    return pasted if len(reads) == turn else "x"
class Liar(Field):
    __slots__ = ()
    name = property(read, lambda self, value: None)
@dataclass(order=True)
class A:
    x: int = Liar(MISSING, MISSING, True, True, None, True, {}, False, *DOC)
A(1), repr(A(1)), A(1) < A(2)
"""


@pytest.mark.parametrize(
    "pasted",
    [
        "x=reached.append(1)",
        "{reached.append(1)}",
        "x!r}{self.__class__.__mro__",
        "x=reached.append(1) or self.x",
        "x,*_:(lambda: reached.append(1))()",
    ],
)
def test_injected_source_is_refused(pasted: str) -> None:
    """Whichever of the reads it is that lies: nothing that was pasted runs, and where it is Python it is refused."""
    endings = [str(outcome(LIAR, pasted=pasted, turn=turn, DOC=DOC)) for turn in range(1, 40)]
    assert REFUSED in endings
