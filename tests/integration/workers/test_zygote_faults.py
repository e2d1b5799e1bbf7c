"""A zygote that hangs, lies or can't start: contained, counted, reported and replaced. Real processes."""

from __future__ import annotations

import os
import signal

import pytest
from structlog.testing import capture_logs

from reptarium.pool.endings import Ending
from reptarium.pool.refusal import PoolRefused
from reptarium.pool.workers import brood, pool, zygote, zygotes
from reptarium.pool.workers.pool import WorkerPool
from reptarium.pool.workers.waiting import NoWorker
from reptarium.pool.workers.worker import Worker
from reptarium.sandbox import wire
from reptarium.sandbox.wire import Kind
from tests.integration.workers.liars import Pool, lying, until, warm_pool
from tests.limits import fail_after

pytestmark = pytest.mark.usefixtures("nothing_left")

#: What a zygote may do that no honest one does, once it has said that it is ready; and what is said of it.
LIES = [
    ("is no message", "order(); say(b'\\xff{nonsense')"),
    ("is no message", "order(); say({'type': 'gift'})"),
    ("is no message", "say({'type': 'exited', 'pid': 2**40, 'status': 0, 'cpu': 1})"),
    ("is no message", "say({'type': 'exited', 'pid': 77, 'status': 2**20, 'cpu': 1})"),
    ("is no message", "say({'type': 'exited', 'pid': 77, 'status': 0, 'cpu': 1e300})"),
    ("said Hello", "hello()"),
    ("said Exited, with 2 descriptors", "say({'type': 'exited', 'pid': 77, 'status': 0, 'cpu': 1}, 0, 1)"),
    ("said Forked, with 0 descriptors", "order(); forked(worker()[0])"),
    ("said Forked, with 1 descriptors", "order(); pid, s, p = worker(); forked(pid, p)"),
    ("said Forked, with 3 descriptors", "order(); pid, s, p = worker(); forked(pid, s.fileno(), p, p, p)"),
    ("its socket is none", "order(); pid, s, p = worker(); forked(pid, 0, p)"),
    ("its socket is none", "order(); pid, s, p = worker(); forked(pid, p, p)"),
    ("its pidfd is another's", "order(); pid, s, p = worker(); forked(pid, s.fileno(), s.fileno())"),
    (
        "its socket is another's",
        "order(); pid, s, p = worker(); server = socket.create_server(('127.0.0.1', 0))\n"
        "tcp = socket.create_connection(server.getsockname()); forked(pid, tcp.fileno(), p)",
    ),
    (
        "its pidfd is another's",  # ours, which would be killed through it
        "order(); pid, s, p = worker(); forked(pid, s.fileno(), os.pidfd_open(os.getppid()))",
    ),
    (
        "it isn't the zygote's child",  # nor is it when it says so
        "order(); pid, s, p = worker(); we = os.getppid(); forked(we, s.fileno(), os.pidfd_open(we))",
    ),
    (
        "its pid is another worker's",
        "order(); pid, s, p = worker(); forked(pid, s.fileno(), p); forked(pid, s.fileno(), p)",
    ),
    (
        "told the end of a worker that lives",
        "order(); pid, s, p = worker(); forked(pid, s.fileno(), p)\n"
        "say({'type': 'exited', 'pid': pid, 'status': 0, 'cpu': 0.0})",
    ),
    (
        "answers orders that it didn't get",
        "for _ in range(order()): say({'type': 'forkfailed', 'errno': 11})\nsay({'type': 'forkfailed', 'errno': 11})",
    ),
    ("exit status 3", "sys.exit(3)"),
]


async def serves(here: Pool) -> None:
    """All workers of an honest zygote are there, and one of them does a task."""
    await here.pool.wait_warm()
    await until(lambda: here.pool.limit is None)
    worker = await here.pool.lease()
    await does_a_task(worker)
    here.pool.discard(worker)


async def does_a_task(worker: Worker) -> None:
    """A leased worker runs code and answers."""
    head = wire.TaskHead(code="return 1", items_size=2)
    await worker.send(Kind.TASK, *wire.with_head(head, b"[]"))
    kind, _ = await worker.receive({Kind.RESULT: 4096})
    assert kind is Kind.RESULT


