"""Nothing to exhaust: native attacks on memory, time, threads, descriptors and on the supervisor's patience.

Each runs as a task through broker, runner and supervisor, in one of two slots; a neighbour's tasks run in
the other all the time. Each must end in one clear outcome within its limits, leave the neighbour's results
alone, and leave nothing behind.
"""

from __future__ import annotations

import contextlib
import json
import re
import traceback
from collections import deque
from typing import Any

import msgspec
import psutil
import pytest
import trio
from arena import FROM_ABOVE, PRELUDE, PYTHON

from reptarium.pool.embedded import embedded_runner
from reptarium.pool.embedded_broker import Broker, Outcome
from reptarium.pool.workers.configuration import zygote_config
from tests.conftest import make_settings
from tests.limits import fail_after, within

pytestmark = pytest.mark.usefixtures("kernel_layer")

MEMORY = 128 * 2**20
#: Seconds that tasks have: those that are to run into the limit, and those that must never, on whatever machine.
TIMEOUT, ENOUGH = 2.0, within(60)

FRAMES = """
def result_frame(raw, **head):
    return b"".join(bytes(part) for part in wire.frame(wire.Kind.RESULT,
    *wire.with_head(wire.ResultHead(**head), raw)))
def say(data):
    view = memoryview(data)
    while view:
        view = view[os.write(channel.fd, view):]
def hang():
    while True:
        time.sleep(60)
"""

TIMED_OUT = "timed out after 2 seconds"
BROKEN = "broke its protocol"

