"""What the load found as a page for people: one HTML file that needs nothing else, for phones too."""

from __future__ import annotations

import html
import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate, groupby, pairwise, zip_longest

from reptarium.pool.bench.charts import STYLE, Bins, Curve, bars, lines
from reptarium.pool.bench.parts import Part, kept_up
from reptarium.pool.bench.report import (
    BenchReport,
    CaseResult,
    Point,
    Slot,
    cpu_text,
    failed_text,
    ms,
    peak_text,
    verdict,
)

_STYLE = (
    """
:root{--ink:#1d2330;--faint:#5b6375;--line:#d8dce5;--a:#1f6feb;--b:#d9730d;--paper:#fff;color-scheme:light dark}
@media(prefers-color-scheme:dark){
:root{--ink:#e6e9f0;--faint:#a3acbd;--line:#333a48;--a:#6ea8fe;--b:#f0a35e;--paper:#14171e}}
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:72rem;
margin:1.5rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
td,th{padding:.3rem .5rem;border-bottom:1px solid var(--line);text-align:right}
td:first-child,th:first-child,td:nth-child(2),th:nth-child(2){text-align:left}
.wide{overflow-x:auto}.faint{color:var(--faint)}.bad{color:#d1242f;font-weight:600}
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,21rem),1fr));gap:1.5rem 1rem}
p,li{overflow-wrap:anywhere}dl{display:grid;grid-template-columns:max-content 1fr;gap:0 1rem;margin:0}
dt{color:var(--faint)}dd{margin:0;overflow-wrap:anywhere}
@media(max-width:62rem){table{font-size:13px}td,th{padding:.3rem .25rem}}
@media(max-width:40rem){table{font-size:15px}
table,tbody,tr,td{display:block}tr:first-child{display:none}tr{border-bottom:1px solid var(--line);padding:.4rem 0}
td,td:first-child,td:nth-child(2){border:0;padding:.05rem 0;display:flex;justify-content:space-between;gap:1rem;
text-align:right;overflow-wrap:anywhere}
td::before{content:attr(data-of);color:var(--faint);text-align:left;white-space:nowrap}
dl{grid-template-columns:1fr}dd{margin-bottom:.3rem}}
"""
    + STYLE
)
_TIMES = ("p50 ms", "p90", "p99", "p99.9", "max")


def to_html(report: BenchReport) -> str:
    """One page that loads nothing from anywhere."""
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>reptarium bench</title>',
        f"<style>{_STYLE}</style><h1>reptarium bench</h1>",
    ]
    if report.interrupted:
        parts.append('<p class="bad">Interrupted: this is what had been measured by then.</p>')
    parts.append(_about(report))
    if report.targets:
        rows = [
            [_e(t.name), _e(t.wanted), _e(t.measured), "met" if t.met else '<span class="bad">missed</span>']
            for t in report.targets
        ]
        parts += ["<h2>Targets</h2>", _table(["target", "wanted", "measured", "verdict"], rows)]
    head = ["case", "runner", "tasks", "tasks/s", *_TIMES, "failed", "rejects", "CPU ms/task", "peak MB", "generator"]
    rows = [
        [_e(r.case), _e(r.runner), f"{r.tasks}", f"{r.throughput:.1f}", *map(ms, r.latency.values()), _failed(r),
         f"{r.rejects}", cpu_text(r), peak_text(r), f"{r.generator_share:.0%}"]
        for r in report.results
    ]  # fmt: skip
    parts += ["<h2>Cases</h2>", _table(head, rows)]
    parts.append(
        '<p class="faint">Rates and times are of the tasks that ended well; the others are in “failed”. “generator” is '
        "how much of one CPU broker and load generator took: near 100 % they are what was measured.</p>"
    )
    if report.ratios:
        rows = [
            [_e(r.case), f"{_e(r.first)} over {_e(r.second)}", f"{r.throughput:.2f}×", _e(verdict(r)),
             ", ".join(f"{x:.2f}" for x in r.rounds), f"{r.p50:.2f}×", f"{r.p99:.2f}×"]
            for r in report.ratios
        ]  # fmt: skip
        head = ["case", "what over what", "tasks/s", "how sure", "by round", "p50", "p99"]
        parts += ["<h2>Ratios</h2>", _table(head, rows)]
        parts.append(
            '<p class="faint">Above 1 the first runner is better: more tasks a second, or shorter times. “95 %” is '
            "where the ratio of rates lies by bootstrap over the rounds.</p>"
        )
    for _, group in groupby(report.results, key=lambda result: result.case):
        parts.append(_section(list(group)))
    if len(report.moments) > 1:
        parts += ["<h2>The machine meanwhile</h2>", '<div class="plots">', _machine(report), "</div>"]
    return "\n".join(parts) + "</html>\n"


