"""What the kernel layer is asked for, and what each of its layers turned out to be: in words for an admin.

Under ``enforce`` a layer that is required and can't be had is an error; under ``best-effort`` it is a line in the
table. Every such word says what to change.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from reptarium.sandbox.kernel.landlock import Features
from reptarium.sandbox.kernel.rlimits import WorkerLimits

__all__ = [
    "IsolationConfig",
    "IsolationUnavailable",
    "LayerStatus",
    "Layers",
    "TaskLimits",
    "check_config",
    "kernel_version",
    "landlock_expected",
    "landlock_outcome",
    "landlock_problem",
    "namespaces_outcome",
    "oom_outcome",
    "require_all",
    "rlimits_outcome",
    "seccomp_problem",
    "unchanged",
]

LayerState = Literal["active", "partial", "missing", "off"]


class IsolationConfig(msgspec.Struct, frozen=True):
    """How workers are to be isolated. Travels from the supervisor to the zygote as JSON."""

    policy: Literal["enforce", "best-effort"] = "enforce"
    #: Bytes that a task may use on top of what a fresh worker has.
    memory: int = 512 * 2**20
    #: How many tasks there may be at the same time: their memory in all is bounded where a control group is delegated.
    #: 0: not known.
    tasks: int = 0
    #: Processor seconds of a worker (all threads); 0: no limit.
    cpu_seconds: int = 0
    #: Threads that a worker may start: exact with `worker_uids`, otherwise a ceiling for all workers together, and the
    #: supervisor's watchdog looks after each.
    max_threads: int = 8
    #: Descriptors of a worker.
    open_files: int = 64
    #: User and group to become when started as root; None: 65534.
    uid: int | None = None
    gid: int | None = None
    #: First and last of a range with one user id per worker (taken up by root
    #: only: others stay who they are). Ids are handed out in turn, so that the range should be several
    #: times the number of workers.
    worker_uids: tuple[int, int] | None = None
    namespaces: Literal["auto", "off"] = "auto"
    #: Directory below which each worker makes one of its own, to write in; empty: none writes anywhere. It is the
    #: supervisor's, as is its removal. `scratch_bytes` bounds each worker's directory, and one file.
    scratch: str = ""
    scratch_bytes: int = 0
    #: Paths that workers may read besides the interpreter, packages, shared libraries and time zones.
    read_paths: tuple[str, ...] = ()
    #: Whether workers may ask the supervisor for connections (`notify.py`).
    connections: bool = False
    #: Whether a worker may lower its limits once it knows its task: what stands above is then the most that one gets.
    adjustable: bool = False


class TaskLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one task may take, as in IsolationConfig, where that is less than its worker was made with."""

    memory: int
    cpu_seconds: int
    max_threads: int
    open_files: int
    scratch_bytes: int


def check_config(config: IsolationConfig) -> None:
    """Raises ValueError for a configuration that contradicts itself."""
    if config.worker_uids is not None:
        first, last = config.worker_uids
        if not 0 < first <= last < 2**32 - 1:
            raise ValueError(f"worker_uids: {first} to {last} is not a range of user ids above 0")
    for name, value in (("uid", config.uid), ("gid", config.gid)):
        if value is not None and not 0 < value < 2**32 - 1:
            raise ValueError(f"{name}: {value} is not the id of an ordinary user")
    if config.memory <= 0 or config.max_threads <= 0 or config.open_files < 8:
        raise ValueError("memory and max_threads must be above 0, open_files at least 8")
    for path in config.read_paths:
        if not os.path.isabs(path) or os.path.realpath(path) == "/":
            raise ValueError(f"read_paths: {path!r} must be absolute and not the root directory")


class LayerStatus(msgspec.Struct, frozen=True):
    """How one layer turned out: what holds (`detail`), what an admin would change to get more (`remedy`), and what does
    its work where it is missing and nothing is open for that (`instead`).
    """

    name: str
    state: LayerState
    detail: str = ""
    remedy: str = ""
    instead: str = ""


class IsolationUnavailable(Exception):
    """A required layer can't be had; the text tells which, why, and what to change."""