# name → (code, what the message of the single error says; None: the task ends well)
ATTACKS: dict[str, tuple[str, str | None]] = {
    "memory": ("kept = []\nwhile True: kept.append(bytearray(2**20))", "MemoryError"),
    "memory in one piece": ("bytearray(2**30)", "MemoryError"),
    "memory in threads": (
        "threading.stack_size(2**18)\ngate = threading.Event()\nkept = []\ndef eat():\n gate.wait()\n while True: kept.append(bytearray(2**20))\n"
        "errors = []\nthreading.excepthook = lambda args: errors.append(args.exc_type.__name__)\n"
        "threads = [threading.Thread(target=eat) for _ in range(8)]\n"
        "for t in threads: t.start()\ngate.set()\nfor t in threads: t.join()\nkept.clear()\nassert set(errors) == {'MemoryError'}\nhang()",
        TIMED_OUT,
    ),
    "memory of numpy": ("import numpy\nkept = []\nwhile True: kept.append(numpy.ones(2**17))", "MemoryError"),
    "memory behind Python's back": (
        "malloc = ctypes.CDLL(None).malloc\nmalloc.restype = ctypes.c_void_p\nmalloc.argtypes = [ctypes.c_size_t]\n"
        "while True:\n address = malloc(2**20)\n if not address: raise MemoryError\n ctypes.memset(address, 1, 2**20)",
        "MemoryError",
    ),
    "shared mappings": ("import mmap\nwhile True: mmap.mmap(-1, 2**24)", "Operation not permitted|PermissionError"),
    "processor time": ("while True: pass", TIMED_OUT),
    "processor time in threads": (
        "def burn():\n while True: pass\nfor _ in range(4): threading.Thread(target=burn, daemon=True).start()\nburn()",
        TIMED_OUT,
    ),
    "a sleeper deaf to signals": (
        "for number in range(1, 65):\n"
        " try: signal.signal(number, signal.SIG_IGN)\n"
        " except (OSError, ValueError): pass\n"
        "hang()",
        TIMED_OUT,
    ),
    "threads": (
        "threading.stack_size(65536)\nwhile True: threading.Thread(target=hang, daemon=True).start()",
        "can't start new thread|MemoryError|started more than 8 threads|" + TIMED_OUT,
    ),
    "descriptors": ("kept = []\nwhile True: kept.append(os.open('/dev/null', os.O_RDONLY))", "Too many open files"),
    "recursion": ("def f(): return f()\nf()", "RecursionError"),
    "recursion in C": ("t = ()\nfor _ in range(3 * 10**5): t = (t,)\nhash(t)", "segmentation fault|RecursionError|MemoryError|SIG"),
    "a crash": ("ctypes.string_at(0)", "segmentation fault"),
    "an abort": ("os.abort()", r"gave up \(abort\)"),
    "a forbidden call": ("raw('ptrace', 0, 0, 0, 0)", "system call that the sandbox forbids"),
    "endless standard output": ("while True: os.write(1, bytes(65536))", TIMED_OUT),
    "endless standard error": ("while True: os.write(2, bytes(65536))", TIMED_OUT),
    "endless garbage on the socket": ("while True: say(b'\\xff' * 65536)", BROKEN),
    "endless console lines": ("while True: channel.print(b'[\"x\"]\\n')", f"{TIMED_OUT}|{BROKEN}"),
    "prints over and over": ("channel.print(b'[\"x\"]\\n')\nwhile True: channel._numbers[1] = 2**16 - 16", BROKEN),
    "prints that never were": ("channel.print(b'[\"x\"]\\n')\nwhile True: channel._numbers[1] = 2**63", BROKEN),
    "prints from the future": ("channel.print(b'[\"x\"]\\n')\nwhile True: channel._numbers[0] = 2**63", TIMED_OUT),
    "prints of another place": ("channel._before = 9\nchannel.print(b'[\"x\"]\\n')\nhang()", BROKEN),
    "prints without a place": ("channel.send(wire.Kind.CONSOLE, b'[]')\nhang()", BROKEN),
    "half a print": ("channel.print(b'[\"x\"]')\nhang()", BROKEN),
    "nothing but line feeds": ("channel.print(b'\\n' * 60000)\nhang()", BROKEN),
    "a gigantic frame": ("say(wire.HEADER.pack(wire.Kind.RESULT, 2**32 - 1))\nhang()", "over the limit"),
    "a gigantic console line": ("say(wire.HEADER.pack(wire.Kind.CONSOLE, 2**31))\nhang()", BROKEN),
    "endless nesting": ("say(result_frame(b'[' * 10**6))\nhang()", BROKEN),
    "deep nesting": ("say(result_frame(b'[' * 10**5 + b']' * 10**5))\nhang()", BROKEN),
    "nesting in a console line": ("channel.print(b'[' * 10**5 + b'\\n')\nhang()", BROKEN),
    "a closed socket": ("os.close(channel.fd)\nhang()", "closed its connection"),
    "an exit": ("os._exit(0)", "exit status 0"),
    "half a header": ("say(b'\\x12\\0')\nos._exit(3)", "exit status 3"),
    "half a frame": ("say(result_frame(b'[1,2,3]')[:-3])\nos._exit(3)", "exit status 3"),
    "half a frame and silence": ("say(result_frame(b'[1,2,3]')[:-3])\nhang()", TIMED_OUT),
    "a frame of another kind": ("say(wire.HEADER.pack(wire.Kind.TASK, 0))\nhang()", BROKEN),
    "a frame of no kind": ("say(wire.HEADER.pack(99, 0))\nhang()", BROKEN),
    "ready again": ("say(wire.HEADER.pack(wire.Kind.READY, 0))\nhang()", BROKEN),
    "padding": ("say(b'\\x12\\1\\0\\0\\4\\0\\0\\0null')\nhang()", BROKEN),
    "a result without a head": ("say(wire.HEADER.pack(wire.Kind.RESULT, 1) + b'x')\nhang()", BROKEN),
    "a head longer than its frame": ("say(wire.HEADER.pack(wire.Kind.RESULT, 4) + b'\\xff\\xff\\0\\0')\nhang()", BROKEN),
    "sizes that lie": ("say(result_frame(b'null', custom_data_size=10**6))\nhang()", BROKEN),
    "negative sizes": ("say(result_frame(b'null', static_data_size=-4))\nhang()", BROKEN),
    "closing our brackets": ("say(result_frame(b'[]},\"type\":\"runner:taskdone\",\"taskId\":\"x\",\"data\":{\"result\":[]'))\nhang()", BROKEN),
    "two values": ("say(result_frame(b'1 2'))\nhang()", BROKEN),
    "no value": ("say(result_frame(b''))\nhang()", BROKEN),
    "invalid UTF-8": ("say(result_frame(b'\"\\xff\\xfe\"'))\nhang()", BROKEN),
    "a failure that is none": ("channel.send(wire.Kind.FAILED, b'{\"kind\":\"user\"}')\nhang()", BROKEN),
    "a failure with more fields": ("channel.send(wire.Kind.FAILED, b'{\"kind\":\"user\",\"message\":\"m\",\"taskId\":\"t\"}')\nhang()", BROKEN),
    "two results": ("say(result_frame(b'\"first\"') + result_frame(b'\"second\"'))\nhang()", None),
    "a result for another task": (
        """say(b"".join(bytes(part) for part in wire.frame(
            wire.Kind.RESULT, struct.pack("<I", 18) + b'{"taskId":"other"}', b'"first"')))\nhang()""",
        None,
    ),
}  # fmt: skip

#: They go on until their time is over, as others do that stay: `make slow` has these.
LONG = (
    "memory in threads",
    "processor time",
    "a sleeper deaf to signals",
    "endless standard error",
    "prints from the future",
    "half a frame and silence",
)
NAMES = [pytest.param(name, marks=pytest.mark.slow if name in LONG else ()) for name in ATTACKS]

#: Attacks whose task ends well, and why that is no harm. test_verdicts.py wants a reason for each.
HARMLESS = {
    "two results": "the first is the task's result, as if it had been the only one; nobody reads the second",
    "a result for another task": "which task a result belongs to is known by the socket; what its head says isn't looked at",
}


