"""The sequence of the kernel layer: who gives what up, and when.

``prepare`` — zygote, one thread, all imports done, nothing restricted yet
    Looks at everything that can't be looked at later: which paths may be read (Landlock ruleset with open
    descriptors), how much memory is in use, how many threads the target user has; compiles both filters;
    opens what workers' place before the OOM killer is said in.

``Prepared.restrict_zygote`` — zygote
    0. see that there is one thread: what follows restricts the calling one
    1. close every descriptor but those it is told to keep; root directory as working directory
    2. control group, where delegated (needs a writable cgroup tree)
    3. namespaces, where permitted. *Before* the user id: root can make them without a user namespace,
       nobody can not.
    4. user id, groups, bounding set, securebits, capabilities (needs root)
    5. shared resource limits
    6. ``no_new_privs`` (5 and 6 are what the next two stand on); prediction of branches apart from others'
    7. Landlock
    8. not dumpable (a change of user id resets it, hence after 4)
    9. baseline seccomp filter, last: it refuses most of the above

``Prepared.restrict_worker`` — worker, right after fork, ≤ 0.5 ms
    1. death with the zygote
    2. /dev/null as standard streams, opened anew: who shares an open file shares its flags, too
    3. its own user id, when there is a range (resets 1, which is therefore repeated)
    4. not dumpable
    5. its own Landlock layer (from here on siblings are out of its reach), with its scratch directory if it has one
    6. every descriptor but its own socket is closed
    7. resource limits, lower priority than supervisor and zygote
    8. final seccomp filter with its own pid
       (for connections, see `notify.py`: 4 after a moment of being dumpable; 7 in part; 8 with a listener)
    9. a look whether the zygote still lives

The zygote does *not* ask for death with its parent: the signal comes when the parent's *thread* ends, and
supervisors start processes from pool threads. It ends when its control socket closes.

Under ``enforce`` a missing `no_new_privs`, seccomp or Landlock raises IsolationUnavailable; before Linux 5.13, which
has no Landlock, the mount namespace stands in for it. Under ``best-effort`` it is reported in the layers. A worker
never goes on without a layer that its zygote has got.
"""

from __future__ import annotations

import ctypes
import dataclasses
import errno
import os
from collections.abc import Collection
from typing import Final

from reptarium.sandbox.kernel import (
    cgroups,
    landlock,
    namespaces,
    notify,
    oom,
    paths,
    privileges,
    rlimits,
    scratch,
    seccomp,
    syscalls,
    users,
)  # fmt: skip
from reptarium.sandbox.kernel.layers import (
    IsolationConfig,
    IsolationUnavailable,
    Layers,
    LayerStatus,
    check_config,
    landlock_expected,
    landlock_outcome,
    landlock_problem,
    namespaces_outcome,
    oom_outcome,
    rlimits_outcome,
    seccomp_problem,
)
from reptarium.sandbox.kernel.threads import Threads

__all__ = ["Prepared", "prepare"]

# Without one user id per worker: threads that all workers may have together, as a multiple of what one may
# have, and at least twice as many as there are tasks (each has a worker, and the next ones are parked).
_SHARED_THREADS: Final = 32

# The workers' share of the processors against the supervisor's, which has 100 (cpu.weight).
_CPU_WEIGHT: Final = 50
# Bytes that a worker may hold beyond its task's memory in the sum for all: its own pages, page tables, socket buffers.
_WORKER_OVERHEAD: Final = 64 << 20

_AT_FDCWD: Final = -100
_NULL: Final = ctypes.create_string_buffer(b"/dev/null")

# Often enough for CPython to specialize the code (PEP 659: eight runs, then one for each instruction)
_REHEARSALS: Final = 12
_REHEARSED_CALLS: Final = 4


def prepare(config: IsolationConfig, threads: Threads | None = None) -> Prepared:
    """Gather in the unrestricted zygote what restriction needs. Single-threaded, after all imports, of which
    `threads` knows.

    Raises ValueError for a configuration that contradicts itself, OSError when /dev/null or /proc isn't
    there.
    """
    return Prepared(config, threads or Threads())