@pytest.mark.slow
async def test_a_lying_zygote_is_replaced_and_nothing_else_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is killed with whatever it has forked, counted, reported; the pool offers nothing until there is another."""
    monkeypatch.setattr(zygotes, "BACKOFF_LAST", 0.1)
    with fail_after(120), capture_logs() as lines:
        async with warm_pool() as here:
            told = here.reports.kept
            for words, program in LIES:
                seen = len(told)
                with monkeypatch.context() as liar:
                    lying(liar, f"hello()\n{program}\ntime.sleep(99)")
                    if not seen:
                        here.zygotes[0].kill()
                    await until(lambda seen=seen, words=words: any(words in str(error) for error, _ in told[seen:]))
                    assert here.pool.limit == 0
            await serves(here)
            assert here.faults == len(told)  # one may have been started twice
            assert len(here.zygotes) == 1
            assert {tags["part"] for _, tags in told} == {"zygote"}
    said = [line["reason"] for line in lines if line["event"] == "no zygote; starting another"]
    assert said[1:] == [str(error) for error, _ in told]


@pytest.mark.slow
async def test_ends_of_unknown_workers_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many a zygote tells: nothing is remembered of them, and everybody else has their turn."""
    flood = "hello()\nwhile True:\n    say({'type': 'exited', 'pid': 77, 'status': 0, 'cpu': 0.0})"
    monkeypatch.setattr(brood, "HUNG", 1.0)
    with fail_after(60):
        async with warm_pool() as here:
            lying(monkeypatch, flood)
            here.zygotes[0].kill()
            await until(lambda: here.sample("reptarium_zygote_restarts_total") >= 2)
            monkeypatch.undo()
            assert "hangs" in str(here.reports.kept[0][0])  # it owes workers, whatever else it says
            await serves(here)


