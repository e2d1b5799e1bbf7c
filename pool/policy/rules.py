"""What a rule is, and which one a task comes under. Pure: no I/O.

A rule has conditions and changes. The first whose conditions all hold decides; where it says nothing, and where none
matches, the environment's values count. So each rule comes down to a whole set of settings, made once, when the file
is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from reptarium.pool.config import Settings
from reptarium.pool.policy.patterns import matches

__all__ = ["DEFAULT", "Policy", "Rule", "Subject"]

#: What tasks run under that no rule matches.
DEFAULT = "default"


class Subject(msgspec.Struct, frozen=True):
    """What is known of a task, from its broker; None: not said."""

    workflow_id: str | None = None
    workflow: str | None = None
    node: str | None = None


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule. ``changes`` maps fields of the settings to values; ``settings`` are the environment's with these.

    An empty condition always holds. ``workflow`` and ``node`` are patterns (`patterns.py`).
    """

    name: str
    settings: Settings
    changes: Mapping[str, Any] = {}
    workflow_id: tuple[str, ...] = ()
    workflow: tuple[str, ...] = ()
    node: tuple[str, ...] = ()

    @property
    def conditions(self) -> dict[str, tuple[str, ...]]:
        """Those that there are, by their keys. Without any it matches every task."""
        found = {"workflow_id": self.workflow_id, "workflow": self.workflow, "node": self.node}
        return {key: values for key, values in found.items() if values}

    def matches(self, subject: Subject) -> bool:
        """Whether all conditions hold. What isn't known of a task fulfils none."""
        if self.workflow_id and subject.workflow_id not in self.workflow_id:
            return False
        return _one_of(self.workflow, subject.workflow) and _one_of(self.node, subject.node)


def _one_of(patterns: tuple[str, ...], name: str | None) -> bool:
    if not patterns:
        return True
    return name is not None and any(matches(pattern, name) for pattern in patterns)


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Rules in their order, and the settings of the environment."""

    settings: Settings
    rules: tuple[Rule, ...] = ()
    warnings: tuple[str, ...] = ()
    """What is odd and no reason to refuse the file."""

    def rule_for(self, subject: Subject) -> Rule | None:
        """The first rule that matches; None: the environment's values count."""
        return next((rule for rule in self.rules if rule.matches(subject)), None)
