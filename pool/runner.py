"""The runner: one nursery that owns the pool, the links to the brokers, and every execution.

The same warm pools serve all brokers: one, and with a policy some that its rules take. Each broker has its own link,
session and call router; what they share is the slots (``brokers/capacity.py``).
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from functools import partial
from urllib.parse import urlsplit

import structlog
import trio

from reptarium.pool.brokers import resolve
from reptarium.pool.brokers.capacity import Capacity
from reptarium.pool.brokers.link import BrokerLink, Exit
from reptarium.pool.brokers.shared import Shared, Slots
from reptarium.pool.brokers.stream import broker_tls
from reptarium.pool.config import Settings
from reptarium.pool.endings import ENDINGS, Ending
from reptarium.pool.installing.installation import Installation
from reptarium.pool.installing.place import place_of
from reptarium.pool.ops.endpoint import INSTALLING, ReadinessCheck, serve_endpoint
from reptarium.pool.ops.faults import OwnFaults
from reptarium.pool.ops.metrics import Metrics
from reptarium.pool.ops.sentry import Reporter
from reptarium.pool.policy.file import read_policy
from reptarium.pool.powers.connector import Connector
from reptarium.pool.powers.destinations import Destinations, parse_entry
from reptarium.pool.tasks.limits import task_limits
from reptarium.pool.tasks.rulings import Rulebook, connect_limits, wanted_pools
from reptarium.pool.workers.configuration import zygote_config
from reptarium.pool.workers.learnt import Learnt
from reptarium.pool.workers.pools import Pools
from reptarium.pool.workers.reuse import Reuse
from reptarium.pool.workers.watchdog import Watchdog
from reptarium.sandbox.wire import ZygoteConfig

log = structlog.get_logger("reptarium.pool.runner")

#: How long all brokers together may take to read what is left for them at the end, in seconds.
CLOSING = 2.0
#: How many brokers ``/readyz`` names that it isn't registered with.
_NAMED = 3


class Runner:
    """A whole runner. :meth:`run` returns its exit status.

    ``zygote`` instead of what the settings say of the sandbox: for probes of it. Raises ``ConfigError`` for a wrong
    ``REPTARIUM_BROKER_CA``.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        metrics: Metrics | None = None,
        reporter: Reporter | None = None,
        zygote: ZygoteConfig | None = None,
    ) -> None:
        self.settings = settings
        self.metrics = metrics or Metrics()
        self._reporter = reporter or Reporter()
        self._faults = OwnFaults(self.metrics, self._reporter)
        self._learnt = None
        if settings.preload_learn == "on":
            budget, path = settings.preload_memory, settings.state_path
            self._learnt = Learnt(budget=budget, meter=self.metrics.preload, path=path)
        policy = None if settings.policy is None else read_policy(settings.policy, settings)
        place = place_of(settings)
        self._packages = None if place is None else Installation(place, settings, os.environ)
        self.pools = Pools(
            zygote or (zygote_config(settings) if policy is None else wanted_pools(policy)[0][1]),
            size=settings.warm_workers or settings.max_concurrency,
            meter=self.metrics,
            faults=self._faults,
            most=1 if policy is None else settings.max_pools,
            idle=settings.pool_idle,
            learnt=self._learnt,
        )
        self.pool = self.pools.default
        self.pools.on_limit = self._pool_changed
        self.rulebook = None if policy is None else Rulebook(policy, self.pools, self.metrics.policy)
        self.watchdog = Watchdog(settings.task_memory, settings.max_threads, self.metrics, self._faults)
        self.capacity = Capacity(settings.max_concurrency)
        self.links: list[BrokerLink] = []
        self._slots = Slots(self.capacity, self._faults)
        self.connector = _connector(settings, self.metrics, self._faults)
        self._reuse = _reuse(settings, self.metrics) if policy is not None or self.pool.config.reuse else None
        self._exit = Exit.OK
        self._stop = trio.Event()
        self._begun = False  # the pool is warm and the links are being made
        self._idle_since = 0.0
        self._shared = Shared(
            settings=settings,
            limits=task_limits(settings),
            slots=self._slots,
            pool=self.pool,
            watchdog=self.watchdog,
            metrics=self.metrics,
            faults=self._faults,
            rng=random.Random(),
            stopping=self._stop,
            task_ended=self._task_ended,
            connector=self.connector,
            reuse=self._reuse,
            ruling_of=None if self.rulebook is None else self.rulebook.of,
            tls=broker_tls(settings),
        )

    # ---- life -------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> int:
        """Serve the brokers until :meth:`shutdown` or until nothing is left to do. Returns the exit status.

        ``task_status.started()``: the pool is warm and the links are being made; with a grant they are made before
        that, without an offer. Raises
        ``pool.PoolRefused``, ``endpoint.EndpointError`` and ``installing.requirements.PackagesRefused``.
        """
        self.metrics.capacity(self.settings.max_concurrency)
        keep = self._faults.keep
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._end_the_start, nursery.cancel_scope)
            if self.settings.health_enabled:
                serve = partial(serve_endpoint, self.settings, self, self.metrics, self._reporter)
                urls = await nursery.start(partial(keep, "endpoint", serve))
                log.info("health and metrics", at=urls[0])
            async with trio.open_nursery() as links:
                if early := self.settings.grant_token is not None:
                    # it lives for 30 s only, and what is preloaded may take longer: nothing is offered until then
                    self._slots.set_slots(0)
                    self._connect(links)
                if self._packages is not None:
                    await self._packages.have()
                await nursery.start(self.pools.run)
                if self.connector is not None:
                    await nursery.start(partial(keep, "connections", self.connector.run))
                nursery.start_soon(keep, "watchdog", self.watchdog.run)
                if self._reuse is not None:
                    nursery.start_soon(keep, "pool", self._reuse.run)
                if self._learnt is not None:
                    nursery.start_soon(keep, "pool", self._learnt.run)
                nursery.start_soon(keep, "metrics", self._observe)
                nursery.start_soon(keep, "capacity", self._slots.keep_time)
                self._idle_since = trio.current_time()  # a slow start is not idleness
                if self.settings.auto_shutdown_timeout:
                    nursery.start_soon(keep, "runner", self._shut_down_when_idle)
                self._begun = True
                task_status.started()
                self._pool_changed()
                if not early:
                    self._connect(links)
                links.start_soon(self._stop_links, links)
            self.pools.close()
            nursery.cancel_scope.cancel()
        return int(self._exit)

    def shutdown(self, status: Exit = Exit.OK) -> None:
        """Stop offering, finish what runs (within the graceful time-out), answer the rest, end."""
        if not self.stopping:
            self._exit = status
        self._stop.set()

    async def reload_policy(self) -> None:
        """Read the policy anew, where there is one; whatever comes of that, the runner goes on."""
        with self._faults.contained("runner", "the policy could not be read anew through a fault of the runner"):
            if self.rulebook is not None:
                await self.rulebook.reload()

    @property
    def stopping(self) -> bool:
        """Whether :meth:`shutdown` was called."""
        return self._stop.is_set()

    async def _end_the_start(self, start: trio.CancelScope) -> None:
        """Who is to end before the pool is warm has nothing to finish: a zygote may take two minutes, or hang."""
        await self._stop.wait()
        if not self._begun:
            start.cancel()

    async def _stop_links(self, nursery: trio.Nursery) -> None:
        await self._stop.wait()
        try:
            await self._finish_links()
        except* Exception as group:
            self._faults.met(group, "runner", "the shutdown was cut short by a fault of the runner")
        nursery.cancel_scope.cancel()

    async def _finish_links(self) -> None:
        for link in self.links:
            link.drain()
        with trio.move_on_after(self.settings.graceful_shutdown_timeout):
            while any(link.busy for link in self.links):
                await trio.sleep(0.01)
        for link in self.links:
            link.abort(ENDINGS[Ending.SHUTDOWN].told)
        # what was aborted is still answered; a broker that doesn't read takes nobody else's time
        with trio.move_on_after(CLOSING):
            async with trio.open_nursery() as closing:
                for link in self.links:
                    closing.start_soon(link.aclose)

    async def _shut_down_when_idle(self) -> None:
        timeout = self.settings.auto_shutdown_timeout
        while True:
            if any(link.busy for link in self.links):
                self._idle_since = trio.current_time()
            left = self._idle_since + timeout - trio.current_time()
            if left <= 0:
                log.info("no task for a while: shutting down", seconds=timeout)
                self.shutdown()
                return
            await trio.sleep(min(left, 1.0))

    async def _observe(self) -> None:
        states = {"leased": "reserved", "discarded": "ending"}
        while True:
            counts: dict[str, int] = {}
            for worker in self.pools.workers.values():
                state = "busy" if worker in self.watchdog.watched else states.get(worker.state, worker.state)
                counts[state] = counts.get(state, 0) + 1
            self.metrics.workers(counts)
            self.metrics.open_offers(sum(link.open_offers for link in self.links))
            await trio.sleep(0.5)

    # ---- brokers ----------------------------------------------------------------------

    def _connect(self, links: trio.Nursery) -> None:
        for uri in self.settings.broker_uris:
            if uri.startswith(resolve.PREFIX):
                links.start_soon(self._faults.keep, "resolver", self._follow_name, uri, {}, links)
            else:
                self._add_link(uri, links)

    def _add_link(self, uri: str, nursery: trio.Nursery) -> BrokerLink:
        link = BrokerLink(self._shared, uri)
        self.links.append(link)
        self.capacity.join(link)
        nursery.start_soon(self._run_link, link)
        return link

    async def _run_link(self, link: BrokerLink) -> None:
        try:
            status = await self._faults.keep("link", link.run)
        finally:
            self._slots.leave(link)
            with self._faults.contained("link", "a broker was not forgotten through a fault of the runner"):
                if link in self.links:
                    self.links.remove(link)
                if link.retired and all(other.uri != link.uri for other in self.links):
                    self.metrics.broker_forgotten(link.uri)
        if status is not None:
            self.shutdown(status)

    async def _follow_name(self, uri: str, known: dict[str, BrokerLink], nursery: trio.Nursery) -> None:
        """Serve every address behind a name, as they come and go. ``known``: the links, by address."""
        while True:
            try:
                wanted = await resolve.addresses(uri, known)
            except OSError as error:
                log.warning(
                    "the brokers' name cannot be resolved; keeping those we have",
                    name=urlsplit(uri).hostname,
                    error=str(error),
                )
            else:
                for address in sorted(wanted - known.keys()):
                    known[address] = self._add_link(address, nursery)
                for address in sorted(known.keys() - wanted):
                    known.pop(address).retire()
            await trio.sleep(resolve.RESOLVE_INTERVAL)

    @property
    def accepted(self) -> int:
        """How many tasks are accepted, over all brokers."""
        return self.capacity.accepted

    def _pool_changed(self) -> None:
        """The pool can serve less than it could, or more: offers follow."""
        slots = self.settings.max_concurrency if self._begun else 0
        if (limit := self.pools.limit) is not None:
            slots = min(slots, limit)
        self._slots.set_slots(slots)
        self.metrics.capacity(slots)

    def _task_ended(self) -> None:
        self._idle_since = trio.current_time()

    # ---- health -----------------------------------------------------------------------

    def checks(self) -> Sequence[ReadinessCheck]:
        """What ``/readyz`` reports."""
        registered = [link for link in self.links if link.registered]
        trouble = self.pool.trouble
        missing = [layer for layer in self.pools.layers if layer.state == "missing"]
        refused = "; ".join(self.pools.refused)
        unregistered = "left, to shut down" if self.stopping else "not registered with any broker"
        others = [link.uri for link in self.links if not link.registered]
        more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
        away = f"not registered with {', '.join(others[:_NAMED])}{more}" if others else ""
        installing = self._packages.doing if self._packages is not None else ""
        return (
            *((ReadinessCheck(INSTALLING, False, installing),) if installing else ()),
            ReadinessCheck("broker", bool(registered), away if registered else unregistered),
            ReadinessCheck(
                "workers",
                self.pool.parked > 0 or (not trouble and any(link.busy for link in self.links)),
                trouble or ("" if self.pool.parked else "no warm worker is parked"),
            ),
            ReadinessCheck(
                "isolation",
                bool(self.pool.layers),
                "; ".join(f"{layer.name} missing: {layer.detail}" for layer in missing)
                or ("" if self.pool.layers else "no zygote is up"),
            ),
            ReadinessCheck("preload", True, "" if self._learnt is None else self._learnt.said),
            # of one that can't be made the tasks fail, and no others
            ReadinessCheck("pools", True, f"of some rules none can be made: {refused}" if refused else ""),
            ReadinessCheck("draining", not self.stopping, "shutting down" if self.stopping else ""),
        )


def _reuse(settings: Settings, metrics: Metrics) -> Reuse | None:
    if settings.worker_reuse == "off":
        return None
    return Reuse(
        tasks=settings.reuse_tasks, idle=settings.reuse_idle, most=settings.max_concurrency, meter=metrics.reuse
    )


def _connector(settings: Settings, metrics: Metrics, faults: OwnFaults) -> Connector | None:
    """What hands connections to tasks, where they may have any."""
    if not settings.connect_allow and settings.policy is None:
        return None
    from reptarium.pool.powers.resolver import SystemResolver  # dnspython: not for who doesn't use it

    return Connector(
        Destinations(map(parse_entry, settings.connect_allow)),
        SystemResolver(),
        connect_limits(settings),
        meter=metrics,
        brokers=[urlsplit(uri.removeprefix(resolve.PREFIX)).hostname or "" for uri in settings.broker_uris],
        fault=partial(faults.met, part="connections", event="a task's connections ended through a fault of the runner"),
    )
