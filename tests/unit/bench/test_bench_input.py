"""`reptarium bench`: scripts of one's own as cases, and what doesn't go together."""

from __future__ import annotations

from pathlib import Path

import pytest

from reptarium.pool.bench.scripts import script
from reptarium.pool.cli.bench_input import _Given, of_scripts
from reptarium.pool.cli.main import main
from reptarium.pool.cli.status import BAD_INPUT
from reptarium.pool.cli.task_input import BadInput
from tests.unit.bench.test_bench_numbers import outcome


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a.py, b.py and items.json are."""
    (tmp_path / "a.py").write_text("return _items")
    (tmp_path / "b.py").write_text("return {}")
    (tmp_path / "c=2.py").write_text("return []")
    (tmp_path / "items.json").write_text('[{"n": 1}]')
    (tmp_path / "five.json").write_text("5")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command says of arguments that it doesn't take."""
    try:
        status = main(["bench", *arguments])
    except SystemExit as ended:
        status = int(str(ended.code))
    assert status == BAD_INPUT
    return capsys.readouterr().err


def test_scripts_are_one_case_by_their_weights(folder: Path) -> None:
    """Each with its own items and mode; the name of a file may have an equals sign."""
    first, second, third = _Given("a.py=3"), _Given("b.py"), _Given("c=2.py")
    first.items, second.each_item = "items.json", True
    (work,) = of_scripts([first, second, third])
    assert work.name == "scripts"
    assert [(case.name, case.share) for case in work.cases] == [("a", 3), ("b", 1), ("c=2", 1)]
    assert bytes(work.cases[0].settings(7).items) == b'[{"json":{"n":1},"pairedItem":{"item":0}}]'
    assert [case.settings(1).node_mode for case in work.cases[:2]] == ["runOnceForAllItems", "runOnceForEachItem"]
    choose = work.chooser(3)
    names = [choose().name for _ in range(1000)]
    assert 550 < names.count("a") < 650
    (alone,) = of_scripts([second])
    assert (alone.name, alone.only) == ("b", alone.cases[0])


def test_two_files_of_one_name(folder: Path) -> None:
    """Figures couldn't be told apart."""
    (folder / "x").mkdir()
    (folder / "x/a.py").write_text("return []")
    with pytest.raises(BadInput, match="two files are called a"):
        of_scripts([_Given("a.py"), _Given("x/a.py")])


def test_what_a_script_must_give() -> None:
    """What n8n takes, and with --expect those items, whatever they are paired with unless that is said."""
    any_items = script(Path("a.py"), "", [], weight=1, each_item=False)
    exactly = script(Path("a.py"), "", [], weight=1, each_item=False, wanted=[{"sum": 3}])
    paired = script(
        Path("a.py"), "", [], weight=1, each_item=False, wanted=[{"json": {"sum": 3}, "pairedItem": {"item": 0}}]
    )
    good, other = outcome("done", b'[{"json":{"sum":3},"pairedItem":{"item":1}}]'), outcome("done", b'[{"sum":4}]')
    number = outcome("done", b"5")
    assert [one.right(1, good) for one in (any_items, exactly, paired)] == [True, True, False]
    assert [one.right(1, other) for one in (any_items, exactly, paired)] == [True, False, False]
    assert not any_items.right(1, number)
    assert not any_items.right(1, outcome("error", error="x"))
    assert any_items.right(2, good)  # again, from what it remembers
    assert not exactly.right(2, other)
    assert "n8n would refuse the result" in any_items.told(number)
    assert exactly.told(other) == 'not what --expect has, but [{"json": {"sum": 4}}]'


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--items", "items.json"], "--items belongs to a --script"),
        (["--each-item", "--script", "a.py"], "--each-item belongs to a --script"),
        (["--script", "none.py"], "--script none.py: No such file"),
        (["--script", "a.py=0"], "'0' is no whole number above 0"),
        (["--script", "a.py", "--items", "none.json"], "--items none.json: "),
        (["--script", "a.py", "--items", "five.json"], "--items: a JSON list"),
        (["--script", "a.py", "--expect", "five.json"], "--expect five.json: no result that n8n takes"),
        (["--listen", "5679"], "is no address"),
        (["--listen", "::1:5679"], "is no address"),
        (["--listen", "[::1]:5679", "--against", "baseline"], "--against doesn't go with --listen"),
        (["--listen", "h:1", "--runners", "2"], "--runners doesn't go with --listen: --expect-runners"),
        (["--listen", "h:1", "--case", "brokers"], "brokers doesn't go with --listen"),
        (["--listen", "h:1", "--tls-cert", "a.py"], "--tls-cert and --tls-key go together"),
        (["--listen", "h:1", "--tls-cert", "a.py", "--tls-key", "b.py"], "--tls-cert, --tls-key: a.py and b.py: exp"),
        (["--expect-runners", "2"], "--expect-runners needs --listen"),
        (["--ramp", "1..2/3s", "--tasks", "5"], "--tasks doesn't go with --ramp"),
        (["--ramp", "1..2/3s", "--rate", "5"], "not allowed with argument --ramp"),
        (["--steps", "1,2/3s", "--duration", "5"], "--duration doesn't go with --steps"),
        (["--chaos", "--script", "a.py"], "--script doesn't go with --chaos"),
        (["--metrics", "x"], "'x' is no port"),
        (["--case", "idle", "--runner-cmd", "./none run"], "the runner './none' can't be started: No such file"),
    ],
)
def test_what_does_not_go_together(
    arguments: list[str], said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Is told before anything starts, in words that say which it is."""
    assert said in refused(capsys, *arguments)
