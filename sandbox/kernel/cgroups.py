"""A control group of its own for zygote and workers, when the machine has delegated one.

Which process does what
    The zygote, still unrestricted, makes a group *beside* its own, sets there what all workers together may have,
    whatever user ids they are, and moves in; workers are born in it: ``pids.max`` (threads), ``memory.max`` (page
    tables, socket buffers and the kernel's own objects among it, which no limit of a process counts) and
    ``cpu.weight`` (half of the supervisor's). Each is set where its controller is delegated.
    Processes and controllers can't be in one group at the same time ("no internal processes"), which is why
    nothing is done in the group that the supervisor itself runs in. It takes a delegated subtree: with
    systemd (254 or later) ``Delegate=pids memory cpu`` and ``DelegateSubgroup=supervisor``. In a container the tree is
    read-only, as a rule; the layer is then missing, and nothing depends on it.

References: ``Documentation/admin-guide/cgroup-v2.rst``, `cgroups(7)`, `systemd.resource-control(5)`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from reptarium.sandbox.kernel.layers import LayerState

__all__ = ["PREFIX", "current", "join", "outcome"]

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


def join(wanted: Mapping[str, int], group: Path | None, pid: int | None = None) -> tuple[tuple[str, ...], str]:
    """Make a group beside `group` with the values `wanted` (``pids.max`` → 500), and move this process (`pid`) there.

    Returns what could be set, and why the rest could not be ("" when all of it could).
    """
    if group is None:
        return (), "no unified (v2) cgroup hierarchy at /sys/fs/cgroup"
    parent = group.parent
    if not (parent / "cgroup.controllers").is_file():
        return (), "the process runs in the root of the cgroup tree that it sees"
    doing = f"{parent}/cgroup.subtree_control"  # what is read and written says of an error, but not where
    try:
        problem = _enable({file.partition(".")[0] for file in wanted}, parent)
        for stale in parent.glob(f"{PREFIX}*"):
            with contextlib.suppress(OSError):
                stale.rmdir()  # only empty groups can be removed: those of zygotes that have ended
        own = parent / f"{PREFIX}{pid or os.getpid()}"
        own.mkdir()
        done = []
        for file, value in wanted.items():
            try:
                (own / file).write_text(str(value))
            except OSError as error:
                problem = problem or f"{file}: {error.strerror}"
            else:
                done.append(file)
        if done:
            doing = f"{own}/cgroup.procs"
            (own / "cgroup.procs").write_text(str(pid or os.getpid()))
    except OSError as error:
        return (), f"not delegated: {error.strerror} ({error.filename or doing})"
    return tuple(done), problem


def _enable(controllers: Iterable[str], parent: Path) -> str:
    """Have the groups below `parent` controlled; each by itself, since one that isn't delegated would refuse them all.
    Why not, for the first that isn't.
    """
    enabled = (parent / "cgroup.subtree_control").read_text("ascii").split()
    problem = ""
    for name in sorted(set(controllers) - set(enabled)):
        try:
            (parent / "cgroup.subtree_control").write_text(f"+{name}")
        except OSError as error:
            problem = problem or f"{name} is not delegated: {error.strerror} ({parent}/cgroup.subtree_control)"
    return problem


def outcome(wanted: Mapping[str, int], done: Sequence[str], problem: str) -> tuple[LayerState, str, str]:
    """(state, detail, remedy) for what :func:`join` has done of `wanted`, and why not more."""
    detail = ", ".join(f"{file} {wanted[file]}" for file in done)
    state: LayerState = "active" if not problem else "partial" if done else "missing"
    remedy = (
        "Optional. systemd 254 or later: Delegate=pids memory cpu, DelegateSubgroup=supervisor, "
        "ProtectControlGroups=no. In a container, its own limits do this."
    )
    said = (f"all workers together: {detail}" if done else "", problem)
    return state, "; ".join(filter(None, said)), remedy if problem else ""
