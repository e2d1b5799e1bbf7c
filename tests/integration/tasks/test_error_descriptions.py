"""What n8n shows below an error: the exception's own description, or what was written to standard error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from reptarium.pool.embedded_broker.outcome import failure_text
from tests.conftest import make_settings
from tests.shared_runner import SharedRunner

OWN = "class Own(Exception):\n    description = {}\nraise Own('boom')"


@pytest.fixture(scope="module")
def runner() -> Iterator[SharedRunner]:
    """Two slots."""
    with SharedRunner(make_settings()).serving() as runner:
        yield runner


def error(runner: SharedRunner, code: str, **settings: Any) -> dict[str, Any]:
    """The error of a task that must have failed."""
    outcome = runner.run({"code": code, "items": [{"json": {}}], **settings})
    assert outcome.status == "error", outcome
    found: dict[str, Any] = msgspec.to_builtins(outcome.error)
    return found


def test_own_description(runner: SharedRunner) -> None:
    """An exception's own description is the error's; message, line and item stay what they are."""
    code = "class Own(Exception):\n    pass\ne = Own('boom')\ne.description = 'Order 7 has no customer'\nraise e"
    for settings, item in (({}, None), ({"nodeMode": "runOnceForEachItem"}, 0)):
        report = error(runner, code, **settings)
        assert (report["message"], report["description"]) == ("boom", "Order 7 has no customer")
        assert (report["lineNumber"], report.get("itemIndex")) == (5, item)
        assert report["stack"].splitlines()[-1] == "Own: boom"


def test_own_description_of_any_kind(runner: SharedRunner) -> None:
    """A class's, a property's, a value that is no text: as text."""
    assert (error(runner, OWN.format("'from the class'")))["description"] == "from the class"
    assert (error(runner, OWN.format("property(lambda self: f'{self}!')")))["description"] == "boom!"
    assert (error(runner, OWN.format("[1, None]")))["description"] == "[1, None]"
    chained = "try:\n    {}['k']\nexcept KeyError as e:\n    e.description = 'no k'\n    raise"
    assert (error(runner, chained))["description"] == "no k"


HOSTILE = {
    "nothing": "None",
    "empty": "''",
    "false": "0",
    "a method": "lambda self: 'x'",
    "property that raises": "property(lambda self: 1 / 0)",
    "property that exits": "property(lambda self: (_ for _ in ()).throw(SystemExit(3)))",
    "property without end": "property(lambda self: self.description)",
    "bool that raises": "B()",
    "str that raises": "S()",
}
KINDS = """
class B:
    def __bool__(self): raise KeyboardInterrupt
class S:
    def __str__(self): raise ValueError
"""


@pytest.mark.parametrize("kind", HOSTILE)
def test_no_description(runner: SharedRunner, kind: str) -> None:
    """Where there is none to be had, ours stands: the line, the exception, the source."""
    report = error(runner, KINDS + OWN.format(HOSTILE[kind]))
    assert report["message"] == "boom"
    assert report["description"].splitlines() == ["Line 8: Own: boom", "raise Own('boom')"]


def test_hostile_texts(runner: SharedRunner) -> None:
    """A description is bounded, can be sent, and is what it holds, not what it says of itself."""
    report = error(runner, OWN.format("'x' * 50_000_000"))
    assert report["description"] == "x" * 8192 + " … (cut)"
    report = error(runner, OWN.format("'\\ud83d!' * 8192"))
    assert report["description"] == ("\\ud83d!" * 1171)[:8192] + " … (cut)"
    liar = """
class Liar(str):
    def __str__(self): return 'lie'
    def __getitem__(self, key): return 'lie'
    def __len__(self): return 3
    def encode(self, *args): return 7
    def __format__(self, spec): raise ValueError
class Own(Exception):
    description = Liar('true')
    def __str__(self): return Liar('message')
raise Own()
"""
    report = error(runner, liar)
    assert (report["message"], report["description"]) == ("message", "true")


def test_standard_error(runner: SharedRunner) -> None:
    """What was written to standard error before an error begins the description; ours follows."""
    code = "import sys\nprint('step 1', file=sys.stderr)\nsys.stderr.write('step 2\\n')\nraise ValueError('boom')"
    report = error(runner, code)
    assert report["message"] == "boom"
    assert report["description"].splitlines() == [
        "step 1",
        "step 2",
        "",
        "Line 4: ValueError: boom",
        "raise ValueError('boom')",
    ]
    assert report["stderr"] == "step 1\nstep 2\n"
    logged = "import logging, warnings\nlogging.error('by log')\nwarnings.warn('odd')\nraise ValueError('boom')"
    first, second, *_ = (error(runner, logged))["description"].splitlines()
    assert first == "ERROR:root:by log"
    assert "odd" in second


def test_standard_error_beside_a_description(runner: SharedRunner) -> None:
    """An exception's own description stands alone; standard error is in the report all the same."""
    report = error(runner, "import sys\nsys.stderr.write('aside')\n" + OWN.format("'own'"))
    assert (report["description"], report["stderr"]) == ("own", "aside")


