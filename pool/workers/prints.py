"""What a worker's tasks have printed and nobody has taken yet: read out of memory that the worker writes.

The layout is ``sandbox/wire.py``'s (``PRINTS_SIZE``). A worker writes there what it likes, while it is read, too, so
the memory is never mapped here: each look is a copy, judged afterwards like anything that a worker says. What an
honest worker does between two looks shows in the number at the beginning, which is why that is looked at twice.
"""

from __future__ import annotations

import os
import stat

from reptarium.sandbox import wire

__all__ = ["Prints"]

_SIZE = wire.PRINTS_PLACE.size


class Prints:
    """One worker's. ``fd``: of the memory, which is this object's to close; -1: there is none."""

    __slots__ = ("_fd", "_known", "taken")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._known = False  # to be memory that can be read without a wait
        #: Bytes of prints that were taken, in the worker's life.
        self.taken = 0

    def sent(self, payload: bytes | bytearray) -> bytes | bytearray | memoryview:
        """What of a CONSOLE frame is new. Raises ``wire.ProtocolViolation``."""
        if len(payload) < _SIZE:
            raise wire.ProtocolViolation("prints without their place")
        (before,) = wire.PRINTS_PLACE.unpack_from(payload)
        known, size = self.taken - before, len(payload) - _SIZE
        if not 0 <= known <= size:
            raise wire.ProtocolViolation("prints that don't follow those before")
        self.taken = before + size
        return memoryview(payload)[_SIZE + known :]

    def waiting(self) -> bytes:
        """What lies in the memory and is new: empty, where there is none. Raises ``wire.ProtocolViolation``."""
        if not self.readable:
            return b""
        before, size = self._head()
        new = before + size - self.taken
        if before > self.taken or new <= 0:  # what lies between is on its way, and comes first; or all was taken
            return b""
        if size > wire.PRINTS_ROOM:
            raise wire.ProtocolViolation("more prints than their memory holds")
        lines = self._read(new, wire.PRINTS_HEAD + size - new)
        if self._head()[0] != before:  # others lie there by now
            return b""
        self.taken += new
        return lines

    def close(self) -> None:
        """What is in the memory is gone."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _head(self) -> tuple[int, int]:
        head = self._read(wire.PRINTS_HEAD, 0)
        (before,), (size,) = wire.PRINTS_PLACE.unpack_from(head), wire.PRINTS_PLACE.unpack_from(head, _SIZE)
        return before, size

    def _read(self, size: int, at: int) -> bytes:
        found = os.pread(self._fd, size, at)
        if len(found) != size:
            raise wire.ProtocolViolation("the memory of its prints has shrunk")
        return found

    @property
    def readable(self) -> bool:
        """Whether there is such memory. Raises ``wire.ProtocolViolation`` for anything else.

        A zygote isn't believed either: a read of what is no memory could wait.
        """
        if not self._known and self._fd >= 0:
            facts = os.fstat(self._fd)
            if not stat.S_ISREG(facts.st_mode) or facts.st_size != wire.PRINTS_SIZE:
                self.close()
                raise wire.ProtocolViolation("its prints lie in what is no memory for them")
            self._known = True
        return self._fd >= 0
