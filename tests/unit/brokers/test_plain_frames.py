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


def told(client: WSConnection, chunks: list[bytes], *, to_the_end: bool = False) -> list[Any]:
    """What a client makes of them, until it is told to close; or what it takes after that as well."""
    found: list[Any] = []
    begun = b""
    for chunk in chunks:
        if client.state is ConnectionState.CLOSED:  # its reader has ended
            break
        client.receive_data(chunk)
        for event in client.events():
            if isinstance(event, Message):
                begun += event.data.encode() if isinstance(event, TextMessage) else bytes(event.data)
                if event.message_finished:
                    found.append(begun)
                    begun = b""
            else:
                found.append(event)
            if isinstance(event, CloseConnection) and not to_the_end:
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


HELLO = frame(0x81, b"hello")
LEFT = {
    "binary": [frame(0x82, b"\xff\x00")],
    "a reserved bit": [frame(0xC1, b"a") + HELLO],
    "another reserved bit": [frame(0x91, b"a") + HELLO],
    "no kind": [frame(0x83, b"a") + HELLO],
    "a mask": [frame(0x81, b"abc", masked=True) + HELLO],
    "a mask, longer": [frame(0x81, b"x" * 126, masked=True) + HELLO],
    "a mask, the longest": [b"\x81\xff" + (70_000).to_bytes(8, "big") + bytes(70_004)],
    "a length that is too long": [frame(0x81, b"abc", wide=True) + HELLO],
    "eight bytes of length": [b"\x81\x7f" + (65_536).to_bytes(8, "big") + b"x" * 65_536 + HELLO],
    "eight bytes, too many": [b"\x81\x7f" + (3).to_bytes(8, "big") + b"abc" + HELLO],
    "eight bytes, the first bit": [b"\x81\x7f" + (1 << 63).to_bytes(8, "big") + HELLO],
    "no text": [frame(0x81, b"\xff") + HELLO],
    "half a character": [frame(0x81, b"\xc3") + HELLO],
    "half a character, the rest of which follows": [frame(0x81, b"\xc3") + frame(0x81, b"\xa9")],
    "half a surrogate pair": [frame(0x81, b"\xed\xa0\x80") + HELLO],
    "text amid a message": [frame(0x01, b"a"), HELLO],
    "a ping amid a message": [frame(0x01, b"a"), frame(0x89, b"p"), frame(0x80, b"b") + HELLO],
    "a head alone, then what looks like a frame": [b"\x81\x05", frame(0x81, b"abc") + HELLO],
    "a byte alone, then what looks like a frame": [b"\x81", b"\x81\x00" + HELLO],
    "a byte at a time": [bytes([byte]) for byte in HELLO + frame(0x89, b"") + HELLO],
    "cut behind another, byte by byte": [HELLO + HELLO[:3], *(bytes([byte]) for byte in HELLO[3:] + HELLO)],
    "cut behind another, no text": [HELLO + frame(0x81, b"\xed\xa0\x80")[:3], b"\xa0\x80" + HELLO],
    "cut within its length": [HELLO + b"\x81\x7e", b"\x00\x7e" + b"x" * 126 + HELLO],
    "cut between its length's bytes": [HELLO + b"\x81\x7e\xff", b"\x00" + b"x" * 0xFF00 + HELLO],
    "closed behind another": [HELLO + frame(0x88, b"\x03\xe8bye"), HELLO],
    "a close that is wrong, then another": [frame(0x88, b"\x03"), HELLO],
    "wrong behind another": [HELLO + frame(0x0B, b""), HELLO],
}


@pytest.mark.parametrize("closing", [False, True])
@pytest.mark.parametrize("kind", LEFT)
def test_what_is_not_plain_is_what_wsproto_makes_of_it(kind: str, closing: bool) -> None:
    """One of each kind, while nothing is closed and while we close; to the end, whatever has been wrong before."""
    ours, theirs = PlainFrames(), WSConnection(ConnectionType.CLIENT)
    for client in (ours, theirs):
        opened(client)
        if closing:
            client.send(CloseConnection(code=1000))
    expected = told(theirs, LEFT[kind], to_the_end=True)
    assert told(ours, LEFT[kind], to_the_end=True) == expected
    assert ours.state is theirs.state


def test_nothing_is_read_after_the_end() -> None:
    """Neither what comes then, nor what has come and was not looked at."""
    client = PlainFrames()
    opened(client)
    client.receive_data(HELLO + frame(0x89, b""))
    events = client.events()
    next(events)
    client.receive_data(None)
    assert list(events) == []
    with pytest.raises(LocalProtocolError):
        client.receive_data(HELLO)


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
