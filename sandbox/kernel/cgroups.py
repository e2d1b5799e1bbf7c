"""A control group of its own for zygote and workers, when the machine has delegated one.

Which process does what
    The zygote, still unrestricted, makes a group *beside* its own, sets ``pids.max`` there (one ceiling for
    the threads of all workers together, whatever user ids they have) and moves in; workers are born in it.
    Processes and controllers can't be in one group at the same time ("no internal processes"), which is why
    nothing is done in the group that the supervisor itself runs in. It takes a delegated subtree: with
    systemd ``Delegate=pids`` and ``DelegateSubgroup=supervisor``. In a container the tree is read-only, as
    a rule; the layer is then missing, and nothing depends on it.

References: ``Documentation/admin-guide/cgroup-v2.rst``, `cgroups(7)`, `systemd.resource-control(5)`.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

__all__ = ["PREFIX", "current", "join"]

#: Groups that zygotes make are named with this and their pid.
PREFIX = "reptarium-zygote-"


def current(proc: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")) -> Path | None:
    """The directory of this process's cgroup v2 group; None when there is no unified hierarchy at `mount`."""
    try:
        lines = proc.read_text("ascii", "replace").splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("0::"):
            group = mount / line[3:].lstrip("/")
            return group if (group / "cgroup.controllers").is_file() else None
    return None


def join(pids: int, group: Path | None, pid: int | None = None) -> str:
    """Make a group beside `group` with room for `pids` threads, and move this process (`pid`) there.

    Returns "" when it worked, else why not.
    """
    if group is None:
        return "no unified (v2) cgroup hierarchy at /sys/fs/cgroup"
    parent = group.parent
    if not (parent / "cgroup.controllers").is_file():
        return "the process runs in the root of the cgroup tree that it sees"
    try:
        if "pids" not in (parent / "cgroup.subtree_control").read_text("ascii").split():
            (parent / "cgroup.subtree_control").write_text("+pids")
        for stale in parent.glob(f"{PREFIX}*"):
            with contextlib.suppress(OSError):
                stale.rmdir()  # only empty groups can be removed: those of zygotes that have ended
        own = parent / f"{PREFIX}{pid or os.getpid()}"
        own.mkdir()
        (own / "pids.max").write_text(str(pids))
        (own / "cgroup.procs").write_text(str(pid or os.getpid()))
    except OSError as error:
        return f"not delegated: {error.strerror} ({error.filename})"
    return ""
