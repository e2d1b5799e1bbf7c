"""What becomes of a broker that takes slots and doesn't use them. No I/O, no clock: ``now`` is handed in.

A slot is *used* once its task has its settings, and *wasted* if that ends before. n8n sends settings within
milliseconds, so an honest broker wastes one when it breaks down at that very moment, or hangs; a broken or hostile one
would hold every slot all the time, each until it is overdue, and the others would stand.

* Of whom nothing is known yet, and who has wasted a slot lately, may hold one at a time that isn't used. That costs an
  honest one nothing but its very first round trip: meanwhile it doesn't wait for another, but keeps its claim to one.
* Such a one, for which others wait, ends after :data:`PATIENCE` seconds: a hundred strangers would have the slots for
  minutes else before they are known.
* Who has wasted one is *on trial*. All who are have one slot between them, one after the other, those first who have
  wasted least: so a hundred such neighbours take no more than one, and nobody is shut out. Who uses it is free again.
* When a slot was wasted, that one is given to nobody for a while: :data:`FIRST_REST` seconds for who has never done so,
  so that a broker that has broken down is served again as soon as it works; else three times as long as it was held,
  so that where there is a single slot the others have it most of the time.
"""

from __future__ import annotations

import math

import msgspec

#: For how many seconds nobody on trial is given a slot when one was wasted: the first of its broker; at the longest.
FIRST_REST, LONGEST_REST = 1.0, 60.0
#: How many seconds settings may take that others wait for. n8n gives a runner as long to acknowledge a task.
PATIENCE = 2.0
#: After so many seconds without a waste one is forgotten.
FORGOTTEN = 300.0


class Conduct(msgspec.Struct, eq=False):
    """What a broker has done with its slots."""

    limited: bool = True
    """Whether it may hold one slot at a time only that isn't used yet."""
    on_trial: bool = False
    wasted: int = 0
    """How often it has wasted slots, as far as that isn't forgotten."""
    taken: float = 0.0
    """When it took its last slot, while it is limited."""
    _since: float = 0.0

    def used(self, now: float) -> bool:
        """A task of its has got its settings. Returns whether it may have as many slots as it likes now."""
        self.on_trial = False
        while self.wasted and now - self._since >= FORGOTTEN:
            self.wasted -= 1
            self._since += FORGOTTEN
        self.limited = self.wasted > 0
        return not self.limited

    def has_wasted(self, now: float) -> float:
        """A task of its has ended without settings. Returns for how long nobody is to be tried."""
        again = self.wasted > 0
        self.wasted += 1
        self._since = now
        self.limited = self.on_trial = True
        return min(max(3 * (now - self.taken), FIRST_REST), LONGEST_REST) if again else FIRST_REST


class Trial:
    """The one slot of all who are on trial."""

    def __init__(self) -> None:
        self._rests_until = -math.inf
        self._taken_by: Conduct | None = None

    @property
    def rests_until(self) -> float | None:
        """Until when it is given to nobody; None: not any more, once :meth:`tick` has been told."""
        return None if self._rests_until == -math.inf else self._rests_until

    def open_to(self, conduct: Conduct) -> bool:
        """Whether this broker may have it now."""
        return self._rests_until == -math.inf and self._taken_by in (None, conduct)

    @property
    def open(self) -> bool:
        """Whether anybody may have it now."""
        return self._rests_until == -math.inf and self._taken_by is None

    def has(self, conduct: Conduct) -> bool:
        """Whether it is kept for this broker, or taken by it."""
        return self._taken_by is conduct

    def take(self, conduct: Conduct) -> None:
        """It is kept for this broker, or taken by it."""
        self._taken_by = conduct

    def let_go(self, conduct: Conduct) -> None:
        """This broker has no part in it any more."""
        if self._taken_by is conduct:
            self._taken_by = None

    def rest(self, until: float) -> None:
        """Give it to nobody."""
        self._rests_until = max(self._rests_until, until)

    def tick(self, now: float) -> None:
        """Time has passed."""
        if self._rests_until <= now:
            self._rests_until = -math.inf
