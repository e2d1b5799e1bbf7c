"""What fails a run of the load generator, and two of its reports held against each other."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from reptarium.pool.bench import report
from reptarium.pool.bench.thresholds import threshold
from reptarium.pool.cli.main import main
from reptarium.pool.cli.status import BAD_INPUT
from tests.unit.bench.test_bench_numbers import a_round, result

#: Of 100 tasks of 10 ms one after the other, 2 of which failed: what holds, and what doesn't.
HOLDS = ["p99>5ms", "p50 >= 0.01s", "max<20000us", "rate<101", "rate>99/s", "failed>1", "failed>1%", "p99.9>1ms"]
DOES_NOT = ["p99>50ms", "p50<5ms", "rate<50", "failed>2", "failed>2%", "cpu>1ms"]


def measured() -> report.CaseResult:
    return msgspec.structs.replace(result("ours", a_round(100)), failures=2, failed={"timeout": 2})


def test_conditions() -> None:
    """Each is of one figure, in its own unit; what holds is told with what was measured."""
    for text in HOLDS:
        told = threshold(text).broken(measured())
        assert told is not None, text
        assert told.startswith(f"{text}: trivial, ours: ")
    for text in DOES_NOT:
        assert threshold(text).broken(measured()) is None, text
    assert threshold("p99>50ms").broken(measured()) is None
    assert str(threshold("p99>5ms").broken(measured())).endswith("p99 is 10.00 ms")
    assert str(threshold("failed>1%").broken(measured())).endswith("failed is 2.00%")


def test_what_was_not_measured_has_failed() -> None:
    """A run without a single good task doesn't pass for a quick one."""
    nothing = msgspec.structs.replace(measured(), latency=dict.fromkeys(("p50", "p90", "p99", "p99.9", "max")))
    assert str(threshold("p99>50ms").broken(nothing)).endswith("p99 is not measured")


@pytest.mark.parametrize("text", ["", "p99", "p98>5ms", "p99>5", "p99>fast", "rate<5ms", "failed>5s", "p99=5ms"])
def test_no_conditions(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The refusal names the flag and says what is allowed."""
    with pytest.raises(SystemExit) as ended:
        main(["bench", "--fail-if", text])
    assert ended.value.code == BAD_INPUT
    assert "--fail-if" in (said := capsys.readouterr().err)
    assert "p99>50ms" in said


def written(path: Path, *results: report.CaseResult) -> str:
    path.write_bytes(report.to_json(report.build([], list(results), [], [])))
    return str(path)


def test_two_reports_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second over the first, for what both have, and whether chance explains it."""
    rounds = [a_round(latency=one) for one in (0.010, 0.011, 0.009)]
    faster = [a_round(latency=one) for one in (0.005, 0.0055, 0.0045)]
    first = written(tmp_path / "a.json", result("ours", *rounds), result("theirs", *rounds))
    second = written(tmp_path / "b.json", result("ours", *faster), result("other", *rounds))
    assert main(["bench", "diff", first, second]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("trivial, ours: 2.00 times the tasks/s (100.0 to 200.0; 95 %: ")
    assert "noise" not in line
    assert "p50 10.00 to 5.00 ms" in line
    assert main(["bench", "diff", first, first]) == 0
    assert all("within the noise" in line for line in capsys.readouterr().out.splitlines())


def test_what_cannot_be_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Is bad input, with the file's name."""
    good = written(tmp_path / "a.json", result("ours", a_round()))
    other = written(tmp_path / "b.json", result("theirs", a_round()))
    (tmp_path / "c.json").write_text("{}")
    for what, said in (
        (["diff", good], "diff A.json B.json"),
        (["compare", good, good], "diff A.json B.json"),
        (["diff", good, str(tmp_path / "none.json")], "none.json: No such file"),
        (["diff", good, str(tmp_path / "c.json")], "c.json is no report"),
        (["diff", good, other], "in common"),
        (["--fail-if", "p99>1ms", "diff", good, good], "takes no options: --fail-if"),
        (["--rounds", "4", "--report", "d.json", "diff", good, good], "takes no options: --rounds, --report"),
    ):
        assert main(["bench", *what]) == BAD_INPUT
        assert said in capsys.readouterr().err
