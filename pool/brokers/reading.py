"""What comes on one connection, made messages: small ones as they are read, large ones piece by piece."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from functools import partial

from reptarium.pool.brokers.connection import Connection
from reptarium.pool.protocol.messages import (
    BrokerMessage,
    Malformed,
    Unknown,
    decoding_broker_message,
    plain_broker_message,
)
from reptarium.pool.turns import Turnstile, in_turns

#: Messages up to this size, in bytes, are taken apart as they come: half a millisecond, whatever is in them. Larger
#: ones may take 20 in one call; of these there is one at a time, over all connections.
LIGHT = 8 * 1024


class Reading:
    """Reads one connection: ``receive`` is given every message, in their order.

    Where it, or what a message is made with, raises an exception, ``failed`` is told instead of whoever reads.
    """

    def __init__(
        self,
        connection: Connection,
        receive: Callable[[BrokerMessage | Unknown | Malformed], None],
        failed: Callable[[Exception], None],
        turnstile: Turnstile,
    ) -> None:
        self._connection = connection
        self._receive = receive
        self._failed = failed
        self._turnstile = turnstile

    async def run(self) -> None:
        """Read until the connection ends. Raises what is met in what isn't done at once."""
        self._connection.leave_to(self._at_once)
        try:
            async with aclosing(self._connection.frames()) as frames:
                async for frame in frames:
                    turnstile = None if len(frame) <= LIGHT else self._turnstile
                    self._receive(await in_turns(decoding_broker_message(frame), turnstile))
                    del frame  # not kept until the next one comes
        finally:
            self._connection.leave_to(None)

    def _at_once(self, frame: bytes | bytearray) -> Callable[[], None] | None:
        """What is to be done about a message that is small and plain, as nearly all are."""
        try:
            message = plain_broker_message(frame) if len(frame) <= LIGHT else None
        except Exception as error:
            return partial(self._failed, error)
        return None if message is None else partial(self._receive_now, message)

    def _receive_now(self, message: BrokerMessage) -> None:
        try:
            self._receive(message)
        except Exception as error:
            self._failed(error)
