"""Answers to what a running task asks for: RPCs, task data, node types."""

from __future__ import annotations

from typing import Any

import msgspec
import structlog

from reptarium.pool.embedded_broker.handle import NodeTypesHandler, RpcError, RpcHandler, TaskDataHandler, TaskHandle
from reptarium.pool.embedded_broker.records import Call
from reptarium.pool.protocol.messages import (
    BrokerMessage,
    BrokerNodeTypes,
    BrokerRpcResponse,
    BrokerTaskDataResponse,
    RunnerNodeTypesRequest,
    RunnerRpcCall,
)

#: The one method that the broker serves by itself: what a task prints.
LOG_NODE_OUTPUT = "logNodeOutput"

#: What n8n answers to a method that it doesn't know (checked against a live n8n 2.40.5).
NOT_ALLOWED = "Method not allowed"

_NULL = msgspec.Raw(b"null")

_log = structlog.get_logger("reptarium.pool.embedded_broker")


async def no_rpc(task: TaskHandle, name: str, params: list[Any]) -> Any:
    """The default handler: no method but ``logNodeOutput``, which never gets here."""
    raise RpcError(NOT_ALLOWED)


async def own_task_data(task: TaskHandle, params: dict[str, Any]) -> Any:
    """The default task data: what the task's own settings tell, in the shape that n8n sends."""
    settings = task.settings
    node: dict[str, Any] = {
        "id": settings.node_id,
        "name": settings.node_name,
        "type": "n8n-nodes-base.code",
        "parameters": {},
    }
    return {
        "workflow": {
            "id": settings.workflow_id,
            "name": settings.workflow_name,
            "active": False,
            "nodes": [node],
            "connections": {},
            "settings": {},
            "staticData": {},
        },
        "node": node,
        "activeNodeName": settings.node_name,
        "mode": settings.workflow_mode,
        "inputData": {"main": [settings.items]},
        "runExecutionData": {"resultData": {"runData": {}}},
        "envProviderState": {"env": {}, "isEnvAccessBlocked": True, "isProcessAvailable": True},
        "runIndex": 0,
        "itemIndex": 0,
        "additionalData": {"variables": {}},
    }


async def no_node_types(task: TaskHandle, params: list[Any]) -> Any:
    """The default node types: none."""
    return []


async def answer(
    handle: TaskHandle,
    call: Call,
    rpc: RpcHandler,
    task_data: TaskDataHandler,
    node_types: NodeTypesHandler,
) -> BrokerMessage | None:
    """Let the handler work on a call; its exceptions become the answer that n8n would give.

    None where n8n gives no answer: the handler of task data or node types has failed.
    """
    if isinstance(call, RunnerRpcCall):
        try:
            params = msgspec.json.decode(call.params, type=list[Any])
            data = _raw(await rpc(handle, call.name, params))
        except RpcError as error:
            return BrokerRpcResponse(call.call_id, call.task_id, "error", _raw(error.data))
        except Exception:
            _log.exception("broker.rpc_failed", task_id=call.task_id, method=call.name)
            return BrokerRpcResponse(call.call_id, call.task_id, "error", _raw({}))
        return BrokerRpcResponse(call.call_id, call.task_id, "success", data)
    try:
        if isinstance(call, RunnerNodeTypesRequest):
            wanted = msgspec.json.decode(call.request_params, type=list[Any])
            found = _raw(await node_types(handle, wanted))
            return BrokerNodeTypes(call.task_id, call.request_id, found)
        asked = msgspec.json.decode(call.request_params, type=dict[str, Any])
        return BrokerTaskDataResponse(call.task_id, call.request_id, _raw(await task_data(handle, asked)))
    except Exception:
        _log.exception("broker.request_failed", task_id=call.task_id, kind=type(call).__name__)
        return None


def _raw(value: Any) -> msgspec.Raw:
    return _NULL if value is None else msgspec.Raw(msgspec.json.encode(value))
