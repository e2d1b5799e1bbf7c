"""The record of the faults that were done, and of which ends of tasks they explain.

Each one is written down with its time, its runner and how many tasks it can have spoilt: a task that ends badly without
a fault that fits is a defect found.
"""

from __future__ import annotations

import math

import msgspec

from reptarium.pool.embedded_broker import Outcome

#: For how long before a task's request a fault can still have spoilt it (seconds): it takes so long to be noticed.
_NOTICED = 1.0


class Injury(msgspec.Struct):
    """A fault that was done: from ``began`` to ``ended``, to one runner (None: all), to so many tasks at most."""

    kind: str
    runner: str | None
    began: float
    ended: float
    victims: float


class _Cause(msgspec.Struct, frozen=True):
    """An end of a task (``words`` are the runner's own) and the faults that lead to it."""

    status: str
    words: str
    kinds: frozenset[str]


_CAUSES = (
    _Cause("error", "killed from outside", frozenset({"kill_idle_worker", "kill_busy_worker"})),
    _Cause("error", "sandbox was restarted", frozenset({"kill_zygote"})),
    # those that had been accepted; no more are offered meanwhile
    _Cause("error", "The runner can't start workers", frozenset({"hung_zygote", "kill_zygote", "exhaust_descriptors"})),
    _Cause("error", "broke its protocol", frozenset({"hostile_console"})),
    # a broker that takes prints slowly holds a flood of them back until the time limit
    _Cause("error", "Task execution timed out", frozenset({"stop_worker", "hostile_console"})),
    _Cause("error", "settings did not arrive", frozenset({"lose_settings", "slow_reader"})),
    # the broker's own limit: a stopped worker, leased late because the zygote was dead or could fork nothing; prints
    # without end that are still on their way
    _Cause("timeout", "", frozenset({"stop_worker", "kill_zygote", "hung_zygote", "exhaust_descriptors",
                                     "hostile_console"})),
    _Cause("disconnected", "", frozenset({"kill_runner", "cut_connection", "cut_at_message", "silence_connection",
                                          "slow_reader", "broker_outage"})),
    _Cause("cancelled", "", frozenset({"cancel_burst"})),
)  # fmt: skip
#: Faults that leave something behind which a task meets at any later time.
_LASTING = frozenset({"stop_worker"})


class Record:
    """Which faults were done."""

    def __init__(self) -> None:
        self.injuries: list[Injury] = []

    def add(self, kind: str, now: float, *, runner: str | None = None, victims: float = math.inf) -> Injury:
        """A fault begins. One that lasts has its ``ended`` set later."""
        self.injuries.append(Injury(kind, runner, now, now, victims))
        return self.injuries[-1]

    def explains(self, outcome: Outcome, runner: str | None, began: float, ended: float) -> bool:
        """Whether a fault explains that the task of ``runner``, requested at ``began``, ended so at ``ended``.

        A fault that can have spoilt so many tasks only is used up by as many.
        """
        error = outcome.error
        text = "" if error is None else f"{error.message} {error.description or ''}"
        kinds = {
            kind for cause in _CAUSES if cause.status == outcome.status and cause.words in text for kind in cause.kinds
        }
        for injury in self.injuries:
            fits = (
                injury.kind in kinds
                and injury.victims > 0
                and injury.began <= ended
                and (injury.kind in _LASTING or injury.ended >= began - _NOTICED)
                and (injury.runner is None or runner is None or injury.runner == runner)
            )
            if fits:
                injury.victims -= 1
                return True
        return False
