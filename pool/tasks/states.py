"""What an execution can go through, as a table. The diagram in docs/architecture.md is made from it."""

from __future__ import annotations

from typing import Literal

#: ``waiting`` for its settings, while a worker is leased; ``starting``: they have come; ``running``: the worker has the
#: task; ``killed``: ended from outside, which is still to be reported; ``abandoned``: gone before it had settings, so
#: nothing is to be reported.
ExecutionState = Literal["waiting", "starting", "running", "killed", "abandoned", "ended"]
#: ``outcome``: it is over, whatever came of it.
ExecutionEvent = Literal["settings", "dispatched", "killed", "abandoned", "outcome"]

#: State × event → next state. Who ends a task from outside needn't know how far it is: what comes too late has no
#: effect. What isn't in the table can't happen.
EXECUTION_TRANSITIONS: dict[ExecutionState, dict[ExecutionEvent, ExecutionState]] = {
    "waiting": {"settings": "starting", "killed": "killed", "abandoned": "abandoned", "outcome": "ended"},
    "starting": {"dispatched": "running", "killed": "killed", "abandoned": "abandoned", "outcome": "ended"},
    "running": {"killed": "killed", "abandoned": "abandoned", "outcome": "ended"},
    # what was on its way to the worker when the kill came may still get there
    "killed": {
        "settings": "killed",
        "dispatched": "killed",
        "killed": "killed",
        "abandoned": "abandoned",
        "outcome": "ended",
    },
    "abandoned": {
        "settings": "abandoned",
        "dispatched": "abandoned",
        "killed": "abandoned",
        "abandoned": "abandoned",
        "outcome": "ended",
    },
    "ended": {"settings": "ended", "killed": "ended", "abandoned": "ended"},
}
