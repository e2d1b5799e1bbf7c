"""People and machines that stop things: by hand, by SIGKILL, by a pause, by a rolling restart."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from harness import limit, wait_for
from stage import SLOTS, WORKERS, Stage, scenario

#: A task that takes its time, then says whose it was.
SLOW = """
    import time
    body = _items[0]["json"]["body"]
    time.sleep(body["seconds"])
    return [{"json": {"who": body["who"]}}]
"""


def orders(customers: range, seconds: float) -> list[dict[str, float]]:
    """Bodies for SLOW's webhook."""
    return [{"who": who, "seconds": seconds} for who in customers]


@contextmanager
def customers(stage: Stage, path: str, count: int = 4) -> Iterator[list[str]]:
    """Callers who ask again and again until the block ends; gives the list of what went wrong for them."""
    wrong: list[str] = []
    asked = [0] * count
    ended = threading.Event()

    def customer(number: int) -> None:
        while not ended.is_set():
            who = asked[number] * count + number
            asked[number] += 1
            try:
                got = stage.ask(path, {"who": who, "seconds": 0.2})
                if got != [{"who": who}]:
                    wrong.append(f"{who}: {got!r:.300}")
            except (OSError, AssertionError) as error:
                wrong.append(f"{who}: {type(error).__name__}: {error}")

    threads = [threading.Thread(target=customer, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield wrong
    finally:
        ended.set()
        for thread in threads:
            thread.join(limit(200))
        if hanging := sum(thread.is_alive() for thread in threads):
            wrong.append(f"{hanging} calls have no answer")
        print(f"      {sum(asked)} calls meanwhile, {len(wrong)} went wrong", flush=True)


@scenario()
def stopped_by_hand(stage: Stage) -> None:
    """Executions that a person stops end as cancelled, their code is killed at once, and their slots serve others."""
    workflow = stage.publish_python("endless", "while True:\n    pass")
    before = stage.runner.outcomes()["cancelled"]
    calls = stage.calls("endless", [{}] * 3)
    stage.until_running(3)
    rows = [row for row in stage.main.executions(workflow) if row["status"] == "running"]
    assert len(rows) == 3, rows
    for row in rows:
        stage.main.stop_execution(row["id"])
    calls.results(120)  # whatever n8n tells their callers
    assert {row["status"] for row in stage.all_ended(workflow, 3)} == {"canceled"}
    stage.settle()
    assert stage.runner.outcomes()["cancelled"] - before == 3, stage.runner.outcomes()


@scenario()
def n8n_stands_still(stage: Stage) -> None:
    """The n8n that takes webhooks stands still for some seconds amid calls, as in a long collection of garbage: when
    it goes on, every caller gets their answer."""
    workflow = stage.publish_python("still", SLOW)
    assert stage.ask("still", {"who": 0, "seconds": 0}) == [{"who": 0}]
    calls = stage.calls("still", orders(range(1, 2 * SLOTS + 1), 0.3))
    try:
        stage.until_running(1)
        os.kill(stage.main.pid, signal.SIGSTOP)
        time.sleep(limit(4))
    finally:
        os.kill(stage.main.pid, signal.SIGCONT)
    got = calls.results(180)
    assert got == [[{"who": who}] for who in range(1, 2 * SLOTS + 1)], got
    rows = stage.all_ended(workflow, 2 * SLOTS + 1)
    assert [row["status"] for row in rows] == ["success"] * (2 * SLOTS + 1), rows


@scenario("plain")
def n8n_killed_and_restarted(stage: Stage) -> None:
    """n8n killed amid tasks: the runner ends them, waits for it, and serves it again as soon as it is back."""
    workflow = stage.publish_python("slow", SLOW)
    assert stage.ask("slow", {"who": 0, "seconds": 0}) == [{"who": 0}]
    before = stage.runner.outcomes()["lost"]
    calls = stage.calls("slow", orders(range(3), limit(60)))
    stage.until_running(3)
    stage.main.kill()
    assert all(isinstance(one, OSError) for one in calls.results(30))
    wait_for("the dead n8n's tasks have ended", lambda: stage.runner.running() == 0, 20)
    assert stage.runner.outcomes()["lost"] - before == 3, stage.runner.outcomes()
    stage.main.start().login()
    stage.settle()
    for who in range(1, 21):
        assert stage.ask("slow", {"who": who, "seconds": 0}) == [{"who": who}]
    statuses = sorted(row["status"] for row in stage.all_ended(workflow, 24))
    assert statuses == ["crashed"] * 3 + ["success"] * 21, statuses


@scenario("queue")
def worker_killed_and_restarted(stage: Stage) -> None:
    """A worker killed amid tasks: the runner ends those, n8n tells their callers (it doesn't run them again), nobody
    else notices, and the worker is served again as soon as it is back."""
    workflow = stage.publish_python("slow-worker", SLOW)
    assert stage.ask("slow-worker", {"who": 99, "seconds": 0}) == [{"who": 99}]
    victim = stage.workers[0]
    count = SLOTS - 2
    before = stage.runner.outcomes()["lost"]
    calls = stage.calls("slow-worker", orders(range(count), limit(6)))
    stage.until_running(count)
    running = [row["id"] for row in stage.main.executions(workflow) if row["status"] == "running"]
    hit = stage.ran_in(running)[victim.name]
    print(f"      killed amid {len(hit)} of {count} executions", flush=True)
    assert hit, "nothing runs in the worker that is to be killed"
    victim.kill()
    got = calls.results(240)
    right = [who for who, one in enumerate(got) if one == [{"who": who}]]
    told = [who for who, one in enumerate(got) if isinstance(one, AssertionError) and "HTTP 500" in str(one)]
    assert (len(right), len(told)) == (count - len(hit), len(hit)), got
    failed = [row for row in stage.all_ended(workflow, count + 1) if row["status"] != "success"]
    assert {int(row["id"]) for row in failed} == hit, failed
    assert stage.runner.outcomes()["lost"] - before == len(hit), stage.runner.outcomes()
    victim.start()
    stage.settle()
    for who in range(2 * SLOTS):
        assert stage.ask("slow-worker", {"who": who, "seconds": 0}) == [{"who": who}]


@scenario("queue")
def main_killed_and_restarted(stage: Stage) -> None:
    """The main n8n killed amid executions: its workers finish them, and it serves webhooks again once it is back."""
    workflow = stage.publish_python("slow-main", SLOW)
    assert stage.ask("slow-main", {"who": 0, "seconds": 0}) == [{"who": 0}]
    calls = stage.calls("slow-main", orders(range(4), limit(5)))
    stage.until_running(4)
    stage.main.kill()
    calls.results(60)
    stage.main.start().login()
    rows = stage.all_ended(workflow, 5, 90)
    assert [row["status"] for row in rows] == ["success"] * 5, rows
    stage.settle()
    assert stage.ask("slow-main", {"who": 9, "seconds": 0}) == [{"who": 9}]


@scenario("queue")
def rolling_restart_of_workers(stage: Stage) -> None:
    """Workers restarted one after the other while customers call: each drains, and no call goes wrong."""
    stage.publish_python("rolling", SLOW)
    assert stage.ask("rolling", {"who": 0, "seconds": 0}) == [{"who": 0}]
    with customers(stage, "rolling") as wrong:
        for worker in (*stage.workers, *stage.workers):
            status = worker.end(60)
            assert status == 0, f"{worker.name} ended with {status}:\n{worker.log_tail()}"
            worker.start()
            wait_for("all brokers are served", lambda: connected(stage) == 1 + WORKERS, 60)
    assert not wrong, f"{len(wrong)} calls went wrong, the first: {wrong[0]}"


def connected(stage: Stage) -> float:
    """To how many brokers the runner is connected."""
    return sum(value for key, value in stage.runner.metrics().items() if key.startswith("reptarium_broker_connected{"))


@scenario()
def runner_replaced(stage: Stage) -> None:
    """A new runner starts, the old one is told to end: it finishes what it runs, and no call goes wrong."""
    stage.publish_python("replaced", SLOW)
    assert stage.ask("replaced", {"who": 0, "seconds": 0}) == [{"who": 0}]
    with customers(stage, "replaced") as wrong:
        for _ in range(2):
            old = stage.runner
            stage.runner = stage.new_runner().start()
            status = old.stop(60)
            assert status == 0, f"the old runner ended with {status}"
            time.sleep(limit(1))  # customers who meet only the new one
    assert not wrong, f"{len(wrong)} calls went wrong, the first: {wrong[0]}"
