"""What keeps a runner from starting as it is configured."""

from __future__ import annotations


class StartRefused(Exception):
    """The machine or the configuration doesn't allow the start. The text says what is wrong and what to change."""
