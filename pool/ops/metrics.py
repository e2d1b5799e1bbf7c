"""What the runner counts, for Prometheus.

`Metrics`, and for parts `ProcessMetrics` and `PolicyMetrics`, are the only places that know metric names; the rest
of the pool calls methods that are named by what happened. None takes a label from user code: unknown names count
as "other", so that nobody can make the number of series grow. What each task counts is kept in `tallies.py`.

Every `Metrics` has its own registry: nothing is global, tests and several pools in one process don't meet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import product
from typing import Protocol, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge

from reptarium.pool.endings import ENDINGS, KILL_REASONS, OUTCOMES, Ending
from reptarium.pool.ops.exposition import exposition
from reptarium.pool.ops.policy_metrics import PolicyMetrics
from reptarium.pool.ops.preload_metrics import PreloadMetrics
from reptarium.pool.ops.process_metrics import ProcessMetrics
from reptarium.pool.ops.reuse_metrics import ReuseMetrics
from reptarium.pool.ops.tallies import Counts, Level, Spread
from reptarium.sandbox.wire import Trick

WORKER_STATES = ("starting", "parked", "reserved", "busy", "ending")
OFFER_EVENTS = ("sent", "accepted", "expired", "rejected")
"""What becomes of offers: `expired` ones ran out unused (each is renewed every few seconds) or were answered too
late; `rejected` ones were answered when their slot was taken or the runner drained."""
RPC_NAMES = (
    "logNodeOutput",
    "helpers.assertBinaryData",
    "helpers.getBinaryDataBuffer",
    "helpers.prepareBinaryData",
    "helpers.setBinaryDataBuffer",
    "helpers.binaryToString",
    "helpers.httpRequest",
    "helpers.request",
    "taskData",
    "nodeTypes",
)
RPC_RESULTS = ("success", "error", "timeout", "refused", "abandoned")
CONNECTION_OUTCOMES = ("connected", "failed", "timeout", "refused")
"""What becomes of a connection that a task asks for."""
FAULT_PARTS = (
    "capacity",
    "connections",
    "endpoint",
    "execution",
    "link",
    "metrics",
    "pool",
    "resolver",
    "runner",
    "systemd",
    "watchdog",
    "zygote",
)
"""What an exception that nobody foresaw was contained in: `capacity` = the sharing of slots; `connections` = those
of one task; `endpoint` = one client of the health endpoint; `execution` = one task; `link` = one connection to a
broker; `metrics` = the gauges; `pool` = what outlives zygotes; `resolver` = a name of brokers; `runner` = idle
shutdown, the order of the end; `systemd` = what the service manager is told; `watchdog` as it says; `zygote` = one
zygote and its workers, also where it hangs or says what no honest one says."""
LAYER_STATES = ("active", "partial", "missing", "off")
_OTHER = "other"

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_DISPATCH = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
_BYTES = tuple(float(2**power) for power in range(8, 31, 2))  # 256 B … 1 GiB
_MEMORY = tuple(float(2**power) for power in range(23, 35))  # 8 MiB … 16 GiB

_Labelled = TypeVar("_Labelled", Counter, Gauge)


class Layer(Protocol):
    """What `isolation` needs of the kernel layer's `LayerStatus`."""

    @property
    def name(self) -> str: ...
    @property
    def state(self) -> str: ...


