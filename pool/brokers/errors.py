"""Why there is no connection to a broker."""

from __future__ import annotations

#: The reason where none was foreseen.
FAULT = "a fault of the runner; the log line above has the details"


class LinkError(Exception):
    """No connection, for a reason that may pass."""


def first(error: BaseException) -> BaseException:
    """What a group of errors begins with, however deep it is; an error that is no group, itself."""
    return first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


class GrantRefused(LinkError):
    """The broker refused the token (403). ``fatal``: only a one-use grant was given, and it is used."""

    def __init__(self, text: str, *, fatal: bool) -> None:
        super().__init__(text)
        self.fatal = fatal
