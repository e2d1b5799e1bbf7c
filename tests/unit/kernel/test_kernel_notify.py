"""The filters of workers that may ask for connections: what changes, and that nothing else does."""

from __future__ import annotations

import errno

import pytest

from reptarium.sandbox.kernel import bpf, notify, seccomp, syscalls
from reptarium.sandbox.kernel.syscalls import AUDIT_ARCH, Arch
from tests.unit.kernel.kernel_helpers import arches, child, interpret

PID = 4242
EPERM = bpf.errno_action(errno.EPERM)
NO_OPTION = bpf.errno_action(errno.ENOPROTOOPT)
OOB, FASTOPEN = 0x1, 0x20000000


def answer(arch: Arch, name: str, *args: int, zygote: bool = False, connections: bool = True) -> int:
    """What the compiled filter says to a call."""
    make = seccomp.zygote_filter if zygote else seccomp.worker_filter
    number = syscalls.number(name, arch)
    assert number is not None
    return interpret(make(arch, connections=connections).for_pid(PID), AUDIT_ARCH[arch], number, args)


ANSWERS = [
    ("connect", (5, 1, 16), notify.NOTIFY),
    ("socket", (2, 1, 0), notify.NOTIFY),
    ("socket", (10, 1 | 0o4000 | 0o2000000, 6), notify.NOTIFY),
    ("socket", (2, 2, 0), notify.NOTIFY),
    ("socket", (10, 2 | 0o4000 | 0o2000000, 17), notify.NOTIFY),
    ("socket", (2, 2, 1), EPERM),
    ("socket", (2, 2, 136), EPERM),
    ("socket", (2, 1, 17), EPERM),
    ("socket", (2, 3, 1), EPERM),
    ("socket", (2, 1, 132), EPERM),
    ("socket", (2, 1, 262), EPERM),
    ("socket", (1, 1, 0), EPERM),
    ("socket", (16, 3, 0), EPERM),
    ("socket", (17, 3, 0), EPERM),
    ("socket", (2, 1 | 0o10, 0), EPERM),
    ("socketpair", (1, 1, 0), bpf.ALLOW),
    ("socketpair", (1, 5 | 0o2000000, 0), bpf.ALLOW),
    ("socketpair", (1, 2, 0), EPERM),
    ("socketpair", (2, 1, 0), EPERM),
    ("bind", (5, 1, 16), notify.NOTIFY),
    ("getsockname", (5, 1, 1), notify.NOTIFY),
    ("getpeername", (5, 1, 1), notify.NOTIFY),
    ("recvfrom", (5, 1, 1, 0, 0, 0), bpf.ALLOW),
    ("recvfrom", (5, 1, 1, 0, 1, 1), notify.NOTIFY),
    ("recvfrom", (5, 1, 1, 0, 1 << 32, 1), notify.NOTIFY),
    ("recvmsg", (5, 1, 0), bpf.ALLOW),
    ("recvmmsg", (5, 1, 1, 0, 0), EPERM),
    ("listen", (5, 1), EPERM),
    ("accept", (5, 0, 0), EPERM),
    ("accept4", (5, 0, 0, 0), EPERM),
    ("sendto", (5, 1, 1, 0, 0, 0), bpf.ALLOW),
    ("sendto", (5, 1, 1, 0x4000, 0, 0), bpf.ALLOW),
    ("sendto", (5, 1, 1, 0, 1, 16), notify.NOTIFY),
    ("sendto", (5, 1, 1, 0, 1 << 32, 0), notify.NOTIFY),
    ("sendto", (5, 1, 1, 0, 0, 16), notify.NOTIFY),
    ("sendto", (5, 1, 1, FASTOPEN, 1, 16), EPERM),
    ("sendto", (5, 1, 1, OOB, 1, 16), EPERM),
    ("sendto", (5, 1, 1, FASTOPEN, 0, 0), EPERM),
    ("sendto", (5, 1, 1, OOB, 0, 0), EPERM),
    ("sendmsg", (5, 1, 0x4000), bpf.ALLOW),
    ("sendmsg", (5, 1, FASTOPEN), EPERM),
    ("sendmsg", (5, 1, OOB), EPERM),
    ("sendmmsg", (5, 1, 1, 0), EPERM),
    ("setsockopt", (5, 6, 1, 1, 4), bpf.ALLOW),
    ("setsockopt", (5, 0, 11, 1, 4), bpf.errno_action(0)),
    ("getsockopt", (5, 0, 11, 1, 4), NO_OPTION),
    ("setsockopt", (5, 1, 13, 1, 8), NO_OPTION),
    ("setsockopt", (5, 1, 26, 1, 16), NO_OPTION),
    ("setsockopt", (5, 6, 30, 1, 4), NO_OPTION),
    ("setsockopt", (5, 6, 31, 1, 4), NO_OPTION),
    ("setsockopt", (5, 41, 1, 1, 4), NO_OPTION),
    ("getsockopt", (5, 1, 4, 1, 1), bpf.ALLOW),
    ("getsockopt", (5, 1, 77, 1, 1), NO_OPTION),
    ("fcntl", (5, 4, 0o4002), bpf.ALLOW),
    ("fcntl", (5, 4, 0o20000), EPERM),
    ("fcntl", (5, 8, 1), EPERM),
    ("ioctl", (5, 0x541B, 1), bpf.ALLOW),
    ("ioctl", (5, 0xC0502100, 1), EPERM),
    ("ioctl", (5, 0x40182103, 1), EPERM),
    ("seccomp", (1, 8, 1), EPERM),
    ("prlimit64", (0, 7, 1, 0), bpf.ALLOW),
    ("prlimit64", (PID, 7, 1, 0), bpf.ALLOW),
    ("prlimit64", (PID + 1, 7, 1, 0), EPERM),
    ("prlimit64", (0, 6, 1, 0), EPERM),
    ("epoll_ctl", (5, 1, 1, 1), bpf.ALLOW),
    ("shutdown", (5, 2), bpf.ALLOW),
]


