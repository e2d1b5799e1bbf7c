"""What a task is told by either side: by its worker, or by the supervisor when it had to end the worker.

Imports nothing, so that ``pool/`` gets the words without the code of a task.
"""

from __future__ import annotations

MEMORY_REMEDY = "Process the data in smaller batches, or raise REPTARIUM_TASK_MEMORY."


def memory_message(memory: int) -> str:
    """What a task is told that went over its memory limit of ``memory`` bytes."""
    return f"Task exceeded its memory limit of {memory // 2**20} MiB"


def truncation_note(limit: int) -> str:
    """The line that stands where a task printed more than ``limit`` bytes."""
    return f"[output truncated: more than {limit} bytes were printed; raise REPTARIUM_MAX_CONSOLE to see more]"
