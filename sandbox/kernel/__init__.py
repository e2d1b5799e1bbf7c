"""The kernel layer: what a worker can do when the language layer has fallen.

`isolation.py`    the sequence: which process does what, in which order
`layers.py`       what is asked for, and what each layer turned out to be
`paths.py`        what may be read
`namespaces.py`   network, IPC, host name, root directory, where permitted
`cgroups.py`      a group with ceilings for all workers together, where delegated
`privileges.py`   user ids, capabilities, ``no_new_privs``
`threads.py`      that the zygote has one, before it restricts itself
`scratch.py`      a private directory for each worker
`oom.py`          whom the kernel ends when memory runs out
`rlimits.py`      resource limits, descriptors, death with the parent
`adjust.py`       limits that a worker lowers to its task's
`landlock.py`     files, TCP, abstract sockets, signals
`seccomp.py`      system calls; `bpf.py` makes filter programs of its rules
`notify.py`       connections that a worker asks the supervisor for
`syscalls.py`     their numbers
"""

from reptarium.sandbox.kernel.adjust import lower
from reptarium.sandbox.kernel.isolation import Prepared, prepare
from reptarium.sandbox.kernel.layers import IsolationConfig, IsolationUnavailable, LayerStatus, TaskLimits, require_all
from reptarium.sandbox.kernel.notify import stopped_calls
from reptarium.sandbox.kernel.rlimits import limit_descriptors
from reptarium.sandbox.kernel.threads import Threads

__all__ = [
    "IsolationConfig",
    "IsolationUnavailable",
    "LayerStatus",
    "Prepared",
    "TaskLimits",
    "Threads",
    "limit_descriptors",
    "lower",
    "prepare",
    "require_all",
    "stopped_calls",
]
