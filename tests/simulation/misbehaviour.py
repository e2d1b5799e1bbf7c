"""What brokers do wrong, drawn from the seed."""

from __future__ import annotations

import random
from collections.abc import Iterator

import msgspec

from reptarium.pool.protocol.messages import BrokerMessage, BrokerTaskSettings, encode

#: Answers that are none, to whoever comes in.
DOORS = (
    b"",
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{",
    b'HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{"data": {"token": ""}}',
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgr",
    b"\x00" * 300,
)


class Misbehaviour(msgspec.Struct, kw_only=True):
    """What a broker does wrong; nothing by default. Chances, and times in seconds on the imaginary clock."""

    loses: float = 0.0
    repeats: float = 0.0
    delays: float = 0.0
    garbles: float = 0.0
    door: float = 0.0
    #: Messages of the runner that are read and forgotten.
    overhears: float = 0.0
    #: How many calls are answered.
    answers: float = 1.0
    #: No pongs.
    mute: bool = False
    #: Accepts offers and sends no settings.
    wastes: bool = False
    #: Nothing is read before that time.
    reads_again_at: float = 0.0

    def sent(self, message: BrokerMessage, rng: random.Random) -> Iterator[tuple[float, BrokerMessage | bytes]]:
        """What is sent in place of a message, each after so many seconds."""
        if self.wastes and isinstance(message, BrokerTaskSettings):
            return
        chance = rng.random()
        if (chance := chance - self.loses) < 0:
            return
        if (chance := chance - self.delays) < 0:
            yield rng.choice([0.001, 0.05, 0.5, 3.0]), message
            return
        if (chance := chance - self.garbles) < 0:
            yield 0.0, garbled(encode(message), rng)
            return
        yield 0.0, message
        if chance - self.repeats < 0:
            yield rng.choice([0.0, 0.001, 0.5, 8.0]), message

    def at_the_door(self, rng: random.Random) -> bytes | None:
        """What is answered to who comes in; None: what is right."""
        return rng.choice(DOORS) if rng.random() < self.door else None


def garbled(frame: bytes, rng: random.Random) -> bytes:
    """A message with something wrong in it."""
    at = rng.randrange(len(frame))
    choice = rng.randrange(5)
    if choice == 0:
        return frame[:at]
    if choice == 1:
        return frame.replace(b'"settings"', b'"settinks"').replace(b'"taskId"', b'"taskID"')
    if choice == 2:
        return frame.replace(b'"code":', b'"code":7,"kode":')
    if choice == 3:
        return frame[:at] + bytes([rng.randrange(32, 127)]) + frame[at + 1 :]
    return b"[" * 500 + frame


def garbage(task_id: str, rng: random.Random) -> bytes | str:
    """A message that has nothing to do with anything."""
    return rng.choice(
        [
            b"",
            b"null",
            b"[]",
            b"{}",
            b'{"type": "broker:dance"}',
            b'{"type": "broker:taskofferaccept"}',
            b'{"type": "broker:taskofferaccept", "taskId": "%s", "offerId": "never"}',
            b'{"type": "broker:tasksettings", "taskId": "%s"}',
            b'{"type": "broker:tasksettings", "taskId": "%s", "settings": {"code": 7}}',
            b'{"type": "broker:tasksettings", "taskId": "%s", "settings": {"code": "[]"}}',
            b'{"type": "broker:taskcancel", "taskId": "%s"}',
            b'{"type": "broker:taskcancel", "taskId": "%s", "reason": "garbage"}',
            b'{"type": "broker:rpcresponse", "callId": "x", "taskId": "%s", "status": "success"}',
            b'{"type": "broker:runnerregistered"}',
            b'{"type": "broker:inforequest"}',
            b'{"type": "broker:taskcancel", "taskId": "\\ud83d", "reason": 5}',
        ]
    ).replace(b"%s", task_id.encode())
