"""A value of user code's as JSON bytes: its result, what it saves, what it sends with a call.

Values that JSON can't hold become strings, as in n8n's own runner, but for those that have an
obvious JSON form: datetimes become ISO 8601, sets, generators, dict views and ranges lists,
dataclasses, pydantic's and attrs' objects JSON objects, Decimals numbers, numpy scalars and
arrays numbers and lists, NaN and infinities null (a bare ``NaN`` is invalid JSON and hangs n8n
until its own time-out). ``original`` conversion keeps Python's ``str()`` for everything that the
original stringifies.

Three ways, by speed. A look over the types of the whole tree (a few C calls per level of
nesting) finds most results to be plain, and msgspec writes those 5-7 times faster than the
standard encoder. Anything else goes through ``json`` with a hook; what that refuses (NaN,
odd keys) is rebuilt in Python first.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import gc
import itertools
import json
import math
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from reptarium.sandbox.language.hardening import trusted
from reptarium.sandbox.nesting import MAX_NESTING, nesting, room

Conversion = Literal["rich", "original"]
#: JSON as it is written: no copy is made of it only to have it in another type.
Raw = bytes | bytearray

#: Types that msgspec writes exactly as we want them. Exact types: a subclass may lie.
_PLAIN = frozenset({dict, list, tuple, str, int, float, bool, type(None)})
_MAX_DEPTH = 100
_MAX_WIDTH = 5_000_000
_TOO_DEEP = f"the result is nested too deeply to be written as JSON: over {MAX_NESTING} levels"

_plain_encoder = msgspec.json.Encoder()
#: What an encoding begins with, in bytes; it grows by half of itself.
_BUFFER = 512


class ResultError(Exception):
    """The result has no JSON form: circular, too deep, or too large. The text is for the user."""


def to_json(value: object, conversion: Conversion = "rich") -> Raw:
    """``value`` as one JSON value in UTF-8. Raises :class:`ResultError`, and MemoryError when it finds no room."""
    with trusted():  # C calls only
        plain = _is_plain(value)
    if plain:
        try:
            return write_plain(value)
        except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError):
            pass  # a lone surrogate, a None key …: the slower ways know what to do
    hook = _Rich() if conversion == "rich" else _original
    try:
        with room():
            raw = _written(value, hook)
    except _TheirError as raised:
        raise raised.error from None
    except RecursionError:
        raise ResultError(_TOO_DEEP) from None
    if nesting(raw) > MAX_NESTING:
        raise ResultError(_TOO_DEEP)
    return raw


def write_plain(value: object) -> bytearray:
    """What msgspec makes of ``value``; raises what it raises, and MemoryError when it finds no room.

    Not ``encode``: a bytes object that can't grow under RLIMIT_DATA ends msgspec (0.22) in a segmentation fault, since
    what it was is gone by then and is let go of once more. A bytearray stays as it was.
    """
    buffer = bytearray(_BUFFER)
    _plain_encoder.encode_into(value, buffer)
    return buffer


def _written(value: object, hook: Callable[[object], object]) -> bytes:
    try:
        return _dumps(value, hook, ensure_ascii=False)
    except UnicodeEncodeError:  # a lone surrogate has no UTF-8 form, but an escape
        return _dumps(value, hook, ensure_ascii=True)
    except (ValueError, TypeError):
        pass
    try:
        tree = _rebuild(value, hook, set())
        return _dumps(tree, hook, ensure_ascii=True)
    except (ValueError, TypeError) as error:
        raise ResultError(f"the result cannot be written as JSON: {error}") from None


def _is_plain(value: object) -> bool:
    """Whether the tree holds nothing but exact built-in JSON types, found by C calls only."""
    level: list[object] = [value]
    for _ in range(_MAX_DEPTH):
        if not _PLAIN.issuperset(map(type, level)):
            return False
        level = gc.get_referents(*level)
        if not level:
            return True
        if len(level) > _MAX_WIDTH:
            return False
    return False


def _dumps(value: object, hook: Callable[[object], object], *, ensure_ascii: bool) -> bytes:
    return json.dumps(value, default=hook, allow_nan=False, ensure_ascii=ensure_ascii, separators=(",", ":")).encode()


def _original(value: object) -> object:
    return str(value)


class _TheirError(BaseException):
    """What a generator of the user's raised: the report is of that, whatever kind of error it is."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


