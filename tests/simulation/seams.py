"""Where the imaginary takes the place of the real, while one history runs. Everything else is the real thing.

| real | imaginary |
|---|---|
| TCP and TLS (``brokers/stream.py``) | ``network.py`` |
| names that stand for several brokers (``brokers/resolve.py``) | ``network.py`` |
| the zygote (``workers/zygote.py``), epoll, psutil (``workers/watchdog.py``) | ``machine.py`` |
| workers' processes and sockets (below ``workers/worker.py``) | ``workers.py`` |
| what waits in an outbox (``brokers/outbox.py``): 8 MiB, 256, 4,352 messages | a hundredth, so that it gets full |
| whether there is room in one | in a third of the histories not always, however little waits |
| the file of a policy, and the thread that reads it | ``rules.py`` |
| how long a pool has its place at least (``workers/pools.py``): 5 s | 0.3 s |
| connections of tasks (``powers/connector.py``) | there are none |
| unguessable ids | ids that count |
"""

from __future__ import annotations

import random
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import structlog

from reptarium.pool import runner
from reptarium.pool.brokers import connection, grant, link, outbox, resolve
from reptarium.pool.brokers.errors import LinkError
from reptarium.pool.ops import sentry
from reptarium.pool.tasks import router, rulings
from reptarium.pool.workers import brood, pools
from reptarium.pool.workers.zygote import ZygoteFault
from tests.simulation.history import History
from tests.simulation.machine import FirstWords
from tests.simulation.network import Network, Stream

if TYPE_CHECKING:
    from tests.simulation.world import World

#: In place of outbox.py's: messages in all, of bulk, bytes of bulk, and from which number on a broker is slow.
OUTBOX, BULK, BULK_BYTES, BACKLOG = 36, 8, 4096, 12
#: In place of pools.py's, in seconds: so that pools must make room for others while they have tasks.
TENURE, LOOK = 0.3, 0.1


class Faults(sentry.Reporter):
    """What the runner reports: contained or not, an exception that nobody foresaw fails the seed."""

    def __init__(self) -> None:
        super().__init__()
        self.first: BaseException | None = None

    def report(self, error: BaseException, **tags: str) -> None:
        """Remember the first. A zygote that hangs is one of the machine's faults here, not of the runner's."""
        if not isinstance(error, ZygoteFault):
            self.first = self.first or error


@contextmanager
def imaginary(world: World) -> Iterator[None]:
    """While the block runs, a ``Runner`` that is made in it has nothing real around it."""
    network, machine, seed, rules = world.network, world.machine, world.seed, world.rules
    calls = count(1)
    epoll = SimpleNamespace(epoll=lambda: FirstWords(machine), EPOLLIN=select.EPOLLIN, EPOLLONESHOT=select.EPOLLONESHOT)
    seams: list[tuple[object, str, Any]] = [
        (connection, "open_stream", network.open_stream),
        (connection, "send_at_once", Stream.send_at_once),
        (grant, "open_stream", network.open_stream),
        (resolve, "addresses", network.addresses),
        (brood, "ZygoteProcess", machine.zygote),
        (brood, "Worker", machine.worker),
        (brood, "select", epoll),
        (brood, "footprint_of", lambda pid: 0),
        (runner, "Watchdog", lambda *_: machine.watchdog),
        (runner, "random", SimpleNamespace(Random=lambda: random.Random(seed))),
        (router, "new_call_id", lambda: f"call-{next(calls)}"),
        (outbox, "OUTBOX", OUTBOX),
        (outbox, "BULK", BULK),
        (outbox, "BULK_BYTES", BULK_BYTES),
        (outbox, "BACKLOG", BACKLOG),
        (outbox.Outbox, "put", _giving_up(network, random.Random(f"outboxes of {seed}"))),
        (link, "hide_secret", lambda secret: None),
    ]
    if rules is not None:
        seams += [
            (runner, "read_policy", rules.read),
            (rulings.Rulebook, "_read", lambda book: rules.read_slowly(book)),
            (runner, "_connector", lambda *_: None),
            (pools, "TENURE", TENURE),
            (pools, "LOOK", LOOK),
        ]
    real = [(module, name, getattr(module, name)) for module, name, _ in seams]
    before = structlog.get_config()
    for module, name, imagined in seams:
        setattr(module, name, imagined)
    structlog.configure(processors=[_into(world.history, world.faults)], wrapper_class=structlog.BoundLogger)
    try:
        yield
    finally:
        structlog.configure(**before)
        for module, name, original in real:
            setattr(module, name, original)


def _giving_up(network: Network, rng: random.Random) -> Callable[..., None]:
    """``Outbox.put`` of a history in which any word may be the one that finds no room: its connection is given up.

    Brokers that don't read are told too little for that to be seen often; bulk has waited for its room.
    """
    real, chance = outbox.Outbox.put, 0.02 if rng.random() < 1 / 3 else 0.0

    def put(self: outbox.Outbox, message: Any, *, bulk: bool = False) -> None:
        if not (bulk or network.calm or self._closed) and rng.random() < chance:
            raise LinkError("the broker does not read: imaginary")
        real(self, message, bulk=bulk)

    return put


def _into(history: History, faults: Faults) -> Any:
    """Log lines become events, and a traceback in one a fault."""

    def take(logger: object, method: str, event: dict[str, Any]) -> Any:
        error = event.get("exc_info") or (method == "exception" and sys.exc_info()[1])
        if error:
            faults.report(error if isinstance(error, BaseException) else AssertionError(event["event"]))
        history.note(f"log {method}", *(f"{name}={value}" for name, value in event.items() if name not in _VARYING))
        raise structlog.DropEvent

    return take


_VARYING = {"seconds", "ms", "queue_ms", "exc_info", "call"}
