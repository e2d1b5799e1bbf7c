"""What a requester holds of its task."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog
import trio

from reptarium.pool.embedded_broker.outcome import Outcome
from reptarium.pool.embedded_broker.records import CANCELLED, BrokerTask
from reptarium.pool.protocol.messages import TaskSettings

_log = structlog.get_logger("reptarium.pool.embedded_broker")

ConsoleListener = Callable[[list[str]], None]


class RpcError(Exception):
    """Raised by an RPC handler: the runner gets status ``error`` with ``data``.

    n8n sends a text for a method that it doesn't know and ``{}`` for one that failed.
    """

    def __init__(self, data: Any) -> None:
        super().__init__(str(data))
        self.data = data


class TaskHandle:
    """A submitted task: wait for its outcome, cancel it, see what it printed.

    ``console`` grows while the task runs: one list of strings per ``print``. ``on_console`` is called
    with each as it comes; ``on_rpc`` answers this task's calls in place of the broker's handler.
    """

    def __init__(
        self,
        task: BrokerTask,
        cancel: Callable[[BrokerTask, str], None],
        on_console: ConsoleListener | None,
        on_rpc: RpcHandler | None,
    ) -> None:
        self.console: list[list[str]] = []
        self.on_console = on_console
        self.on_rpc = on_rpc
        self._task = task
        self._cancel = cancel
        self._outcome: Outcome | None = None
        self._finished = trio.Event()
        self._calls: set[trio.CancelScope] = set()

    @property
    def task_id(self) -> str:
        """The id that the runner knows the task by. A task that is matched again gets a new one."""
        return self._task.task_id

    @property
    def settings(self) -> TaskSettings:
        """What was submitted."""
        return self._task.settings

    @property
    def done(self) -> bool:
        """Whether the outcome is there."""
        return self._outcome is not None

    async def outcome(self) -> Outcome:
        """Wait for the end of the task. May be called any number of times."""
        await self._finished.wait()
        assert self._outcome is not None
        return self._outcome

    def cancel(self, reason: str = CANCELLED) -> None:
        """End the task as ``cancelled``, now. Nothing happens when it has already ended."""
        self._cancel(self._task, reason)

    # --- the broker's side -----------------------------------------------------------------

    def _finish(self, outcome: Outcome) -> None:
        self._outcome = outcome
        self._finished.set()
        for scope in self._calls:
            scope.cancel()

    def _print(self, params: msgspec.Raw) -> None:
        values = _values(params)
        line = [value if isinstance(value, str) else json.dumps(value, separators=(",", ":")) for value in values]
        self.console.append(line)
        if self.on_console is not None:
            try:
                self.on_console(line)
            except Exception:  # a requester's mistake is not the runner's: its connection lives on
                _log.exception("broker.console_listener_failed", task_id=self.task_id)


def _values(params: msgspec.Raw) -> list[Any]:
    """What one print is made of, whatever was sent."""
    try:
        return msgspec.json.decode(params, type=list[Any])
    except msgspec.MsgspecError:
        text = bytes(params).decode("utf-8", "replace")
    try:
        values = json.loads(text)  # takes what JSON may hold and msgspec doesn't: lone surrogates
    except ValueError:
        return [text]
    return values if isinstance(values, list) else [text]


RpcHandler = Callable[[TaskHandle, str, list[Any]], Awaitable[Any]]
TaskDataHandler = Callable[[TaskHandle, dict[str, Any]], Awaitable[Any]]
NodeTypesHandler = Callable[[TaskHandle, list[Any]], Awaitable[Any]]