class Metrics:
    """Counters, gauges and histograms of one runner."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.process = ProcessMetrics(registry)
        self.policy = PolicyMetrics(registry)
        self.reuse = ReuseMetrics(registry)
        self.preload = PreloadMetrics(registry)

        self._tasks = Counts(
            "reptarium_tasks", "Tasks by how they ended.", ["outcome"], _each(OUTCOMES), registry=registry
        )
        self._outcomes = {ending: (means.outcome,) for ending, means in ENDINGS.items() if means.outcome}
        self._running = Level("reptarium_tasks_running", "Tasks that run now.", registry=registry)
        self._waiting = Level(
            "reptarium_tasks_waiting", "Accepted tasks whose settings haven't come yet.", registry=registry
        )
        self._capacity = Gauge("reptarium_capacity", "Tasks that may run at the same time.", registry=registry)
        spread = partial(Spread, registry=registry)
        self._duration = spread("reptarium_task_duration_seconds", "From settings received to outcome sent.", _SECONDS)
        self._queue = spread(
            "reptarium_task_queue_seconds",
            "From offer accepted to settings received: the broker's and the network's share.",
            _SECONDS,
        )
        self._dispatch = spread(
            "reptarium_task_dispatch_seconds", "From settings received to handed to a worker.", _DISPATCH
        )
        self._request_bytes = spread(
            "reptarium_task_request_bytes", "Size of a task's settings: code and items.", _BYTES
        )
        self._result_bytes = spread("reptarium_task_result_bytes", "Size of a task's result.", _BYTES)
        self._peak_memory = spread(
            "reptarium_task_peak_memory_bytes",
            "Most memory seen of a task's worker: resident, page tables, swapped out.",
            _MEMORY,
        )

        self._offers = Counts(
            "reptarium_offers", "Offers by what became of them.", ["event"], _each(OFFER_EVENTS), registry=registry
        )
        self._open_offers = Gauge("reptarium_offers_open", "Offers that stand now.", registry=registry)

        self._workers = _fixed(
            Gauge("reptarium_workers", "Worker processes by state.", ["state"], registry=registry),
            WORKER_STATES,
        )
        self._refills = Counts("reptarium_worker_refills", "Workers forked and parked.", registry=registry)
        self._fork_failures = Counter(
            "reptarium_fork_failures", "Workers that could not be forked or didn't park.", registry=registry
        )
        self._zygotes = Counter("reptarium_zygote_restarts", "Zygotes that had to be replaced.", registry=registry)
        self._kills = _fixed(
            Counter("reptarium_worker_kills", "Workers killed, by reason.", ["reason"], registry=registry),
            KILL_REASONS,
        )
        self._memory = Gauge(
            "reptarium_workers_memory_bytes",
            "Memory of workers with a task: resident, page tables, swapped out.",
            registry=registry,
        )
        self._cpu = Counts(
            "reptarium_workers_cpu_seconds", "CPU time of workers, making them included.", registry=registry
        )

        self._calls = Counts(
            "reptarium_rpc_calls",
            "Calls of user code to n8n, by name and result.",
            ["name", "result"],
            product((*RPC_NAMES, _OTHER), RPC_RESULTS),
            registry=registry,
        )
        self._call_seconds = Spread(
            "reptarium_rpc_duration_seconds",
            "From call to answer, of calls that wait for one.",
            _SECONDS,
            registry=registry,
        )

        self._connections = _fixed(
            Counter(
                "reptarium_task_connections",
                "Connections that tasks asked for, by outcome.",
                ["outcome"],
                registry=registry,
            ),
            CONNECTION_OUTCOMES,
        )

        self._connected = Gauge(
            "reptarium_broker_connected",
            "1 while registered with the broker, else 0.",
            ["broker"],
            registry=registry,
        )
        self._reconnects = Counter(
            "reptarium_reconnects",
            "Connections that were lost, and attempts at one that failed, by broker.",
            ["broker"],
            registry=registry,
        )
        self._wasted = Counter(
            "reptarium_slots_wasted",
            "Slots that a broker took and sent no settings for, by broker.",
            ["broker"],
            registry=registry,
        )
        self._layers = Gauge(
            "reptarium_isolation_layer",
            "1 for the state that each layer of the sandbox is in, 0 for the others.",
            ["layer", "state"],
            registry=registry,
        )

        self._tricks = Gauge(
            "reptarium_trick", "Whether that trick with the interpreter's memory is on.", ["trick"], registry=registry
        )
        self._faults = _fixed(
            Counter(
                "reptarium_faults",
                "Exceptions that nobody foresaw, by the part of the runner that they were contained in.",
                ["part"],
                registry=registry,
            ),
            FAULT_PARTS,
        )

    # --- Tasks

    def capacity(self, tasks: int) -> None:
        """How many tasks may run at the same time, from now on."""
        self._capacity.set(tasks)

    def task_accepted(self) -> None:
        """An offer was accepted: the task waits for its settings."""
        self._waiting.value += 1

    def task_abandoned(self) -> None:
        """An accepted task vanished before it had settings."""
        self._waiting.value -= 1

    def task_started(self, queue_seconds: float, request_bytes: int) -> None:
        """Settings came.

        Args:
            queue_seconds: since the offer was accepted.
            request_bytes: size of the settings as received.
        """
        self._waiting.value -= 1
        self._running.value += 1
        self._queue.observe(queue_seconds)
        self._request_bytes.observe(request_bytes)

    def task_dispatched(self, seconds: float) -> None:
        """A worker has the task; `seconds` since its settings came."""
        self._dispatch.observe(seconds)

    def task_finished(self, ending: Ending, seconds: float, *, result_bytes: int | None = None) -> None:
        """A started task has ended and its outcome is sent.

        Args:
            ending: how; one that is a task's.
            seconds: since its settings came.
            result_bytes: size of the result as JSON; None where there is none.

        Raises:
            KeyError: an end that is no task's.
        """
        self._tasks.of[self._outcomes[ending]] += 1
        self._running.value -= 1
        self._duration.observe(seconds)
        if result_bytes is not None:
            self._result_bytes.observe(result_bytes)

    def task_memory(self, peak_bytes: int) -> None:
        """A finished task's worker has ended, and this is the most memory that it had resident, in bytes."""
        self._peak_memory.observe(peak_bytes)

    # --- Offers and brokers

    def offers(self, event: str, count: int = 1) -> None:
        """So many offers met one of OFFER_EVENTS."""
        self._offers.of[event,] += count

    def open_offers(self, count: int) -> None:
        """So many offers stand now."""
        self._open_offers.set(count)

    def broker_registered(self, broker: str) -> None:
        """The broker at this address has registered us."""
        self._connected.labels(broker).set(1)

    def broker_lost(self, broker: str) -> None:
        """The connection to this broker is gone (or an attempt failed)."""
        self._connected.labels(broker).set(0)
        self._reconnects.labels(broker).inc()

    def slot_wasted(self, broker: str) -> None:
        """A task of this broker has ended before its settings came, and not through us."""
        self._wasted.labels(broker).inc()

    def broker_forgotten(self, broker: str) -> None:
        """This address is no longer among those to serve (a name that is looked up has changed)."""
        for metric in (self._connected, self._reconnects, self._wasted):
            try:
                metric.remove(broker)
            except KeyError:
                continue  # it never got so far as to be counted

    # --- Workers

    def workers(self, by_state: Mapping[str, int]) -> None:
        """How many worker processes are in each state (WORKER_STATES; one that isn't named has none)."""
        for state, gauge in self._workers.items():
            gauge.set(by_state.get(state, 0))

    def worker_forked(self) -> None:
        """A worker was forked and has parked."""
        self._refills.of[()] += 1

    def fork_failed(self) -> None:
        """A worker could not be forked, or died before it parked."""
        self._fork_failures.inc()

    def zygote_replaced(self) -> None:
        """A zygote died and another was started."""
        self._zygotes.inc()

    def worker_killed(self, reason: Ending) -> None:
        """A worker was killed in the middle of something.

        Raises:
            KeyError: an end that isn't one of KILL_REASONS.
        """
        self._kills[reason].inc()

    def worker_memory(self, held: int) -> None:
        """Memory in bytes of the workers that have a task, as the watchdog last saw it."""
        self._memory.set(held)

    def worker_cpu(self, seconds: float) -> None:
        """Workers have used so much more CPU time."""
        if seconds > 0:
            self._cpu.of[()] += seconds

    def connection(self, outcome: str) -> None:
        """A task asked for a connection; `outcome` is one of CONNECTION_OUTCOMES."""
        self._connections[outcome].inc()

    # --- Calls from user code

    def rpc_finished(self, name: str, result: str, seconds: float | None = None) -> None:
        """A call has its answer, or never gets one.

        Args:
            name: as on the wire; names beyond RPC_NAMES count as "other".
            result: one of RPC_RESULTS.
            seconds: from call to answer; None where nobody waited.

        Raises:
            KeyError: a result that isn't one of ours.
        """
        of = self._calls.of
        of[(name, result) if (name, result) in of else (_OTHER, result)] += 1
        if seconds is not None:
            self._call_seconds.observe(seconds)

    # --- The rest

    def isolation(self, layers: Iterable[Layer]) -> None:
        """The layers of the sandbox, as the zygote reports them."""
        self._layers.clear()
        for layer in layers:
            for state in LAYER_STATES:
                self._layers.labels(layer.name, state).set(float(layer.state == state))

    def tricks(self, tricks: Iterable[Trick]) -> None:
        """The tricks with the interpreter's memory, as the zygote reports them."""
        for trick in tricks:
            self._tricks.labels(trick.name).set(float(trick.on))

    def fault(self, part: str) -> None:
        """An exception that nobody foresaw was contained in one of FAULT_PARTS.

        Raises:
            KeyError: a part that isn't one of ours.
        """
        self._faults[part].inc()

    def expose(self) -> bytes:
        """Everything in Prometheus' text format."""
        return exposition(self.registry)


def _each(values: Iterable[str]) -> Iterator[tuple[str]]:
    """These, as the values of an only label."""
    return ((value,) for value in values)


def _fixed(metric: _Labelled, values: Iterable[str]) -> dict[str, _Labelled]:
    """Children for every value of a metric's only label.

    They are made once, so that all series exist from the start: a rate over a series that appears with its
    first event misses that event.
    """
    return {value: metric.labels(value) for value in values}