def test_standard_output_is_no_description(runner: SharedRunner) -> None:
    """What was written to standard output is no part of the error's report: it has been printed."""
    report = error(runner, "import sys\nsys.stdout.write('out\\n')\nsys.stderr.write('err\\n')\n1 / 0")
    assert report["description"].splitlines()[0] == "err"
    assert "out" not in report["description"]
    assert report["stderr"] == "err\n"


def test_standard_error_of_every_failure(runner: SharedRunner) -> None:
    """A refused import, a result that can't be, an exit: each has what was written before."""
    for code, ours in (
        ("__import__('subproc' + 'ess')", "subprocess"),
        ("raise SystemExit(3)", "Line 3: SystemExit"),
        ("x = []\nx.append(x)\nreturn x", ""),
        ("raise MemoryError", "REPTARIUM_TASK_MEMORY"),
    ):
        report = error(runner, f"import sys\nsys.stderr.write('before')\n{code}")
        assert report["description"].startswith("before"), report
        assert ours in report["description"]


def test_standard_error_is_bounded(runner: SharedRunner) -> None:
    """However much is written, whatever characters it has: the end of it comes, and the report with it."""
    report = error(runner, "import sys\nfor n in range(50_000):\n    sys.stderr.write(f'{n}\\n')\n1 / 0")
    said, _, ours = report["description"].partition("\n\n")
    assert said.startswith("(cut) … ")
    assert said.endswith("\n49999")
    assert len(said) == 8192 + len("(cut) … ")
    assert ours.startswith("Line 4: ZeroDivisionError")
    for character in ("\\ud83d", "\\x00", "\\U0001f600"):
        worst = f"import sys\nsys.stderr.write('{character}' * 20_000)\nraise ValueError('{character}' * 20_000)"
        report = error(runner, worst)
        assert len(report["stderr"]) == 16 * 1024
        assert report["message"].endswith("… (cut)")
        assert report["description"].startswith("(cut) … ")


def test_continue_on_fail(runner: SharedRunner) -> None:
    """An error that becomes an item is the message alone, as ever."""
    outcome = runner.run({"code": OWN.format("'own'"), "items": [], "continueOnFail": True})
    assert outcome.result() == [{"json": {"error": "boom"}}]


def test_a_person_reads_it_once(runner: SharedRunner) -> None:
    """`reptarium exec` doesn't repeat what the description begins with."""
    outcome = runner.run({"code": "import sys\nsys.stderr.write('aside\\n')\n1 / 0", "items": []})
    assert failure_text(outcome).count("aside") == 1


@pytest.mark.parametrize(
    "code",
    [
        "class Odd:\n    def __str__(self): raise ValueError(TEXT)\nreturn [{'a': Odd()}]",
        "class Odd:\n    def __str__(self): raise ValueError(TEXT)\n_workflow.static_data['a'] = Odd()\nreturn []",
    ],
)
def test_error_of_a_value_that_has_no_json(runner: SharedRunner, code: str) -> None:
    """What a value's own method raises is told, cut and without lone surrogates."""
    report = error(runner, code.replace("TEXT", "'a\\ud800'"))
    assert report["message"].endswith("a\\ud800")
    report = error(runner, code.replace("TEXT", "'long' * 1_000_000"))
    assert "longlong" in report["message"]
    assert report["message"].endswith(" … (cut)")
    assert len(report["message"]) < 9000


def test_long_names_are_cut(runner: SharedRunner) -> None:
    """An exception's class, or a name that is refused, may have a name of any length."""
    report = error(runner, "class Own(Exception): pass\nOwn.__name__ = 'N' * 1_000_000\nraise Own()")
    assert report["message"] == "N" * 8224 + " … (cut)"
    report = error(runner, "x.__" + "n" * 1_000_000 + "__")
    assert report["message"].startswith("Security violation: ")
    assert report["message"].endswith(" … (cut)")
