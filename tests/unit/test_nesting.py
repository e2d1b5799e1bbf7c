"""How deep JSON may be nested, on both sides of the sandbox."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reptarium.pool.protocol.messages import (
    BrokerTaskSettings,
    Malformed,
    decode_broker_message,
    decode_runner_message,
    decoding_broker_message,
    is_json_value,
)
from reptarium.sandbox.nesting import MAX_NESTING, bounded, nesting, nesting_in_steps
from reptarium.sandbox.userspace.json_form import ResultError, to_json


def depth(value: object) -> int:
    """The depth, by looking."""
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


def nested(levels: int, inmost: object = None) -> object:
    """A list in a list …, so many of them, around that."""
    value = inmost
    for level in range(levels):
        value = {"]": value} if level % 3 else [value]
    return value


TEXTS = st.text('[]{}"\\,:a', max_size=8)


@given(
    st.recursive(
        st.none() | TEXTS,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
        max_leaves=30,
    ),
    st.sampled_from([0, 300, 999, 1000, 1001]),
)
def test_never_less_than_it_is(value: object, around: int) -> None:
    """Brackets, quotes and escapes within texts hide nothing; it is exact where it matters."""
    text = b"[" * around + json.dumps(value).encode() + b"]" * around
    real = around + depth(value)
    found = nesting(text)
    assert found >= real
    assert found == real or found <= 400


def steps(frame: bytes) -> int:
    """In how many a broker's message is decoded."""
    return sum(1 for _ in decoding_broker_message(frame))


def test_deep_messages_are_counted_in_steps() -> None:
    """Everything else has its turn; and of what is far too deep no more is looked at than shows it."""
    settings = b'{"type":"broker:tasksettings","taskId":"t","settings":{"code":"x","items":[%s]}}'
    just = b",".join([b"[" * 990 + b"]" * 990] * 500)
    assert sum(1 for _ in nesting_in_steps(just)) >= len(just) // 40_000
    if sys.version_info < (3, 12):  # later ones bear that: there is nothing to count
        assert steps(settings % just) >= len(just) // 40_000
    message = decode_broker_message(settings % just)
    assert isinstance(message, BrokerTaskSettings)
    endless = b"[" * 1_000_000
    assert steps(settings % (endless + b"]" * 1_000_000)) <= 12
    assert MAX_NESTING < nesting(endless) < 40_000


@pytest.mark.parametrize("filler", [b"", b'"]",' * 3000, b'"}]",' * 40_000], ids=["small", "large", "in many pieces"])
def test_the_limit_is_the_same_on_both_sides(filler: bytes) -> None:
    """What a worker may say may be nested so deep and no deeper, whatever texts with brackets stand beside it."""
    at_limit = b"[" + filler + b"[" * (MAX_NESTING - 1) + b"]" * MAX_NESTING
    assert is_json_value(at_limit)
    assert not is_json_value(b"[" + at_limit + b"]")


@pytest.mark.parametrize(
    "inmost", [None, float("nan"), Decimal("1.5"), "\ud83d"], ids=["plain", "NaN", "Decimal", "half"]
)
def test_results_of_any_kind_have_one_limit(inmost: object) -> None:
    """Whichever way a result is written, it may be nested so deep; what is deeper is an error in words."""
    before = sys.getrecursionlimit()
    assert is_json_value(to_json(nested(MAX_NESTING, inmost)))
    for levels in (MAX_NESTING + 1, 3000, 100_000):
        with pytest.raises(ResultError, match=f"nested too deeply to be written as JSON: over {MAX_NESTING} levels"):
            to_json(nested(levels, inmost))
    assert sys.getrecursionlimit() == before


def test_a_message_may_carry_what_a_value_may() -> None:
    """Both sides of the protocol read a value at the limit, and refuse a deeper one that this Python doesn't bear."""
    for levels, there in ((MAX_NESTING, True), (5 * MAX_NESTING, sys.version_info >= (3, 12))):
        value = "[" * levels + "]" * levels
        result = '{"type":"runner:taskdone","taskId":"t","data":{"result":' + value + "}}"
        items = '{"type":"broker:tasksettings","taskId":"t","settings":{"code":"x","items":' + value + "}}"
        for read in (decode_runner_message(result), decode_broker_message(items)):
            assert there or isinstance(read, Malformed)
            assert levels > MAX_NESTING or not isinstance(read, Malformed)


@pytest.mark.parametrize("around", [0, 2])
def test_what_others_say_is_read_up_to_the_limit(around: int) -> None:
    """On every Python: a text at the limit is read, and one beyond it isn't, whatever this Python bears."""
    for levels, fits in ((MAX_NESTING + around, True), (MAX_NESTING + around + 1, False)):
        text = b"[" * levels + b"]" * levels
        with nullcontext() if fits else pytest.raises(ValueError, match="nested too deeply"), bounded(text, around):
            assert msgspec.json.decode(text)
