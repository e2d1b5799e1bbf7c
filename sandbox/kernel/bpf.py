"""A small BPF assembler: rules over names of system calls become a filter program for one architecture.

How a filter looks
    ``seccomp_data`` is {nr, arch, instruction pointer, six 64-bit arguments}. A program checks the
    architecture, then finds the number by binary search over ranges of equal answers (the kernel runs the
    whole program once for every number when it installs it, for its cache of always-allowed calls: a linear
    list would make each fork dearer), then looks at arguments where the answer depends on them. A filter
    sees registers, never what a pointer points at.

    An argument that the kernel declares as ``int`` is compared in its lower half only, because the kernel
    ignores the rest; a pointer or an ``unsigned long`` whose upper half counts is compared in both.

References: ``Documentation/networking/filter.rst`` (the instruction set), ``include/uapi/linux/seccomp.h``,
``Documentation/userspace-api/seccomp_filter.rst``.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from reptarium.sandbox.kernel import syscalls
from reptarium.sandbox.kernel.syscalls import AUDIT_ARCH, Arch

__all__ = ["ALLOW", "DENY", "KILL", "PID", "Check", "Clause", "Program", "Rules", "assemble", "errno_action"]

# --- answers (linux/seccomp.h) --------------------------------------------------------------------

#: Let the call through.
ALLOW: Final = 0x7FFF0000
#: End the whole process with SIGSYS, not just the thread.
KILL: Final = 0x80000000


def errno_action(number: int) -> int:
    """The answer "refuse with this errno"."""
    return 0x00050000 | number


#: The answer to everything that no rule names.
DENY: Final = errno_action(errno.EPERM)

#: Stands in a `Check` for the pid of the process that the filter is installed in.
PID: Final = 0x7EED_C0DE


# --- rules ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Check:
    """One condition: ``(half of argument) & mask`` is one of `values`. Halves are 32 bits; `high` selects
    the upper one.
    """

    arg: int
    values: tuple[int, ...]
    mask: int = 0xFFFFFFFF
    high: bool = False


@dataclass(frozen=True, slots=True)
class Clause:
    """All `checks` hold → `action`. A rule is a list of these, tried in order; when none holds,
    `Rules.default` answers.
    """

    checks: tuple[Check, ...]
    action: int = ALLOW


@dataclass(frozen=True, slots=True)
class Rules:
    """What a filter says: `plain` gives one answer whatever the arguments, `checked` looks at them. Keys
    are call names.
    """

    plain: Mapping[str, int]
    checked: Mapping[str, tuple[Clause, ...]] = field(default_factory=dict)
    default: int = DENY

    def __post_init__(self) -> None:
        both = self.plain.keys() & self.checked.keys()
        if both:
            raise ValueError(f"two rules for {', '.join(sorted(both))}")


# --- assembler ------------------------------------------------------------------------------------

_LD_ABS: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_AND: Final = 0x54  # BPF_ALU | BPF_AND | BPF_K
_JA: Final = 0x05  # BPF_JMP | BPF_JA
_JEQ: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JGE: Final = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_RET: Final = 0x06  # BPF_RET | BPF_K

_OFF_NR: Final = 0
_OFF_ARCH: Final = 4
_OFF_ARGS: Final = 16
_X32_BIT: Final = 0x40000000

_INSTRUCTION: Final = struct.Struct("=HBBI")  # struct sock_filter {__u16 code; __u8 jt; __u8 jf; __u32 k}
_MAX_INSTRUCTIONS: Final = 4096  # BPF_MAXINSNS


@dataclass(slots=True)
class _Op:
    """An instruction whose jumps still name labels ("" = the next instruction), or, with code -1, the
    label itself.
    """

    code: int
    k: int = 0
    true: str = ""
    false: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled filter: the instructions as bytes, and where (byte offsets) the pid of its process
    belongs.
    """

    code: bytes
    pid_offsets: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.code) // _INSTRUCTION.size

    def for_pid(self, pid: int) -> bytes:
        """The bytes with `pid` filled in: what the kernel gets to see."""
        if not self.pid_offsets:
            return self.code
        patched = bytearray(self.code)
        for offset in self.pid_offsets:
            struct.pack_into("=I", patched, offset, pid)
        return bytes(patched)


