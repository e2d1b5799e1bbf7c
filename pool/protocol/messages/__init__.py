"""The task-broker protocol as data: every message in both directions, no I/O.

``broker`` holds what the broker sends to a runner, ``runner`` what a runner sends to
the broker, ``codec`` turns text frames into these values and back, ``wellformed`` judges
JSON that stays raw, ``large`` takes it out of what is large.
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
    decoding_broker_message,
    decoding_runner_message,
    encode,
)
from reptarium.pool.protocol.messages.large import LARGE, joined, parting
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
from reptarium.pool.protocol.messages.wellformed import (
    PIECE,
    UNREADABLE,
    Steps,
    blanked,
    is_json_value,
    judging_json,
    whole,
)

__all__ = [
    "LARGE",
    "PIECE",
    "UNREADABLE",
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
    "Steps",
    "TaskDoneData",
    "TaskErrorData",
    "TaskSettings",
    "Unknown",
    "blanked",
    "decode_broker_message",
    "decode_runner_message",
    "decoding_broker_message",
    "decoding_runner_message",
    "encode",
    "is_json_value",
    "joined",
    "judging_json",
    "parting",
    "whole",
]
