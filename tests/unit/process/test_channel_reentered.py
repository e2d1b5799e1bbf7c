"""A worker's channel where something of it is begun in the middle of another: finalizers, threads, handlers."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from reptarium.sandbox import wire
from reptarium.sandbox.process.channel import Channel
from reptarium.sandbox.task.console import Console
from reptarium.sandbox.wire import Kind
from tests.limits import within


class Site:
    """A channel without shared memory, what it has written, and a hook in the middle of each write."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ours, theirs = socket.socketpair()
        self.ours.settimeout(within(10))
        self.theirs = theirs
        self.channel = Channel(theirs.fileno())
        self.print = Console(self.channel.print, 1 << 20, str).printer
        self.meanwhile: Callable[[], None] = lambda: None
        writev = os.writev

        def hooked(fd: int, buffers: list[bytes]) -> int:
            done = writev(fd, buffers)
            doing, self.meanwhile = self.meanwhile, lambda: None
            doing()
            return done

        monkeypatch.setattr("reptarium.sandbox.process.channel.os.writev", hooked)

    def frame(self) -> tuple[int, bytes]:
        kind, length = wire.HEADER.unpack(self.ours.recv(wire.HEADER.size, socket.MSG_WAITALL))
        return kind, self.ours.recv(length, socket.MSG_WAITALL) if length else b""

    def printed(self) -> list[str]:
        kind, payload = self.frame()
        assert kind == Kind.CONSOLE
        return [text for line in payload[wire.PRINTS_PLACE.size :].splitlines() for text in json.loads(line)]

    def answer(self, number: int, raw: bytes) -> None:
        self.ours.sendall(
            b"".join(wire.frame(int(Kind.RPC_ANSWER), *wire.with_head(wire.RpcAnswerHead(number, True), raw)))
        )


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    made = Site(monkeypatch)
    yield made
    made.ours.close()
    made.theirs.close()


def in_thread(what: Callable[[], object]) -> threading.Thread:
    """Started; whoever joins it has a limit."""
    thread = threading.Thread(target=what, daemon=True)
    thread.start()
    return thread


def finish(thread: threading.Thread) -> None:
    thread.join(within(10))
    assert not thread.is_alive()


def test_a_print_in_the_middle_of_a_print_comes_after_it(site: Site) -> None:
    """What the collector runs at an allocation, in the same thread: it waited for itself for ever."""
    site.meanwhile = lambda: site.print("finalizer")
    finish(in_thread(lambda: site.print("task")))
    assert site.printed() == ["task"]
    assert site.printed() == ["finalizer"]


def test_a_call_in_the_middle_of_a_print_is_refused(site: Site) -> None:
    refused: list[str] = []

    def call() -> None:
        with pytest.raises(RuntimeError) as caught:
            site.channel.call("x", b"[]")
        refused.append(str(caught.value))

    site.meanwhile = call
    finish(in_thread(lambda: site.print("task")))
    assert refused == [
        "a call to n8n in the middle of another one, or of a print: a finalizer or a handler has made it"
    ]
    assert site.printed() == ["task"]


def test_a_call_in_the_middle_of_a_call_is_refused_and_the_first_is_answered(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive, refused, answers = site.channel.receive, [], []

    def receiving() -> tuple[int, bytearray]:
        with pytest.raises(RuntimeError) as caught:
            site.channel.call("second", b"[]")
        refused.append(caught.value)
        site.print("meanwhile")
        return receive()

    monkeypatch.setattr(site.channel, "receive", receiving)
    thread = in_thread(lambda: answers.append(site.channel.call("first", b"[]")))
    assert site.frame()[0] == Kind.RPC
    assert site.printed() == ["meanwhile"]
    site.answer(1, b"7")
    finish(thread)
    assert answers == [(True, b"7")]
    assert len(refused) == 1


def test_another_thread_prints_while_one_waits_for_its_call(site: Site) -> None:
    """It waited as long as n8n took."""
    answers: list[object] = []
    thread = in_thread(lambda: answers.append(site.channel.call("first", b"[]")))
    assert site.frame()[0] == Kind.RPC
    finish(in_thread(lambda: site.print("beside")))
    assert site.printed() == ["beside"]
    site.answer(1, b"null")
    finish(thread)
    assert answers == [(True, b"null")]


def test_prints_of_many_threads_are_all_written_and_in_each_ones_order(site: Site) -> None:
    def work(number: int) -> None:
        for line in range(300):
            site.print(f"{number} {line}")

    threads = [in_thread(lambda number=number: work(number)) for number in range(4)]  # type: ignore[misc]
    seen: list[list[str]] = [[], [], [], []]
    while sum(map(len, seen)) < 4 * 300:
        for text in site.printed():
            seen[int(text[0])].append(text)
    for thread in threads:
        finish(thread)
    assert seen == [[f"{number} {line}" for line in range(300)] for number in range(4)]


def test_what_a_finalizer_prints_with_the_result_is_no_other_tasks(site: Site) -> None:
    site.meanwhile = lambda: site.print("late")
    finish(in_thread(lambda: site.channel.send(int(Kind.RESULT), b"{}")))
    assert site.frame()[0] == Kind.RESULT
    site.channel.renew()
    finish(in_thread(lambda: site.print("next")))
    assert site.printed() == ["next"]


def test_a_lack_of_memory_beside_the_lock_keeps_nobody_out(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that needs some stands between its taking and what sees to its release."""
    lock = site.channel._lock

    def number() -> int:
        if lock.locked():
            raise MemoryError
        return threading.get_ident()

    monkeypatch.setattr("reptarium.sandbox.process.channel._thread_number", number)
    for doing in (
        lambda: site.print("short"),
        lambda: site.channel._lines.append(b'["queued"]\n') or site.channel._store_lines(),  # type: ignore[func-returns-value]
        lambda: site.channel.send(int(Kind.RESULT), b"{}"),
    ):
        with suppress(MemoryError):
            doing()
        assert not lock.locked()
    assert site.printed() + site.printed() == ["short", "queued"]
    assert site.frame()[0] == Kind.RESULT
