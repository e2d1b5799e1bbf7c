"""What a task runs under: its rule's limits, whom it has its worker of, what it may connect to.

Everything is worked out when the policy is read, for each rule once; for a task it is only looked up. A policy that is
read anew changes nothing for tasks that have their settings: each keeps what it was given.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import structlog
import trio

from reptarium.pool.config import ConfigError, Settings
from reptarium.pool.config.table import BY_RULE
from reptarium.pool.ops.policy_metrics import PolicyMetrics
from reptarium.pool.policy.file import read_policy
from reptarium.pool.policy.rules import DEFAULT, Policy, Rule, Subject
from reptarium.pool.powers.connections import ConnectLimits
from reptarium.pool.powers.connector import Allowed
from reptarium.pool.powers.destinations import parse_entry
from reptarium.pool.protocol.messages import TaskErrorData, TaskSettings
from reptarium.pool.tasks.limits import Limits, task_limits
from reptarium.pool.workers.configuration import zygote_config
from reptarium.pool.workers.pools import Lender, Pools
from reptarium.pool.workers.sharing import kernel_limits, pool_for, same_pool, terms
from reptarium.sandbox.kernel import TaskLimits
from reptarium.sandbox.wire import TaskTerms, ZygoteConfig

__all__ = ["Rulebook", "Ruling", "connect_limits", "wanted_pools"]

log = structlog.get_logger("reptarium.pool.tasks.rulings")

#: How long the file of a policy may take to be read anew, in seconds.
READING = 10.0


class Ruling(msgspec.Struct, frozen=True, kw_only=True):
    """What tasks of one rule get. ``told``: what their workers are told of it; ``held``: what they are held to."""

    rule: str
    limits: Limits
    lender: Lender
    held: TaskLimits
    told: TaskTerms | None
    allowed: Allowed | None
    words: Mapping[str, str]
    """Variable → what to change in its place."""

    def explain(self, error: TaskErrorData) -> TaskErrorData:
        """The error: where it says which variable to change, which the rule has set, it says which key of the rule."""
        if not self.words:
            return error
        message, description = error.message, error.description
        for variable, words in self.words.items():
            message = message.replace(variable, words)
            if description:
                description = description.replace(variable, words)
        return msgspec.structs.replace(error, message=message, description=description)


def connect_limits(settings: Settings) -> ConnectLimits:
    """Limits of one task's connections."""
    return ConnectLimits(
        most=settings.connect_max,
        rate=settings.connect_rate,
        timeout=settings.connect_timeout,
        sockets=settings.max_open_files,
    )


def wanted_pools(policy: Policy) -> list[tuple[tuple[str, ...], ZygoteConfig]]:
    """The pools that a policy takes, that of the environment's values first: whose rules, and what they are made with.

    Raises ConfigError.
    """
    groups: list[list[tuple[str, ZygoteConfig]]] = [[(DEFAULT, zygote_config(policy.settings))]]
    for rule in policy.rules:
        config = zygote_config(rule.settings)
        alike = next((group for group in groups if same_pool(config, group[0][1])), None)
        if alike is None:
            groups.append(alike := [])
        alike.append((rule.name, config))
    return [(tuple(name for name, _ in group), pool_for([config for _, config in group])) for group in groups]


class Rulebook:
    """The policy in force. Reading it anew that fails leaves it as it is."""

    def __init__(self, policy: Policy, pools: Pools, metrics: PolicyMetrics) -> None:
        self.policy = policy
        self._pools = pools
        self._metrics = metrics
        self._reading = self._again = False
        self._thread = trio.CapacityLimiter(1)
        self._rulings = self._worked_out(policy)
        self._taken()

    def of(self, task: TaskSettings) -> Ruling:
        """What a task runs under."""
        rule = self.policy.rule_for(Subject(task.workflow_id, task.workflow_name, task.node_name))
        return self._rulings[DEFAULT if rule is None else rule.name]

    async def reload(self) -> None:
        """Read the file again. What is wrong with it is logged and counted, and the rules before stay.

        Who asks while it is being read has it read once more: what was read last is in force.
        """
        self._again = True
        if self._reading:
            return
        self._reading = True
        try:
            while self._again:
                self._again = False
                await self._reload()
        finally:
            self._reading = False

    async def _reload(self) -> None:
        try:
            policy = await self._read()
            rulings = self._worked_out(policy)
        except ConfigError as error:
            self._metrics.read(taken=False)
            for problem in error.problems:
                log.error("the policy can't be used: the rules before stay", problem=problem)
            return
        self.policy, self._rulings = policy, rulings
        self._taken()

    async def _read(self) -> Policy:
        """What the file says. A disk that hangs keeps one thread, and no runner from ending.

        Raises ConfigError.
        """
        settings = self.policy.settings
        assert settings.policy is not None
        with trio.move_on_after(READING):
            return await trio.to_thread.run_sync(
                read_policy, settings.policy, settings, abandon_on_cancel=True, limiter=self._thread
            )
        raise ConfigError((f"{settings.policy}: can't be read within {READING:g} s",))

    def _taken(self) -> None:
        self._metrics.read(taken=True)
        for warning in self.policy.warnings:
            log.warning(warning)
        log.info("the policy was read: tasks from now on run under it", rules=len(self.policy.rules))

    def _worked_out(self, policy: Policy) -> dict[str, Ruling]:
        """Raises ConfigError."""
        whole = [(DEFAULT, policy.settings, {}), *((rule.name, rule.settings, _words(rule)) for rule in policy.rules)]
        configs = [zygote_config(settings) for _, settings, _ in whole]
        found = {}
        for (name, settings, words), config, (lender, made) in zip(
            whole, configs, self._pools.lenders(configs), strict=True
        ):
            entries = tuple(map(parse_entry, settings.connect_allow))
            found[name] = Ruling(
                rule=name,
                limits=task_limits(settings),
                lender=lender,
                held=kernel_limits(config),
                told=terms(config, made),
                allowed=Allowed(entries=entries, limits=connect_limits(settings)) if entries else None,
                words=words,
            )
        return found


def _words(rule: Rule) -> dict[str, str]:
    return {BY_RULE[key].name: f'{key} of the rule "{rule.name}"' for key in rule.changes}
