"""What a command says beside its output: on standard error, whose reader may be gone or whose disk may be full."""

from __future__ import annotations

import sys
from contextlib import suppress


def say(text: str) -> None:
    """One line, where it can be had: a word that nobody can take is no reason to fail."""
    with suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)
