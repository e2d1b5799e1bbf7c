"""What a task is told by either side: by its worker, or by the supervisor when it had to end the worker.

Imports nothing, so that ``pool/`` gets the words without the code of a task.
"""

from __future__ import annotations

#: What each print counts towards the limit of a task's output beside its text, in bytes: as much as the message around
#: it weighs. A print of nothing is a message to n8n too.
PRINT_PRICE = 128

THREADS_REMEDY = "Use fewer threads (a library may have started them), or raise REPTARIUM_MAX_THREADS."
PROCESSES = "A task starts no processes, whatever is set: use threads (concurrent.futures), or another node of n8n's."
MEMORY_REMEDY = "Process the data in smaller batches, or raise REPTARIUM_TASK_MEMORY."


def memory_message(memory: int) -> str:
    """What a task is told that went over its memory limit of ``memory`` bytes."""
    return f"Task exceeded its memory limit of {memory // 2**20} MiB"


#: How many files and directories a task may have in its scratch directory.
SCRATCH_ENTRIES = 10_000


def scratch_message(limit: int) -> str:
    """What a task is told that went over its limit of ``limit`` bytes of files."""
    return f"Task exceeded its limit of {limit // 2**20} MiB, or of {SCRATCH_ENTRIES} files, in its scratch directory"


SCRATCH_ONLY = (
    "A task writes in a directory of its own only, which REPTARIUM_SCRATCH gives it: a path without a slash in front, "
    "or one below tempfile.gettempdir(). Of others it reads the interpreter, its packages and REPTARIUM_READ_PATHS."
)
SCRATCH_REMEDY = "Write less, remove what is done with, or raise REPTARIUM_SCRATCH."


def truncation_note(limit: int) -> str:
    """The line that stands where a task printed more than ``limit`` bytes, each print's price included."""
    return (
        f"[output truncated: over the limit of {limit} bytes, of which each print takes {PRINT_PRICE} beside its text; "
        "print less often, or raise REPTARIUM_MAX_CONSOLE to see more]"
    )
