"""Whether bytes are JSON: large ones looked at piece by piece, so that nobody else waits for the verdict.

A worker is hostile: what it calls its result must not be able to close our brackets. msgspec judges, in one call that
nothing can interrupt and that takes up to 5 ns a byte; so a large value is cut, and it judges the pieces. A piece is
made whole first. In front of it goes what brings a parser into the same state as all that came before (the containers
that are open, as if each held one thing already), behind it what closes the containers that are open at its end.

**Why this is as strict as one call.** A piece ends after a comma between two values, or within a string outside an
escape. In each case what is put behind it is accepted in one state of a parser only: brackets match brackets, and a
quote that opened a string instead of closing one would never be closed itself. So a piece that msgspec accepts leaves
a parser in exactly the state that the next piece is begun with. Where the pieces are cut, and what is open there, may
be guessed: a wrong guess is refused.

**How deep** (``sandbox/nesting.py``) is judged of each piece made whole: what is open before it is part of it.

**Half an emoji.** ``JSON.stringify`` and Python write a lone surrogate as an escape (``"\\ud83d"``), which is JSON
(RFC 8259, 8.2), and which msgspec refuses. :func:`blanked` makes a copy that differs only in that.
"""

from __future__ import annotations

from codecs import utf_8_decode
from collections.abc import Generator
from typing import TypeVar

import msgspec

from reptarium.sandbox.nesting import FEW, MAX_NESTING, nesting, nesting_in_steps, room

Buffer = bytes | bytearray | memoryview
_T = TypeVar("_T")
#: Work that stops after each piece of it, to be gone on with.
Steps = Generator[None, None, _T]

#: How much is looked at between two steps, in bytes: a fifth of a millisecond, or some for what is nested on purpose.
PIECE = 1 << 17
#: A piece that can't be cut is made larger up to here. More white space, or digits, no worker sends that is honest.
WIDEST = 1 << 20

#: What a JSON decoder raises for what isn't JSON, isn't UTF-8, has another shape, or is nested too deeply.
UNREADABLE = (ValueError, RecursionError)

_raw_decoder = msgspec.json.Decoder(msgspec.Raw)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_CLOSED_BY = {ord("["): b"]", ord("{"): b"}"}
#: Nested pairs of brackets are taken out from the inside so many times, the rest one by one.
_ROUNDS = 8
#: So many between two steps, which takes a millisecond or two.
_BRACKETS = 1 << 14


