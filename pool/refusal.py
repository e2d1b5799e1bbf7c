"""What keeps a runner from starting as it is configured."""

from __future__ import annotations

import sys
import sysconfig


class StartRefused(Exception):
    """The machine or the configuration doesn't allow the start. The text says what is wrong and what to change."""


class ScratchRefused(StartRefused):
    """There is no place for scratch directories. The text says why and what to change."""


class PoolRefused(StartRefused):
    """The sandbox cannot be had as configured. The text says what is missing and what to change."""


def require_interpreter() -> None:
    """Raises :class:`StartRefused` for a Python that nothing here is made for or tested with."""
    if sys.platform != "linux":
        system = {"darwin": "macOS", "win32": "Windows"}.get(sys.platform, sys.platform)
        raise StartRefused(
            f"this is {system}: what holds tasks is the Linux kernel (seccomp, Landlock), which isn't there. Run it on "
            "Linux, or in a container (deploy/docker)"
        )
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if sys.implementation.name != "cpython":
        problem = f"this Python is {sys.implementation.name}: the sandbox knows the insides of CPython"
    elif sysconfig.get_config_var("Py_GIL_DISABLED"):
        problem = f"this is a free-threaded build of CPython (python{version}t), for which the sandbox isn't made"
    else:
        return
    raise StartRefused(f"{problem}. Install Reptarium with an ordinary CPython: python{version} -m venv")