class Prepared:
    """Everything ready to restrict the zygote once and each of its children. Inherited over fork."""

    def __init__(self, config: IsolationConfig, threads: Threads) -> None:
        check_config(config)
        self.config = config
        self._threads = threads
        self._layers = Layers(config.policy)
        self._arch = syscalls.machine()
        self._readable = paths.readable(config.read_paths)
        self._grants = paths.grants(self._readable.roots, paths.own_paths())
        self._grants += (paths.Grant(_NULL.value.decode(), "device"),)
        if config.connections:
            self._grants += (notify.PROC,)
        #: Raised by the zygote while it forks.
        self.score = oom.Score()

        #: Where a worker may write; None: nowhere.
        self.scratch: scratch.Scratch | None = None
        self._abi, self._landlock_errno = landlock.abi()
        self._ruleset: landlock.Ruleset | None = None
        self._worker_ruleset: landlock.Ruleset | None = None
        if self._abi:
            have = landlock.features(self._abi)
            if config.scratch:
                self._grants = (*self._grants, paths.Grant(config.scratch, "scratch"))
            try:
                self._ruleset = landlock.build(self._grants, have)
                self._worker_ruleset = landlock.build(
                    [paths.Grant(root, "tree") for root in self._readable.roots], have
                )
                if config.scratch:
                    self.scratch = scratch.Scratch(config.scratch, self._readable.roots, have)
            except OSError as error:
                self._landlock_errno = error.errno or errno.EIO
                self._ruleset = None  # one without the other is none
        self._seccomp_errno = seccomp.available() if self._arch else errno.ENOSYS
        powers = {"connections": config.connections, "scratch": self.scratch is not None}
        own = {**powers, "adjustable": config.adjustable}
        self._zygote_filter = seccomp.zygote_filter(self._arch, **powers) if self._arch else None
        self._worker_filter = seccomp.worker_filter(self._arch, **own) if self._arch else None
        self._loaded = seccomp.Loaded(self._worker_filter) if self._worker_filter else None
        self._pids = self._loaded.pids if self._loaded else ()
        self._connections_problem = ""
        self._handover: notify.Handover | None = None
        if config.connections:
            self._connections_problem = notify.problem()
            if not self._connections_problem and self._loaded is not None:
                self._handover = notify.Handover(self._loaded.address)

        self._users = users.Users(config)
        self._shared_threads = max(_SHARED_THREADS, 2 * config.tasks) * (1 + config.max_threads)
        data, addresses = rlimits.memory_in_use()
        self.limits = rlimits.WorkerLimits(
            data=data + config.memory,
            address_space=addresses + config.memory + rlimits.address_reserve(config.max_threads),
            cpu_seconds=config.cpu_seconds or None,
            open_files=config.open_files,
            file_size=config.scratch_bytes if self.scratch else 0,
            processes=rlimits.threads_of(self._users.owner) + self._shared_threads,
        )
        self._priority: int | None = None
        self._new_root = False
        self._use_landlock = False
        self._use_seccomp = False
        # What differs from worker to worker, in calls that are laid out once
        self._worker_calls = syscalls.CallList()
        self._last_below = ctypes.c_long()
        self._first_above = ctypes.c_long()

    @property
    def layers(self) -> tuple[LayerStatus, ...]:
        """The layers as `restrict_zygote` found them; empty before."""
        return self._layers.found()

    # --- zygote -----------------------------------------------------------------------------------

    def restrict_zygote(self, keep_fds: Collection[int]) -> tuple[LayerStatus, ...]:
        """Restrict this process for good; see the module's sequence. Leaves 0, 1, 2 and `keep_fds` open,
        and its own two.

        Raises IsolationUnavailable under ``enforce`` (the process may then be partly restricted: it should
        end).
        """
        self._refuse_early()
        self._threads.require_one(self._layers)
        keep = {*keep_fds, self.score.fd}
        keep.update(ruleset.fd for ruleset in (self._ruleset, self._worker_ruleset) if ruleset is not None)
        if self._handover is not None:
            keep.add(self._handover.proc)
        if self.scratch is not None:
            keep.update(self.scratch.fds)
        rlimits.close_all_but(keep)
        os.chdir("/")
        os.umask(0o077)
        self._enter_cgroup()
        self._layers.report("oom", *oom_outcome(self.score.problem))
        self._enter_namespaces()
        self._users.drop(self._readable.roots, self._layers)
        if self._users.one_each:
            self.limits = dataclasses.replace(self.limits, processes=1 + self.config.max_threads)
        self._limit()
        self._no_new_privs()
        self._separate_speculation()
        self._restrict_files()
        privileges.not_dumpable()
        self._filter()
        if self.config.scratch:
            scratch.require(landlock=self._use_landlock, seccomp=self._use_seccomp)
        self._plan_worker()
        return self.layers

    def _refuse_early(self) -> None:
        """Say no before anything has changed, when it is known already that a required layer is missing."""
        if self._seccomp_errno:
            self._layers.require("seccomp", *seccomp_problem(self._seccomp_errno, self._arch))
        if self._ruleset is None and landlock_expected():
            self._layers.require("landlock", *landlock_problem(self._landlock_errno))
        if self.config.connections and (self._connections_problem or self._seccomp_errno):
            problem = self._connections_problem or "it needs the layer seccomp"
            raise IsolationUnavailable(f"REPTARIUM_CONNECT_ALLOW can't be had: {problem}. Unset it to start without.")

    def _enter_cgroup(self) -> None:
        wanted = {"pids.max": self._shared_threads, "cpu.weight": _CPU_WEIGHT}
        if self.config.tasks:
            each = self.config.memory + _WORKER_OVERHEAD
            wanted["memory.max"] = self.limits.data + self.config.tasks * each
        self._layers.report("cgroup", *cgroups.outcome(wanted, *cgroups.join(wanted, cgroups.current())))

    def _enter_namespaces(self) -> None:
        if self.config.namespaces == "off":
            self._layers.report("namespaces", "off", "switched off by configuration")
            return
        result = namespaces.enter(self._readable, self._users.ids(), self.config.scratch)
        self._new_root = result.new_root
        if self.scratch is not None and self._new_root:
            self.scratch.moved(namespaces.SCRATCH, "/tmp" if result.own_tmp else "")
        self._layers.report("namespaces", *namespaces_outcome(result.entered, result.refused, result.reason))

    def _limit(self) -> None:
        try:
            rlimits.restrict_zygote(self.config.open_files if self.config.connections else 0)
        except (OSError, ValueError) as error:
            self._layers.require("rlimits", str(error), "Allow setrlimit in the container's seccomp profile.")
            return
        self._priority = rlimits.lower_priority()
        self._layers.report("rlimits", *rlimits_outcome(self.limits, self._priority, one_each=self._users.one_each))

    def _no_new_privs(self) -> None:
        try:
            privileges.no_new_privs()
        except OSError as error:
            self._layers.require(
                "no_new_privs", str(error), "It needs Linux 3.5 and a container that lets prctl through."
            )
        else:
            self._layers.report("no_new_privs", "active", "exec gains nothing; not dumpable, not traceable")

    def _separate_speculation(self) -> None:
        if privileges.separate_branch_prediction():
            self._layers.report(
                "speculation", "active", "prediction of indirect branches is apart from other processes'"
            )
        else:
            self._layers.report(
                "speculation", "off", "the kernel doesn't leave the prediction of branches to processes"
            )

    def _restrict_files(self) -> None:
        if self._ruleset is None or self._worker_ruleset is None:
            if "landlock" not in self._layers:
                self._layers.without_landlock(self._landlock_errno, new_root=self._new_root)
            return
        have = self._ruleset.features
        try:
            landlock.restrict(self._ruleset, have.zygote_flags)
        except OSError as error:
            self._layers.require("landlock", *landlock_problem(error.errno or errno.EIO))
            return
        finally:
            self._ruleset.close()
        self._use_landlock = True
        self._layers.report("landlock", *landlock_outcome(have, self._ruleset.rules, scratch=self.scratch is not None))

    def _filter(self) -> None:
        if self._zygote_filter is None or self._worker_filter is None or "seccomp" in self._layers:
            return
        try:
            seccomp.install(self._zygote_filter)
        except OSError as error:
            self._layers.require("seccomp", *seccomp_problem(error.errno or errno.EIO, self._arch))
            return
        self._use_seccomp = True
        self._layers.report(
            "seccomp",
            "active",
            f"allowlist for {self._arch}; filter of {len(self._worker_filter)} instructions in each worker",
        )
        if self._handover is not None:
            self._layers.report("connections", "active", "made by the supervisor, handed over to workers that ask")

    def _plan_worker(self) -> None:
        """Lay out what every worker does, now that it is known which layers there are; see the module's sequence."""
        calls = self._worker_calls = syscalls.CallList()
        rlimits.die_with_parent(calls)
        calls.call("close", 0)
        calls.call("openat", _AT_FDCWD, ctypes.addressof(_NULL), os.O_RDWR)  # gets the lowest number, 0
        for stream in (1, 2):
            calls.function(syscalls.libc.dup2, 0, stream)
        if self._users.one_each:
            self._users.become_with(calls)
            rlimits.die_with_parent(calls)
        if self._handover is not None:
            calls.function(self._handover.open_memory)
        calls.prctl(privileges.PR_SET_DUMPABLE, 0)
        if self.scratch is not None:
            self.scratch.enter_with(calls)
        elif self._use_landlock and self._worker_ruleset is not None:
            landlock.restrict_with(calls, self._worker_ruleset, self._worker_ruleset.features.worker_flags)
        if self._handover is None and rlimits.close_range_works():
            calls.call("close_range", 3, self._last_below, 0)
            calls.call("close_range", self._first_above, 2**32 - 1, 0)
        else:
            calls.function(self._close_one_by_one)
        # After the closing, which must look as far as the zygote's own limit on descriptors
        limits = self.limits if self._handover is None else dataclasses.replace(self.limits, open_files=None)
        for limit in rlimits.worker_limits(limits):
            calls.setrlimit(*limit)
        if self._priority is not None:
            calls.call("setpriority", os.PRIO_PROCESS, 0, self._priority)
        if self._handover is not None:
            calls.function(self._handover.install)
        elif self._use_seccomp and self._loaded is not None:
            self._loaded.install_with(calls)

    def _close_one_by_one(self) -> int:
        keep = {self._last_below.value + 1}
        if self._handover is not None:
            keep.add(self._handover.memory)
        rlimits.close_all_but(keep)
        return 0

    def rehearse(self) -> None:
        """Go through the motions of `restrict_worker`, with calls that change nothing: what the interpreter
        adapts in its code as it runs, it adapts before fork.
        """
        zygote = self._worker_calls
        self._worker_calls = syscalls.CallList()
        for _ in range(_REHEARSED_CALLS):
            self._worker_calls.function(syscalls.libc.getppid)
        for _ in range(_REHEARSALS):
            self.restrict_worker(3, os.getppid(), 0)
        self._worker_calls = zygote

    # --- worker -----------------------------------------------------------------------------------

    def restrict_worker(self, keep_fd: int, zygote_pid: int, number: int) -> tuple[int, ...]:
        """Restrict this freshly forked process for good; leaves /dev/null as 0, 1, 2 and `keep_fd`, which
        must be above 2. `number` counts the zygote's forks: it selects the worker's user id out of the range.
        Ends the process when the zygote has gone. Returns what is to be handed to the supervisor and closed: nothing,
        or with `IsolationConfig.connections` the filter's listener and this process's memory.

        Raises OSError when a layer that the zygote has can't be put in force: the worker must then end
        without running a task.
        """
        if keep_fd <= 2:
            raise ValueError("the worker's socket would be lost as a standard stream")
        self._last_below.value = keep_fd - 1
        self._first_above.value = keep_fd + 1
        self._users.choose(number)
        pid = os.getpid()
        for place in self._pids:
            place.value = pid
        if self.scratch is not None:
            self.scratch.choose(pid)
        self._worker_calls.make()
        if os.getppid() != zygote_pid:
            os._exit(1)
        return () if self._handover is None else (self._handover.listener, self._handover.memory)
