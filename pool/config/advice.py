"""What is allowed and hardly meant by whoever serves n8n: lines for the log at the start, and for `--print-config`.

Beside `oddities.py`, which speak of one value each: these depend on several, on the machine, or on what the runner
is for (`exec` needs no token and nobody stops it).
"""

from __future__ import annotations

from pathlib import Path

from reptarium.pool.config.secrets import SHORTEST_SECRET
from reptarium.pool.config.settings import Settings
from reptarium.pool.config.table import VARIABLES
from reptarium.pool.config.values import MIB

#: Warm workers for each slot, beyond which they only cost memory.
_WARM_FOR_A_SLOT = 2


def advice(settings: Settings, memory: int | None = None) -> tuple[str, ...]:
    """All that there is to say. ``memory``: bytes that the machine or the container has (None: looked up)."""
    if memory is None:
        memory = memory_here()
    return (*weak_secrets(settings), *_two_tokens(settings), *short_grace(settings), *_too_much(settings, memory))


def weak_secrets(settings: Settings) -> tuple[str, ...]:
    """A line for each secret that is too short to be one. n8n starts with such a token, and so do we."""
    return tuple(
        f"{variable.name} has fewer than {SHORTEST_SECRET} characters: that is no secret, and it is not taken out of "
        "log lines that happen to have it in them"
        for variable in VARIABLES
        if variable.secret and 0 < len(getattr(settings, variable.field) or "") < SHORTEST_SECRET
    )


def _two_tokens(settings: Settings) -> tuple[str, ...]:
    if settings.auth_token is None or settings.grant_token is None:
        return ()
    return (
        "N8N_RUNNERS_GRANT_TOKEN and N8N_RUNNERS_AUTH_TOKEN are both set: the first is good for one connection, every "
        "later one takes the second",
    )


def short_grace(settings: Settings) -> tuple[str, ...]:
    """A line where an end of the runner in order can cut tasks off that had time left."""
    grace, limit = settings.graceful_shutdown_timeout, settings.task_timeout
    if grace >= limit:
        return ()
    return (
        f"N8N_RUNNERS_GRACEFUL_SHUTDOWN_TIMEOUT is {grace:g} s, shorter than the {limit:g} s that a task may take "
        "(N8N_RUNNERS_TASK_TIMEOUT): when the runner is stopped, tasks that take longer are lost. Raise it, and what "
        "stops the runner must wait 10 to 15 s more",
    )


def _too_much(settings: Settings, memory: int) -> tuple[str, ...]:
    found = []
    if settings.warm_workers > _WARM_FOR_A_SLOT * settings.max_concurrency:
        found.append(
            f"REPTARIUM_WARM_WORKERS={settings.warm_workers} is more than {_WARM_FOR_A_SLOT} for each of the "
            f"{settings.max_concurrency} tasks that may run at a time (N8N_RUNNERS_MAX_CONCURRENCY): what is beyond "
            "that only takes memory"
        )
    most = settings.max_concurrency * settings.task_memory
    if 0 < memory < most:
        found.append(
            f"N8N_RUNNERS_MAX_CONCURRENCY={settings.max_concurrency} tasks may use {most // MIB} MiB together "
            f"(REPTARIUM_TASK_MEMORY), and there are {memory // MIB} MiB here: at worst the kernel ends tasks before "
            "they meet a limit of their own"
        )
    return tuple(found)


def memory_here(root: Path = Path("/")) -> int:
    """Bytes of the machine, or of the control group that we are in where that has fewer; 0 when nobody says."""
    found = []
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            found.append(int(line.split()[1]) * 1024)
    own = _text(root / "proc/self/cgroup").partition("0::/")[2].strip()
    for group in (root / "sys/fs/cgroup" / own, root / "sys/fs/cgroup"):
        if (limit := _text(group / "memory.max").strip()).isdecimal():
            found.append(int(limit))
    return min(found, default=0)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
