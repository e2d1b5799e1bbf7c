"""Judges programs: a request in JSON a line in, an answer a line out, until standard input ends.

The programs are other people's, and compiling one may take all memory or, with a mistake in the compiler, end the
process: it has limits of its own, and whoever started it kills it when an answer takes too long.
"""

from __future__ import annotations

import resource
import sys

import msgspec

from reptarium.sandbox.judge.messages import JudgeRequest
from reptarium.sandbox.judge.verdict import judge
from reptarium.sandbox.language import silence_compiler
from reptarium.sandbox.nesting import room

#: Bytes of address space: a program of a megabyte takes a few hundred.
_MEMORY = 2 << 30


def _restrict() -> None:
    for limit, value in ((resource.RLIMIT_AS, _MEMORY), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 0)):
        _, hard = resource.getrlimit(limit)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (value, value))


def main() -> None:
    """Answer until there is nothing more to read."""
    _restrict()
    silence_compiler()
    decoder = msgspec.json.Decoder(JudgeRequest)
    for line in sys.stdin.buffer:
        request = decoder.decode(line)
        with room():
            answer = msgspec.json.encode(judge(request.code, request.policy, with_needs=request.needs))
        sys.stdout.buffer.write(answer + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