@pytest.mark.parametrize("arch", arches())
@pytest.mark.parametrize(("name", "args", "wanted"), ANSWERS)
def test_a_worker_that_may_connect(arch: Arch, name: str, args: tuple[int, ...], wanted: int) -> None:
    """Each call gets its answer, on both architectures."""
    assert answer(arch, name, *args) == wanted


@pytest.mark.parametrize("arch", arches())
def test_the_zygotes_filter_lets_its_workers_be_asked_about(arch: Arch) -> None:
    """The strictest filter wins: what a worker's answers NOTIFY or ALLOW to, the zygote's allows."""
    for name, args, wanted in ANSWERS:
        if wanted in (notify.NOTIFY, bpf.ALLOW, bpf.errno_action(0)):
            assert answer(arch, name, *args, zygote=True) == bpf.ALLOW, name


@pytest.mark.parametrize("arch", arches())
def test_without_the_power_nothing_is_changed(arch: Arch) -> None:
    """No call is answered NOTIFY, and what connects is refused."""
    rules = seccomp.worker_rules(arch)
    assert notify.NOTIFY not in rules.plain.values()
    for name in ("connect", "bind", "socket", "socketpair", "sendmsg", "setsockopt"):
        assert answer(arch, name, 2, 1, 0, connections=False) == EPERM
    assert answer(arch, "sendto", 3, 0x1000, 1, 0, 0x1000, 16, connections=False) == EPERM


@pytest.mark.parametrize("arch", arches())
def test_the_power_changes_nothing_but_what_it_is_about(arch: Arch) -> None:
    """Every other call of the kernel has the answer that it had."""
    before, after = seccomp.worker_rules(arch), notify.worker_rules(seccomp.worker_rules(arch))
    changed = {
        name
        for name in syscalls.names(arch)
        if before.plain.get(name) != after.plain.get(name) or before.checked.get(name) != after.checked.get(name)
    }
    assert changed <= {
        *(
            "connect",
            "bind",
            "socket",
            "socketpair",
            "sendto",
            "sendmsg",
            "recvfrom",
            "recvmsg",
            "shutdown",
            "getsockname",
        ),
        *("getpeername", "setsockopt", "getsockopt", "fcntl", "ioctl", "eventfd2", "epoll_create1", "epoll_create"),
        *("epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "prlimit64"),
    }


@pytest.mark.skipif(notify.problem() != "", reason="this machine hands over no connections")
def test_a_listener_of_the_runtimes_own_is_said() -> None:
    """Where another listener is in force there can be no second one, and the reason says so."""
    said, _ = child(
        """
        from reptarium.sandbox.kernel import notify, syscalls, bpf
        import struct
        syscalls.prctl(38, 1)
        code = ctypes.create_string_buffer(struct.pack("=HBBI", 6, 0, 0, bpf.ALLOW), 8)
        header = ctypes.create_string_buffer(struct.pack("=HxxxxxxQ", 1, ctypes.addressof(code)), 16)
        syscalls.call("seccomp", 1, 8, ctypes.addressof(header))
        report(notify.problem())
        """
    )
    assert said == ("the container's runtime holds a seccomp listener of its own, and there can be one only (EBUSY)")


def test_an_older_kernel_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Linux 5.9 no descriptor could be put into another process's table."""
    monkeypatch.setattr(notify, "kernel_version", lambda: (5, 8))
    assert notify.problem().startswith("it needs Linux 5.9 or later")
