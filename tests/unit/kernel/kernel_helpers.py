"""Helpers of the kernel layer's unit tests: a BPF interpreter, a reference reading of rules, throw-away
processes.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from reptarium.sandbox.kernel import bpf, syscalls
from tests.limits import within

ROOT = Path(__file__).resolve().parents[3]


def interpret(code: bytes, arch: int, nr: int, args: tuple[int, ...] = ()) -> int:
    """Run a classic BPF program like the kernel does (``net/core/filter.c``); returns its answer.

    Refuses what the kernel would refuse to load: backward jumps, jumps out of the program, unknown
    instructions, loads outside of ``seccomp_data``.
    """
    values = [*args, *([0] * (6 - len(args)))]
    data = struct.pack("<IIQ6Q", nr & 0xFFFFFFFF, arch, 0, *(value & (2**64 - 1) for value in values))
    program = [struct.unpack_from("=HBBI", code, at) for at in range(0, len(code), 8)]
    accumulator, pc = 0, 0
    while True:
        op, true, false, k = program[pc]
        pc += 1
        if op == 0x20:
            assert k % 4 == 0
            assert k <= len(data) - 4
            accumulator = struct.unpack_from("<I", data, k)[0]
        elif op == 0x54:
            accumulator &= k
        elif op == 0x05:
            pc += k
        elif op == 0x15:
            pc += true if accumulator == k else false
        elif op == 0x35:
            pc += true if accumulator >= k else false
        elif op == 0x06:
            return int(k)
        else:
            raise AssertionError(f"unknown instruction {op:#x}")
        assert pc < len(program), "jump out of the program"


def reference(rules: bpf.Rules, name: str, args: tuple[int, ...], pid: int) -> int:
    """What `rules` say about a call, read directly."""
    if name in rules.plain:
        return rules.plain[name]
    values = [*args, *([0] * (6 - len(args)))]
    for clause in rules.checked.get(name, ()):
        if all(
            ((values[check.arg] >> (32 if check.high else 0)) & 0xFFFFFFFF & check.mask)
            in {pid if value == bpf.PID else value for value in check.values}
            for check in clause.checks
        ):
            return clause.action
    return rules.default


def child(code: str, **variables: Any) -> tuple[Any, int]:
    """Run `code` in a new interpreter with `variables` as globals; returns (what it gave to ``report``,
    return code).

    The return code is that of `subprocess`: minus the signal's number when a signal ended it.
    """
    prelude = f"""
import ctypes, errno, json, os, signal, socket, sys
globals().update(json.loads({json.dumps(json.dumps(variables))}))
def report(value):
    os.write(1, json.dumps(value).encode())
def outcome(action, *args):
    try:
        action(*args)
    except OSError as error:
        return errno.errorcode[error.errno]
    except MemoryError:
        return "MemoryError"
    return "done"
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", prelude + textwrap.dedent(code)],
        env={"PATH": os.defpath},
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=within(60),
        check=False,
    )
    assert done.stdout or done.returncode, done.stderr.decode()
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return (json.loads(done.stdout) if done.stdout else None), done.returncode


def arches() -> list[syscalls.Arch]:
    """Both architectures; the programs are interpreted, so that either can be tested anywhere."""
    return list(syscalls.ARCHES)
