"""Frames that are taken past wsproto: what comes of a stream of bytes is what wsproto makes of it."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import AcceptConnection, CloseConnection, Message, Request, TextMessage
from wsproto.utilities import LocalProtocolError

from reptarium.pool.brokers.plain_frames import PlainFrames


def opened(client: WSConnection) -> WSConnection:
    """The server that this client has shaken hands with."""
    server = WSConnection(ConnectionType.SERVER)
    server.receive_data(client.send(Request(host="h", target="/")))
    list(server.events())
    client.receive_data(server.send(AcceptConnection()))
    list(client.events())
    return server


def frame(first: int, payload: bytes, *, masked: bool = False, wide: bool = False) -> bytes:
    """Any frame, those that nobody may send among them."""
    size, mask = len(payload), 0x80 * masked
    if size > 125 or wide:
        head = struct.pack("!BBH", first, mask | 126, size)
    else:
        head = struct.pack("!BB", first, mask | size)
    return head + bytes(4) * masked + payload


TEXTS = st.one_of(st.text(max_size=6).map(str.encode), st.sampled_from([b"x" * 125, b"y" * 126, "é".encode() * 300]))
PLAIN = TEXTS.map(lambda text: frame(0x81, text))
FRAMES = st.one_of(
    PLAIN,
    PLAIN,
    st.builds(frame, st.sampled_from([0x01, 0x80, 0x00, 0x82, 0x02, 0x89, 0x8A]), TEXTS.map(lambda text: text[:125])),
    st.builds(
        frame,
        st.sampled_from([0x81, 0xC1, 0x83, 0x88, 0x09]),
        st.one_of(TEXTS, st.sampled_from([b"\xff", b"\xc3", b"\xed\xa0\x80"])),
        masked=st.booleans(),
        wide=st.booleans(),
    ),
)


def told(client: WSConnection, chunks: list[bytes]) -> list[Any]:
    """What a client makes of them, until it is told to close."""
    found: list[Any] = []
    begun = b""
    for chunk in chunks:
        client.receive_data(chunk)
        for event in client.events():
            if isinstance(event, Message):
                begun += event.data.encode() if isinstance(event, TextMessage) else bytes(event.data)
                if event.message_finished:
                    found.append(begun)
                    begun = b""
            else:
                found.append(event)
            if isinstance(event, CloseConnection):
                return found
    return found


@given(st.lists(FRAMES, max_size=8), st.lists(st.integers(1, 40), max_size=8))
def test_what_comes_is_what_wsproto_makes_of_it(frames: list[bytes], cuts: list[int]) -> None:
    """However it is cut, and whatever is wrong with it: the same messages, the same ends."""
    stream, chunks = b"".join(frames), []
    for cut in [*cuts, len(stream)]:
        if stream:
            chunks.append(stream[:cut])
            stream = stream[cut:]
    ours, theirs = PlainFrames(), WSConnection(ConnectionType.CLIENT)
    opened(ours)
    opened(theirs)
    assert told(ours, chunks) == told(theirs, chunks)


def test_what_is_cut_in_the_middle_of_a_flood_stays_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of a frame is waited for where others came before it; a trickle is wsproto's, which tells each part."""
    client = PlainFrames()
    opened(client)
    given: list[bytes] = []
    monkeypatch.setattr(WSConnection, "receive_data", lambda self, data: given.append(data))
    stream = frame(0x81, b"first") + frame(0x81, b"second") + frame(0x81, b"third")
    client.receive_data(stream[:10])
    assert [event.data for event in client.events()] == [b"first"]  # type: ignore[attr-defined]
    assert client.receiving
    client.receive_data(stream[10:-1])
    assert [event.data for event in client.events()] == [b"second"]  # type: ignore[attr-defined]
    assert given == []
    client.receive_data(stream[-1:])
    assert [event.data for event in client.events()] == [b"third"]  # type: ignore[attr-defined]
    assert not client.receiving

    client.receive_data(stream[:5])
    assert list(client.events()) == []
    assert given == [stream[:5]]


def test_frames_are_taken_apart_when_they_are_asked_for() -> None:
    """64 KiB may be 30,000 of them, between which everything else has its turn."""
    client = PlainFrames()
    opened(client)
    client.receive_data(frame(0x81, b"first") + frame(0x81, b"\xff"))
    events = client.events()
    assert next(events).data == b"first"  # type: ignore[attr-defined]
    assert isinstance(next(events), CloseConnection)  # no text, and what came before it is none the worse


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 200_003])
def test_a_message_is_read_as_it_was_sent(size: int) -> None:
    """In one frame, masked, whatever its length takes."""
    client = PlainFrames()
    server = opened(client)
    text = ("aé" * size).encode()[:size].decode("utf-8", "ignore").encode()
    sent = client.text(text)
    server.receive_data(sent)
    found = list(server.events())
    assert "".join(event.data for event in found).encode() == text  # type: ignore[attr-defined]
    assert found[-1].message_finished  # type: ignore[attr-defined]
    assert len(text) < 16 or text not in sent


def test_each_message_has_a_mask_of_its_own() -> None:
    """RFC 6455, 5.3: nobody can foretell it."""
    client = PlainFrames()
    opened(client)
    assert len({client.text(b"the same") for _ in range(20)}) == 20


def test_nothing_is_sent_after_the_end() -> None:
    """Nor what is no text."""
    client = PlainFrames()
    opened(client)
    with pytest.raises(UnicodeDecodeError):
        client.text(b"\xff")
    client.send(CloseConnection(code=1000))
    assert client.state is ConnectionState.LOCAL_CLOSING
    with pytest.raises(LocalProtocolError):
        client.text(b"late")
