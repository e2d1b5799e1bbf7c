"""DNS as a task's resolver speaks it: one question in, addresses out. Pure, no I/O.

What comes from a task is hostile bytes: exactly one question of class IN with a plain name is read, nothing else of a
message is looked at, and nothing of it is sent anywhere. Answers are made anew.

References: RFC 1035 (messages), RFC 3596 (AAAA).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from reptarium.pool.powers.destinations import Address, normal_name

__all__ = ["MOST_ADDRESSES", "NAME_ERROR", "NO_ERROR", "SERVER_FAILURE", "Question", "answer", "parse"]

#: Response codes.
NO_ERROR: Final = 0
SERVER_FAILURE: Final = 2
NAME_ERROR: Final = 3
#: Addresses in one answer at most.
MOST_ADDRESSES: Final = 16

_HEADER: Final = struct.Struct(">6H")
_TYPES: Final[dict[int, Literal["A", "AAAA"]]] = {1: "A", 28: "AAAA"}
_RECURSION_DESIRED: Final = 0x0100
_RESPONSE: Final = 0x8080  # QR, RA
_LIFETIME: Final = 60
#: Bytes of a message (RFC 1035, 4.2.1).
_LONGEST: Final = 512


class Question(msgspec.Struct, frozen=True):
    """What was asked: ``name`` is normal, or None for one that no rule could list; ``type`` None: not addresses.
    ``raw`` is the question as it came, to be given back.
    """

    id: int
    flags: int
    name: str | None
    type: Literal["A", "AAAA"] | None
    raw: bytes


def parse(message: bytes) -> Question | None:
    """The question in a message; None for what isn't one (the asker gets no answer)."""
    if len(message) < _HEADER.size:
        return None
    number, flags, questions, *_ = _HEADER.unpack_from(message)
    if flags & 0xF800 or questions != 1:  # a response, or another operation than a query
        return None
    labels: list[bytes] = []
    at = _HEADER.size
    while True:
        if at >= len(message):
            return None
        size = message[at]
        at += 1
        if size == 0:
            break
        if size > 63 or at + size > len(message):  # a pointer or worse
            return None
        labels.append(message[at : at + size])
        at += size
    if at + 4 > len(message) or at - _HEADER.size > 255:
        return None
    kind, network = struct.unpack_from(">HH", message, at)
    dotted = b".".join(labels).decode("latin-1")
    # a dot or an odd byte inside of a label would spell another name
    plain = dotted.isascii() and not any(b"." in label for label in labels)
    return Question(
        id=number,
        flags=flags & _RECURSION_DESIRED,
        name=normal_name(dotted) if plain and labels else None,
        type=_TYPES.get(kind) if network == 1 else None,
        raw=message[_HEADER.size : at + 4],
    )


def answer(question: Question, code: int, addresses: Iterable[Address] = ()) -> bytes:
    """The message that answers ``question``, with those of the addresses that are of its type, as far as they have room
    in a message of UDP.
    """
    version = {"A": 4, "AAAA": 6}.get(question.type or "")
    room = (_LONGEST - _HEADER.size - len(question.raw)) // (12 + (4 if version == 4 else 16))
    packed = [address.packed for address in addresses if address.version == version][: min(room, MOST_ADDRESSES)]
    records = b"".join(
        # a pointer to the question's name, type, class IN, seconds, length
        struct.pack(">HHHIH", 0xC00C, 1 if version == 4 else 28, 1, _LIFETIME, len(each)) + each
        for each in packed
    )
    return _HEADER.pack(question.id, _RESPONSE | question.flags | code, 1, len(packed), 0, 0) + question.raw + records
