"""Resource limits, descriptors, and death with the parent.

Which process does what
    The zygote sets what it can live with itself (no core dumps, no locked memory, no message queues, no
    priorities). A worker sets the rest right after fork: memory, processor time, files, descriptors,
    threads. Soft and hard limit are set together, so that nothing can be raised again without
    CAP_SYS_RESOURCE, which nobody here has.

What holds what
    - ``RLIMIT_DATA`` counts private writable memory, however it was made: a task that goes over it gets a
      MemoryError. It doesn't count shared mappings and stack-like ones, which is why the seccomp filter
      refuses both, but for mappings of files where tasks have some. The limit lies `memory` bytes above
      what the zygote had when it was ready, since a worker starts with a copy of all that.
    - ``RLIMIT_AS`` bounds what ``RLIMIT_DATA`` doesn't see: read-only mappings hold next to nothing themselves, but
      the page tables under 96 GiB of them weigh 192 MiB. It lies `memory` and a reserve (`address_reserve`) above what
      the zygote had: room for libraries that are imported late and for what C libraries set aside and never use.
    - ``RLIMIT_NPROC`` counts *all* threads of a user id in its user namespace, not those of one process.
      With one user id per worker it is an exact bound per worker; otherwise it is a ceiling for all workers
      together, which protects the machine from a thread bomb; the supervisor's watchdog ends the worker that has more
      than its share.
    - ``RLIMIT_FSIZE`` 0, without a directory of its own: nothing can grow a file, should one ever be open for
      writing. That is why a worker's standard streams must not be files: they are /dev/null.
    - ``RLIMIT_CPU``: SIGXCPU at the limit, SIGKILL one second later for a task that ignores it.

References: `setrlimit(2)`, `PR_SET_PDEATHSIG(2const)`, `close_range(2)`, ``is_data_mapping`` in the
kernel's ``mm/vma.h``.
"""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from reptarium.sandbox.kernel import syscalls

__all__ = [
    "WorkerLimits",
    "address_reserve",
    "close_all_but",
    "close_range_works",
    "die_with_parent",
    "limit_descriptors",
    "lower_priority",
    "memory_in_use",
    "restrict_zygote",
    "threads_of",
    "worker_limits",
]

_PR_SET_PDEATHSIG: Final = 1

# Signals can be queued and timers armed by nobody, but a worker can still leave what it sends to itself
# pending.
_SIGNALS_PENDING: Final = 64
_STACK: Final = 8 * 2**20
# A third of the supervisor's share of a processor that both want (sched_prio_to_weight in the kernel).
_NICER: Final = 5
_LOWEST_PRIORITY: Final = 19
# The zygote holds eight; more only where children and descriptors wait for each other.
_ZYGOTE_FILES: Final = 1024
# Address space, which costs nothing until it is used: what libraries take that are imported late (a large one has
# some hundred megabytes), and glibc's reservation for each thread that allocates (HEAP_MAX_SIZE, malloc/arena.c).
_LATE_LIBRARIES: Final = 1 << 30
_THREAD_ARENA: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """Absolute limits of one worker: bytes, seconds, numbers. None: not set."""

    data: int
    address_space: int
    cpu_seconds: int | None
    open_files: int | None
    processes: int | None
    file_size: int = 0


def memory_in_use() -> tuple[int, int]:
    """Bytes that RLIMIT_DATA and RLIMIT_AS count for this process (VmData and VmSize of `proc_pid_status(5)`).
    Raises OSError when /proc isn't there.
    """
    with open("/proc/self/status", "rb") as status:
        fields = dict(line.split(b":", 1) for line in status if line.startswith((b"VmData:", b"VmSize:")))
    if len(fields) != 2:
        raise OSError("/proc/self/status has no VmData and VmSize")
    return int(fields[b"VmData"].split()[0]) * 1024, int(fields[b"VmSize"].split()[0]) * 1024


def address_reserve(threads: int) -> int:
    """Bytes of address space that a worker of so many threads may map beyond its memory."""
    return _LATE_LIBRARIES + threads * _THREAD_ARENA


