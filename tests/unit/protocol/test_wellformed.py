"""JSON that stays raw is judged in pieces as it is in one, in bounded memory, and comes out as it came."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reptarium.pool.protocol import messages as m
from reptarium.pool.protocol.messages import blanked, decode_broker_message, is_json_value
from reptarium.pool.protocol.messages.codec import decoding_broker_message
from reptarium.pool.protocol.messages.wellformed import PIECE, WIDEST, Steps, blanking, judging_json, whole

MEGABYTE = 1_000_000

text = st.text(st.characters(exclude_categories=()), max_size=30)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(text, inner, max_size=5),
    max_leaves=60,
)
raws = st.builds(
    lambda value, ascii_only, indent: json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode(
        "utf-8", "surrogatepass"
    ),
    json_values,
    st.booleans(),
    st.sampled_from([None, 1]),
)
almost = st.text('{}[]",:\\u0d8nultrefas1.-+eE \n', max_size=90).map(str.encode)
damage = st.binary(max_size=2) | st.sampled_from([b"]", b"}", b'"', b",", b"[", b"{", b":", b"\\", b'},{"json":'])
pieces = st.integers(16, 70)


def strictly(raw: bytes) -> bool:
    """What the standard library's parser says of the text."""

    def constant(name: str) -> None:
        raise ValueError(name)

    try:
        json.loads(raw.decode("utf-8"), parse_constant=constant)
    except ValueError:
        return False
    return True


@given(raws | almost, pieces)
def test_pieces_are_judged_as_the_whole(raw: bytes, piece: int) -> None:
    """Wherever a value is cut, the verdict is that of a strict parser on all of it."""
    assert whole(judging_json(raw, piece)) is strictly(raw)


@given(raws, pieces, st.data())
def test_damage_is_found_in_pieces(raw: bytes, piece: int, data: st.DataObject) -> None:
    """A bracket, a quote or a comma too many or too few is found on either side of a cut."""
    at = data.draw(st.integers(0, len(raw)))
    damaged = raw[:at] + data.draw(damage) + raw[at + data.draw(st.integers(0, 2)) :]
    assert whole(judging_json(damaged, piece)) is strictly(damaged)


@given(raws | almost, pieces)
def test_a_blanked_copy_is_the_same_in_pieces(raw: bytes, piece: int) -> None:
    """No cut falls into an escape, and no byte is won or lost."""
    assert whole(blanking(raw, piece)) == blanked(raw)
    assert len(blanked(raw)) == len(raw)


def test_only_escapes_of_surrogates_are_blanked() -> None:
    """A backslash that is itself escaped begins no escape; nothing outside of a string becomes JSON."""
    assert blanked(rb'"\ud83d \uDC00 \\ud83d \\\ud83d \u0041"').endswith(rb"ud83d __\u083d \u0041" b'"')
    for bad in (rb"\ud83d", rb"[\ud83d]", rb'{"a":1\ud83d}', rb'"\\\ud8"', rb'"\ud8zz"'):
        assert not is_json_value(bad)
    for good in (rb'"\\ud8"', rb'"\\\ud83d"', rb'"\ud83d\uDE00\ud83d"'):
        assert is_json_value(good)


def steps_of(steps: Steps[Any]) -> tuple[int, Any]:
    count = 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return count, end.value
        count += 1


