"""What a worker can go through, as a table. The diagram in docs/architecture.md is made from it."""

from __future__ import annotations

from typing import Literal

#: ``starting``: forked, its first word is awaited. ``leased``: a task has it. ``discarded``: killed, not reaped yet.
WorkerState = Literal["starting", "parked", "leased", "discarded", "dead"]
#: ``ready``: its first word. ``taken`` by a task, or ``given back`` by one that never started. ``discarded``: killed by
#: us. ``reaped``: the zygote says that it has ended, or has ended itself.
WorkerEvent = Literal["ready", "taken", "given back", "discarded", "reaped"]

#: State × event → next state. What isn't in it can't happen: there is no way back from the end, and no second task.
WORKER_TRANSITIONS: dict[WorkerState, dict[WorkerEvent, WorkerState]] = {
    "starting": {"ready": "parked", "discarded": "discarded", "reaped": "dead"},
    "parked": {"taken": "leased", "discarded": "discarded", "reaped": "dead"},
    "leased": {"given back": "parked", "discarded": "discarded", "reaped": "dead"},
    "discarded": {"discarded": "discarded", "reaped": "dead"},
    "dead": {},
}
