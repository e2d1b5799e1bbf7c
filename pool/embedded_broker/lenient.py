"""Messages of runners, of other makes too: what they send as a task's error.

n8n takes nearly anything there: a text or null shows as an unknown error, and fields of the wrong kind
are ignored. A task must not hang over that, so a ``runner:taskerror`` that isn't in the protocol's form is
read once more, keeping what can be kept.
"""

from __future__ import annotations

import json
from typing import Any

from reptarium.pool.protocol.messages import (
    Malformed,
    RunnerMessage,
    RunnerTaskError,
    Steps,
    TaskErrorData,
    Unknown,
    decoding_runner_message,
    whole,
)

#: What n8n shows for an error without a message.
UNKNOWN_ERROR = "Unknown error"
#: What is longer than this is not read once more, in characters: that is one call, in which nobody else has a turn.
LONGEST = 1 << 19


def runner_message(frame: str | bytes) -> RunnerMessage | Unknown | Malformed:
    """What a runner has sent, a task's error read as n8n reads it."""
    return whole(reading_runner_message(frame))


def reading_runner_message(frame: str | bytes) -> Steps[RunnerMessage | Unknown | Malformed]:
    """:func:`runner_message` in steps, so that a large frame keeps nobody waiting."""
    message = yield from decoding_runner_message(frame)
    if isinstance(message, Malformed) and message.type == "runner:taskerror":
        if len(frame) <= LONGEST:
            return task_error(frame) or message
        if message.task_id is not None:
            return RunnerTaskError(message.task_id, TaskErrorData(message=UNKNOWN_ERROR))
    return message


def task_error(frame: str | bytes) -> RunnerTaskError | None:
    """The error that ``frame`` means, or None when it names no task."""
    try:
        message = json.loads(frame)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or not isinstance(message.get("taskId"), str):
        return None
    error = message.get("error")
    given: dict[str, Any] = error if isinstance(error, dict) else {}
    kept: dict[str, Any] = {}
    for name, key, kind in (
        ("description", "description", str),
        ("line_number", "lineNumber", int),
        ("item_index", "itemIndex", int),
        ("stack", "stack", str),
        ("stderr", "stderr", str),
    ):
        if isinstance(given.get(key), kind):
            kept[name] = given[key]
    text = given.get("message")
    return RunnerTaskError(
        message["taskId"], TaskErrorData(message=text if isinstance(text, str) else UNKNOWN_ERROR, **kept)
    )
