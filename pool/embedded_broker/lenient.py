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
    TaskErrorData,
    Unknown,
    decode_runner_message,
)

#: What n8n shows for an error without a message.
UNKNOWN_ERROR = "Unknown error"


def runner_message(frame: str | bytes) -> RunnerMessage | Unknown | Malformed:
    """What a runner has sent, a task's error read as n8n reads it."""
    message = decode_runner_message(frame)
    if isinstance(message, Malformed) and message.type == "runner:taskerror":
        return task_error(frame) or message
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