def whole(steps: Steps[_T]) -> _T:
    """Do all of it at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            value: _T = end.value
            return value


def is_json_value(raw: Buffer) -> bool:
    """Whether ``raw`` is exactly one well-formed JSON value in UTF-8, without :data:`WIDEST` bytes of white space."""
    if len(raw) > PIECE:
        return whole(judging_json(raw))
    view = memoryview(raw)
    try:
        utf_8_decode(view, "strict", True)
    except UnicodeError:
        return False
    return accepts(view)


def judging_json(raw: Buffer, piece: int = PIECE) -> Steps[bool]:
    """:func:`is_json_value`, a step for every ``piece`` bytes (at least 16)."""
    try:
        yield from _reading_utf8(raw, piece)
    except UnicodeError:
        return False
    view = memoryview(raw)
    state, at = _START, 0
    guess: _Guess | None = (_BETWEEN[0], _LIST)  # n8n's items
    while (left := len(view) - at) > piece:
        ended = None if guess is None else _as_before(bytes(view[at : at + piece]), *guess)
        if ended is None or not accepts(_piece(state, view[at : at + ended[0]], ended[1])):
            size = piece
            while (ended := (yield from _end(bytes(view[at : at + size]), state))) is None and size < min(left, WIDEST):
                size *= 2
                yield
            if ended is None and size < left:
                return False
            if ended is None:
                break
            if not (yield from _accepting(_piece(state, view[at : at + ended[0]], ended[1]))):
                return False
            guess = _guess(view[at : at + ended[0] + _LONGEST_BETWEEN], *ended)
        at, state = at + ended[0], ended[1]
        yield
    return (yield from _accepting(state.before() + bytes(view[at:]) if at else view))


def blanked(raw: Buffer) -> bytes:
    """A copy of the same length with every ``\\ud…`` escape (a surrogate, or half a one) made a ``\\u0…``.

    It is JSON where ``raw`` is and its tokens lie where they lay, but texts in it may be others.
    """
    return whole(blanking(raw))


def blanking(raw: Buffer, piece: int = PIECE) -> Steps[bytes]:
    """:func:`blanked`, a step for every ``piece`` bytes (at least 16)."""
    view = memoryview(raw)
    out = bytearray()
    while len(out) < len(view):
        part = bytes(view[len(out) : len(out) + piece])
        if len(out) + len(part) < len(view):
            part = part[: outside_escape(without_escaped_quotes(part))] or part
        # escaped backslashes go first: what follows them is no escape
        out += part.replace(b"\\\\", b"__").replace(b"\\ud", b"\\u0").replace(b"\\uD", b"\\u0")
        if len(out) < len(view):
            yield
    return bytes(out)


def _reading_utf8(raw: Buffer, piece: int) -> Steps[None]:
    view, at = memoryview(raw), 0
    while len(view) - at > piece:
        at += utf_8_decode(view[at : at + piece], "strict", False)[1]
        yield
    utf_8_decode(view[at:], "strict", True)


class _State:
    """Where a parser is between two pieces: the open containers (``[`` and ``{``), and what comes next.

    ``next`` is ``,`` after a comma, ``k`` within a key, ``v`` within a string that is a value, or empty at the start.
    """

    __slots__ = ("next", "open")

    def __init__(self, opened: bytes, following: str) -> None:
        self.open = opened
        self.next = following

    def before(self) -> bytes:
        """What brings a parser here."""
        outer = b"".join(b"[" if bracket == 0x5B else b'{"":' for bracket in self.open[:-1])
        inmost = self.open[-1:]
        if self.next == ",":
            return outer + (b"[0," if inmost == b"[" else b'{"":0,')
        if self.next == "k":
            return outer + b'{"'
        if self.next == "v":
            return outer + {b"[": b'["', b"{": b'{"":"', b"": b'"'}[inmost]
        return b""

    def after(self) -> bytes:
        """What ends the text here, and nowhere else."""
        closing = b"".join(_CLOSED_BY[bracket] for bracket in reversed(self.open))
        if self.next == ",":
            return (b"0" if self.open[-1:] == b"[" else b'"":0') + closing
        return (b'":0' if self.next == "k" else b'"') + closing


_START = _State(b"", "")
_LIST = _State(b"[", ",")
#: What stands between two members of a list, the first two bytes of it before the cut: where one likes to cut.
_BETWEEN = (b'},{"json":', b"},{", b"],[")
_LONGEST_BETWEEN = max(map(len, _BETWEEN))
#: What one piece ended with, and in which state: the next one probably does too. Empty: it ended where it had to.
_Guess = tuple[bytes, _State]


def _piece(state: _State, part: memoryview, end: _State) -> bytes:
    return b"".join((state.before(), part, end.after()))


def accepts(text: bytes | memoryview) -> bool:
    return _parses(text, nesting(text))


def _accepting(text: bytes | memoryview) -> Steps[bool]:
    """:func:`accepts`, a step for some thousand brackets of a text that couldn't be cut."""
    depth = nesting(text) if len(text) <= PIECE else (yield from nesting_in_steps(text))
    return _parses(text, depth)


def _parses(text: bytes | memoryview, depth: int) -> bool:
    if depth > MAX_NESTING:
        return False
    try:
        if depth <= FEW:
            _accept(text)
        else:
            with room(depth):
                _accept(text)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return True


def _accept(text: bytes | memoryview) -> None:
    try:
        _raw_decoder.decode(text)
    except msgspec.MsgspecError:
        _raw_decoder.decode(blanked(text))


def _guess(part: memoryview, cut: int, state: _State) -> _Guess | None:
    """What the next piece may end with, after one that was cut at ``cut``. Finding out costs ten times as much."""
    if state.next != ",":
        return b"", state  # in the same string
    if state.open[-1:] != b"[":
        return None
    around = bytes(part[max(cut - 2, 0) :])
    return next((text for text in _BETWEEN if around.startswith(text)), b","), state


def _as_before(part: bytes, ending: bytes, state: _State) -> tuple[int, _State] | None:
    """The last place of ``part`` that looks like the last one's end."""
    if not ending:
        plain = without_escaped_quotes(part)
        return None if b'"' in plain or not (cut := outside_escape(plain)) else (cut, state)
    at = part.rfind(ending)
    return None if at < 0 else (at + min(len(ending), 2), state)


def _end(part: bytes, state: _State) -> Steps[tuple[int, _State] | None]:
    """Where to cut a piece that begins in ``state``, and the state there. None when it can't be cut.

    Between two members of a list of lists or objects; else in the string that it ends in; else after its last
    comma; else at the end of its last string.
    """
    plain = without_escaped_quotes(part)
    inside = state.next in ("k", "v")  # whether the first text is within a string
    for separator in _BETWEEN:
        at = plain.rfind(separator)
        if at >= 0 and plain.count(b'"', 0, at) % 2 == inside:
            opened = yield from _open(state.open + b"".join(plain[: at + 2].split(b'"')[inside::2]))
            if opened is not None and opened[-1:] == b"[":
                return at + 2, _State(opened, ",")
    texts = plain.split(b'"')
    if (len(texts) % 2 == 1) == inside:  # and so is the last
        cut, last = outside_escape(plain), len(texts) - 1
        if cut < len(plain) - len(texts[-1]):
            return None  # too small a piece to hold an escape
    else:
        last, end = len(texts) - 1, len(plain)
        while last >= 0 and (comma := texts[last].rfind(b",")) < 0:
            end -= len(texts[last]) + 1 + (len(texts[last - 1]) + 1 if last else 0)
            last -= 2
        if last >= 0:
            cut = end - len(texts[last]) + comma + 1
            texts[last] = texts[last][: comma + 1]
            opened = yield from _open(state.open + b"".join(texts[inside : last + 1 : 2]))
            return None if opened is None or not opened else (cut, _State(opened, ","))
        last = len(texts) - 2
        cut = len(plain) - len(texts[-1]) - 1
        if last < 0 or cut == 0:
            return None
    if cut == 0:
        return None
    between = texts[inside:last:2]
    opened = yield from _open(state.open + b"".join(between))
    if opened is None:
        return None
    return cut, _State(opened, _kind(between, opened, state))


def _kind(between: list[bytes], opened: bytes, state: _State) -> str:
    """Whether the string that follows ``between`` (what lies outside of strings) is a key or a value."""
    if not between:
        return state.next  # the same string as at the beginning
    word = next((stripped for text in reversed(between) if (stripped := text.rstrip())), b",")
    return "k" if opened[-1:] == b"{" and not word.endswith(b":") else "v"


def _open(text: bytes) -> Steps[bytes | None]:
    """The brackets of ``text`` (without strings) that are not closed in it, or more than any JSON may have that is
    accepted. None when they don't match.
    """
    brackets = text.translate(None, _NO_BRACKETS)
    for _ in range(_ROUNDS):
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
    opened = bytearray()
    for start in range(0, len(brackets), _BRACKETS):
        if start:
            yield
        for bracket in brackets[start : start + _BRACKETS]:
            if bracket in _CLOSED_BY:
                opened.append(bracket)
            elif not opened or _CLOSED_BY[opened.pop()][0] != bracket:
                return None
        if len(opened) > MAX_NESTING:
            break
    return bytes(opened)


def without_escaped_quotes(part: bytes) -> bytes:
    """The same length, with the backslashes and quotes that are escaped blanked."""
    return part.replace(b"\\\\", b"__").replace(b'\\"', b"__")


def outside_escape(plain: bytes) -> int:
    """The last place of ``plain`` (without escaped quotes) that doesn't lie within an escape."""
    at = plain.rfind(b"\\", max(len(plain) - 6, 0))
    cut_off = at >= 0 and (at + 1 == len(plain) or (plain[at + 1 : at + 2] == b"u" and at + 6 > len(plain)))
    return at if cut_off else len(plain)
