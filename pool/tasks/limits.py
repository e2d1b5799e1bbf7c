"""What one task may take: time, memory, output, calls."""

from __future__ import annotations

import msgspec

from reptarium.pool.config import Settings
from reptarium.pool.tasks.callbacks import CallLimits


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of one task: seconds, bytes, and how many threads."""

    timeout: float
    memory: int
    max_threads: int = 8
    scratch: int = 0
    max_result: int
    max_console: int
    calls: CallLimits


def task_limits(settings: Settings) -> Limits:
    """The limits of one task, from the settings."""
    return Limits(
        timeout=settings.task_timeout,
        memory=settings.task_memory,
        max_threads=settings.max_threads,
        scratch=settings.scratch or 0,
        max_result=settings.max_result,
        max_console=settings.max_console,
        calls=CallLimits(
            allow=frozenset(settings.rpc_allow),
            http_allow=settings.http_allow,
            max_calls=settings.rpc_max_calls,
            max_bytes=settings.rpc_max_bytes,
            timeout=settings.rpc_timeout,
        ),
    )
