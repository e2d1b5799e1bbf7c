"""What a worker can go through, as a table. The diagram in docs/architecture.md is made from it."""

from __future__ import annotations

from typing import Literal

#: ``starting``: forked, its first word is awaited. ``leased``: a task has it. ``resting``: it has ended a task well and
#: waits for the same code. ``discarded``: killed, not reaped yet.
WorkerState = Literal["starting", "parked", "leased", "resting", "discarded", "dead"]
#: ``ready``: its first word. ``taken`` by a task, or ``given back`` by one that never started. ``kept`` for another of
#: the same code. ``discarded``: killed by us. ``reaped``: the zygote says that it has ended, or has ended itself.
WorkerEvent = Literal["ready", "taken", "given back", "kept", "discarded", "reaped"]

#: State × event → next state. What isn't in it can't happen: there is no way back from the end, and none from a task to
#: those that are parked for any.
WORKER_TRANSITIONS: dict[WorkerState, dict[WorkerEvent, WorkerState]] = {
    "starting": {"ready": "parked", "discarded": "discarded", "reaped": "dead"},
    "parked": {"taken": "leased", "discarded": "discarded", "reaped": "dead"},
    "leased": {"given back": "parked", "kept": "resting", "discarded": "discarded", "reaped": "dead"},
    "resting": {"taken": "leased", "discarded": "discarded", "reaped": "dead"},
    "discarded": {"discarded": "discarded", "reaped": "dead"},
    "dead": {},
}