def threads_of(uid: int) -> int:
    """How many threads of the real user id `uid` run now, as far as /proc shows."""
    count = 0
    try:
        entries = os.listdir("/proc")
    except OSError:
        return 0
    for entry in entries:
        if not entry.isdecimal():
            continue
        try:
            with open(f"/proc/{entry}/status", "rb") as status:
                fields = dict(line.split(b":", 1) for line in status if line.startswith((b"Uid:", b"Threads:")))
            if int(fields[b"Uid"].split()[0]) == uid:
                count += int(fields[b"Threads"])
        except (OSError, KeyError, ValueError):
            continue  # ended while we looked
    return count


def lower_priority() -> int | None:
    """The nice value that a worker is to take; None where priorities can't be set (a service's system call filter)."""
    own = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        os.setpriority(os.PRIO_PROCESS, 0, own)
    except OSError:
        return None
    return min(own + _NICER, _LOWEST_PRIORITY)


def die_with_parent(calls: syscalls.CallList) -> None:
    """Have SIGKILL sent to the process when its parent's thread ends.

    It must then look who its parent is: between fork and prctl that one may have died, and no signal would
    ever come.
    """
    calls.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))


def close_all_but(keep: Collection[int]) -> None:
    """Close every descriptor but 0, 1, 2 and those of `keep`."""
    start = 3
    for fd in sorted(keep):
        if fd >= start:
            _close_range(start, fd - 1)
            start = fd + 1
    _close_range(start, 2**32 - 1)


def close_range_works() -> bool:
    """Whether there is ``close_range(2)``: Linux 5.9 and later, and filters that know it."""
    try:
        return syscalls.try_call("close_range", 2**32 - 1, 2**32 - 1, 0)[1] == 0
    except KeyError:
        return False


def _close_range(first: int, last: int) -> None:
    if last < first:
        return
    try:
        error = syscalls.try_call("close_range", first, last, 0)[1]
    except KeyError:
        error = 1
    if error:
        # Linux before 5.9, or a filter that doesn't know the call. The soft limit has bounded every
        # descriptor that this process ever got; the hard one may be a million, and this is a worker's
        # start.
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        bound = 2**16 if soft == resource.RLIM_INFINITY else min(soft, 2**16)
        os.closerange(first, min(last + 1, bound))


def _set(which: int, limit: int) -> None:
    """Set soft and hard, never above the hard limit that holds already."""
    _, hard = resource.getrlimit(which)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(which, (limit, limit))


def restrict_zygote(in_flight: int = 0) -> None:
    """Limits that the zygote and all of its workers share. Raises OSError or ValueError.

    `in_flight`: how many descriptors a task may have on their way, which count against whoever is to send some.
    """
    for which in (
        resource.RLIMIT_CORE,  # a core dump is a file with other people's data in it
        resource.RLIMIT_MEMLOCK,
        resource.RLIMIT_MSGQUEUE,
        resource.RLIMIT_NICE,
        resource.RLIMIT_RTPRIO,
    ):
        _set(which, 0)
    _set(resource.RLIMIT_SIGPENDING, _SIGNALS_PENDING)
    _set(resource.RLIMIT_STACK, _STACK)
    # the supervisor's soft limit may be a million; without close_range(2) each worker would close as many
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = _ZYGOTE_FILES + in_flight
    if soft == resource.RLIM_INFINITY or soft > enough:
        resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))


def limit_descriptors(most: int) -> None:
    """Lower this process's limit on descriptors for good. Raises OSError or ValueError."""
    _set(resource.RLIMIT_NOFILE, most)


def worker_limits(limits: WorkerLimits) -> tuple[tuple[int, int, int], ...]:
    """What each worker is to set, as (which, soft, hard), never above the hard limit that holds already.
    Raises OSError.
    """
    wanted = [
        (resource.RLIMIT_DATA, limits.data, limits.data),
        (resource.RLIMIT_AS, limits.address_space, limits.address_space),
        (resource.RLIMIT_FSIZE, limits.file_size, limits.file_size),
    ]
    if limits.open_files is not None:
        wanted.append((resource.RLIMIT_NOFILE, limits.open_files, limits.open_files))
    if limits.processes is not None:
        wanted.append((resource.RLIMIT_NPROC, limits.processes, limits.processes))
    if limits.cpu_seconds is not None:
        wanted.append((resource.RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds + 1))
    found = []
    for which, soft, hard in wanted:
        _, bound = resource.getrlimit(which)
        if bound != resource.RLIM_INFINITY:
            soft, hard = min(soft, bound), min(hard, bound)
        found.append((which, soft, hard))
    return tuple(found)
