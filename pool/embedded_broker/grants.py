"""Who may connect: one-use grants, and how many a second."""

from __future__ import annotations

import secrets
from collections import deque


class Grants:
    """Tokens that open one WebSocket each. ``lifetime`` in seconds."""

    def __init__(self, lifetime: float) -> None:
        self._lifetime = lifetime
        self._expires: dict[str, float] = {}

    def issue(self, now: float) -> str:
        """A new grant."""
        for token in [token for token, expires in self._expires.items() if expires <= now]:
            del self._expires[token]
        token = secrets.token_hex(32)
        self._expires[token] = now + self._lifetime
        return token

    def redeem(self, token: str, now: float) -> bool:
        """Use a grant up. False when it was never issued, is used or has expired."""
        expires = self._expires.pop(token, None)
        return expires is not None and now < expires


class RateLimit:
    """At most ``limit`` events in any second; 0 allows all."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._times: deque[float] = deque()

    def allows(self, now: float) -> bool:
        """Whether one more event is allowed, which then counts."""
        if not self._limit:
            return True
        while self._times and self._times[0] <= now - 1.0:
            self._times.popleft()
        if len(self._times) >= self._limit:
            return False
        self._times.append(now)
        return True
