"""One broker: connections to it, one after the other."""

from __future__ import annotations

import enum
import random
import secrets

import structlog
import trio

from reptarium.pool.brokers.connection import Connection, connect
from reptarium.pool.brokers.errors import FAULT, GrantRefused, LinkError, first
from reptarium.pool.brokers.grant import fetch_grant
from reptarium.pool.brokers.serving import Serving
from reptarium.pool.brokers.shared import Shared
from reptarium.pool.ops.logs import hide_secret

log = structlog.get_logger("reptarium.pool.brokers.link")

BACKOFF_FIRST, BACKOFF_LAST = 0.25, 10.0
#: A connection that lasted this long (seconds) starts the backoff anew.
LASTING = 2.0


class Exit(enum.IntEnum):
    """How a runner ends that can't go on."""

    OK = 0
    GRANT_REFUSED = 1
    CONNECTION_LOST = 3


def backoff(attempt: int, rng: random.Random) -> float:
    """Seconds to wait before connection attempt ``attempt`` (from 1): capped, exponential, jittered."""
    ceiling: float = min(BACKOFF_FIRST * 2 ** min(attempt - 1, 16), BACKOFF_LAST)
    return ceiling * rng.uniform(0.5, 1.0)


class BrokerLink:
    """One broker: connections to it, one after the other; what the present one carries is ``serving.py``'s."""

    def __init__(self, shared: Shared, uri: str) -> None:
        self.uri = uri
        self._shared = shared
        self._settings = shared.settings
        self._metrics = shared.metrics
        self._id = shared.settings.runner_id or secrets.token_hex(8)
        self._grant = shared.settings.grant_token
        self._serving: Serving | None = None
        self._retired = False
        self._connected: float | None = None
        self._scope = trio.CancelScope()

    # ---- what the runner asks -----------------------------------------------------------

    @property
    def registered(self) -> bool:
        """Whether the broker has registered us and may send tasks."""
        return self._serving is not None and self._serving.registered

    @property
    def busy(self) -> bool:
        """Whether a task has come and not ended, or has ended and its outcome is not written yet."""
        return self._serving is not None and self._serving.busy

    @property
    def accepted(self) -> int:
        """Accepted tasks that have not ended."""
        return 0 if self._serving is None else self._serving.session.accepted

    @property
    def unused(self) -> int:
        """Those of them that wait for their settings."""
        return 0 if self._serving is None else self._serving.session.waiting

    @property
    def open_offers(self) -> int:
        """Offers that stand."""
        return 0 if self._serving is None else self._serving.session.open_offers

    @property
    def reads(self) -> bool:
        """Whether the broker reads what it is told."""
        return self._serving is not None and self._serving.reads

    def set_capacity(self, capacity: int, now: float) -> None:
        """Take and offer that many tasks from now on: no other broker has a part in the slots."""
        if self._serving is not None:
            self._serving.set_capacity(capacity, now)

    def offer(self, now: float) -> None:
        """Offer one more task."""
        if self._serving is not None:
            self._serving.offer(now)

    def withdraw(self, now: float) -> None:
        """Offer nothing any more."""
        if self._serving is not None:
            self._serving.withdraw(now)

    def give_up(self, seconds: float, now: float) -> None:
        """End what has waited for settings for so many seconds."""
        if self._serving is not None:
            self._serving.give_up(seconds, now)

    def drain(self) -> None:
        """No more offers."""
        if self._serving is not None:
            self._serving.drain(leave=self._retired)
        else:
            self._scope.cancel()

    @property
    def retired(self) -> bool:
        """Whether the broker's address is gone."""
        return self._retired

    def retire(self) -> None:
        """The broker's address is gone: finish what runs, don't come back."""
        self._retired = True
        self.drain()

    def abort(self, reason: str) -> None:
        """Kill every task; each is still answered."""
        if self._serving is not None:
            self._serving.abort(reason)

    async def aclose(self) -> None:
        """Wait until every task has ended and its outcome is written, then close the connection."""
        while self.busy:
            await trio.sleep(0.005)
        if self._serving is not None:
            await self._serving.aclose()

    # ---- connecting -----------------------------------------------------------------------

    async def run(self) -> Exit | None:
        """Keep a connection until the runner stops. An exit status when there can't be another one."""
        attempt = 0
        with trio.CancelScope() as self._scope:
            while not self._ending():
                attempt += 1
                self._connected = None
                end = await self._attempt()
                if not self._retired:
                    self._metrics.broker_lost(self.uri)
                if self._ending():
                    return None
                if self._settings.auth_token is None:
                    return self._spent(end)
                if self._lasted():
                    attempt = 1
                wait = backoff(attempt, self._shared.rng)
                log.warning("no connection to the broker", broker=self.uri, reason=str(end), retry_s=round(wait, 2))
                await trio.sleep(wait)
        return None

    def _lasted(self) -> bool:
        """Whether there was a connection, and for long enough: however it ended."""
        return self._connected is not None and trio.current_time() - self._connected > LASTING

    def _ending(self) -> bool:
        return self._retired or self._shared.stopping.is_set()

    def _spent(self, end: LinkError) -> Exit:
        """The one grant that was given has been used, with this result."""
        if isinstance(end, GrantRefused):
            log.error(
                f"{end}. It can be used once only; start the runner with a new one "
                "in N8N_RUNNERS_GRANT_TOKEN, or set N8N_RUNNERS_AUTH_TOKEN"
            )
            return Exit.GRANT_REFUSED
        log.error(
            "the broker is gone and the one-use grant token is spent: ending, to be started anew",
            broker=self.uri,
            reason=str(end),
        )
        return Exit.CONNECTION_LOST

    async def _attempt(self) -> LinkError:
        """One connection, from its grant to its end. Returns why there is none any more: a fault is contained here."""
        try:
            return await self._connect_and_serve()
        except* LinkError as group:
            end = first(group)
        except* Exception as group:
            self._shared.faults.met(group, "link", "no connection through a fault of the runner", broker=self.uri)
            end = LinkError(FAULT)
        assert isinstance(end, LinkError)
        return end

    async def _connect_and_serve(self) -> LinkError:
        if self._grant is not None:
            grant, self._grant = self._grant, None  # used once, whatever comes of it
        elif self._settings.auth_token is not None:
            base, path = self.uri, self._settings.broker_path
            grant = await fetch_grant(base, path, self._settings.auth_token, self._shared.tls)
            hide_secret(grant)
        else:
            return GrantRefused("the grant token is spent", fatal=True)
        async with connect(
            self.uri,
            self._settings.broker_path,
            self._id,
            grant,
            self._settings.max_payload,
            self._shared.tls,
        ) as connection:
            self._connected = trio.current_time()
            end = await self._serve(connection)
        return end or LinkError(f"connection closed ({connection.close_reason})")

    async def _serve(self, connection: Connection) -> LinkError | None:
        try:
            async with trio.open_nursery() as tasks:
                self._serving = Serving(self._shared, self.uri, self, connection, tasks)
                return await self._serving.run()
        finally:
            self._serving = None
            self._shared.slots.changed(self)
