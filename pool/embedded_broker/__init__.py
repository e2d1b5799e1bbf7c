"""The embedded task broker: the server side of n8n's task runner protocol.

For ``reptarium exec`` and ``reptarium broker``, for tests and for load; it serves any runner of the
protocol. README.md tells where it differs from n8n's own.
"""

from reptarium.pool.embedded_broker.config import BrokerConfig
from reptarium.pool.embedded_broker.faults import Delayed, Faults, IncomingFilter, OutgoingFilter
from reptarium.pool.embedded_broker.handle import RpcError, TaskHandle
from reptarium.pool.embedded_broker.outcome import Counters, Outcome, RunnerView, Status, Timings
from reptarium.pool.embedded_broker.server import Broker, open_broker

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
