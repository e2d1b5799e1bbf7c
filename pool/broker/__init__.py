"""The embedded task broker: the server side of n8n's task runner protocol.

For ``reptarium exec`` and ``reptarium broker``, for tests and for load; it serves any runner of the
protocol. README.md tells where it differs from n8n's own.
"""

from pool.broker.config import BrokerConfig
from pool.broker.faults import Faults
from pool.broker.handle import RpcError, TaskHandle
from pool.broker.outcome import Counters, Outcome, Status, Timings
from pool.broker.server import Broker, Delayed, IncomingFilter, OutgoingFilter, RunnerView, open_broker

__all__ = [
    "Broker",
    "BrokerConfig",
    "Counters",
    "Delayed",
    "Faults",
    "IncomingFilter",
    "Outcome",
    "OutgoingFilter",
    "RpcError",
    "RunnerView",
    "Status",
    "TaskHandle",
    "Timings",
    "open_broker",
]
