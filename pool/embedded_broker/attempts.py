"""The ids of tasks' attempts: those that are a runner's now, and the last of those that were.

Each attempt has its own task id, as with n8n, so that a late answer to an attempt that was given up can't be
mistaken for one to the next.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from reptarium.pool.embedded_broker.outcome import Status
from reptarium.pool.embedded_broker.records import BrokerTask, Peer

#: How many ended task ids are remembered, to tell a second answer from an invented one.
_REMEMBERED = 8192


def new_task_id() -> str:
    """Eight characters of ``A-Za-z0-9_-``: what n8n's task ids look like."""
    return secrets.token_urlsafe(6)


class Attempts:
    """Which runner has which task, under which id. ``new_id`` makes an id; one that is in use is made again."""

    def __init__(self, new_id: Callable[[], str] = new_task_id) -> None:
        self._new_id = new_id
        self._held: dict[str, BrokerTask] = {}
        self._ended: dict[str, Status] = {}

    def fresh_id(self) -> str:
        """An id that no attempt has or had."""
        while True:
            task_id = self._new_id()
            if task_id not in self._held and task_id not in self._ended:
                return task_id

    def begin(self, task: BrokerTask, peer: Peer) -> None:
        """The task is ``peer``'s, under its own first id or a new one."""
        if task.attempts or task.task_id in self._held:
            task.task_id = self.fresh_id()
        task.attempts += 1
        task.peer = peer
        task.runner_id = peer.runner_id
        self._held[task.task_id] = peer.tasks[task.task_id] = task

    def end(self, task: BrokerTask, status: Status) -> None:
        """The task's id is used up, and the task nobody's."""
        if task.peer is not None:
            del task.peer.tasks[task.task_id]
            del self._held[task.task_id]
            task.peer = None
        self._ended[task.task_id] = status
        if len(self._ended) > _REMEMBERED:
            del self._ended[next(iter(self._ended))]

    def held(self, task_id: str) -> BrokerTask | None:
        """The task that a runner has under this id."""
        return self._held.get(task_id)

    def ended(self, task_id: str) -> Status | None:
        """How the attempt with this id has ended, as far as that is remembered."""
        return self._ended.get(task_id)
