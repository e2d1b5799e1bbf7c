"""Parts of packages that a program uses, and that neither it nor the package imports."""

from __future__ import annotations

from pathlib import Path

import pytest

from reptarium.pool.check import parts
from tests.unit.check.exported import only

ALL = {"N8N_RUNNERS_STDLIB_ALLOW": "*", "N8N_RUNNERS_EXTERNAL_ALLOW": "*"}


@pytest.fixture(autouse=True)
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`plain` imports `a`, which imports `b`, and not `c`; `lazy` makes what it is asked for."""
    files = {
        "plain/__init__.py": "from plain.a import thing",
        "plain/a.py": "from . import b\nthing = 1",
        "plain/b.py": "",
        "plain/c/__init__.py": "",
        "lazy/__init__.py": "def __getattr__(name): ...",
        "lazy/c.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(parts, "places", lambda: [str(tmp_path)])
    parts._unimported.cache_clear()


def told(source: str) -> list[tuple[str, str]]:
    """What isn't there, and why."""
    return [(one.message, one.why) for one in only(source, ALL).refusals if one.kind == "never"]


def test_a_part_that_is_preloaded() -> None:
    """What the administrator has imported ahead is there without an import."""
    one = only("import plain\nplain.c.f()\nreturn []", {**ALL, "REPTARIUM_PRELOAD": "plain.c"})
    assert [refusal for refusal in one.refusals if refusal.kind == "never"] == []


def test_parts_that_are_known(tmp_path: Path) -> None:
    """Of matplotlib, which makes much on demand, it is known that `pyplot` isn't among that."""
    (tmp_path / "matplotlib").mkdir()
    (tmp_path / "matplotlib/__init__.py").write_text("def __getattr__(name): ...")
    assert [
        what for what, _ in told("import matplotlib\nmatplotlib.pyplot.figure()\nreturn [matplotlib.rcParams]")
    ] == ["'matplotlib.pyplot' isn't there"]


def test_a_part_that_nothing_imports() -> None:
    """It isn't there, and what to write is told."""
    assert told("import plain\nplain.c.f()\nreturn []") == [
        ("'plain.c' isn't there", "plain doesn't import it: write import plain.c")
    ]


@pytest.mark.parametrize(
    "source",
    [
        "import plain\nplain.a.f(plain.b, plain.thing)\nreturn []",
        "import plain.c\nplain.c.f()\nreturn []",
        "import plain\nfrom plain.c import f\nplain.c.f()\nreturn []",
        "from plain import c\nc.f()\nreturn []",
        "from plain import c as other, thing\nother.f(thing)\nreturn []",
        "import plain, lazy\nplain.c.f()\nreturn []",
        "import lazy\nlazy.c.f()\nreturn []",
    ],
)
def test_a_part_that_may_be_there(source: str) -> None:
    """What the program, its package or another one imports, or may make, is nobody's business."""
    assert told(source) == []
