"""The task-broker protocol as data: every message in both directions, no I/O.

``broker`` holds what the broker sends to a runner, ``runner`` what a runner sends to
the broker, ``codec`` turns text frames into these values and back.
"""

from reptarium.pool.protocol.messages.broker import (
    BrokerDrain,
    BrokerInfoRequest,
    BrokerMessage,
    BrokerNodeTypes,
    BrokerRpcResponse,
    BrokerRunnerRegistered,
    BrokerTaskCancel,
    BrokerTaskDataResponse,
    BrokerTaskOfferAccept,
    BrokerTaskSettings,
    TaskSettings,
)
from reptarium.pool.protocol.messages.codec import (
    Malformed,
    Unknown,
    decode_broker_message,
    decode_runner_message,
    encode,
    is_json_value,
)
from reptarium.pool.protocol.messages.runner import (
    RunnerInfo,
    RunnerMessage,
    RunnerNodeTypesRequest,
    RunnerRpcCall,
    RunnerTaskAccepted,
    RunnerTaskDataRequest,
    RunnerTaskDeferred,
    RunnerTaskDone,
    RunnerTaskError,
    RunnerTaskOffer,
    RunnerTaskRejected,
    TaskDoneData,
    TaskErrorData,
)

__all__ = [
    "BrokerDrain",
    "BrokerInfoRequest",
    "BrokerMessage",
    "BrokerNodeTypes",
    "BrokerRpcResponse",
    "BrokerRunnerRegistered",
    "BrokerTaskCancel",
    "BrokerTaskDataResponse",
    "BrokerTaskOfferAccept",
    "BrokerTaskSettings",
    "Malformed",
    "RunnerInfo",
    "RunnerMessage",
    "RunnerNodeTypesRequest",
    "RunnerRpcCall",
    "RunnerTaskAccepted",
    "RunnerTaskDataRequest",
    "RunnerTaskDeferred",
    "RunnerTaskDone",
    "RunnerTaskError",
    "RunnerTaskOffer",
    "RunnerTaskRejected",
    "TaskDoneData",
    "TaskErrorData",
    "TaskSettings",
    "Unknown",
    "decode_broker_message",
    "decode_runner_message",
    "encode",
    "is_json_value",
]
