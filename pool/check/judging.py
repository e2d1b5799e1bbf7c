"""Has programs judged, in processes of their own: what compiles somebody's code may hang or die of it.

A process that takes too long for one program, or ends over it, is replaced, and that program is said to be too much for
Python's compiler. Nothing of a program is run.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable

import msgspec
import psutil
import trio

from reptarium.sandbox.judge.messages import Judgement, JudgeRequest, Needs, Objection, ProgramFeatures

__all__ = ["judge_all"]

#: Seconds of processor time that one program may take (the longest ordinary ones take a tenth of one), and how many
#: times as long it is waited for on a busy machine.
TIME, PATIENCE = 20.0, 15
#: Bytes of an answer: a program of a megabyte that is refused in every word has some ten.
LONGEST_ANSWER = 64 << 20
#: Programs that a process judges before the next one takes over: what a compiler leaks stays small.
MOST = 5_000
_COMMAND = (sys.executable, "-P", "-s", "-B", "-m", "reptarium.sandbox.judge")


async def judge_all(
    requests: Iterable[JudgeRequest], progress: Callable[[int], object] = id, *, at_once: int | None = None
) -> list[Judgement]:
    """A judgement of each, in their order. ``progress`` is told how many are done.

    Equal requests are judged once. ``at_once``: processes; as many as there are processors, unless given.
    """
    wanted = list(requests)
    answers: dict[bytes, Judgement] = {}
    keys = [msgspec.msgpack.encode(_sendable(request)) for request in wanted]
    waiting = deque(dict.fromkeys(keys))
    total = len(waiting)
    processes = min(at_once or len(os.sched_getaffinity(0)), math.ceil(total / 20))

    async def work() -> None:
        judge: _Judge | None = None
        try:
            while waiting:
                key = waiting.popleft()
                if judge is None or judge.used >= MOST:
                    if judge is not None:
                        await judge.end()
                    judge = await _Judge.start()
                answers[key] = await judge.ask(key)
                progress(len(answers))
                if judge.dead:
                    await judge.end()
                    judge = None
        finally:
            if judge is not None:
                with trio.CancelScope(shield=True):
                    await judge.end()

    async with trio.open_nursery() as nursery:
        for _ in range(processes):
            nursery.start_soon(work)
    return [answers[key] for key in keys]


def _sendable(request: JudgeRequest) -> JudgeRequest:
    """Half a surrogate pair has no place in UTF-8, nor in a program."""
    code = request.code.encode("utf-8", "replace").decode()
    return request if code == request.code else JudgeRequest(code, request.policy, request.needs)


def _processor_time(process: psutil.Process) -> float:
    """Seconds that a process has had, without its children's."""
    times = process.cpu_times()
    return times.user + times.system


class _Judge:
    """One process."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._received = bytearray()
        self.used = 0
        self.dead = False

    @classmethod
    async def start(cls) -> _Judge:
        """A new one. It has nothing of this process's environment."""
        return cls(
            await trio.lowlevel.open_process(
                _COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={}
            )
        )

    async def ask(self, request: bytes) -> Judgement:
        """What it says of one program; what that it says nothing means, too."""
        self.used += 1
        line = msgspec.json.encode(msgspec.msgpack.decode(request, type=JudgeRequest)) + b"\n"
        try:
            with trio.fail_after(TIME * PATIENCE):
                return msgspec.json.decode(await self._answer(line), type=Judgement)
        except trio.TooSlowError:
            why = f"it takes more than {TIME:.0f} s"
        except (trio.BrokenResourceError, trio.ClosedResourceError, EOFError, msgspec.MsgspecError, psutil.Error):
            why = "its compiler gives up"
        self.dead = True
        refusals = [Objection(1, "the program can't be compiled here", why, None, "never")]
        return Judgement(refusals, Needs(unsolved=refusals), ProgramFeatures())

    async def _answer(self, line: bytes) -> bytes:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        child = psutil.Process(self._process.pid)
        spent = _processor_time(child)
        most = spent + TIME
        await stdin.send_all(line)
        while b"\n" not in self._received:
            data = None
            with trio.move_on_after(min(1.0, TIME)):
                data = await stdout.receive_some(1 << 20)
            if data is None:
                before, spent = spent, _processor_time(child)
                if spent > most or (spent == before and child.status() == psutil.STATUS_SLEEPING):
                    raise trio.TooSlowError
                continue
            if not data or len(self._received) > LONGEST_ANSWER:
                raise EOFError
            self._received += data
        answer, _, rest = bytes(self._received).partition(b"\n")
        self._received = bytearray(rest)
        return answer

    async def end(self) -> None:
        """It is no longer needed."""
        self._process.kill()
        await self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                await stream.aclose()
