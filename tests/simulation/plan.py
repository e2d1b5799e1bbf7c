"""What a seed stands for: the shape of the world, and the tasks that are asked for."""

from __future__ import annotations

import json
import random

import msgspec

from reptarium.pool.protocol.messages import TaskSettings
from tests.simulation.workers import LIES

#: What may go wrong in one history; a seed has some of these, so that faults meet in all combinations.
TROUBLES = (
    "connections break",
    "connections stall",
    "slow network",
    "odd doors",
    "brokers don't read",
    "messages lost",
    "messages repeated",
    "messages late",
    "messages garbled",
    "garbage",
    "calls unanswered",
    "mute",
    "brokers restart",
    "cancels",
    "addresses come and go",
    "black holes",
    "workers die",
    "workers hang",
    "workers lie",
    "floods of prints",
    "births fail",
    "zygote dies",
    "zygote hangs",
    "clock jumps",
)


class Plan(msgspec.Struct, kw_only=True):
    """One seed's world."""

    brokers: int
    slots: int
    warm: int
    tasks: int
    storm: float
    troubles: tuple[str, ...]
    shutdown: bool
    by_name: bool
    heartbeat: float
    task_timeout: float
    grace: float
    idle: float
    calm: int


def plan(rng: random.Random) -> Plan:
    """What the seed draws."""
    slots = rng.choice([1, 1, 2, 3, 5])
    troubles = rng.sample(TROUBLES, rng.choice([0, 1, 2, 3, 5, 8]))
    by_name = rng.random() < (0.7 if "addresses come and go" in troubles else 0.1)
    return Plan(
        brokers=rng.choice([1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 4, 8]),
        slots=slots,
        warm=rng.randint(1, slots),
        tasks=rng.choice([2, 4, 10]),
        storm=rng.choice([0.2, 2.0, 8.0]),
        troubles=tuple(sorted(troubles)),
        shutdown=rng.random() < 0.3,
        by_name=by_name,
        heartbeat=rng.choice([4.0, 10.0]),
        task_timeout=rng.choice([3.0, 8.0]),
        grace=rng.choice([0.0, 1.0, 5.0]),
        idle=rng.choice([0.0, 0.0, 0.0, 2.0]),
        calm=rng.choice([1, 1, 1, 3, 8]),
    )


def task(number: str, plan: Plan, rng: random.Random, *, under: list[object] | None = None) -> TaskSettings:
    """A task that somebody asks for, with the script of its worker."""
    steps: list[list[object]] = []
    if rng.random() < 0.5:
        steps.append(["wait", rng.choice([0.001, 0.02, 0.3, 2.0])])
    if rng.random() < 0.2:
        steps.append(["print", rng.randint(1, 3), 10])
    if rng.random() < 0.2:
        steps.append(["call", *rng.choice([_HTTP, _DATA, _NODES, _UNKNOWN])])
    if "floods of prints" in plan.troubles and rng.random() < 0.3:
        steps.append(["print", 40, rng.choice([10, 600])])
    end: list[object] = ["result", number, rng.choice([0, 0, 0, 3000])]
    if rng.random() < 0.1:
        end = ["fail", rng.choice(["user", "policy", "memory"])]
    if "workers die" in plan.troubles and rng.random() < 0.3:
        end = rng.choice([["die", 9], ["die", 11], ["die", 31], ["leave"], ["grow"]])
    if "workers hang" in plan.troubles and rng.random() < 0.2:
        end = ["hang"]
    if "workers lie" in plan.troubles and rng.random() < 0.3:
        scribble: list[object] = ["scribble", rng.choice([0, 8, 16, 30]), rng.choice([0, 1, 100, 2**20, 2**64 - 1])]
        steps += rng.choice([[["lie", rng.randrange(len(LIES))]], [["print", 3, 10], scribble, ["wait", 0.1]]])
    return settings(number, [*steps, end], continue_on_fail=rng.random() < 0.2, under=under)


def settings(
    number: str, steps: list[list[object]], *, continue_on_fail: bool = False, under: list[object] | None = None
) -> TaskSettings:
    """The settings of a task with this script; ``number`` is what its result must say.

    ``under``: its first step, in a history with rules (``rules.py``).
    """
    return TaskSettings(
        code=json.dumps(steps if under is None else [under, *steps]),
        items=msgspec.Raw(b"[]"),
        node_name=number,
        workflow_name=None if under is None else str(under[1]),
        continue_on_fail=continue_on_fail,
    )


_HTTP = ("helpers.httpRequest", "rpc", '[{"url": "http://imaginary"}]')
_DATA = ("taskData", "data", '{"dataOfNodes": [], "prevNode": false, "env": false, "input": {"include": false}}')
_NODES = ("nodeTypes", "nodes", "[]")
_UNKNOWN = ("helpers.nothing", "rpc", "[]")
