"""What is worth importing before workers are forked, as tasks show it: scores and decisions, without I/O or clock.

Theory of operation. With its result a worker tells which packages its task had to import, and the processor time of
each. That is believed as a hint only: a name counts when the pool's own allowlist permits it and such a module is
installed, its time no more than :data:`ONE_TASK` milliseconds. Each module has a score, the milliseconds that tasks
have spent on it lately, of which half is forgotten in :data:`HALF_LIFE` seconds. What scores more than starting a
zygote costs (:data:`CHANGE`) is *due*; whoever acts on that (``preloading.py``) tries one module at a time, and says
what came of it. It is learnt when its score also exceeds what its memory is worth (:data:`EACH_MIB` for a MiB) and all
that is learnt stays within the budget. What starts threads, fails, or ends the zygote that imports it is left out for
good.

The worst that a hostile task can do with a lie is to have an installed package preloaded that tasks may import anyway.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Mapping
from typing import Annotated, Literal

import msgspec

from reptarium.pool.protocol.messages import UNREADABLE
from reptarium.sandbox import wire
from reptarium.sandbox.language.policy import LanguagePolicy, import_refusal

__all__ = ["CHANGE", "EACH_MIB", "EVERY", "HALF_LIFE", "MOST", "ONE_TASK", "Learning", "Remembered", "learnable"]

#: Seconds in which half of a score is forgotten, and at least between two changes of the preload list.
HALF_LIFE, EVERY = 600.0, 60.0
#: Milliseconds of imports that a change is worth, whatever it imports: about what a zygote's start takes. How many one
#: task counts at most, so that one alone decides nothing. How many a MiB of memory is worth.
CHANGE, ONE_TASK, EACH_MIB = 1000.0, 400.0, 10.0
#: Milliseconds under which a module of the standard library isn't worth it.
HEAVY = 10.0
#: How many modules are learnt at most, and how many are left out; tasks can't make either list longer.
MOST, MOST_LEFT_OUT = 32, 256

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=wire.MAX_NAME)]
_Milliseconds = Annotated[float, msgspec.Meta(ge=0, le=1e7)]
_report = msgspec.json.Decoder(Annotated[dict[_Name, _Milliseconds], msgspec.Meta(max_length=wire.MAX_IMPORTS)])

#: What comes of a module that was tried.
Verdict = Literal["learnt", "too dear"]


class Remembered(msgspec.Struct, frozen=True):
    """What outlives a runner: the modules that are learnt with their memory in bytes; those left out, and why."""

    learnt: dict[str, int] = {}
    left_out: dict[str, str] = {}


def learnable(policy: LanguagePolicy, name: str) -> bool:
    """Whether tasks of this pool may make it preload the module: a top one that they may import, not named already.

    Of the standard library only what is open in restricted mode, whichever the mode: a zygote imports it before it
    restricts itself.
    """
    if not _NAME.fullmatch(name) or len(name) > wire.MAX_NAME:
        return False
    if name in policy.preload or name in policy.external_allow or name in policy.stdlib_allow:
        return False
    return import_refusal(policy, name) is None


class Learning:
    """What one pool learns. ``budget``: bytes of memory. ``now``: seconds of anybody's clock."""

    def __init__(self, policy: LanguagePolicy, *, budget: int, remembered: Remembered | None = None) -> None:
        self.learnt: dict[str, int] = {}
        self.left_out: dict[str, str] = {}
        #: Modules that are installed. Nothing else counts.
        self.installed: Collection[str] = frozenset()
        self._policy = policy
        self._budget = budget
        self._scores: dict[str, tuple[float, float]] = {}  # as of when
        self._costs: dict[str, int] = {}  # of those that were too dear, in bytes
        self._next = 0.0
        self._begun = False
        if remembered is not None:
            self._remember(remembered)

    def _remember(self, remembered: Remembered) -> None:
        for name, reason in list(remembered.left_out.items())[:MOST_LEFT_OUT]:
            if learnable(self._policy, name):
                self.left_out[name] = reason[:200]
        for name, cost in remembered.learnt.items():
            fits = len(self.learnt) < MOST and cost >= 0 and self.used + cost <= self._budget
            if fits and name not in self.left_out and learnable(self._policy, name):
                self.learnt[name] = cost

    @property
    def used(self) -> int:
        """Bytes that what is learnt takes."""
        return sum(self.learnt.values())

    @property
    def remembered(self) -> Remembered:
        """What is to outlive the runner."""
        return Remembered(dict(self.learnt), dict(self.left_out))

    @property
    def names(self) -> tuple[str, ...]:
        """What is to be preloaded beside what the administrator says."""
        return tuple(self.learnt)

    @property
    def line(self) -> str:
        """What to write into the environment so that nothing of it need be learnt."""
        return f"REPTARIUM_PRELOAD={','.join((*self._policy.preload, *self.names))}"

    def heard(self, report: bytes, now: float) -> None:
        """A task's report of its imports, as its worker gave it: what is wrong with it is dropped."""
        try:
            told: Mapping[str, float] = _report.decode(report)
        except UNREADABLE:
            return
        for name, ms in told.items():
            if name not in self.installed or name in self.learnt or name in self.left_out:
                continue
            if name in sys.stdlib_module_names and ms < HEAVY:
                continue
            if name in self._scores or learnable(self._policy, name):
                self._scores[name] = self.score(name, now) + min(ms, ONE_TASK), now

    def score(self, name: str, now: float) -> float:
        """Milliseconds that tasks have spent on it lately."""
        score, then = self._scores.get(name, (0.0, now))
        return float(score * 2.0 ** (min(then - now, 0.0) / HALF_LIFE))

    def due(self, now: float) -> str | None:
        """What is to be tried now. Whoever does calls :meth:`begin`."""
        if self._begun and now < self._next:
            return None
        if len(self.learnt) >= MOST or len(self.left_out) >= MOST_LEFT_OUT:
            return None
        scores = {name: self.score(name, now) for name in self._scores}
        worth = [name for name, score in scores.items() if score >= CHANGE and self._is_worth(name, now)]
        return max(worth, key=lambda name: (scores[name], name), default=None)

    def begin(self, now: float) -> None:
        """A change begins, whatever comes of it: the next one not before :data:`EVERY` seconds."""
        self._begun, self._next = True, now + EVERY

    def tried(self, name: str, cost: int, now: float) -> Verdict:
        """It was imported without trouble and takes so many bytes: whether it is learnt."""
        self._costs[name] = cost
        if not self._is_worth(name, now):
            return "too dear"
        self.learnt[name] = self._costs.pop(name)
        self._scores.pop(name, None)
        return "learnt"

    def _is_worth(self, name: str, now: float) -> bool:
        """As far as it is known what it takes."""
        cost = self._costs.get(name, 0)
        return self.used + cost <= self._budget and self.score(name, now) >= cost / 2**20 * EACH_MIB

    def leave_out(self, name: str, reason: str) -> None:
        """It can't be preloaded: never again."""
        self.learnt.pop(name, None)
        self._scores.pop(name, None)
        self.left_out[name] = reason[:200]  # bounded: see due()

    def distrust(self) -> tuple[str, ...]:
        """No zygote comes up with all that is learnt: begin anew, one at a time, which shows whose fault it is."""
        names, self.learnt = self.names, {}
        return names