async def test_a_stopped_zygote_is_replaced_and_the_tasks_of_its_workers_are_finished(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a worker runs is its own: only when none is left the zygote that hangs is killed."""
    monkeypatch.setattr(brood, "HUNG", 1.0)
    monkeypatch.setattr(pool, "SLOW", 0.2)
    with fail_after(60):
        async with warm_pool() as here:
            (stopped,) = here.zygotes
            running = await here.pool.lease()
            os.kill(stopped.pid, signal.SIGSTOP)
            here.pool.discard(await here.pool.lease())
            await until(lambda: here.pool.limit == 2)  # the running one and the parked one
            assert here.pool.trouble == "the zygote doesn't answer"
            await until(lambda: here.faults == 1)
            await here.pool.wait_warm()
            assert here.pool.limit is None
            assert stopped.is_running()
            assert stopped in here.zygotes
            assert running.state == "leased"
            await does_a_task(running)
            here.pool.discard(running)
            await until(lambda: stopped not in here.zygotes)
            await until(lambda: running.exited.is_set() and len(here.pool.workers) == 3)
            await serves(here)
            assert here.faults == 1
            ((error, tags),) = here.reports.kept
            assert (str(error)[:16], tags) == ("the zygote hangs", {"part": "zygote"})


@pytest.mark.slow
async def test_of_zygotes_that_hang_one_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each costs as much as a pool: the oldest goes, with its tasks, when there is a third."""
    monkeypatch.setattr(brood, "HUNG", 0.5)
    with fail_after(60):
        async with warm_pool(2) as here:
            lent: list[Worker] = []
            for count in (1, 2):
                (zygote,) = [child for child in here.zygotes if child.status() != "stopped"]
                lent.append(await here.pool.lease())
                os.kill(zygote.pid, signal.SIGSTOP)
                here.pool.discard(await here.pool.lease())
                await until(lambda count=count: here.faults == count)
                await here.pool.wait_warm()
            await until(lambda: lent[0].exited.is_set())
            assert lent[0].killed_for is Ending.ZYGOTE
            assert lent[1].state == "leased"
            assert len(here.zygotes) == 2
            for worker in lent:
                here.pool.discard(worker)
            await until(lambda: len(here.zygotes) == 1)


async def test_a_zygote_that_goes_on_after_all_gives_no_more_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it forks then ends at once, and its end is nobody's fault."""
    monkeypatch.setattr(brood, "HUNG", 0.5)
    with fail_after(60):
        async with warm_pool() as here:
            (stopped,) = here.zygotes
            running = await here.pool.lease()
            os.kill(stopped.pid, signal.SIGSTOP)
            here.pool.discard(await here.pool.lease())
            await until(lambda: here.faults == 1)
            await here.pool.wait_warm()
            os.kill(stopped.pid, signal.SIGCONT)
            await until(lambda: len(here.pool.workers) == 4)  # what was ordered of it has come, and gone
            await does_a_task(running)
            here.pool.discard(running)
            await until(lambda: len(here.zygotes) == 1)
            assert here.faults == 1
            assert here.pool.parked == 3


@pytest.mark.slow
async def test_zygotes_that_die_at_their_start_again_and_again_leave_nothing_to_offer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who waits for a worker is told in time, nothing is offered, and all comes back by itself."""
    monkeypatch.setattr(pool, "NO_WORKER", 1.0)
    with fail_after(60):
        async with warm_pool() as here:
            monkeypatch.setattr(zygotes, "BACKOFF_LAST", 0.1)
            lying(monkeypatch, "sys.exit('no module named pandas')")
            here.zygotes[0].kill()
            await until(lambda: here.pool.limit == 0)
            with pytest.raises(NoWorker, match="the zygote ended while it started"):
                await here.pool.lease()
            assert here.pool.waiting == 0
            await until(lambda: here.faults >= 2)
            assert here.pool.limit == 0
            lying(monkeypatch, "say({'type': 'refusal', 'message': 'no seccomp'})")
            await until(lambda: "no seccomp" in here.pool.trouble)
            monkeypatch.undo()
            await serves(here)


async def test_a_zygote_that_never_greets_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """After its time it is killed, once another has been ready; the first one refuses the start."""
    monkeypatch.setattr(brood, "START_TIMEOUT", 0.5)
    monkeypatch.setattr(zygote, "START_TIMEOUT", 0.5)
    with fail_after(60):
        lying(monkeypatch, "time.sleep(99)")
        with pytest.raises(BaseExceptionGroup) as ended:
            await WorkerPool(Pool(1).pool.config, size=1).run()
        assert ended.group_contains(PoolRefused, match="not ready after")
        monkeypatch.undo()
        async with warm_pool() as here:
            monkeypatch.setattr(zygote, "START_TIMEOUT", 0.5)
            lying(monkeypatch, "time.sleep(99)")
            here.zygotes[0].kill()
            await until(lambda: here.faults)
            assert "not ready after" in here.pool.trouble
            monkeypatch.undo()
            await serves(here)


@pytest.mark.parametrize("first", ["say(b'?')", "forked(1)", "say({'type': 'forkfailed', 'errno': 1})", "sys.exit(1)"])
async def test_a_first_zygote_that_is_none_refuses_the_start(first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In words; there has been none that could start."""
    lying(monkeypatch, first)
    with fail_after(60):
        with pytest.raises(BaseExceptionGroup) as ended:
            await Pool(1).pool.run()
        assert ended.group_contains(PoolRefused, match="the zygote")


@pytest.mark.slow
async def test_an_error_of_the_system_within_a_group_is_one_more_failed_zygote(monkeypatch: pytest.MonkeyPatch) -> None:
    """A nursery wraps what is raised in it: the start is refused all the same, and later it is contained."""

    def fails() -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(brood.select, "epoll", fails)
    with fail_after(60):
        with pytest.raises(BaseExceptionGroup) as ended:
            await Pool(1).pool.run()
        assert ended.group_contains(PoolRefused, match="Too many open files")
        monkeypatch.undo()
        async with warm_pool() as here:
            monkeypatch.setattr(zygotes, "BACKOFF_LAST", 0.1)
            monkeypatch.setattr(brood.select, "epoll", fails)
            here.zygotes[0].kill()
            await until(lambda: here.sample("reptarium_zygote_restarts_total") >= 3)
            monkeypatch.undo()
            await serves(here)
