"""How what user code returned becomes JSON."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import itertools
import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reptarium.sandbox.language import hardening
from reptarium.sandbox.userspace import json_form
from reptarium.sandbox.userspace.json_form import Conversion, ResultError, to_json


def decoded(value: object, conversion: Conversion = "rich") -> Any:
    """Through our encoder and a strict parser."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(to_json(value, conversion), parse_constant=refuse)


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Point:
    x: int
    when: datetime.date


UTC = datetime.UTC

RICH = [
    (datetime.datetime(2024, 2, 29, 12, 30), "2024-02-29T12:30:00"),
    (datetime.datetime(2024, 2, 29, 12, 30, tzinfo=UTC), "2024-02-29T12:30:00+00:00"),
    (datetime.date(2024, 2, 29), "2024-02-29"),
    (datetime.time(1, 2), "01:02:00"),
    ({3, 1, 2}, [1, 2, 3]),
    (frozenset("a"), ["a"]),
    (Point(1, datetime.date(2024, 1, 1)), {"x": 1, "when": "2024-01-01"}),
    (decimal.Decimal("1.5"), 1.5),
    (decimal.Decimal("12345678901234567890"), 12345678901234567890),
    (decimal.Decimal("NaN"), None),
    (decimal.Decimal("-0"), -0.0),
    (decimal.Decimal("1E+999999"), None),
    (float("nan"), None),
    (float("-inf"), None),
    ((1, (2, 3)), [1, [2, 3]]),
    (collections.OrderedDict(a=1), {"a": 1}),
    (collections.Counter("aab"), {"a": 2, "b": 1}),
    ({7: "a", None: "b", True: "c", 2.5: "d"}, {"7": "a", "null": "b", "true": "c", "2.5": "d"}),
    ({(1, 2): "t"}, {"(1, 2)": "t"}),
    (
        {1e16: 1, 1e-5: 2, -1.5e300: 3, 1e22: 4, -0.0: 5},
        {"1e+16": 1, "1e-05": 2, "-1.5e+300": 3, "1e+22": 4, "-0.0": 5},
    ),
    ({1e16: (1,), (1,): {2}}, {"1e+16": [1], "(1,)": [2]}),
    ({float("nan"): 1, float("-inf"): 2, Level.HIGH: 3}, {"NaN": 1, "-Infinity": 2, "3": 3}),
    ({datetime.date(2024, 1, 1): 1}, {"2024-01-01": 1}),
    (Level.HIGH, 3),
    # JSON has no form for these: their text, as in n8n's own runner
    (b"abc", "b'abc'"),
    (1 + 2j, "(1+2j)"),
    (Colour.RED, "Colour.RED"),
    (datetime.timedelta(days=1), "1 day, 0:00:00"),
    (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (range(3), [0, 1, 2]),
    (collections.deque([1, 2]), [1, 2]),
    ({"a": 1}.values(), [1]),
    ({"a": 1}.items(), [["a", 1]]),
    (itertools.count(3), "count(3)"),
    (itertools.repeat(3), "repeat(3)"),
    ("half an emoji: \ud83d", "half an emoji: \ud83d"),
    (10**40, 10**40),
]


def test_iterators_become_lists_whatever_else_is_in_the_result() -> None:
    """Each gives its values once, though what stands beside it makes another attempt necessary."""
    value = {"n": float("nan"), "all": [(x for x in "ab"), map(str, [1]), enumerate("b")]}
    assert decoded(value) == {"n": None, "all": [["a", "b"], ["1"], [[0, "b"]]]}


@pytest.mark.parametrize(
    "one",
    [[1, 2], (1, 2), range(1, 3), range(2**64, 2**64 + 2), "ab", "éb", b"ab", bytearray(b"ab"), {1: "a", 2: "b"},
     {1: "a", 2: "b"}.values(), {1: "a", 2: "b"}.items(), {1: "a", 2: "b"}.keys(), collections.deque([1, 2]), {1, 2},
     frozenset({1, 2}), collections.OrderedDict({1: "a", 2: "b"})],
    ids=lambda one: f"{type(one).__name__}{'-long' if str(one).endswith('8)') else ''}",
)  # fmt: skip
def test_what_iter_and_reversed_give_becomes_a_list(one: Any) -> None:
    """Of every collection of Python's own; their classes have no names that one could look up."""
    assert decoded({"n": float("nan"), "v": iter(one)})["v"] == json.loads(json.dumps(list(iter(one))))
    if not isinstance(one, set | frozenset):
        assert decoded(reversed(one)) == json.loads(json.dumps(list(reversed(one))))


def test_an_iterators_iterators_are_read_before_it_goes_on() -> None:
    """A group of groupby is over once the next one begins."""
    groups = itertools.groupby([1, 1, 2])
    rows = ({"k": key, "g": group} for key, group in itertools.groupby("aab"))
    assert decoded(groups) == [[1, [1, 1]], [2, [2]]]
    assert decoded(rows) == [{"k": "a", "g": ["a", "a"]}, {"k": "b", "g": ["b"]}]


@pytest.mark.parametrize(
    "row",
    [pytest.param({"n": [0]}, id="plain"), pytest.param({"n": [0], "when": datetime.date(2024, 1, 1)}, id="rich")],
)
def test_an_iterators_values_are_those_of_their_moment(row: dict[str, Any]) -> None:
    """A generator that changes one object and gives it again gives what it was each time."""

    def rows() -> Iterator[object]:
        for number in range(3):
            row["n"][0] = number
            yield row

    assert [one["n"] for one in decoded(rows())] == [[0], [1], [2]]
    assert [one["json"]["n"] for one in decoded({"json": each} for each in rows())] == [[0], [1], [2]]


def test_iterators_without_an_end_end_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """What gives more values than anybody wants, or than there is memory for, is an error that says which it is."""
    monkeypatch.setattr(json_form, "_MOST_VALUES", 1000)
    assert decoded(range(1000)) == list(range(1000))
    assert decoded([itertools.repeat(3, 2), itertools.islice(itertools.cycle("ab"), 3)]) == [[3, 3], ["a", "b", "a"]]
    for endless in (
        range(10**30),
        zip(itertools.count(), itertools.count(), strict=False),
        (0 for _ in itertools.count()),
    ):
        name = type(endless).__name__
        with pytest.raises(
            ResultError, match=rf"^a {name} in the result gives more than 1,000 values\. If it ends, return a list"
        ):
            to_json({"v": [endless]})

    def greedy() -> Iterator[int]:
        yield 1
        raise MemoryError

    with pytest.raises(
        ResultError, match=r"^there is no memory for what a generator in the result gives after 1 values"
    ):
        to_json(greedy())


#: Classes of the user's code, and one of a library's.
OWN_TEXTS = """
class Text:
    def __str__(self): return "its text"
@dataclasses.dataclass
class Data(Text):
    x: int = 1
class Table(Text, collections.UserDict): pass
class Day(Text, datetime.datetime): pass
class Members(Text, set): pass
class Amount(Text, decimal.Decimal): pass
class Queue(Text, collections.deque): pass
class Broken:
    def __str__(self): raise KeyError("no text")
"""


def test_the_text_of_a_class_of_the_users() -> None:
    """What the user's code says in `__str__` is what its objects become, as in n8n's own runner; a library's isn't."""
    own: dict[str, Any] = {"__name__": "__main__", **globals()} | {"__name__": "__main__"}
    exec(OWN_TEXTS, own)  # noqa: S102 - our own text
    values = [
        own["Data"](),
        own["Table"](a=1),
        own["Day"](2024, 1, 1),
        own["Members"]([1]),
        own["Amount"](1),
        own["Queue"](),
    ]
    assert decoded(values) == ["its text"] * 6
    theirs = {**own, "__name__": __name__}
    exec(OWN_TEXTS, theirs)  # noqa: S102
    values = [theirs["Data"](), theirs["Table"](a=1), theirs["Day"](2024, 1, 1), theirs["Members"]([1])]
    assert decoded(values) == [{"x": 1}, {"a": 1}, "2024-01-01T00:00:00", [1]]
    with pytest.raises(KeyError, match="no text"):
        to_json([own["Broken"]()])


def test_an_error_within_a_generator_is_told_as_it_is() -> None:
    """It is the program's own, of whatever kind, and no word about JSON hides it."""

    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("in there")

    with pytest.raises(ValueError, match=r"^in there$"):
        to_json([broken()])


@pytest.mark.parametrize(
    ("value", "expected"), RICH, ids=[repr(v)[:40].encode("ascii", "replace").decode() for v, _ in RICH]
)
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [{"json": {"deep": [v]}}]], ids=["bare", "nested"])
def test_rich_conversion(value: object, expected: object, wrap: Any) -> None:
    """A value gets its JSON form wherever in the result it stands."""
    assert decoded(wrap(value)) == wrap(expected)


