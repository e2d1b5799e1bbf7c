"""A runner for all tests of a file that do nothing but run tasks on it: its zygote takes longer than what they try.

It is beside an embedded broker in an event loop of its own, in a thread; the tests aren't `async`, and wait.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import trio
from trio.testing import wait_all_tasks_blocked

from reptarium.pool.config import Settings
from reptarium.pool.embedded import embedded_runner
from reptarium.pool.embedded_broker import Broker, Outcome
from reptarium.pool.protocol.messages import TaskSettings
from tests.conftest import no_child_left
from tests.limits import fail_after, within


class SharedRunner:
    """What the tests of a file see of it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._here = threading.Event()
        self._over = trio.Event()
        self._broker: Broker | None = None
        self._token: trio.lowlevel.TrioToken | None = None

    def run(self, task: TaskSettings | dict[str, Any]) -> Outcome:
        """Run one task to its end."""

        async def ended() -> Outcome:
            assert self._broker is not None
            with fail_after(30):
                outcome = await self._broker.submit(task).outcome()
            await wait_all_tasks_blocked()  # what is logged of it is the test's
            return outcome

        return trio.from_thread.run(ended, trio_token=self._token)

    async def _serve(self) -> None:
        async with embedded_runner(self._settings) as self._broker:
            self._token = trio.lowlevel.current_trio_token()
            self._here.set()
            await self._over.wait()

    def _thread(self) -> None:
        try:
            trio.run(self._serve)
        finally:
            self._here.set()

    @contextmanager
    def serving(self) -> Iterator[SharedRunner]:
        """Until the block ends. No process of it is left then."""
        with no_child_left():
            thread = threading.Thread(target=self._thread, name="shared runner")
            thread.start()
            try:
                assert self._here.wait(within(60))
                assert self._token is not None, "it has not started"
                yield self
            finally:
                if self._token is not None:
                    self._token.run_sync_soon(self._over.set)
                thread.join(within(30))
            assert not thread.is_alive()
