"""A value of user code's as JSON bytes: its result, what it saves, what it sends with a call.

Values that JSON can't hold become strings, as in n8n's own runner, but for those that have an
obvious JSON form: datetimes become ISO 8601, sets, generators, dict views and ranges lists,
dataclasses, pydantic's and attrs' objects JSON objects, Decimals numbers, numpy scalars and
arrays numbers and lists, NaN and infinities null (a bare ``NaN`` is invalid JSON and hangs n8n
until its own time-out). Objects whose class in the user's code has a ``__str__`` stay what it says,
and so do the iterators that never end. ``original`` conversion keeps Python's ``str()`` for
everything that the original stringifies.

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
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import msgspec

from reptarium.sandbox.language.hardening import trusted
from reptarium.sandbox.nesting import MAX_NESTING, nesting, room

Conversion = Literal["rich", "original"]
#: JSON as it is written: no copy is made of it only to have it in another type.
Raw = bytes | bytearray

#: Types that msgspec writes exactly as we want them. Exact types: a subclass may lie.
_PLAIN = frozenset({dict, list, tuple, str, int, float, bool, type(None)})
#: Those of them that never change.
_FIXED = frozenset({str, int, float, bool, type(None)})
_MAX_DEPTH = 100
_MAX_WIDTH = 5_000_000
#: Values that one iterator of the result may give.
_MOST_VALUES = 1_000_000
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
    """Whether the tree holds nothing but exact built-in JSON types, found by C calls only; and no keys that msgspec
    spells in its own way.
    """
    above: list[object] = []
    level: list[object] = [value]
    for _ in range(_MAX_DEPTH):
        kinds = set(map(type, level))
        if not kinds <= _PLAIN or (float in kinds and _has_float_keys(above)):
            return False
        above, level = level, gc.get_referents(*level)
        if not level:
            return True
        if len(level) > _MAX_WIDTH:
            return False
    return False


def _has_float_keys(values: list[object]) -> bool:
    """Whether a dict among them has such a key: msgspec writes ``1e16`` for ``1e+16``."""
    return float in map(type, set[object]().union(*[one for one in values if type(one) is dict]))


def _dumps(value: object, hook: Callable[[object], object], *, ensure_ascii: bool) -> bytes:
    return json.dumps(value, default=hook, allow_nan=False, ensure_ascii=ensure_ascii, separators=(",", ":")).encode()


def _original(value: object) -> object:
    return str(value)


class _TheirError(BaseException):
    """What the user's own code raised while its result was written: the report is of that, whatever kind it is."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


_BOTH_WAYS: tuple[Any, ...] = (
    [], (), range(0), {}, {}.values(), {}.items(), collections.deque(), collections.OrderedDict(),
)  # fmt: skip
_ONE_WAY: tuple[Any, ...] = ("a", "é", b"", bytearray(), set(), range(2**64))
#: What ``iter`` and ``reversed`` make of Python's own collections: classes without names of their own.
_ITERATORS: tuple[type, ...] = tuple(
    {type(iter(one)) for one in _BOTH_WAYS + _ONE_WAY} | {type(reversed(one)) for one in _BOTH_WAYS} - {reversed}
)

#: What gives out its values one by one, and becomes the list of them: ``itertools``' too, but for those without an end.
_SERIES = (
    *_ITERATORS,
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
    *(
        kind
        for kind in vars(itertools).values()
        if isinstance(kind, type) and kind not in (itertools.count, itertools.cycle)
    ),
)


def _is_series(value: object) -> bool:
    if not isinstance(value, _SERIES) or _has_its_own_text(value):
        return False
    if isinstance(value, itertools.repeat):
        try:
            value.__length_hint__()
        except TypeError:
            return False
    return True


class _Rich:
    """The JSON form of a value that the encoder doesn't know; called again for what it returns.

    An iterator gives its values once: they are kept for another attempt.
    """

    def __init__(self) -> None:
        self._series: dict[int, tuple[object, list[object]]] = {}

    def __call__(self, value: object) -> object:
        if not _is_series(value):
            try:
                return _rich(value)
            except (RecursionError, MemoryError):
                raise
            except Exception as error:  # its __str__, its properties
                raise _TheirError(error) from None
        if id(value) not in self._series:
            self._series[id(value)] = value, self._read(value)  # type: ignore[arg-type]
        return self._series[id(value)][1]

    def _read(self, series: Iterable[object]) -> list[object]:
        """The values as they are when they are given: the next step may change, or end, what they hold."""
        values: list[object] = []
        what = f"{type(series).__name__} in the result"
        try:
            for value in series:
                if len(values) == _MOST_VALUES:
                    raise ResultError(
                        f"a {what} gives more than {_MOST_VALUES:,} values. If it ends, return a list of them"
                    )
                values.append(value if type(value) in _FIXED else self._settled(value))
        except (ResultError, _TheirError):
            raise
        except MemoryError:
            count = len(values)
            values.clear()
            raise ResultError(f"there is no memory for what a {what} gives after {count:,} values") from None
        except BaseException as error:
            raise _TheirError(error) from None
        return values

    def _settled(self, value: object) -> object:
        try:
            return self._tree(value)
        except RecursionError:  # it holds itself, or is too deep: that is said later
            return value

    def _tree(self, value: object) -> object:
        if isinstance(value, dict):
            return {key: one if type(one) in _FIXED else self._tree(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [one if type(one) in _FIXED else self._tree(one) for one in value]
        return value if isinstance(value, str | int | float) else self._tree(self(value))


def _has_its_own_text(value: object) -> bool:
    """Whether the user's code says how it reads."""
    method = type(value).__str__
    return isinstance(method, types.FunctionType) and method.__module__ == "__main__"


def _rich(value: object) -> object:
    if _has_its_own_text(value):
        return str(value)
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
        return int(value) if value.as_tuple().exponent == 0 and (value or not value.is_signed()) else float(value)
    number = float(value)
    return number if math.isfinite(number) else None


def key_text(key: object) -> str:
    """A dict key as ``json`` writes it, and anything else by its text."""
    if isinstance(key, str):
        return str.__str__(key)
    if key is True:
        return "true"
    if key is False:
        return "false"
    if key is None:
        return "null"
    if isinstance(key, int):
        return int.__repr__(key)
    if isinstance(key, float):
        return json.dumps(key)  # NaN, Infinity
    if isinstance(key, datetime.datetime | datetime.date | datetime.time):
        return key.isoformat()
    return str(key)


def _refuse_lost(value: dict[Any, Any]) -> None:
    """Raise where a key that has become text is another's, whose value would be gone without a word.

    1 and "1" are json's own: both are written everywhere, and n8n keeps the last.
    """
    texts = collections.Counter(map(key_text, value))
    for key in value:
        if key is not None and not isinstance(key, str | int | float) and texts[key_text(key)] > 1:
            raise ResultError(
                f"the result cannot be written as JSON: several keys of a dict become {key_text(key)[:100]!r}, "
                f"one of them of type {type(key).__name__}"
            )


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
            rebuilt = {key_text(k): _rebuild(v, hook, above) for k, v in value.items()}
            if len(rebuilt) < len(value):
                _refuse_lost(value)
            return rebuilt
        if isinstance(value, list | tuple):
            return [_rebuild(v, hook, above) for v in value]
        return _rebuild(hook(value), hook, above)
    finally:
        above.discard(id(value))
