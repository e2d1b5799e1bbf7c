"""One setting: a row of the table."""

from __future__ import annotations

from typing import Any

import msgspec

from reptarium.pool.config.values import ValueKind


class Variable(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table."""

    name: str
    field: str
    kind: ValueKind
    default: Any
    doc: str
    group: str
    secret: bool = False
    default_from: str | None = None
    """The field whose value is the default. It must stand earlier in the table."""
    zero_is_default: bool = False
    """0 also means "the default"."""
    by_rule: bool = False
    """Whether a rule of `REPTARIUM_POLICY` may say otherwise for its tasks."""