@pytest.mark.parametrize(
    "value",
    [datetime.datetime(2024, 1, 1), {1, 2}, decimal.Decimal("1.5"), Point(1, datetime.date(2024, 1, 1))],
)
def test_original_conversion_keeps_python_text(value: object) -> None:
    """With REPTARIUM_RESULT_CONVERSION=original everything that n8n's runner stringifies stays a string."""
    assert decoded([value], "original") == [str(value)]


def test_original_conversion_still_writes_valid_json() -> None:
    """A NaN is null in either conversion: n8n could not parse it, and the task would hang."""
    assert decoded({"a": float("nan")}, "original") == {"a": None}


def test_numpy_values() -> None:
    """Numpy scalars become numbers, arrays lists, missing values null."""
    np = pytest.importorskip("numpy")
    value = {
        "i": np.int64(3),
        "f": np.float32(0.5),
        "n": np.float64("nan"),
        "b": np.bool_(True),
        "a": np.array([[1, 2], [3, 4]]),
        "d": np.datetime64("2024-01-01"),
        "t": np.datetime64("NaT"),
        "k": {np.int64(1): 2},
    }
    assert decoded(value) == {
        "i": 3, "f": 0.5, "n": None, "b": True, "a": [[1, 2], [3, 4]], "d": "2024-01-01", "t": None, "k": {"1": 2},
    }  # fmt: skip