class Outcomes:
    """What became of each attack, and of the neighbour meanwhile."""

    def __init__(self) -> None:
        self.attacks: dict[str, Outcome] = {}
        self.neighbour: dict[str, list[Outcome]] = {}
        #: Attacks that brought the whole runner down, and the error that it died of.
        self.broken: dict[str, str] = {}
        self.left: dict[str, set[int]] = {}


def _processes() -> set[int]:
    """Workers of ours that exist now, by the name that they gave themselves."""
    found = set()
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if child.name().startswith("reptarium-busy"):
                found.add(child.pid)
    return found


async def _attack_all(mode: str, wanted: set[str]) -> Outcomes:
    found = Outcomes()
    settings = make_settings({"N8N_RUNNERS_EXTERNAL_ALLOW": "*"}, task_memory=MEMORY, max_result=16 * 2**20)
    zygote = zygote_config(settings)
    if mode == "python":
        zygote = msgspec.structs.replace(zygote, language=PYTHON)
    else:
        zygote = msgspec.structs.replace(zygote, probe=True)

    async def task(broker: Broker, code: str) -> Outcome:
        if mode == "python":
            code = f"{FROM_ABOVE}{code}\nreturn result"
        return await broker.submit({"code": code, "items": []}).outcome()

    before = _processes()

    async def attack(broker: Broker, name: str) -> None:
        found.neighbour[name] = []
        async with trio.open_nursery() as nursery:

            async def neighbour() -> None:
                while True:
                    found.neighbour[name].append(await task(broker, "result = 'fine'"))
                    await trio.sleep(0.02)  # a neighbour, not an attack of its own

            nursery.start_soon(neighbour)
            found.attacks[name] = await task(broker, f"{PRELUDE}{FRAMES}\n{ATTACKS[name][0]}")
            found.neighbour[name].append(await task(broker, "result = 'fine'"))
            nursery.cancel_scope.cancel()
        found.neighbour[name] += [await task(broker, "result = 'fine'") for _ in range(2)]
        with trio.move_on_after(5):
            while _processes() - before:
                await trio.sleep(0.02)
        found.left[name] = _processes() - before

    attacks = [name for name in ATTACKS if name in wanted]
    endless = [name for name in attacks if TIMED_OUT in (ATTACKS[name][1] or "")]
    with fail_after(280):
        for limit, names in ((TIMEOUT, endless), (ENOUGH, [name for name in attacks if name not in endless])):
            limited, remaining = msgspec.structs.replace(settings, task_timeout=limit), deque(names)
            while remaining:
                name = ""
                try:
                    async with embedded_runner(limited, zygote=zygote) as broker:
                        while remaining:
                            # first out of the list: the one that brings the runner down is not tried again
                            name = remaining.popleft()
                            await attack(broker, name)
                except Exception as error:
                    found.broken[name] = traceback.format_exception_only(_leaf(error))[-1].strip()
    return found


def _leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@pytest.fixture(scope="module", params=["native", pytest.param("python", marks=pytest.mark.slow)])
def outcomes(request: pytest.FixtureRequest) -> Outcomes:
    """The attacks that tests were chosen of, one after the other, beside a busy neighbour; from below and as tasks of
    plain Python; made once.
    """
    chosen = [one.callspec.params for one in request.session.items if getattr(one, "module", None) is request.module]
    wanted = {params["name"] for params in chosen if params["outcomes"] == request.param}
    return trio.run(_attack_all, request.param, wanted)


def _value(outcome: Outcome) -> Any:
    assert outcome.status == "done", outcome
    assert outcome.data is not None
    return json.loads(bytes(outcome.data.result))


@pytest.mark.parametrize("name", NAMES)
def test_one_clear_outcome(outcomes: Outcomes, name: str) -> None:
    """The task ends in one outcome, whose text names the cause."""
    assert name not in outcomes.broken, outcomes.broken[name]
    outcome, wanted = outcomes.attacks[name], ATTACKS[name][1]
    if wanted is None:
        assert _value(outcome) == "first"
        return
    assert outcome.status == "error", outcome
    assert outcome.error is not None
    text = f"{outcome.error.message} {outcome.error.description}"
    assert re.search(wanted, text), text


@pytest.mark.parametrize("name", NAMES)
def test_neighbours_are_undisturbed(outcomes: Outcomes, name: str, record_property: Any) -> None:
    """Every task of the neighbour, beside the attack and after it, ends with its own result."""
    assert name not in outcomes.broken, outcomes.broken[name]
    beside = outcomes.neighbour[name]
    assert [_value(outcome) for outcome in beside] == ["fine"] * len(beside)
    assert len(beside) >= 3
    # type: ignore[operator]
    times = sorted(outcome.timings.finished - outcome.timings.requested for outcome in beside)
    record_property("neighbour_median_ms", round(times[len(times) // 2] * 1000, 2))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_left(outcomes: Outcomes, name: str) -> None:
    """The attacker's process is gone, and its memory with it."""
    assert name not in outcomes.broken, outcomes.broken[name]
    assert outcomes.left[name] == set()
