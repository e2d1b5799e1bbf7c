"""What the broker sends to a runner.

Text frames, one JSON object each, keys in camelCase, the kind in ``type`` (checked against
a live n8n 2.40.5). Fields that a newer broker adds are ignored: brokers are upgraded before
runners. People's data (``items``, ``query``, RPC answers) stays raw JSON: the supervisor
never builds Python objects from it.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

EMPTY_LIST = msgspec.Raw(b"[]")
NULL = msgspec.Raw(b"null")

#: Ids are remembered, and answered with: a broker's has no more characters than that (n8n's have 21).
LONGEST_ID = 256
TaskId = Annotated[str, msgspec.Meta(max_length=LONGEST_ID)]

NodeMode = Literal["runOnceForAllItems", "runOnceForEachItem"]


class BrokerInfoRequest(msgspec.Struct, frozen=True, rename="camel", tag="broker:inforequest"):
    """The broker asks who has connected; answered by ``runner:info``."""


class BrokerRunnerRegistered(msgspec.Struct, frozen=True, rename="camel", tag="broker:runnerregistered"):
    """The runner is known to the broker and may offer its free slots."""


class BrokerTaskOfferAccept(msgspec.Struct, frozen=True, rename="camel", tag="broker:taskofferaccept"):
    """An offer was matched to a request. To be answered within 2 s."""

    task_id: TaskId
    offer_id: str


class TaskSettings(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What a Python task consists of.

    ``items`` is a raw JSON list of ``{"json": {...}, "binary"?: {...}, "pairedItem"?: ...}``;
    ``query`` is raw JSON (a string or an object) and only set by the Code tool. The workflow
    and node names are for logs; n8n sends "Unknown" where it has none.
    """

    code: str
    node_mode: NodeMode = "runOnceForAllItems"
    continue_on_fail: bool = False
    items: msgspec.Raw = EMPTY_LIST
    query: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    workflow_id: str | None = None
    workflow_name: str | None = None
    node_id: str | None = None
    node_name: str | None = None
    workflow_mode: str | None = None


class BrokerTaskSettings(msgspec.Struct, frozen=True, rename="camel", tag="broker:tasksettings"):
    """The settings of an accepted task: run it."""

    task_id: TaskId
    settings: TaskSettings


class BrokerTaskCancel(msgspec.Struct, frozen=True, rename="camel", tag="broker:taskcancel"):
    """Kill the task's worker at once. The broker has already forgotten the task."""

    task_id: TaskId
    reason: str = ""


class BrokerRpcResponse(msgspec.Struct, frozen=True, rename="camel", tag="broker:rpcresponse"):
    """The answer to a ``runner:rpc``. ``data`` is absent where the method returns nothing."""

    call_id: str
    task_id: TaskId
    status: Literal["success", "error"]
    data: msgspec.Raw = NULL


class BrokerTaskDataResponse(msgspec.Struct, frozen=True, rename="camel", tag="broker:taskdataresponse"):
    """The answer to a ``runner:taskdatarequest``."""

    task_id: TaskId
    request_id: str
    data: msgspec.Raw = NULL


class BrokerNodeTypes(msgspec.Struct, frozen=True, rename="camel", tag="broker:nodetypes"):
    """The answer to a ``runner:nodetypesrequest``."""

    task_id: TaskId
    request_id: str
    node_types: msgspec.Raw = EMPTY_LIST


class BrokerDrain(msgspec.Struct, frozen=True, rename="camel", tag="broker:drain"):
    """Stop offering, finish what runs: the broker is shutting down."""


BrokerMessage = (
    BrokerInfoRequest
    | BrokerRunnerRegistered
    | BrokerTaskOfferAccept
    | BrokerTaskSettings
    | BrokerTaskCancel
    | BrokerRpcResponse
    | BrokerTaskDataResponse
    | BrokerNodeTypes
    | BrokerDrain
)
