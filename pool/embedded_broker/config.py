"""What the embedded broker can be told. Times are seconds, sizes bytes."""

from __future__ import annotations

import secrets
import ssl
from typing import Literal

import msgspec


def _random_token() -> str:
    return secrets.token_urlsafe(24)


class BrokerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The embedded broker's settings; the defaults are n8n's where n8n has the setting.

    ``port`` 0 takes a free one (see :attr:`Broker.uri`). ``accept_timeout`` is how long a runner may
    take to acknowledge an accepted offer, ``request_timeout`` how long a request waits for a runner,
    ``task_timeout`` how long a task may run from its settings on. ``drain_grace`` is how long
    :func:`open_broker` waits, on leaving, for the tasks that still run. ``rate_limit`` is how many
    grants and upgrades are served a second each (n8n: 5; 0: no limit). ``tls``: HTTPS only, see
    :func:`~reptarium.pool.embedded_broker.tls.server_tls`. ``requesting`` is who may hand in tasks over HTTP
    (``requesters.py``), with the token: nobody, who is on this machine, or anybody.
    """

    host: str = "127.0.0.1"
    port: int = 0
    path: str = "/runners"
    auth_token: str = msgspec.field(default_factory=_random_token)
    grant_ttl: float = 30.0
    rate_limit: int = 0
    accept_timeout: float = 2.0
    request_timeout: float = 60.0
    task_timeout: float = 300.0
    heartbeat_interval: float = 30.0
    max_payload: int = 2**30
    drain_grace: float = 5.0
    tls: ssl.SSLContext | None = None
    requesting: Literal["none", "local", "any"] = "none"

    def __post_init__(self) -> None:
        """Refuse what can't work, with the field's name. Raises ValueError."""
        if not self.path.startswith("/") or self.path.endswith("/"):
            raise ValueError(f"path: must start with a slash and not end with one, not {self.path!r}")
        if not self.auth_token:
            raise ValueError("auth_token: must not be empty")
        for name in ("grant_ttl", "accept_timeout", "request_timeout", "task_timeout", "heartbeat_interval"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: must be more than 0 seconds, not {getattr(self, name)}")
        if self.max_payload < 1024:
            raise ValueError(f"max_payload: must be at least 1024 bytes, not {self.max_payload}")