#: What gives out its values one by one, and becomes the list of them.
_SERIES = (
    types.GeneratorType,
    map,
    filter,
    zip,
    enumerate,
    reversed,
    range,
    collections.deque,
    collections.abc.KeysView,
    collections.abc.ValuesView,
    collections.abc.ItemsView,
    *(kind for kind in vars(itertools).values() if isinstance(kind, type)),
)


class _Rich:
    """The JSON form of a value that the encoder doesn't know; called again for what it returns.

    An iterator gives its values once: they are kept for another attempt.
    """

    def __init__(self) -> None:
        self._series: dict[int, tuple[object, list[object]]] = {}

    def __call__(self, value: object) -> object:
        if not isinstance(value, _SERIES):
            return _rich(value)
        if id(value) not in self._series:
            try:
                self._series[id(value)] = value, [_settled(one) for one in value]  # type: ignore[attr-defined]
            except BaseException as error:
                raise _TheirError(error) from None
        return self._series[id(value)][1]


def _settled(value: object) -> object:
    """A value that an iterator gave, with lists for the iterators in it: they may be over when it gives the next one
    (the groups of ``itertools.groupby``).
    """
    try:
        return _with_lists(value) if _has_series(value) else value
    except RecursionError:  # it holds itself, or is too deep: that is said later
        return value


def _has_series(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_has_series, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_has_series, value))
    return isinstance(value, _SERIES)


def _with_lists(value: object) -> object:
    if isinstance(value, dict):
        return {key: _with_lists(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, *_SERIES)):
        return [_with_lists(one) for one in value]  # type: ignore[attr-defined]
    return value


def _rich(value: object) -> object:
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        text = value.isoformat()
        return None if text == "NaT" else text  # pandas' not-a-time
    if isinstance(value, set | frozenset):
        return _ordered(value)
    if isinstance(value, decimal.Decimal):
        return _decimal(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        if isinstance(value, numpy.datetime64):
            return None if numpy.isnat(value) else str(value)
        if isinstance(value, numpy.generic):
            item = value.item()
            return str(value) if isinstance(item, numpy.generic) else item
        if isinstance(value, numpy.ndarray):
            if value.dtype.kind in "Mm":
                return [_rich(one) for one in value] if value.ndim else _rich(value[()])
            return value.tolist()
    pydantic = sys.modules.get("pydantic")
    if pydantic is not None and isinstance(value, pydantic.BaseModel):
        return value.model_dump() if hasattr(value, "model_dump") else value.dict()
    attributes = getattr(type(value), "__attrs_attrs__", None)
    if isinstance(attributes, tuple):
        return {attribute.name: getattr(value, attribute.name) for attribute in attributes}
    pandas = sys.modules.get("pandas")
    if pandas is not None:
        if value is pandas.NA or value is pandas.NaT:
            return None
        if isinstance(value, pandas.DataFrame):
            return value.to_dict(orient="records")
        if isinstance(value, pandas.Series | pandas.Index):
            return value.tolist()
    return str(value)


def _ordered(value: set[Any] | frozenset[Any]) -> list[Any]:
    # a set has no order; a sorted list gives the same output for the same input
    try:
        return sorted(value)
    except TypeError:
        return list(value)


def _decimal(value: decimal.Decimal) -> int | float | None:
    if not value.is_finite():
        return None
    # scaled to an exponent of 0 or more it is an integer of any size; guard against 1E+999999
    if value == value.to_integral_value() and value.adjusted() < 400:
        return int(value) if value.as_tuple().exponent == 0 else float(value)
    number = float(value)
    return number if math.isfinite(number) else None


def _key(key: object) -> str:
    """A dict key as ``json`` writes it, and anything else by its text."""
    if isinstance(key, str):
        return str.__str__(key)
    if key is True:
        return "true"
    if key is False:
        return "false"
    if key is None:
        return "null"
    if isinstance(key, datetime.datetime | datetime.date | datetime.time):
        return key.isoformat()
    return str(key)


def _rebuild(value: object, hook: Callable[[object], object], above: set[int]) -> object:
    """A copy of ``value`` that the standard encoder takes: null for NaN, text for odd keys."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if id(value) in above:
        raise ResultError("the result contains itself (a circular reference), which JSON cannot express")
    above.add(id(value))
    try:
        if isinstance(value, dict):
            return {_key(k): _rebuild(v, hook, above) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [_rebuild(v, hook, above) for v in value]
        return _rebuild(hook(value), hook, above)
    finally:
        above.discard(id(value))
