"""What the load found, on standard output."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from reptarium.pool.bench import report
from reptarium.pool.bench.parts import Part, kept_up

#: Columns that the table needs, and how wide lines are for who has no terminal.
_WIDE, _NO_TERMINAL = 130, 150
_COLUMNS = ("tasks/s", "p50 ms", "p90", "p99", "p99.9", "max", "failed", "rejects", "CPU ms", "peak MB", "generator")


def show(whole: report.BenchReport, console: Console) -> None:
    """Every figure of a run, a word about each comparison and each target."""
    if not console.is_terminal:
        console = Console(width=_NO_TERMINAL)
    if whole.results and console.width >= _WIDE:
        console.print(_table(whole.results))
    for one in whole.results if console.width < _WIDE else []:
        _plain(
            console,
            f"{one.case}, {one.runner}: {one.throughput:.1f} tasks/s; ms: {_times(one.latency)}; "
            f"failed: {report.failed_text(one)}; rejects: {one.rejects}; CPU {report.cpu_text(one)} ms a task; "
            f"peak {report.peak_text(one)} MB; generator {one.generator_share:.0%}",
        )
    for one in whole.results:
        _details(one, console)
    if whole.interrupted:
        measured = "what had been measured by then" if whole.results else "nothing had been measured"
        console.print(f"Interrupted: {measured}.", style="red")
    for one in whole.results:
        for text in one.wrong[:3]:
            console.print(f"wrong: {text}", style="red", markup=False)
    for pair in whole.ratios:
        rounds = ", ".join(f"{value:.1f}" for value in pair.rounds)
        console.print(
            f"{pair.case}: {pair.first} has {pair.throughput:.2f} times the tasks/s of {pair.second} "
            f"({report.verdict(pair)}; rounds: {rounds}); p50 {_medians(whole, pair)}"
        )
    for target in whole.targets:
        verdict = "met   " if target.met else "missed"
        _plain(console, f"{verdict}  {target.name}: {target.measured} (wanted: {target.wanted})")


def _medians(whole: report.BenchReport, pair: report.Ratio) -> str:
    """Both, since "times" of a time says nothing about which of them is better."""
    medians = {one.runner: report.ms(one.latency["p50"]) for one in whole.results if one.case == pair.case}
    return f"{medians[pair.first]} against {medians[pair.second]} ms"


def _table(results: list[report.CaseResult]) -> Table:
    table = Table("case", "runner", title=None)
    for column in _COLUMNS:
        table.add_column(column, justify="right")
    for one in results:
        table.add_row(
            one.case, one.runner, f"{one.throughput:.1f}", *(report.ms(value) for value in one.latency.values()),
            report.failed_text(one), str(one.rejects), report.cpu_text(one), report.peak_text(one),
            f"{one.generator_share:.0%}",
        )  # fmt: skip
    return table


def _details(one: report.CaseResult, console: Console) -> None:
    name = f"{one.case}, {one.runner}"
    for step in one.steps:
        _plain(
            console,
            f"{name}: {step.at:g} to {step.at + step.seconds:g} s: {step.wanted:g}/s wanted, {step.arrived:.1f} "
            f"arrived, {step.done:.1f} done well; ms: {_times(step.latency)}; failed: {report.failed_text(step)}",
        )
    if one.steps:
        _plain(console, f"{name}: {kept_up(one.steps)}")
    for part in one.parts:
        _plain(console, f"{name}, {_part(part)}")
    for part in one.by_runner:
        _plain(console, f"{name} on {_part(part)}")
    if one.fleet is not None and one.fleet.changes:
        for change in one.fleet.changes:
            _plain(console, f"{name}: after {change.at:.1f} s {change.text}")


def _part(part: Part) -> str:
    return f"{part.name}: {part.good} ended well; ms: {_times(part.latency)}; failed: {report.failed_text(part)}"


def _times(latency: dict[str, float | None]) -> str:
    return ", ".join(f"{name} {report.ms(value)}" for name, value in latency.items())


def _plain(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
