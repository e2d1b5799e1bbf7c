"""Which tasks can have workers of the same pool: what a worker is made with, and what it is told with its task.

What restricts a process for good is decided before it is forked: language mode, imports, whether it may connect,
whether it has files, what it may read. How much it may take is not: a worker that is *adjustable* lowers its limits to
those of its task. So a pool is made for the most that any of its tasks may take.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from reptarium.sandbox.kernel import IsolationConfig, TaskLimits
from reptarium.sandbox.wire import TaskTerms, ZygoteConfig

__all__ = ["fits", "kernel_limits", "pool_for", "same_pool", "share_of_uids", "terms"]

_LIMITS = TaskLimits.__struct_fields__
_TOLD = ("max_result", "max_console", "rpc_max_bytes")


def same_pool(one: ZygoteConfig, other: ZygoteConfig) -> bool:
    """Whether the two want the same of what is decided before a worker is forked."""
    return _base(one) == _base(other)


def fits(config: ZygoteConfig, pool: ZygoteConfig) -> bool:
    """Whether workers of a pool that was made for ``pool`` can serve tasks of ``config``."""
    wanted, made = _limits(config.isolation), _limits(pool.isolation)
    within = all(want <= most for want, most in zip(wanted, made, strict=True))
    return same_pool(config, pool) and (wanted == made or (within and pool.isolation.adjustable))


def pool_for(configs: Iterable[ZygoteConfig]) -> ZygoteConfig:
    """What a pool is made with that serves tasks of all of these, which want the same before fork."""
    first, *others = configs
    most = map(max, *map(_limits, (first.isolation, *(one.isolation for one in others)))) if others else ()
    limits = dict(zip(_LIMITS, most, strict=True)) if others else {}
    told = {name: max(getattr(one, name) for one in (first, *others)) for name in _TOLD}
    isolation = msgspec.structs.replace(first.isolation, **limits, adjustable=True)
    return msgspec.structs.replace(first, **told, isolation=isolation)


def kernel_limits(config: ZygoteConfig) -> TaskLimits:
    """What a task of ``config`` may take of the machine."""
    return TaskLimits(**dict(zip(_LIMITS, _limits(config.isolation), strict=True)))


def terms(config: ZygoteConfig, pool: ZygoteConfig) -> TaskTerms | None:
    """What a task of ``config`` is to tell its worker out of that pool; None: nothing, they are the same."""
    told = {name: getattr(config, name) for name in _TOLD}
    if _limits(config.isolation) == _limits(pool.isolation) and all(getattr(pool, name) == told[name] for name in told):
        return None
    return TaskTerms(kernel=kernel_limits(config), **told)


def share_of_uids(config: ZygoteConfig, number: int, pools: int) -> ZygoteConfig:
    """``config`` with its part of the workers' user ids: no two pools hand out the same one, as far as there are as
    many.
    """
    if config.isolation.worker_uids is None:
        return config
    first, last = config.isolation.worker_uids
    each = (last - first + 1) // pools
    if not each:
        return config
    uids = (first + number * each, first + (number + 1) * each - 1)
    return msgspec.structs.replace(config, isolation=msgspec.structs.replace(config.isolation, worker_uids=uids))


def _limits(isolation: IsolationConfig) -> tuple[int, ...]:
    return tuple(getattr(isolation, name) for name in _LIMITS)


def _base(config: ZygoteConfig) -> ZygoteConfig:
    """The same for all that can share a pool."""
    limits = dict.fromkeys(_LIMITS, 1) | {"scratch_bytes": int(config.isolation.scratch_bytes > 0)}
    isolation = msgspec.structs.replace(config.isolation, **limits, adjustable=True)
    return msgspec.structs.replace(config, isolation=isolation, **dict.fromkeys(_TOLD, 1))