def _about(report: BenchReport) -> str:
    loads = [one.load for one in report.moments] or [report.load_average[0]]
    facts = {
        "Date": report.date,
        "Versions": f"Reptarium {report.version}, Python {report.python}, {report.machine}",
        "Processor": f"{report.cpus} CPUs, {report.cpu}",
        "Load average": f"{sum(loads) / len(loads):.1f} during the run, at most {max(loads):.1f}; "
        f"at the end {', '.join(f'{one:.1f}' for one in report.load_average)} (1, 5, 15 minutes)",
        "Steal": f"{report.steal:.1%} of the processors' time went to other guests of the host",
        "Lasted": f"{report.seconds:.0f} s",
        "Arguments": " ".join(report.arguments) or "none",
    }
    return "<dl>" + "".join(f"<dt>{name}</dt><dd>{_e(text)}</dd>" for name, text in facts.items()) + "</dl>"


def _section(results: Sequence[CaseResult]) -> str:
    """One case: its one or two runners in the same charts."""
    first = results[0]
    found = [f"<h2>{_e(first.case)}</h2>"]
    coloured = list(zip("ab", results, strict=False))
    for result in results:
        endings = ", ".join(f"{_e(kind)} {count}" for kind, count in sorted(result.endings.items()))
        rounds = "1 round" if result.rounds == 1 else f"{result.rounds} rounds"
        found.append(
            f'<p class="faint">{_e(result.runner)}: {_e(result.load)}, {rounds}; {_e(result.command)}. '
            f"Ended as: {endings}</p>"
        )
        if result.wrong:
            found.append("<ul>" + "".join(f'<li class="bad">{_e(text)}</li>' for text in result.wrong) + "</ul>")
    found += ['<div class="plots">', _latencies(coloured), _rates(coloured), _times(coloured), _steps(coloured)]
    found += [_memory(coloured), _counts(coloured), "</div>"]
    for result in results:
        found.append(_details(result))
    return "\n".join(found)


def _latencies(coloured: Sequence[tuple[str, CaseResult]]) -> str:
    series = [Bins(r.runner, colour, [(at * 1000, count) for at, count in r.histogram]) for colour, r in coloured]
    return bars("How long tasks took", "milliseconds (logarithmic)", "% of the tasks", series)


def _rates(coloured: Sequence[tuple[str, CaseResult]]) -> str:
    curves = _over_rounds(coloured, lambda r: r.runner, False, lambda slot: slot.rate)
    return lines("Tasks that ended well", "seconds, rounds end to end", "tasks/s", curves, _marks(coloured))


def _times(coloured: Sequence[tuple[str, CaseResult]]) -> str:
    curves = [
        *_over_rounds(coloured, lambda r: f"{r.runner} p50", False, lambda slot: slot.p50 * 1000),
        *_over_rounds(coloured, lambda r: f"{r.runner} p99", True, lambda slot: slot.p99 * 1000),
    ]
    return lines("Latency over time", "seconds, rounds end to end", "milliseconds", curves, _marks(coloured))


def _over_rounds(
    coloured: Sequence[tuple[str, CaseResult]],
    label: Callable[[CaseResult], str],
    dashed: bool,
    value: Callable[[Slot], float],
) -> list[Curve]:
    """A line for each round of each runner: one that took less long has nothing to show until the next begins."""
    at, starts = _laid(coloured)
    curves = []
    for colour, r in coloured:
        points = [(at(r, slot.at), value(slot)) for slot in r.timeline]
        for begun, end in pairwise([*starts, math.inf]):
            curves.append(Curve(label(r), colour, dashed, [point for point in points if begun <= point[0] < end]))
    return curves


def _steps(coloured: Sequence[tuple[str, CaseResult]]) -> str:
    curves = []
    for colour, r in coloured:
        curves.append(Curve(f"{r.runner} done well", colour, False, [(s.wanted, s.done) for s in r.steps]))
        curves.append(Curve(f"{r.runner} arrived", colour, True, [(s.wanted, s.arrived) for s in r.steps]))
    return lines("Done against wanted, by step", "tasks/s wanted", "tasks/s", curves)


def _memory(coloured: Sequence[tuple[str, CaseResult]]) -> str:
    curves = []
    for colour, r in coloured:
        whole = [(float(p.tasks), (p.rss if p.pss is None else p.pss) / 1e6) for p in r.memory]
        curves.append(Curve(f"{r.runner} in all", colour, False, whole))
        curves.append(Curve(f"{r.runner} supervisor", colour, True, _own(r.memory)))
    return lines("Memory", "tasks run", "MB", curves)


