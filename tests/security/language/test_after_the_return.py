"""The result is written by calling methods of the user's objects: the audit hook stays armed for that.

No program can name ``open``, so the worker of these tests leaks one on purpose. It is a process of its
own, since a worker never disarms.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from reptarium.sandbox import wire
from reptarium.sandbox.kernel.isolation import IsolationConfig
from reptarium.sandbox.language import LanguagePolicy
from reptarium.sandbox.wire import Kind
from tests.limits import within

#: Serves one task as a worker does, but its tasks find ``leaked_open`` among their names.
LEAKY_WORKER = """
import os, sys
import msgspec
from reptarium.sandbox import wire
from reptarium.sandbox.process import worker
config = msgspec.json.decode(sys.argv[2], type=wire.ZygoteConfig)
class Supply:
    def __call__(self, index): return {"leaked_open": open, "leaked_exec": exec, "leaked_system": os.system}
    def outcome(self): return b"", b""
clean = worker.terms
worker.terms = lambda *args: clean(*args)._replace(callbacks=lambda code, items: Supply())
class Unrestricted:
    scratch, config = None, config.isolation
    def restrict_worker(self, keep_fd, zygote_pid, number): return ()
worker.main(worker.WorkerLife(config), int(sys.argv[1]), Unrestricted(), 0, number=0, urgent=True)
"""


def run_task(code: str, *, per_item: bool = False) -> tuple[Kind, bytes]:
    """Run ``code`` over two items in a leaky worker; the kind and payload of its last frame."""
    config = wire.ZygoteConfig(
        language=LanguagePolicy(stdlib_allow=("*",), external_allow=("*",)),
        isolation=IsolationConfig(policy="best-effort"),
    )
    items = b'[{"json":{"n":1}},{"json":{"n":2}}]'
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", LEAKY_WORKER, str(theirs.fileno()), msgspec.json.encode(config).decode()],
            pass_fds=[theirs.fileno()],
            cwd=Path(wire.__file__).parent.parent,
        )
        theirs.close()
        ours.settimeout(within(30))
        head = wire.TaskHead(code=code, per_item=per_item, items_size=len(items))
        for part in wire.frame(Kind.TASK, *wire.with_head(head, items)):
            ours.sendall(part)
        raw = bytearray()
        ours.shutdown(socket.SHUT_WR)
        while data := ours.recv(65536):
            raw += data
        assert process.wait(30) == 0
    assert wire.parse_header(raw[: wire.HEADER.size], {Kind.READY: 0}).length == 0
    del raw[: wire.HEADER.size]
    header = wire.parse_header(raw[: wire.HEADER.size], {Kind.RESULT: 1 << 20, Kind.FAILED: 1 << 20})
    return header.kind, bytes(raw[wire.HEADER.size : wire.HEADER.size + header.length])


@pytest.mark.parametrize("per_item", [False, True])
@pytest.mark.parametrize(
    "attack",
    [
        "leaked_open(path, 'w')",
        "leaked_exec('1')",
        "leaked_system('touch ' + path)",
    ],
)
def test_a_method_that_runs_while_the_result_is_written_is_still_watched(
    attack: str, per_item: bool, tmp_path: Path
) -> None:
    """`__str__` of a returned object meets the hook, whichever item's globals it has."""
    marker = tmp_path / "reached"
    code = f"path = {str(marker)!r}\nclass Late:\n    def __str__(self):\n        {attack}\n        return 'reached'\nreturn "
    kind, payload = run_task(
        code + ("{'late': Late()}" if per_item else "[{'json': {'late': Late()}}]"), per_item=per_item
    )
    assert kind is Kind.FAILED
    failure = msgspec.json.decode(payload, type=wire.Failure)
    assert "is not available in a task" in failure.message
    assert not marker.exists()


def test_a_method_that_runs_while_an_error_is_described_is_still_watched(tmp_path: Path) -> None:
    """`__str__` of a raised exception meets the hook; the error is described without its text."""
    marker = tmp_path / "reached"
    code = f"class Late(Exception):\n    def __str__(self):\n        leaked_open({str(marker)!r}, 'w')\n        return 'reached'\nraise Late()"
    kind, payload = run_task(code)
    assert kind is Kind.FAILED
    assert msgspec.json.decode(payload, type=wire.Failure).message == "Late"
    assert not marker.exists()


def test_a_finalizer_does_not_run_while_trusted_code_does(tmp_path: Path) -> None:
    """An import suspends the hook: garbage of the user's waits for its end."""
    marker = tmp_path / "reached"
    code = f"""
def late(box):
    try:
        box.append((yield))
    finally:
        leaked_open({str(marker)!r}, 'w')
for _ in range(2000):
    box = []
    cycle = late(box)
    next(cycle)
    box.append(cycle)
    cycle = box = None
import email.message, html.parser, xml.etree.ElementTree
return []
"""
    kind, payload = run_task(code)
    assert (kind, payload[-2:]) == (Kind.RESULT, b"[]")
    assert not marker.exists()
