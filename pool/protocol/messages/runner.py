"""What a runner sends to the broker. Same conventions as ``broker.py``."""

from __future__ import annotations

import msgspec

#: The task type that a Python runner offers.
PYTHON = "python"


class RunnerInfo(msgspec.Struct, frozen=True, rename="camel", tag="runner:info"):
    """Who the runner is and which task types it runs."""

    name: str
    types: tuple[str, ...] = (PYTHON,)


class RunnerTaskOffer(msgspec.Struct, frozen=True, rename="camel", tag="runner:taskoffer"):
    """One free slot, for ``valid_for`` milliseconds (-1: never expires)."""

    offer_id: str
    valid_for: int
    task_type: str = PYTHON


class RunnerTaskAccepted(msgspec.Struct, frozen=True, rename="camel", tag="runner:taskaccepted"):
    """The runner takes the task; due within 2 s of the accepted offer."""

    task_id: str


class RunnerTaskRejected(msgspec.Struct, frozen=True, rename="camel", tag="runner:taskrejected"):
    """The runner does not take the task; the broker puts the request back."""

    task_id: str
    reason: str


class RunnerTaskDeferred(msgspec.Struct, frozen=True, rename="camel", tag="runner:taskdeferred"):
    """Sent by n8n's launcher in place of a runner that it is still starting."""

    task_id: str


class TaskDoneData(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """``result`` is raw JSON. ``custom_data`` and ``static_data`` (raw JSON objects) are saved by n8n."""

    result: msgspec.Raw
    custom_data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    static_data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class RunnerTaskDone(msgspec.Struct, frozen=True, rename="camel", tag="runner:taskdone"):
    """The task has ended well."""

    task_id: str
    data: TaskDoneData


class TaskErrorData(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """Why a task failed. n8n shows ``message``, ``description``, ``line_number`` and ``item_index``.

    ``line_number`` counts from 1 in the person's own code, ``item_index`` from 0. ``stack`` and
    ``stderr`` are kept for other consumers; n8n ignores them.
    """

    message: str
    description: str | msgspec.UnsetType = msgspec.UNSET
    line_number: int | msgspec.UnsetType = msgspec.UNSET
    item_index: int | msgspec.UnsetType = msgspec.UNSET
    stack: str | msgspec.UnsetType = msgspec.UNSET
    stderr: str | msgspec.UnsetType = msgspec.UNSET


class RunnerTaskError(msgspec.Struct, frozen=True, rename="camel", tag="runner:taskerror"):
    """The task has failed, or was cancelled."""

    task_id: str
    error: TaskErrorData


class RunnerRpcCall(msgspec.Struct, frozen=True, rename="camel", tag="runner:rpc"):
    """A call into n8n. ``params`` is a raw JSON list."""

    call_id: str
    task_id: str
    name: str
    params: msgspec.Raw


class RunnerTaskDataRequest(msgspec.Struct, frozen=True, rename="camel", tag="runner:taskdatarequest"):
    """Asks for the workflow's data. ``request_params`` is a raw JSON object."""

    task_id: str
    request_id: str
    request_params: msgspec.Raw


class RunnerNodeTypesRequest(msgspec.Struct, frozen=True, rename="camel", tag="runner:nodetypesrequest"):
    """Asks for node type descriptions. ``request_params`` is a raw JSON list."""

    task_id: str
    request_id: str
    request_params: msgspec.Raw


RunnerMessage = (
    RunnerInfo
    | RunnerTaskOffer
    | RunnerTaskAccepted
    | RunnerTaskRejected
    | RunnerTaskDeferred
    | RunnerTaskDone
    | RunnerTaskError
    | RunnerRpcCall
    | RunnerTaskDataRequest
    | RunnerNodeTypesRequest
)
