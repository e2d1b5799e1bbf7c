"""A policy that changes while tasks run: which rules a history has, and whether its tasks get what theirs say.

The policy's text is imaginary, and how long it takes to be read. What reads it, which pools its rules take, whom a task
leases its worker of and what that is told are the real ones. A task of a workflow with rules begins with the step
``under``: its worker looks at what it was made with and told, and that must be what a policy says that was in force
since somebody asked for the task.

All of it is drawn from a generator of its own: histories without rules are what they were.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import msgspec
import trio

from reptarium.pool.config import Settings
from reptarium.pool.policy.file import parse_policy
from reptarium.pool.policy.rules import Policy, Subject
from reptarium.pool.workers.configuration import zygote_config
from reptarium.pool.workers.sharing import kernel_limits
from reptarium.sandbox.wire import TaskTerms, ZygoteConfig
from tests.simulation.broker import Broken
from tests.simulation.plan import Plan

if TYPE_CHECKING:
    from reptarium.pool.runner import Runner
    from reptarium.pool.tasks.rulings import Rulebook
    from tests.simulation.workers import ImaginaryWorker

#: What is decided before a worker is forked: rules with different ones need different pools.
_BEFORE_FORK = ('language = "python"', 'stdlib_allow = ["json"]', 'builtins_deny = ["sum"]')
#: What a worker can be told with its task.
_LIMITS = ("", 'task_memory = "64MiB"', 'task_memory = "4GiB"', 'max_console = "64KiB"', 'task_memory = "2GiB"')
#: Not in force, ever.
_WRONG = ("[[rule", '[[rule]]\nname = "w1"\nlanguage = "Perl"')
#: User ids of workers in histories with rules: a part for each pool.
UIDS = (30_000, 30_099)


class Rules:
    """The policy of one history. ``idle``: as ``REPTARIUM_POOL_IDLE``; ``most``: as ``REPTARIUM_MAX_POOLS``."""

    def __init__(self, rng: random.Random, plan: Plan) -> None:
        self.rng = rng
        self.most = rng.choice([2, 2, 3, 4])
        self.idle = rng.choice([1.0, 3.0, 60.0])
        self.reloads = rng.choice([0, 1, 2, 6])
        self.refused = rng.choice([0.0, 0.0, 0.5])
        self.workflows = ["w0", *(f"w{number}" for number in range(1, rng.randint(1, 3) + 1))]
        self._timeout = plan.task_timeout
        self._believed = "messages garbled" not in plan.troubles  # what a task says of its own workflow
        self._taken: list[tuple[float, Policy]] = []
        self.text = self._drawn()

    # ---- what the policy says -----------------------------------------------------------------

    def change(self) -> None:
        """The file is another one."""
        self.text = self.rng.choice(_WRONG) if self.rng.random() < 0.2 else self._drawn()

    def settle(self) -> None:
        """It is one that gives each task the time that others may take to make room for its pool."""
        self.text = self._drawn(timeout=300.0)

    def _drawn(self, timeout: float | None = None) -> str:
        rng = self.rng
        rules = []
        for workflow in self.workflows[1:]:
            if rng.random() < 0.1 and timeout is None:
                continue  # the environment's values count
            lines = ["[[rule]]", f'name = "{workflow}"', f'workflow = "{workflow}"', rng.choice(_LIMITS)]
            lines.append(f"task_timeout = {timeout or rng.choice([2.0, self._timeout])}")
            if rng.random() < 0.8:
                lines.append(rng.choice(_BEFORE_FORK))
            rules.append("\n".join(lines))
        return "\n".join(rules)

    def read(self, path: str, settings: Settings) -> Policy:
        """In place of ``read_policy``."""
        return parse_policy(self.text, settings, path)

    async def read_slowly(self, book: Rulebook) -> Policy:
        """In place of a thread of the rulebook's. What is read is what stands there when it begins."""
        text = self.text
        await trio.sleep(self.rng.choice([0.0, 0.01, 0.5]))
        return parse_policy(text, book.policy.settings, "imaginary")

    def first_step(self, *, pauses: bool) -> list[object]:
        """Of a task that somebody asks for now: whose workflow it is of, and how long its worker does nothing."""
        pause = self.rng.choice([0.0, 0.0, 0.1, 0.8]) if pauses else 0.0
        return ["under", self.rng.choice(self.workflows), trio.current_time(), pause]

    # ---- what must hold -------------------------------------------------------------------------

    def look(self, runner: Runner) -> None:
        """Remember which policy is in force."""
        assert runner.rulebook is not None
        if not self._taken or self._taken[-1][1] is not runner.rulebook.policy:
            self._taken.append((trio.current_time(), runner.rulebook.policy))

    def check_settled(self, runner: Runner) -> None:
        """What the file says is in force. Raises :class:`Broken`."""
        assert runner.rulebook is not None
        if runner.rulebook.policy.rules != self.read("imaginary", runner.settings).rules:
            raise Broken("another policy is in force than the file's")

    def check(
        self, workflow: str, asked: float, made: ZygoteConfig, told: TaskTerms | None, worker: ImaginaryWorker
    ) -> None:
        """A worker has a task of that workflow, which was asked for at that time. Raises :class:`Broken`."""
        if not self._believed:
            return
        limits = kernel_limits(made) if told is None else told.kernel
        most = _fields(kernel_limits(made))
        if told is not None and any(value > most[name] for name, value in _fields(limits).items()):
            raise Broken(f"a task of {workflow} may take {limits}, and its worker was made for {most}")
        got = _plain(made, **({} if told is None else _fields(told)), **_fields(limits))
        ends = [*(at for at, _ in self._taken[1:]), trio.current_time()]
        possible = [policy for (_, policy), end in zip(self._taken, ends, strict=True) if end >= asked]
        wanted = [zygote_config(_settings(policy, workflow)) for policy in possible]
        fitting = [want for want in wanted if _plain(want) == got]
        if not fitting:
            raise Broken(f"a task of {workflow} has a worker that is not what its rule says: {got}, not {wanted[-1]}")
        if all(worker.limits != kernel_limits(want) for want in fitting):
            raise Broken(f"a task of {workflow} is watched for {worker.limits}, not for {limits}")


def _settings(policy: Policy, workflow: str) -> Settings:
    rule = policy.rule_for(Subject(workflow=workflow))
    return policy.settings if rule is None else rule.settings


def _fields(struct: msgspec.Struct) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__ if name != "kernel"}


def _plain(config: ZygoteConfig, **told: Any) -> ZygoteConfig:
    """``config``, and what its worker was told, without what is a pool's own."""
    known = set(config.isolation.__struct_fields__)
    within = {name: value for name, value in told.items() if name in known}
    isolation = msgspec.structs.replace(config.isolation, **within, adjustable=True, worker_uids=None)
    others = {name: value for name, value in told.items() if name not in known}
    return msgspec.structs.replace(config, **others, isolation=isolation)


def overlap(one: ZygoteConfig, other: ZygoteConfig) -> bool:
    """Whether workers of two pools can have the same user id."""
    first, second = one.isolation.worker_uids, other.isolation.worker_uids
    return first is not None and second is not None and first[0] <= second[1] and second[0] <= first[1]