class _Assembler:
    """Collects instructions with symbolic, forward-only jumps, and lays them out."""

    def __init__(self) -> None:
        self.ops: list[_Op] = []
        self._labels = 0

    def label(self) -> str:
        self._labels += 1
        return f"l{self._labels}"

    def place(self, label: str) -> None:
        self.ops.append(_Op(-1, label=label))

    def emit(self, code: int, k: int = 0, true: str = "", false: str = "") -> None:
        self.ops.append(_Op(code, k, true, false))

    def finish(self) -> Program:
        """Lay the program out. A conditional jump reaches 255 instructions; one that must go further becomes
        a short jump onto an unconditional one, which makes the program longer, so this is repeated until
        nothing changes.
        """
        long: set[int] = set()
        while True:
            where: dict[str, int] = {}
            starts: list[int] = []
            position = 0
            for index, op in enumerate(self.ops):
                starts.append(position)
                if op.code == -1:
                    where[op.label] = position
                else:
                    position += 3 if index in long else 1
            grown = {
                index
                for index, op in enumerate(self.ops)
                if op.code in (_JEQ, _JGE)
                and index not in long
                and any(t and where[t] - starts[index] - 1 > 255 for t in (op.true, op.false))
            }
            if not grown:
                break
            long |= grown
        if position > _MAX_INSTRUCTIONS:
            raise ValueError(f"filter of {position} instructions; the kernel takes {_MAX_INSTRUCTIONS}")
        code = bytearray()
        pids: list[int] = []
        for index, op in enumerate(self.ops):
            if op.code == -1:
                continue
            at = starts[index]
            if op.code == _JA:
                code += _INSTRUCTION.pack(_JA, 0, 0, where[op.true] - at - 1)
                continue
            if op.code in (_JEQ, _JGE):
                if op.k == PID:
                    pids.append(len(code) + 4)
                if index in long:
                    after = at + 3
                    code += _INSTRUCTION.pack(op.code, 0, 1, op.k)
                    code += _INSTRUCTION.pack(_JA, 0, 0, (where[op.true] if op.true else after) - at - 2)
                    code += _INSTRUCTION.pack(_JA, 0, 0, (where[op.false] if op.false else after) - at - 3)
                    continue
                true = where[op.true] - at - 1 if op.true else 0
                false = where[op.false] - at - 1 if op.false else 0
                code += _INSTRUCTION.pack(op.code, true, false, op.k)
                continue
            code += _INSTRUCTION.pack(op.code, 0, 0, op.k)
        return Program(bytes(code), tuple(pids))


def assemble(rules: Rules, arch: Arch) -> Program:
    """Compile `rules` for `arch`. Names that the architecture doesn't have are left out (the default
    answers).

    Raises KeyError for a name that no architecture has, ValueError when the program would be too long.
    """
    answers: dict[int, int | tuple[Clause, ...]] = {}
    for table in (rules.plain, rules.checked):
        for name, answer in table.items():
            nr = syscalls.number(name, arch)
            if nr is not None:
                answers[nr] = answer
    # Ranges [start, next start) of one answer each; the first starts at 0 and the last goes on for ever.
    ranges: list[tuple[int, int | tuple[Clause, ...]]] = []
    for nr in range(max(answers, default=0) + 2):
        answer = answers.get(nr, rules.default)
        if not ranges or ranges[-1][1] != answer or not isinstance(answer, int):
            ranges.append((nr, answer))

    asm = _Assembler()
    shared: dict[int, str] = {}
    blocks: list[tuple[str, tuple[Clause, ...]]] = []

    def ret(action: int) -> str:
        return shared.setdefault(action, f"ret{action:x}")

    def leaf(answer: int | tuple[Clause, ...]) -> str:
        if isinstance(answer, int):
            return ret(answer)
        label = asm.label()
        blocks.append((label, answer))
        return label

    def tree(part: Sequence[tuple[int, int | tuple[Clause, ...]]]) -> None:
        """Emit the search for a number that is known to lie in one of these (two or more) ranges."""
        middle = len(part) // 2
        left, right = part[:middle], part[middle:]
        right_label = leaf(right[0][1]) if len(right) == 1 else asm.label()
        left_label = leaf(left[0][1]) if len(left) == 1 else ""
        asm.emit(_JGE, right[0][0], true=right_label, false=left_label)
        if len(left) > 1:
            tree(left)
        if len(right) > 1:
            asm.place(right_label)
            tree(right)

    asm.emit(_LD_ABS, _OFF_ARCH)
    asm.emit(_JEQ, AUDIT_ARCH[arch], false=ret(KILL))
    asm.emit(_LD_ABS, _OFF_NR)
    if arch == "x86_64":
        # x32 has the same AUDIT_ARCH and marks its calls with this bit. As the comparison is unsigned,
        # numbers below zero end here too.
        asm.emit(_JGE, _X32_BIT, true=ret(KILL))
    if len(ranges) == 1:
        asm.emit(_JA, true=leaf(ranges[0][1]))
    else:
        tree(ranges)
    for label, clauses in blocks:
        asm.place(label)
        _emit_clauses(asm, clauses, ret, rules.default)
    for action, label in shared.items():
        asm.place(label)
        asm.emit(_RET, action)
    return asm.finish()


def _emit_clauses(asm: _Assembler, clauses: Iterable[Clause], ret: Callable[[int], str], default: int) -> None:
    for clause in clauses:
        following = asm.label()
        for check in clause.checks:
            # Little endian on both architectures: the lower half of an argument comes first.
            asm.emit(_LD_ABS, _OFF_ARGS + 8 * check.arg + (4 if check.high else 0))
            if check.mask != 0xFFFFFFFF:
                asm.emit(_AND, check.mask)
            passed = asm.label()
            for value in check.values[:-1]:
                asm.emit(_JEQ, value, true=passed)
            asm.emit(_JEQ, check.values[-1], false=following)
            asm.place(passed)
        asm.emit(_JA, true=ret(clause.action))
        asm.place(following)
    asm.emit(_JA, true=ret(default))
