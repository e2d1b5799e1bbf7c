"""What preloading learns of tasks' reports, without a process or a clock."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reptarium.pool.workers import learning
from reptarium.pool.workers.learning import CHANGE, EVERY, HALF_LIFE, ONE_TASK, Learning, Remembered, learnable
from reptarium.pool.workers.succession import added
from reptarium.sandbox.language.policy import LanguagePolicy
from tests.limits import examples

MIB = 2**20
OPEN = LanguagePolicy(stdlib_allow=("*",), external_allow=("*",))
INSTALLED = frozenset({"pandas", "slow", "crasher", "statistics", "subprocess", "reptarium", "trio"})


def learner(policy: LanguagePolicy = OPEN, budget: int = 256 * MIB, remembered: Remembered | None = None) -> Learning:
    made = Learning(policy, budget=budget, remembered=remembered)
    made.installed = INSTALLED
    return made


def hear(made: Learning, now: float = 0.0, **told: float) -> None:
    made.heard(json.dumps(told).encode(), now)


def hear_until_due(made: Learning, name: str, now: float = 0.0) -> None:
    for _ in range(100):
        if made.due(now) == name:
            return
        hear(made, now, **{name: 10_000})
    raise AssertionError(f"{name} is never due")


def test_what_several_tasks_import_is_due_and_what_one_imports_is_not() -> None:
    """However long one task says that it took."""
    made = learner()
    hear(made, pandas=1e6)
    assert made.due(0.0) is None
    hear(made, pandas=1e6)
    hear(made, pandas=1e6)
    assert made.due(0.0) == "pandas"
    assert made.tried("pandas", 30 * MIB, 0.0) == "learnt"
    assert made.names == ("pandas",)
    hear_again = made.score("pandas", 0.0)
    hear(made, pandas=1e6)
    assert (hear_again, made.score("pandas", 0.0), made.due(1e9)) == (0.0, 0.0, None)


def test_a_score_fades() -> None:
    """Half of it in the half-life: what is imported now and then is never worth a zygote."""
    made = learner()
    hear(made, pandas=400)
    assert made.score("pandas", HALF_LIFE) == pytest.approx(200)
    for hour in range(1, 200):
        hear(made, hour * 3600.0, pandas=400)
        assert made.due(hour * 3600.0) is None


def test_what_takes_more_memory_than_it_saves_is_tried_again_when_it_saves_more() -> None:
    """Its cost is known by then, so not a moment sooner; and never where the budget is too small for it."""
    made = learner()
    hear_until_due(made, "pandas")
    made.begin(0.0)
    assert made.tried("pandas", 200 * MIB, 0.0) == "too dear"
    assert made.due(EVERY) is None
    while made.score("pandas", EVERY) < 2000:
        assert made.due(EVERY) is None
        hear(made, EVERY, pandas=400)
    assert made.due(EVERY) == "pandas"
    assert made.tried("pandas", 200 * MIB, EVERY) == "learnt"
    hear_until_due(made, "slow", 2 * EVERY)
    for _ in range(1000):
        hear(made, 2 * EVERY, slow=400)
    assert made.tried("slow", 57 * MIB, 2 * EVERY) == "too dear"
    assert made.due(1e9) is None
    assert made.tried("slow", 56 * MIB, 2 * EVERY) == "learnt"


def test_one_change_in_a_while() -> None:
    """Whatever is due."""
    made = learner()
    hear_until_due(made, "pandas", 5.0)
    made.begin(5.0)
    assert made.due(5.0 + EVERY - 0.1) is None
    assert made.due(5.0 + EVERY) == "pandas"


def test_left_out_is_for_good() -> None:
    """Also where it was learnt before, and after a restart."""
    made = learner()
    hear_until_due(made, "crasher")
    made.tried("crasher", 0, 0.0)
    made.leave_out("crasher", "killed")
    for _ in range(10):
        hear(made, crasher=1e6)
    assert (made.names, made.due(0.0)) == ((), None)
    again = learner(remembered=made.remembered)
    for _ in range(10):
        hear(again, crasher=1e6)
    assert again.due(0.0) is None
    assert again.left_out == {"crasher": "killed"}


def test_distrust_learns_anew() -> None:
    """No zygote came up with it: it is preloaded no more, and may be tried again by itself."""
    made = learner(remembered=Remembered({"pandas": MIB, "slow": MIB}))
    assert made.distrust() == ("pandas", "slow")
    assert made.names == ()
    hear_until_due(made, "slow")


@pytest.mark.parametrize(
    "name",
    ["subprocess", "reptarium", "trio", "_private", "pandas.io", "", "a b", "päckchen", "x" * 65, "os\n", "__main__",
     "antigravity"],
)  # fmt: skip
def test_names_that_never_count(name: str) -> None:
    """Refused modules, the runner's own, private ones, parts, and what is no name at all."""
    assert not learnable(OPEN, name)


