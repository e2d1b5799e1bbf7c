"""Why there is no connection to a broker."""

from __future__ import annotations


class LinkError(Exception):
    """No connection, for a reason that may pass."""


class GrantRefused(LinkError):
    """The broker refused the token (403). ``fatal``: only a one-use grant was given, and it is used."""

    def __init__(self, text: str, *, fatal: bool) -> None:
        super().__init__(text)
        self.fatal = fatal
