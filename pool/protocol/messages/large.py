"""Large messages: people's data in them is found, judged in pieces and taken out; what is left is small.

msgspec reads a message in one call that nothing can interrupt, which takes up to 5 ns a byte; a broker may send 1 GiB.
What makes a message large are values that stay raw (items, a query, an answer). :func:`parting` puts a short *mark* in
the place of each that is long, so that the rest can be decoded as any message is.

**Why this is as strict as one call.** A value is taken out only if it is one well-formed JSON value by itself
(``wellformed.py``), and the rest is read by msgspec with a string in its place. If both are accepted, so is the whole,
and the value is what stands there: JSON has one reading. So where a value begins and ends may be guessed, and is.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Mapping

from reptarium.pool.protocol.messages.wellformed import (
    PIECE,
    Buffer,
    Steps,
    accepts,
    judging_json,
    outside_escape,
    without_escaped_quotes,
)

#: Messages up to this size, in bytes, are read in one call.
LARGE = 4 << 20
#: What may be left of a larger one without people's data: code and names, in bytes.
REST = 8 << 20
#: More containers in one another msgspec doesn't read.
DEEPEST = 5000

#: How much is looked at for one token that is no long string, and at the end of a message for a value's end.
_WINDOW = 1 << 16
#: How much of a value is looked at first.
_FIRST_LOOK = 256
#: How many places there are tried.
_TRIES = 8
#: Tokens between two steps.
_TURN = 2000
_NO_JSON = "not JSON, or nested too deeply, or more than 1 MiB of white space or digits in a row"
_TOO_MUCH = f"more than {REST >> 20} MiB beside items, query and answers"

_BLANKS = re.compile(rb"[ \t\r\n]*+")
#: A bracket, comma or colon; a string, perhaps a key; anything else.
_TOKEN = re.compile(rb'([{}\[\],:])|("[^"\\]*+(?:\\.[^"\\]*+)*+")([ \t\r\n]*+:)?|[^ \t\r\n"{}\[\],:]++', re.DOTALL)
#: A string, or a container with neither strings nor containers in it.
_SIMPLE = re.compile(rb'"[^"\\]*+"|\{[^"\[\]{}]*+\}|\[[^"\[\]{}]*+\]')
#: What ends a value, by what begins it, where another member or the end of the object follows.
_CLOSERS = {
    opener: re.compile(closer + rb"(?=[ \t\r\n]*+[,}])")
    for opener, closer in ((b"{", rb"\}"), (b"[", rb"\]"), (b'"', rb'"'))
}
_ROUND = bytes.maketrans(b"[]{}", b"()()")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_NESTING = re.compile(rb'"[^"]*+"?|[\[\]{}]')
#: Pairs of brackets are taken out from the inside so many times, the rest are counted.
_ROUNDS = 8
#: Nobody knows it who hasn't read our memory.
_SECRET = secrets.token_hex(16).encode()
#: In bytes, its quotes included.
LONGEST_MARK = len(_SECRET) + 16


def parting(
    frame: Buffer, kept_fields: Collection[str], piece: int = PIECE
) -> Steps[tuple[bytes, dict[bytes, memoryview]] | str]:
    """Take what is longer than ``piece`` out of a message and the objects in it, but for ``kept_fields``.

    Those are the fields that are to be decoded; others are raw, or nobody's. Returns the rest, with a mark (a JSON
    string) in the place of each value, and the values by their marks. They are judged, the rest isn't. Or why this is
    no message, as a text.
    """
    text, kept = memoryview(frame), {f'"{field}"'.encode() for field in kept_fields}
    rest: list[bytes | memoryview] = []
    values: dict[bytes, memoryview] = {}
    at = begin = size = tokens = seen = 0
    key, opened = b"", bytearray()
    while (at := _blanks(text, at)) < len(text):
        tokens += 1
        if tokens % _TURN == 0 or at - seen > piece:
            seen = at
            yield
        if size + at - begin > REST:
            return _TOO_MUCH
        first = bytes(text[at : at + 1])
        # a key that has escapes may be any
        if key and key not in kept and b"\\" not in key and first in _CLOSERS and bytes(opened) in (b"{", b"{{"):
            found = yield from _value(text, at, bytes(opened), piece)
            if found is None:
                return _NO_JSON
            end, is_long = found
            if is_long:
                mark = b'"%s%d"' % (_SECRET, len(values))
                values[mark] = text[at:end]
                rest += text[begin:at], mark
                size += at - begin + len(mark)
                begin = end
            key, at = b"", end
            continue
        key = b""
        token = _TOKEN.match(text, at, at + _WINDOW)
        if token is not None:
            at = token.end()
            if token[1] in (b"{", b"["):
                opened += token[1]
                if len(opened) > DEEPEST:
                    return _NO_JSON
            elif token[1] in (b"}", b"]"):
                del opened[-1:]
            elif token[3] is not None and opened[-1:] == b"{":
                key = token[2]
        elif first == b'"':
            closed = yield from _closing(text, at, piece)
            if closed is None:
                return _NO_JSON
            at = closed
        else:
            return _NO_JSON  # white space without end
    rest.append(text[begin:])
    return _TOO_MUCH if size + len(text) - begin > REST else (b"".join(rest), values)


def joined(rest: bytes, values: Mapping[bytes, memoryview]) -> list[bytes | memoryview]:
    """What :func:`parting` parted, in the order in which it is to be written: the rest may have been made anew."""
    return [values.get(part, part) for part in re.split(rb'("%s\d+")' % _SECRET, rest)]


def _blanks(text: memoryview, at: int) -> int:
    blanks = _BLANKS.match(text, at, at + _WINDOW)
    assert blanks is not None
    return blanks.end()


def _value(text: memoryview, begin: int, opened: bytes, piece: int) -> Steps[tuple[int, bool] | None]:
    """Where a container or a string ends, and whether it is longer than ``piece``: then it is well-formed.

    None: it is none.
    """
    simple = _SIMPLE.match(text, begin, begin + min(_FIRST_LOOK, piece))
    if simple is not None:
        return simple.end(), False
    size = _FIRST_LOOK
    while size < piece:  # what is short costs no more than its length: there may be a million of them
        if end := _closed_within(_closing(text, begin, size)):
            return end, False
        size *= 16
    closing = _closing(text, begin, piece)
    try:
        next(closing)
    except StopIteration as found:
        return None if found.value is None else (found.value, False)
    yield
    probable = _probable_end(text, begin, opened)
    yield
    if probable is not None and (yield from judging_json(text[begin:probable], piece)):
        return probable, True
    end = yield from closing
    if end is None or end == probable or not (yield from judging_json(text[begin:end], piece)):
        return None
    return end, True


def _closed_within(closing: Steps[int | None]) -> int | None:
    """What the first step says."""
    try:
        next(closing)
    except StopIteration as found:
        end: int | None = found.value
        return end
    return None


def _probable_end(text: memoryview, begin: int, opened: bytes) -> int | None:
    """A place from which on the message may go on to its end, with ``opened`` objects to be closed: the last one.

    Finding out where the value ends costs ten times what judging it does, and brokers put little behind it.
    """
    start = max(begin + 1, len(text) - _WINDOW)
    end = bytes(text[start:])
    before = b'{"":' * len(opened) + b"0"
    closers = [found.end() for found in _CLOSERS[bytes(text[begin : begin + 1])].finditer(end)]
    for at in closers[: -_TRIES - 1 : -1]:
        if accepts(before + end[at:]):
            return start + at
    return None


def _closing(text: memoryview, begin: int, piece: int) -> Steps[int | None]:
    """Where the container or the string ends that begins there, a step for every piece. None: nowhere."""
    string = text[begin] == 0x22
    at, depth, inside = begin + 1, 0 if string else 1, string
    while at < len(text):
        plain = without_escaped_quotes(bytes(text[at : at + piece]))
        if at + len(plain) < len(text):
            plain = plain[: outside_escape(plain)] or plain
        if string:
            if (end := plain.find(b'"')) >= 0:
                return at + end + 1
        else:
            texts = plain.split(b'"')
            brackets = b"".join(texts[inside::2]).translate(_ROUND, _NO_BRACKETS)
            for _ in range(_ROUNDS):
                brackets = brackets.replace(b"()", b"")
            after = depth
            for bracket in brackets:
                after += 1 if bracket == 0x28 else -1
                if after == 0:
                    return at + _end_within(plain, depth, inside)
            if after > DEEPEST:
                return None
            depth, inside = after, inside ^ (len(texts) % 2 == 0)
        at += len(plain)
        yield
    return None


def _end_within(plain: bytes, depth: int, inside: bool) -> int:
    """Where in a piece without escaped quotes the last of ``depth`` open containers is closed."""
    at = plain.index(b'"') + 1 if inside else 0
    for found in _NESTING.finditer(plain, at):
        if found[0] in (b"[", b"{"):
            depth += 1
        elif found[0] in (b"]", b"}"):
            depth -= 1
            if depth == 0:
                return found.end()
    raise AssertionError("the brackets were counted")
