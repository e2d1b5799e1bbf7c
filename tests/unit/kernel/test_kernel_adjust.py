"""Workers that lower their limits to those of their task: what their filter lets them, on both architectures."""

from __future__ import annotations

import errno
import resource

import pytest

from reptarium.sandbox.kernel import bpf, seccomp, syscalls
from reptarium.sandbox.kernel.adjust import ADJUSTABLE
from reptarium.sandbox.kernel.syscalls import AUDIT_ARCH, Arch
from tests.unit.kernel.kernel_helpers import arches, interpret

PID = 4242
EPERM = bpf.errno_action(errno.EPERM)
SET, GET = 0x1000, 0


def answer(arch: Arch, *args: int, adjustable: bool = True) -> int:
    """What the worker's filter says to prlimit64."""
    number = syscalls.number("prlimit64", arch)
    assert number is not None
    program = seccomp.worker_filter(arch, adjustable=adjustable)
    return interpret(program.for_pid(PID), AUDIT_ARCH[arch], number, args)


@pytest.mark.parametrize("arch", arches())
def test_a_worker_sets_its_own_limits_and_no_others(arch: Arch) -> None:
    """Memory, addresses, files, descriptors, threads, processor time; of itself."""
    for which in range(16):
        allowed = bpf.ALLOW if which in ADJUSTABLE else EPERM
        for own in (0, PID):
            assert answer(arch, own, which, SET, 0) == allowed, which
            assert answer(arch, own, which, GET, SET) == bpf.ALLOW
            assert answer(arch, own, which, SET, 0, adjustable=False) == EPERM
        for other in (1, PID + 1):
            assert answer(arch, other, which, SET, 0) == EPERM
            assert answer(arch, other, which, GET, SET) == EPERM
    assert resource.RLIMIT_CORE not in ADJUSTABLE


@pytest.mark.parametrize("arch", arches())
def test_nothing_else_is_changed(arch: Arch) -> None:
    """Every other call has the answer that it had."""
    plain, adjustable = seccomp.worker_rules(arch), seccomp._adjustable(seccomp.worker_rules(arch))
    assert adjustable.plain == plain.plain
    assert {name for name in plain.checked if adjustable.checked[name] != plain.checked[name]} == {"prlimit64"}
    assert adjustable.checked.keys() == plain.checked.keys()