@pytest.mark.parametrize(
    ("policy", "name", "counts"),
    [
        (OPEN, "pandas", True),
        (OPEN, "statistics", True),
        (LanguagePolicy(external_allow=("pandas",)), "pandas", False),  # preloaded already
        (LanguagePolicy(external_allow=("*",), preload=("pandas",)), "pandas", False),
        (LanguagePolicy(external_allow=("numpy",)), "pandas", False),
        (LanguagePolicy(external_allow=("*",)), "statistics", False),
        (LanguagePolicy(external_allow=("*",), stdlib_allow=("*",), mode="python"), "subprocess", False),
        (LanguagePolicy(external_allow=("google.cloud",)), "google", True),  # the way to what is listed
    ],
)
def test_the_pools_own_lists_decide(policy: LanguagePolicy, name: str, counts: bool) -> None:
    """Nothing is imported for a task that tasks of its pool may not import."""
    assert learnable(policy, name) is counts


@pytest.mark.parametrize(
    "report",
    [
        b"", b"[]", b"null", b"{", b'{"pandas": NaN}', b'{"pandas": 1e999}', b'{"pandas": -1}', b'{"pandas": 1e300}',
        b'{"pandas": "9"}', b'{"pandas": true}', b'{"pandas": {"a": 1}}', b'["pandas"]', b"\xff", b"[" * 60_000,
        json.dumps({f"pandas{n}": 1 for n in range(3000)} | {"pandas": 400}).encode(),
        json.dumps({"x" * 65: 1, "pandas": 400}).encode(),
        json.dumps({"missing": 400, "subprocess": 400, "trio": 400, "statistics": 9.9}).encode(),
    ],
)  # fmt: skip
def test_reports_that_no_honest_worker_gives_are_dropped(report: bytes) -> None:
    """Whole, and without a word."""
    made = learner()
    for _ in range(10):
        made.heard(report, 0.0)
    assert made.due(0.0) is None
    assert not made._scores


EVENTS = st.one_of(
    st.tuples(st.just("hear"), st.sampled_from([*sorted(INSTALLED), "missing"]), st.floats(allow_nan=True)),
    st.tuples(st.just("wait"), st.floats(0, 10_000), st.none()),
    st.tuples(st.just("try"), st.integers(0, 400 * MIB), st.none()),
    st.tuples(st.just("fail"), st.none(), st.none()),
)


@settings(deadline=None, max_examples=examples(25))
@given(st.lists(EVENTS, max_size=60), st.integers(0, 300 * MIB))
def test_whatever_comes(events: list[tuple[str, Any, Any]], budget: int) -> None:
    """Within the budget, one change in a while, nothing that isn't allowed, nothing twice, nothing left out."""
    made, now, changed = learner(budget=budget), 0.0, -EVERY
    out: set[str] = set()
    for what, one, two in events:
        if what == "wait":
            before = {name: made.score(name, now) for name in INSTALLED}
            now += one
            assert all(made.score(name, now) <= score for name, score in before.items())
        elif what == "hear":
            had = made.score(one, now)
            made.heard(json.dumps({one: two}).encode(), now)
            assert had <= made.score(one, now) <= had + ONE_TASK
        name = made.due(now)
        if name is not None:
            assert now >= changed + EVERY
            assert made.score(name, now) >= CHANGE
            assert name not in out
            assert name not in made.names
            assert learnable(OPEN, name)
            if what in ("try", "fail"):
                made.begin(now)
                changed = now
            if what == "try":
                made.tried(name, one, now)
            elif what == "fail":
                made.leave_out(name, "it fails")
                out.add(name)
        assert made.used <= budget
    again = learner(
        budget=budget, remembered=msgspec.json.decode(msgspec.json.encode(made.remembered), type=Remembered)
    )
    assert (again.learnt, again.left_out) == (made.learnt, made.left_out)


def test_what_is_remembered_is_judged_anew() -> None:
    """The lists may have changed since, and the file may be anybody's."""
    remembered = Remembered(
        {"pandas": MIB, "subprocess": MIB, "crasher": MIB, "slow": -1, "os\n": 1, "huge": 2**60},
        {"crasher": "x" * 5000, "subprocess": ""},
    )
    made = learner(remembered=remembered)
    assert (made.learnt, made.left_out) == ({"pandas": MIB}, {"crasher": "x" * 200})
    assert learner(LanguagePolicy(external_allow=("numpy",)), remembered=remembered).names == ()
    many = Remembered({f"module{n}": 0 for n in range(1000)}, {f"other{n}": "" for n in range(1000)})
    assert len(learner(remembered=many).names) == learning.MOST
    assert len(learner(remembered=many).left_out) == learning.MOST_LEFT_OUT
    assert learner(remembered=many).due(1e9) is None


@pytest.mark.parametrize(
    ("after", "before", "cost"),
    [
        ((50, 7), (40, 5), 10 + 3 * 2),
        ((50, 5), (40, 7), 10),  # workers that touched less
        ((40, 7), (50, 5), 3 * 2),  # huge pages of the zygote that has run for long
        ((40, 5), (50, 7), 0),
    ],
)
def test_what_shrank_by_chance_makes_no_module_cheaper(
    after: tuple[int, int], before: tuple[int, int], cost: int
) -> None:
    assert added(after, before, 3) == cost