def listed(part: bytes, size: int = 2 * MEGABYTE) -> bytes:
    return b"[" + b",".join([part] * (size // (len(part) + 1))) + b"]"


LARGE = {
    "items": listed(b'{"json":{"name":"B","n":1}}'),
    "items with half an emoji": listed(rb'{"json":{"name":"\ud83d","n":1}}'),
    "rows": listed(b'{"a":[1,{"b":"},{\\"json\\":"}]}'),
    "one text": b'"' + b"x" * 2 * MEGABYTE + b'"',
    "one text of half emojis": b'"' + rb"\ud83d" * (MEGABYTE // 3) + b'"',
    "one text of backslashes": b'["' + rb"\\" * MEGABYTE + b'"]',
    "one text of quotes": b'{"a":{"b":"' + rb"\"" * MEGABYTE + b'"}}',
    "one key": b'{"' + b"k" * 2 * MEGABYTE + b'":1}',
    "no text": listed(b"[]"),
    "nested": listed(b"[" * 400 + b"]" * 400),
    "emojis": b'["' + "é😀".encode() * (MEGABYTE // 3) + b'"]',
}


@pytest.mark.parametrize("raw", LARGE.values(), ids=LARGE)
def test_a_large_value_is_judged_in_many_steps(raw: bytes) -> None:
    """Whatever fills it, nothing looks at more than a few pieces at a time; cut short, it is refused."""
    count, verdict = steps_of(judging_json(raw))
    assert verdict is True
    assert count >= len(raw) // PIECE
    assert steps_of(judging_json(raw[:-1]))[1] is False
    assert steps_of(judging_json(raw + b","))[1] is False
    assert steps_of(judging_json(raw[: len(raw) // 2] + b"\xff" + raw[len(raw) // 2 :]))[1] is False


@pytest.mark.parametrize(
    "raw",
    [(b"[" * 900 + b"]" * 900 + b",") * 500, b"[" * 600 + b"[]" * 300_000 + b"]" * 600],
    ids=["values without a list", "lists without commas"],
)
def test_brackets_that_cannot_be_cut_are_judged_in_many_steps(raw: bytes) -> None:
    """They are counted one by one, which takes ten times as long as all else."""
    count, verdict = steps_of(judging_json(raw))
    assert verdict is False
    assert count >= 24


@pytest.mark.parametrize("filler", [b" ", b"1"])
def test_endless_white_space_and_digits_are_refused(filler: bytes) -> None:
    """What can't be cut is no honest worker's: it would be looked at in one."""
    assert is_json_value(b"[1" + filler * 1000 + b"]")
    assert not is_json_value(b"[1" + filler * (2 * WIDEST) + b"]")


def peak(work: Callable[[], object]) -> int:
    """How many bytes more than at its beginning are held at some moment of ``work``."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_half_an_emoji_makes_no_objects_of_a_result() -> None:
    """A result with lone surrogates is judged in the memory of a few pieces."""
    raw = LARGE["items with half an emoji"]
    assert peak(lambda: is_json_value(raw)) < MEGABYTE


def test_half_an_emoji_makes_no_objects_of_items() -> None:
    """Items with lone surrogates cost copies of the frame, not objects, and go on as they came."""
    items = LARGE["items with half an emoji"].replace(b'"n":1}', b'"n": 1.10, "u": "\\uD83D\\\\"}', 1)
    code = rb'"a=\"\ud83d\ud83d\ude00\""'
    head = rb'{"type":"broker:tasksettings","taskId":"t","settings":{"future":["\ud83d"],"code":' + code
    frame = head + b"," + b'"nodeName":"N", "items" : ' + items + b' },"more":{"\\udc00":1}}'
    got: list[Any] = []
    assert peak(lambda: got.append(decode_broker_message(frame))) < 3 * len(frame)
    (message,) = got
    assert isinstance(message, m.BrokerTaskSettings)
    assert bytes(message.settings.items) == items
    assert message.settings.code == 'a="\ud83d\U0001f600"'
    assert message.settings.node_name == "N"
    assert steps_of(decoding_broker_message(frame))[0] >= len(frame) // PIECE


@pytest.mark.parametrize(
    "frame",
    [
        rb'{"type":"broker:taskcancel","taskId":"t","reason":"\ud83d","reason":"y"}',
        rb'{"type":"broker:taskcancel","taskId":"t","reason":"\ud83d","taskId":"t"}',
    ],
)
def test_a_key_that_comes_twice_is_a_fault(frame: bytes) -> None:
    """Beside half an emoji nobody guesses which of two is meant."""
    assert decode_broker_message(frame) == m.Malformed("not JSON: " + _fault(frame), "broker:taskcancel", "t")


def _fault(frame: bytes) -> str:
    with pytest.raises(msgspec.DecodeError) as caught:
        msgspec.json.decode(frame)
    return str(caught.value)
