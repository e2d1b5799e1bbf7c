"""Limits that a worker lowers to those of its task (`IsolationConfig.adjustable`).

A worker is made for the most that any task of its pool may take. Once it has its task, and before that runs, it
lowers its own limits, soft and hard: nothing raises them again without CAP_SYS_RESOURCE, which nobody here has. That is
why its filter lets it set these of its own limits, and no others (`seccomp.py`).
"""

from __future__ import annotations

import resource
from typing import Final

from reptarium.sandbox.kernel.layers import IsolationConfig, TaskLimits
from reptarium.sandbox.kernel.rlimits import WorkerLimits, address_reserve, worker_limits

__all__ = ["ADJUSTABLE", "lower"]

ADJUSTABLE: Final = (
    resource.RLIMIT_DATA,
    resource.RLIMIT_AS,
    resource.RLIMIT_FSIZE,
    resource.RLIMIT_NOFILE,
    resource.RLIMIT_NPROC,
    resource.RLIMIT_CPU,
)


def lower(own: WorkerLimits, most: IsolationConfig, task: TaskLimits) -> None:
    """Lower this worker's limits, `own`, with which it was made for `most`, to those of its task, for good.

    Raises OSError or ValueError: the task must not run then.
    """
    less = most.memory - task.memory
    exact = own.processes == 1 + most.max_threads  # otherwise all workers share one ceiling
    lowered = WorkerLimits(
        data=own.data - less,
        address_space=own.address_space - less - address_reserve(most.max_threads) + address_reserve(task.max_threads),
        cpu_seconds=task.cpu_seconds or None,
        open_files=task.open_files,
        processes=1 + task.max_threads if exact else None,
        file_size=task.scratch_bytes,
    )
    for which, soft, hard in worker_limits(lowered):
        resource.setrlimit(which, (soft, hard))
