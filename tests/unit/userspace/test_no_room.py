"""Values that find no room while they become JSON or are printed: a MemoryError, never the end of the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

from reptarium.sandbox.language import LanguagePolicy
from reptarium.sandbox.task.console import Console, StderrTail
from reptarium.sandbox.task.execute import TaskInput, Terms, execute
from reptarium.sandbox.task.failures import TaskFailed
from tests.limits import within

# Data may grow from where it is by ROOM, in steps: of each size some values fit with their JSON, and some don't.
_SWEEP = """
import resource, sys
from reptarium.sandbox.task.console import Console
from reptarium.sandbox.userspace.json_form import to_json

MB = 2**18
SHAPES = (
    lambda text: {"a": text},
    lambda text: [{"json": {"a": text, "b": "\\ud800"}}],
    lambda text: [text[: len(text) // 8] + str(number) for number in range(8)],
    lambda text: {text: float("nan")},
    lambda text: [0] * (len(text) // 8),
)
def data():
    for line in open("/proc/self/status"):
        if line.startswith("VmData"):
            return int(line.split()[1]) * 1024
ended = {"done": 0, "memory": 0}
def attempt(call):
    try:
        call()
        ended["done"] += 1
    except MemoryError:
        ended["memory"] += 1
before = data()
for room in range(8, 72, 6):
    resource.setrlimit(resource.RLIMIT_DATA, (before + room * MB, -1))
    for size in (3, 11, 17):
        for shape in SHAPES:
            attempt(lambda: to_json(shape("x" * size * MB)))
        attempt(lambda: Console(lambda payload: None, 64 * MB).print("x" * size * MB))
print(ended["done"], ended["memory"])
"""


def test_every_size_at_every_limit_ends_in_a_memory_error() -> None:
    """msgspec's encode() ends in a segmentation fault where a text's JSON can't grow: nothing is written by it."""
    done = subprocess.run([sys.executable, "-c", _SWEEP], capture_output=True, text=True, timeout=within(60))
    assert done.returncode == 0, done
    fitted, failed = map(int, done.stdout.split())
    assert fitted >= 50
    assert failed >= 50


@pytest.mark.parametrize("what", ["the last print", "what is saved"])
def test_no_room_after_the_code_is_the_tasks_too(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its end is that of memory, not a failure of the worker's."""

    def no_room(*_: object) -> None:
        raise MemoryError

    class Saves:
        """What a task may call, and whose outcome finds no room."""

        outcome = no_room

        def __call__(self, index: int | None) -> dict[str, object]:
            return {}

    console = Console(lambda payload: None, 1000)
    if what == "the last print":
        monkeypatch.setattr(console, "flush", no_room)
    terms = Terms(LanguagePolicy(), "rich", 1000, 2**20, lambda code, items: Saves())  # type: ignore[arg-type,return-value]
    with pytest.raises(TaskFailed) as caught:
        execute(TaskInput("return []", False, b"[]", None), terms, console, StderrTail())
    assert caught.value.failure.kind == "memory"
