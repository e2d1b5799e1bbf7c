"""What is said of a layer that can't be had: who refuses it, and whether anybody has to mind."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from reptarium.pool.workers.brood import OPTIONAL_LAYERS, named
from reptarium.sandbox.kernel import LayerStatus, layers


@pytest.mark.parametrize(
    ("error", "kernel_has_filters", "who"),
    [
        (errno.EPERM, True, "the container's own profile refuses"),
        (errno.EPERM, False, "the container's own profile refuses"),  # /proc may be hidden
        (errno.ENOSYS, True, "the container's own profile refuses"),
        (errno.ENOSYS, False, "the kernel has no seccomp filters"),
        (errno.EINVAL, True, "the kernel has no seccomp filters"),  # none that can kill a process
    ],
)
def test_a_profile_is_told_from_a_kernel(
    error: int, kernel_has_filters: bool, who: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A container's profile may answer with the errno of a kernel that has no filters; /proc says whether it has."""
    monkeypatch.setattr(layers, "_KERNELS_ACTIONS", tmp_path if kernel_has_filters else tmp_path / "none")
    detail, remedy = layers.seccomp_problem(error, "x86_64")
    assert detail.startswith(who)
    assert remedy


def test_what_nobody_needs_is_off() -> None:
    """A stock container has no cgroup to delegate: that is no hole, and no alert."""
    assert {"cgroup", "namespaces", "oom"} == OPTIONAL_LAYERS
    for name in ("cgroup", "namespaces", "oom", "seccomp", "landlock", "uid"):
        shown = named(LayerStatus(name, "missing", "why", "what to do"))
        assert shown == LayerStatus(name, "off" if name in OPTIONAL_LAYERS else "missing", "why", "what to do")
    assert named(LayerStatus("cgroup", "partial", "why", "")).state == "partial"
