"""The plainest frames of a WebSocket, past wsproto: a text message in one piece, all of which is there.

Such are nearly all that come from a broker and go to it, and wsproto makes dozens of calls in Python of each: a tenth
of what a task cost the supervisor. Everything else is wsproto's as ever: the handshake, fragments, control frames, what
comes in parts, and whatever is wrong, which it finds and answers. So here is taken only what RFC 6455 leaves no doubt
about (5.2, 8.1).

Private parts of wsproto (1.2, 1.3): its decoders, which must be between two messages.
"""

from __future__ import annotations

import os
from codecs import utf_8_decode
from collections.abc import Generator
from struct import Struct
from typing import Any

from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import BytesMessage, Event, TextMessage

__all__ = ["PlainFrames"]

#: Final, no extension's bits, text.
_TEXT = 0x81
_MASKED = 0x80
#: Lengths up to the first stand in the second byte, up to the second in two bytes after that.
_SHORT, _MIDDLE = 125, 0xFFFF
_head_short, _head_middle, _head_long = Struct("!BB").pack, Struct("!BBH").pack, Struct("!BBQ").pack


class PlainFrames(WSConnection):
    """A client's. What comes as a plain text message is given as a ``BytesMessage``."""

    def __init__(self) -> None:
        super().__init__(ConnectionType.CLIENT)
        self._come: bytes | bytearray = b""
        self._begun: bytes | bytearray = b""
        #: Whether a message of what came last has been dealt with as it was read.
        self.taken = False

    @property
    def receiving(self) -> bool:
        """Whether a part of a frame is kept here for the rest of it."""
        return bool(self._begun)

    def receive_data(self, data: bytes | None) -> None:
        """Take what has come; :meth:`events` tells what it was. All events of what came before must have been asked."""
        self.taken = False
        if data and self._begun:
            self._come, self._begun = self._begun + data, b""
        elif data and self._between_messages():
            self._come = data
        else:
            super().receive_data(data)

    def events(self) -> Generator[Event, None, None]:
        """What has come, each taken apart when it is asked for."""
        data, self._come = self._come, b""
        at, size = 0, len(data)
        while size - at >= 2 and data[at] == _TEXT:
            length, start = data[at + 1], at + 2
            if length > _SHORT:
                length, start = int.from_bytes(data[start : start + 2], "big") if length == _SHORT + 1 else 0, start + 2
                if length <= _SHORT:  # longer still, masked, or not in its shortest form
                    break
            if start + length > size:
                if at:  # the next read brings its rest: whoever sends so much is no trickle
                    self._begun = data[at:]
                    return
                break
            text = bytes(data[start : start + length])
            try:
                utf_8_decode(text, "strict", True)
            except UnicodeDecodeError:
                break
            at = start + length
            yield BytesMessage(text, True, True)
        if at < size:
            if self.state is ConnectionState.CLOSED:
                return
            super().receive_data(bytes(data[at:]))
        yield from super().events()

    def text(self, text: bytes) -> bytes:
        """The frame of a text message in one piece (UTF-8). Raises ``LocalProtocolError`` when none may be sent."""
        if self.state is not ConnectionState.OPEN:
            return self.send(TextMessage(text.decode()))  # which says so
        utf_8_decode(text, "strict", True)
        size = len(text)
        if size <= _SHORT:
            head = _head_short(_TEXT, _MASKED | size)
        elif size <= _MIDDLE:
            head = _head_middle(_TEXT, _MASKED | _SHORT + 1, size)
        else:
            head = _head_long(_TEXT, _MASKED | _SHORT + 2, size)
        key = os.urandom(4)
        mask = int.from_bytes((key * (size // 4 + 1))[:size], "little")
        return head + key + (int.from_bytes(text, "little") ^ mask).to_bytes(size, "little")

    def _between_messages(self) -> bool:
        connection = self.connection
        if connection is None or connection.state is not ConnectionState.OPEN:
            return False
        protocol: Any = connection._proto
        frames, messages = protocol._frame_decoder, protocol._message_decoder
        if frames.header is not None or frames.buffer.buffer or messages.opcode is not None:
            return False
        return bool(protocol._parse_more.gi_frame)  # it has met nothing that is wrong