class Layers:
    """The table of layers, as restriction fills it."""

    def __init__(self, policy: Literal["enforce", "best-effort"]) -> None:
        self._policy = policy
        self._found: dict[str, LayerStatus] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._found

    def found(self) -> tuple[LayerStatus, ...]:
        """What has been reported so far, in that order."""
        return tuple(self._found.values())

    def report(self, name: str, state: LayerState, detail: str, remedy: str = "") -> None:
        """Enter a layer."""
        self._found[name] = LayerStatus(name, state, detail, remedy)

    def require(self, name: str, detail: str, remedy: str) -> None:
        """Enter a layer that can't be had. Raises IsolationUnavailable under ``enforce``."""
        if self._policy == "enforce":
            raise IsolationUnavailable(
                f"{name} is not available: {detail}. {remedy} "
                "Or set REPTARIUM_ISOLATION=best-effort to run without this layer."
            )
        self.report(name, "missing", detail, remedy)

    def without_landlock(self, error: int, *, new_root: bool) -> None:
        """Enter that there is no Landlock, for that errno.

        Raises IsolationUnavailable under ``enforce`` when there is no root directory of its own either: nothing would
        keep tasks from reading what the user may read.
        """
        detail, remedy = landlock_problem(error)
        if new_root:
            instead = "and a root directory with nothing but what tasks may read holds what it would"
            self._found["landlock"] = LayerStatus("landlock", "missing", detail, f"Optional. {remedy}", instead)
        else:
            self.require(
                "landlock",
                f"{detail}, and there is no mount namespace to keep files apart",
                f"{remedy} Or start as root with CAP_SYS_ADMIN, or let the user make user namespaces "
                "(and REPTARIUM_NAMESPACES=auto).",
            )


#: There where the kernel has filters, whoever may use them (seccomp(2), "/proc interfaces").
_KERNELS_ACTIONS = Path("/proc/sys/kernel/seccomp/actions_avail")
#: Layers that something has to hold, and the states in which they do. Landlock is partial on kernels before 6.12, where
#: seccomp refuses what it doesn't handle; the user is off where nobody is root.
_HOLDING: dict[str, frozenset[LayerState]] = {
    "no_new_privs": frozenset({"active"}),
    "seccomp": frozenset({"active"}),
    "landlock": frozenset({"active", "partial"}),
    "rlimits": frozenset({"active"}),
    "uid": frozenset({"active", "partial", "off"}),
}


def require_all(layers: Sequence[LayerStatus], setting: str) -> None:
    """Raises IsolationUnavailable, which names ``setting``, unless each layer holds that any task depends on."""
    found = {layer.name: layer for layer in layers}
    for name, states in _HOLDING.items():
        layer = found.get(name) or LayerStatus(name, "missing", "nothing is known of it")
        if layer.state not in states:
            raise IsolationUnavailable(
                f"{setting} needs the whole kernel layer, and {name} is {layer.state}: {layer.detail}. {layer.remedy} "
                f"Or leave {setting.partition('=')[0]} out."
            )


def unchanged(uid: int, groups: Collection[int]) -> tuple[LayerState, str, str]:
    """(state, detail, remedy) for tasks that stay the supervisor's user, who isn't root, with its groups."""
    detail = f"not root: tasks run as the supervisor's user {uid}; see landlock and seccomp for what keeps them apart"
    if 0 in groups:
        remedy = "Name a group beside the user: docker run --user 65532:65532, runAsGroup, Group=."
        return "partial", f"{detail}; they are in root's group", remedy
    return "off", detail, "Optional. Root can give the workers a user of their own."


def namespaces_outcome(entered: Sequence[str], refused: Sequence[str], reason: str) -> tuple[LayerState, str, str]:
    """(state, detail, remedy) for the namespaces that were entered and refused, and why."""
    left_out = "no pid namespace by design: pids stay those that the supervisor knows"
    if not entered:
        return (
            "missing",
            f"not permitted ({reason}); the layers seccomp and landlock do the same, "
            "but names and sizes of files stay visible",
            "Optional. Root with CAP_SYS_ADMIN, or a host that lets ordinary users make user namespaces.",
        )
    if refused:
        return (
            "partial",
            f"{', '.join(entered)}; refused: {', '.join(refused)} ({reason}); {left_out}",
            "Optional. See the reason of the refusal.",
        )
    return "active", f"{', '.join(entered)}; {left_out}", ""


