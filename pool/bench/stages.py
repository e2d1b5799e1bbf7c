"""Rates that change while the load runs: ``--ramp 10..500/60s``, ``--steps 50,100,200/30s``."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

import msgspec

_RAMP = re.compile(r"(\d+(?:\.\d+)?)\.\.(\d+(?:\.\d+)?)/(\d+(?:\.\d+)?)s?")
_STEPS = re.compile(r"(\d+(?:\.\d+)?(?:,\d+(?:\.\d+)?)*)/(\d+(?:\.\d+)?)s?")
#: Stretches that a ramp has figures for.
_PARTS = 10


class Stage(msgspec.Struct, frozen=True):
    """``seconds`` in which tasks arrive, first ``first`` a second, at its end ``last``."""

    first: float
    last: float
    seconds: float

    @property
    def rate(self) -> float:
        """Tasks a second on average."""
        return (self.first + self.last) / 2


def ramp(text: str) -> tuple[Stage, ...]:
    """What ``10..500/60s`` says, in ten stretches. Raises ValueError, with what is allowed."""
    match = _RAMP.fullmatch(text)
    if match is None or not float(match[3]) > 0 or float(match[1]) == float(match[2]) == 0:
        raise ValueError(f"{text!r} is no ramp: 10..500/60s goes from 10 tasks a second to 500, in 60 seconds")
    first, last, seconds = map(float, match.groups())
    rates = [first + (last - first) * part / _PARTS for part in range(_PARTS + 1)]
    return tuple(Stage(low, high, seconds / _PARTS) for low, high in pairwise(rates))


def steps(text: str) -> tuple[Stage, ...]:
    """What ``50,100,200/30s`` says. Raises ValueError, with what is allowed."""
    match = _STEPS.fullmatch(text)
    rates = [float(rate) for rate in match[1].split(",")] if match is not None else []
    if match is None or not all(rates) or not float(match[2]):
        raise ValueError(f"{text!r} are no steps: 50,100,200/30s is each of these tasks a second, for 30 seconds")
    return tuple(Stage(rate, rate, float(match[2])) for rate in rates)


def steady(rate: float) -> tuple[Stage, ...]:
    """One rate without end."""
    return (Stage(rate, rate, math.inf),)


def shown(stages: Sequence[Stage]) -> str:
    """The load in words."""
    rising = any(stage.first != stage.last for stage in stages)
    if len(stages) == 1 and not rising:
        return f"open loop, {stages[0].rate:g} tasks/s"
    seconds = sum(stage.seconds for stage in stages)
    if rising:
        return f"open loop, {stages[0].first:g} to {stages[-1].last:g} tasks/s in {seconds:g} s"
    return f"open loop, {', '.join(f'{one.rate:g}' for one in stages)} tasks/s, {stages[0].seconds:g} s each"


def arrivals(stages: Sequence[Stage], rng: random.Random) -> Iterator[float]:
    """When tasks arrive, in seconds since the first stage began: a Poisson process, people don't come in step."""
    begun, ahead = 0.0, rng.expovariate(1.0)
    for stage in stages:
        slope = (stage.last - stage.first) / stage.seconds
        at = 0.0
        while True:
            # the next one comes where the rate, summed up from here, has reached what was drawn
            now = stage.first + slope * at
            root = now * now + 2 * slope * ahead
            passed = 2 * ahead / (now + math.sqrt(root)) if root > 0 and now + math.sqrt(root) > 0 else math.inf
            if at + passed > stage.seconds:
                left = stage.seconds - at
                ahead -= left * (now + slope * left / 2)
                break
            at += passed
            yield begun + at
            ahead = rng.expovariate(1.0)
        begun += stage.seconds
