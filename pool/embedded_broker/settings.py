"""What a requester may call task settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from reptarium.pool.protocol.messages import TaskSettings

#: Settings by the names of the protocol and by those of Python.
_SETTINGS = {
    name: field.encode_name
    for field in msgspec.structs.fields(TaskSettings)
    for name in (field.name, field.encode_name)
}

_BLANKS = {
    "workflow_id": "Unknown",
    "workflow_name": "Unknown",
    "node_id": "Unknown",
    "node_name": "Unknown",
    "workflow_mode": "manual",
}


def task_settings(given: TaskSettings | Mapping[str, Any]) -> TaskSettings:
    """Task settings as n8n sends them. A mapping may use the names of the protocol or those of Python.

    The names of workflow and node are filled in where they are missing, as n8n does: other runners may not
    expect a null there. Raises ValueError for names that aren't a setting and values that don't fit.
    """
    settings = given if isinstance(given, TaskSettings) else _from_mapping(given)
    blank = {name: value for name, value in _BLANKS.items() if getattr(settings, name) is None}
    return msgspec.structs.replace(settings, **blank) if blank else settings


def _from_mapping(mapping: Mapping[str, Any]) -> TaskSettings:
    unknown = sorted(set(mapping) - set(_SETTINGS))
    if unknown:
        raise ValueError(f"not a task setting: {', '.join(unknown)}")
    try:
        raw = msgspec.json.encode({_SETTINGS[name]: value for name, value in mapping.items()})
        return msgspec.json.decode(raw, type=TaskSettings)
    except (msgspec.MsgspecError, TypeError) as error:
        raise ValueError(f"not task settings: {error}") from error
