"""The figures of SECURITY.md, from the tables of the kernel layer: ``python docs/figures.py`` writes them anew.

A test holds the page against this (tests/unit/house/test_figures.py).
"""

from __future__ import annotations

import re
from pathlib import Path

from reptarium.sandbox.kernel import bpf, seccomp, syscalls

PAGE = Path(__file__).resolve().parent.parent / "SECURITY.md"
#: What stands between these on the page is replaced; neither is seen when it is rendered.
_BLOCK = re.compile(r"(<!-- system calls -->).*?(<!-- / -->)", re.DOTALL)


def reach(arch: syscalls.Arch) -> tuple[int, int, int]:
    """How many system calls a worker may make with any arguments, how many with checked ones only, and how many there
    are.
    """
    rules, known = seccomp.worker_rules(arch), syscalls.names(arch)
    plain = sum(action == bpf.ALLOW and name in known for name, action in rules.plain.items())
    return plain, sum(name in known for name in rules.checked), len(known)


def sentence() -> str:
    """What SECURITY.md says of them."""
    plain, checked, known = reach("x86_64")
    other = "{} and {} of {}".format(*reach("aarch64"))
    return (
        f"of the {known} system calls of x86-64 a\n"
        f"worker can make {plain} with any arguments and {checked} with checked ones (aarch64: {other})"
    )


def written(page: str) -> str:
    """``page`` with its figures as the code has them."""
    return _BLOCK.sub(lambda block: f"{block[1]}{sentence()}{block[2]}", page)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")