def test_pandas_values() -> None:
    """Pandas' timestamps are ISO 8601, its missing values null, its tables lists of rows."""
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": [1, 2], "when": pd.to_datetime(["2024-01-01", None])})
    assert decoded([frame, pd.NA, pd.NaT, pd.Timestamp("2024-01-01"), pd.Series([1, 2])]) == [
        [{"a": 1, "when": "2024-01-01T00:00:00"}, {"a": 2, "when": None}],
        None, None, "2024-01-01T00:00:00", [1, 2],
    ]  # fmt: skip


class Key:
    """A key by its text."""

    def __str__(self) -> str:
        return "a"


@pytest.mark.parametrize("conversion", ["rich", "original"])
@pytest.mark.parametrize(
    ("value", "text", "kind"),
    [
        ({b"a": 1, "b'a'": 2}, "\"b'a'\"", "bytes"),
        ([{"x": {"(1, 2)": 1, (1, 2): 2}}], "'(1, 2)'", "tuple"),
        ({datetime.date(2026, 1, 2): 1, "2026-01-02": 2}, "'2026-01-02'", "date"),
        ({Key(): 1, Key(): 2}, "'a'", "Key"),
    ],
    ids=["bytes", "tuple", "date", "objects"],
)
def test_no_value_is_lost_to_a_key_that_becomes_the_same_text(
    value: object, text: str, kind: str, conversion: Conversion
) -> None:
    """It is an error: which of the two was meant, nobody knows."""
    told = f"several keys of a dict become {text}, one of them of type {kind}"
    with pytest.raises(ResultError, match=re.escape(told)):
        to_json(value, conversion)


def test_keys_that_json_itself_makes_one_are_left_to_it() -> None:
    """1 and "1": n8n's own runner writes both, and n8n keeps the last."""
    assert decoded({1: "a", "1": "b", "x": float("nan")}) == {"1": "b", "x": None}
    assert decoded({(1,): 0, 1: "a", "1": "b"}) == {"(1,)": 0, "1": "b"}


def test_circular_result_is_refused() -> None:
    """A result that contains itself is an error in words, not a crash."""
    value: list[object] = []
    value.append(value)
    with pytest.raises(ResultError, match="contains itself"):
        to_json(value)


def test_endless_nesting_is_refused() -> None:
    """A result nested beyond any parser is an error in words."""
    value: list[object] = []
    for _ in range(200_000):
        value = [value]
    with pytest.raises(ResultError, match="nested too deeply"):
        to_json(value)


def test_shared_but_not_circular_is_fine() -> None:
    """The same list in two places is no cycle, NaN or not."""
    shared = [float("nan")]
    assert decoded({"a": shared, "b": shared}) == {"a": [None], "b": [None]}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_values_survive(value: object) -> None:
    """What JSON can hold comes back as it was."""
    assert decoded(value) == value


def test_plain_results_are_written_the_fast_way_while_the_audit_hook_is_armed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look for plain results asks the cycle collector, which the hook forbids to user code."""

    def slow(*args: object, **kwargs: object) -> bytes:
        raise AssertionError("a plain result took the slow way")

    monkeypatch.setattr(json_form, "_dumps", slow)
    previous = hardening.arm({})
    try:
        assert to_json([{"json": {"a": [1, None, "x"]}}]) == b'[{"json":{"a":[1,null,"x"]}}]'
    finally:
        hardening.disarm(previous)
