"""Runners that come and go during a run, and have been started elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from reptarium.pool.embedded_broker import Broker

_WORDS = {"broker.runner_registered": "came", "broker.runner_gone": "went"}


class Turnout(NamedTuple):
    """A runner came or went: when (``time.perf_counter()``), how many are there now, and that in words."""

    at: float
    runners: int
    text: str


class Coming:
    """Who came and went. ``names`` are those of each id that was ever there; ``on_change`` hears of each."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.names: dict[str, str] = {}
        self.changes: list[Turnout] = []
        self.on_change: Callable[[Turnout], None] = lambda change: None

    def event(self, name: str, fields: Mapping[str, Any], broker: Broker) -> None:
        """For :attr:`Broker.on_event`: what of it is a runner that comes or goes."""
        if name not in _WORDS:
            return
        runner_id = str(fields["runner_id"])
        if name == "broker.runner_registered":
            self.names[runner_id] = str(fields["name"])
        lost = f", with {fields['tasks']} tasks: {fields['why']}" if fields.get("tasks") else ""
        there = sum(view.registered for view in broker.runners)
        text = f"{self.names.get(runner_id, 'a runner')} ({runner_id}) {_WORDS[name]}{lost}; {there} of {self.expected}"
        self.changes.append(Turnout(time.perf_counter(), there, text))
        self.on_change(self.changes[-1])