def _own(points: Sequence[Point]) -> list[tuple[float, float]]:
    return [(float(p.tasks), p.supervisor / 1e6) for p in points]


def _counts(coloured: Sequence[tuple[str, CaseResult]]) -> str:
    curves = []
    for colour, r in coloured:
        counts = [(float(p.tasks), float(p.descriptors)) for p in r.memory]
        curves.append(Curve(f"{r.runner} descriptors", colour, False, counts))
        threads = [(float(p.tasks), float(p.threads)) for p in r.memory]
        curves.append(Curve(f"{r.runner} threads", colour, True, threads))
    return lines("The supervisor's descriptors and threads", "tasks run", "number", curves)


def _laid(
    coloured: Sequence[tuple[str, CaseResult]],
) -> tuple[Callable[[CaseResult, float], float], list[float]]:
    """Where a moment of a runner's timeline is drawn, and where rounds begin: of two runners at the same place."""
    lasted = [[end - begun for begun, end in pairwise([*r.marks, r.wall])] for _, r in coloured]
    starts = list(accumulate((max(each) for each in zip_longest(*lasted, fillvalue=0.0)), initial=0.0))[:-1]

    def at(result: CaseResult, moment: float) -> float:
        number = max(bisect_right(result.marks, moment) - 1, 0)
        return starts[number] + moment - result.marks[number]

    return at, starts


def _marks(coloured: Sequence[tuple[str, CaseResult]]) -> list[tuple[float, str]]:
    """Where rounds begin, if there are several, and who came and went."""
    at, starts = _laid(coloured)
    found = [(start, f"round {number}") for number, start in enumerate(starts, 1) if len(starts) > 1]
    for _, result in coloured:
        changes = result.fleet.changes if result.fleet is not None else []
        found += [(at(result, change.at), f"{change.runners} runners") for change in changes]
    return found


def _machine(report: BenchReport) -> str:
    curves = [
        Curve("busy", "a", False, [(one.at, one.busy * 100) for one in report.moments]),
        Curve("steal", "b", False, [(one.at, one.steal * 100) for one in report.moments]),
    ]
    begun = [(result.begun, result.case) for result in report.results]
    marks = list({case: (at, case) for at, case in reversed(begun)}.values())
    shares = lines("Processors", "seconds of the run", "% of their time", curves, marks)
    loads = [Curve("load average", "a", False, [(one.at, one.load) for one in report.moments])]
    return shares + lines("Load", "seconds of the run", "processes, over a minute", loads, marks)


def _details(result: CaseResult) -> str:
    found = []
    if result.steps:
        head = ["step", "wanted/s", "arrived/s", "done well/s", *_TIMES, "failed"]
        rows = [
            [f"{s.at:g} to {s.at + s.seconds:g} s", f"{s.wanted:g}", f"{s.arrived:.1f}", f"{s.done:.1f}",
             *map(ms, s.latency.values()), _e(failed_text(s))]
            for s in result.steps
        ]  # fmt: skip
        found += [f"<h3>{_e(result.runner)} by step: {_e(kept_up(result.steps))}</h3>", _table(head, rows)]
    for title, parts in (("by kind of task", result.parts), ("by runner", result.by_runner)):
        if parts:
            found += [f"<h3>{_e(result.runner)} {title}</h3>", _parts(parts)]
    if result.fleet is not None and result.fleet.changes:
        fleet = result.fleet
        found.append(f"<h3>Runners: {fleet.expected} expected, {fleet.least} to {fleet.most} were there</h3><ul>")
        found += [f"<li>after {change.at:.1f} s: {_e(change.text)}</li>" for change in fleet.changes]
        found.append("</ul>")
    return "\n".join(found)


def _parts(parts: Sequence[Part]) -> str:
    rows = [[_e(p.name), f"{p.good}", *map(ms, p.latency.values()), _e(failed_text(p))] for p in parts]
    return _table(["of", "ended well", *_TIMES, "failed"], rows)


def _failed(result: CaseResult) -> str:
    return f'<span class="bad">{_e(failed_text(result))}</span>' if result.failures else "0"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; on a phone each row is a list of what its cells are of."""
    drawn = [
        "".join(f'<td data-of="{_e(name)}"><span>{cell}</span></td>' for name, cell in zip(head, row, strict=True))
        for row in rows
    ]
    top = "".join(f"<th>{_e(name)}</th>" for name in head)
    return f'<div class="wide"><table><tr>{top}</tr><tr>{"</tr><tr>".join(drawn)}</tr></table></div>'


def _e(text: str) -> str:
    return html.escape(text)