def rlimits_outcome(limits: WorkerLimits, priority: int | None, *, one_each: bool) -> tuple[LayerState, str, str]:
    """(state, detail, remedy) for what a worker is limited to, with a priority and a user id of its own or without."""
    cpu = f"{limits.cpu_seconds} s processor time, " if limits.cpu_seconds else ""
    detail = (
        f"{limits.data // 2**20} MB private memory, {limits.address_space // 2**20} MB of addresses, {cpu}"
        f"{limits.open_files} descriptors, {'files of a scratch directory' if limits.file_size else 'no files'}, "
        f"no core dumps, {'the supervisor before workers' if priority is not None else 'no priorities'}; "
    )
    if os.getuid() == 0:
        remedy = "Start as another user, or see the layer uid."
        return "partial", f"{detail}threads unlimited (the kernel exempts root)", remedy
    if one_each:
        return "active", f"{detail}{limits.processes} threads per worker", ""
    remedy = "For an exact bound per worker: root and one user id per worker."
    return "active", f"{detail}{limits.processes} threads in all workers together", remedy


def landlock_outcome(have: Features, rules: int, *, scratch: bool) -> tuple[LayerState, str, str]:
    """(state, detail, remedy) for a ruleset of so many `rules` that is in force."""
    writable = "its scratch directory" if scratch else "nothing"
    detail = f"ABI {have.abi}, {rules} paths readable, {writable} writable"
    if not have.missing:
        return "active", f"{detail}; no TCP, no abstract sockets, no signals to outside", ""
    lacking = f"this kernel doesn't handle {', '.join(have.missing)} (the layer seccomp does)"
    return "partial", f"{detail}; {lacking}", "A newer kernel handles more."


def oom_outcome(problem: str) -> tuple[LayerState, str, str]:
    """(state, detail, remedy) for whom the kernel ends when memory runs out; why it isn't workers, "": it is."""
    if not problem:
        return "active", "when memory runs out the kernel ends workers before supervisor and zygote", ""
    return "missing", problem, "Optional. Let the runner write there, or start it with a lower OOMScoreAdjust."


def kernel_version() -> tuple[int, int]:
    """The running kernel's first two numbers; (0, 0) when it doesn't tell."""
    match = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def landlock_expected() -> bool:
    """Landlock came with Linux 5.13."""
    return kernel_version() >= (5, 13)


def landlock_problem(error: int) -> tuple[str, str]:
    """(detail, remedy) for an errno of a Landlock call."""
    if error == errno.ENOSYS and not landlock_expected():
        return "this kernel is older than Linux 5.13", "Use Linux 5.13 or later."
    detail, remedy = {
        errno.ENOSYS: (
            "the kernel or the container's seccomp profile has no such call (ENOSYS)",
            "Use a kernel with CONFIG_SECURITY_LANDLOCK, and a profile that lets landlock_* through.",
        ),
        errno.EOPNOTSUPP: (
            "the kernel has it, but it wasn't started (EOPNOTSUPP)",
            "Add landlock to the kernel's lsm= boot parameter.",
        ),
        errno.EPERM: (
            "the container's seccomp profile refuses landlock_* (EPERM)",
            "Use Docker 20.10.10 or later, or a profile that lets the three landlock_* calls through.",
        ),
    }.get(error, (f"the kernel answered {errno.errorcode.get(error, error)}", "See landlock(7)."))
    return detail, remedy


def seccomp_problem(error: int, arch: str | None) -> tuple[str, str]:
    """(detail, remedy) for an errno of seccomp(2); ``arch`` is None where no filter exists for the machine."""
    if arch is None:
        return (
            "there is no filter for this processor architecture",
            "Use x86-64 or aarch64 with a 64-bit interpreter.",
        )
    # a profile may answer ENOSYS, too
    refused = error in (errno.EPERM, errno.EACCES) or _KERNELS_ACTIONS.exists()
    if refused and error != errno.EINVAL:
        return (
            f"the container's own profile refuses the call seccomp ({errno.errorcode.get(error, error)})",
            "Use a profile that lets seccomp(2) through, like Docker's default one.",
        )
    if error in (errno.ENOSYS, errno.EINVAL):
        return (
            "the kernel has no seccomp filters",
            "Use a kernel with CONFIG_SECCOMP_FILTER (Linux 4.14 or later).",
        )
    return f"the kernel answered {errno.errorcode.get(error, error)}", "See seccomp(2)."
