"""How long tests wait for what must happen: each limit of theirs is that of an ordinary machine, times one factor. And
how many examples hypothesis tries of each property.

``REPTARIUM_TEST_SLOWNESS=20`` is for an emulated machine. A limit only ends a test that hangs: what is asserted doesn't
depend on it. Imaginary time (`tests/simulation`) needs none; `tests/e2e` has its own, for n8n's sake.
``REPTARIUM_TEST_EXAMPLES=25`` tries so many times as many examples (`make properties`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import trio

from reptarium.pool.embedded_broker import BrokerConfig


def factor_of(name: str, environ: Mapping[str, str]) -> float:
    """The factor of that name. Raises ValueError for what is none."""
    text = environ.get(name) or "1"
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 1 <= factor < float("inf"):
        raise ValueError(f"{name}: {text!r} isn't a number of 1 or more")
    return factor


SLOWNESS = factor_of("REPTARIUM_TEST_SLOWNESS", os.environ)
EXAMPLES = factor_of("REPTARIUM_TEST_EXAMPLES", os.environ)
#: Examples of a property that says nothing else, in `make test`.
USUAL = 40


def examples(usual: int) -> int:
    """How many examples of a property are tried, where it is so many in `make test`."""
    return int(usual * EXAMPLES)


def within(seconds: float) -> float:
    """So many seconds of an ordinary machine, here."""
    return seconds * SLOWNESS


def fail_after(seconds: float) -> AbstractContextManager[trio.CancelScope]:
    """``trio.fail_after`` with so many seconds of an ordinary machine."""
    return trio.fail_after(within(seconds))


def patient(**changes: Any) -> BrokerConfig:
    """An embedded broker whose grants outlast the start of a runner on a busy machine; n8n's live for 30 s."""
    return BrokerConfig(**{"grant_ttl": within(300), **changes})
