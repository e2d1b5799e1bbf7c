"""The broker's one port: opened, served, and for an outage closed and opened again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio


class Port:
    """Listens on ``host`` and ``number`` (0: a free one, known once it is open); ``handler`` gets each connection.

    ``scheme``: what its address begins with.
    """

    def __init__(
        self, scheme: str, host: str, number: int, handler: Callable[[trio.SocketStream], Awaitable[None]]
    ) -> None:
        self.number = number
        self._scheme = scheme
        self._host = host
        self._handler = handler
        self._listeners: list[trio.SocketListener] = []
        self._listening, self._stopped = trio.CancelScope(), trio.Event()

    @property
    def uri(self) -> str:
        """Where runners find it: ``http://host:port``, or https."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(self._host, self._host)
        return f"{self._scheme}://[{host}]:{self.number}" if ":" in host else f"{self._scheme}://{host}:{self.number}"

    async def open(self) -> None:
        """Take the port; who connects waits for :meth:`serve`. Raises OSError when it can't be had."""
        listeners = await trio.open_tcp_listeners(self.number, host=self._host)
        for extra in listeners[1:] if self.number == 0 else ():
            # a name with several addresses and no port of its own: one address is enough
            await extra.aclose()
            listeners.remove(extra)
        self.number = listeners[0].socket.getsockname()[1]
        self._listeners = listeners

    async def serve(self, nursery: trio.Nursery) -> None:
        """Begin to accept connections; each is a task of ``nursery``, and stays when the port is closed."""
        await nursery.start(self._accept, nursery)

    async def _accept(self, nursery: trio.Nursery, *, task_status: trio.TaskStatus[list[trio.SocketListener]]) -> None:
        self._listening, stopped = trio.CancelScope(), trio.Event()
        self._stopped = stopped
        with self._listening:
            try:
                await trio.serve_listeners(
                    self._handler, self._listeners, handler_nursery=nursery, task_status=task_status
                )
            finally:
                stopped.set()

    async def close(self) -> None:
        """Accept no more, and give the port up."""
        self._listening.cancel()
        await self._stopped.wait()
