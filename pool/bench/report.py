"""What the load found: numbers for machines (JSON), a page for people (one HTML file that needs nothing else)."""

from __future__ import annotations

import html
import math
import os
import platform
from collections import Counter
from collections.abc import Sequence

import msgspec

from reptarium import __version__
from reptarium.pool.bench.load import Round
from reptarium.pool.bench.runners import Site
from reptarium.pool.bench.stats import Usage, histogram, percentile, summary


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """The runner's processes at one moment of the load: seconds since the first round, tasks ended, bytes."""

    at: float
    tasks: int
    rss: int
    pss: int | None
    supervisor: int
    private: int
    processes: int
    descriptors: int
    threads: int


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of the timeline: from ``at`` (s), ``tasks`` ended per second, latency in seconds."""

    at: float
    rate: float
    p50: float
    p99: float


class CaseResult(msgspec.Struct, frozen=True, kw_only=True):
    """One runner under one case, over all rounds. Latencies in seconds, sizes in bytes.

    ``generator_share`` is the CPU time of broker and load generator over the wall time: near 1 they,
    and not the runner, are what is measured. ``cpu_per_task`` is the runner's tree, in seconds. ``rest`` is what the
    idle runner held before and after a long run, empty for others.
    """

    case: str
    runner: str
    command: str
    load: str
    rounds: int
    tasks: int
    wall: float
    throughput: float
    rates: list[float]
    latency: dict[str, float | None]
    endings: dict[str, int]
    failures: int
    wrong: list[str]
    rejects: int
    offers_expired: int
    shed: int
    cpu_per_task: float
    generator_cpu_per_task: float
    generator_share: float
    registered_after: float
    histogram: list[tuple[float, int]]
    timeline: list[Slot]
    memory: list[Point]
    rest: list[Usage] = []


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """First runner over second, from interleaved rounds: above 1 the first is faster."""

    case: str
    throughput: float
    rounds: list[float]
    p50: float
    p99: float


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A figure that must be reached, and what was measured."""

    name: str
    wanted: str
    measured: str
    met: bool


class BenchReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of one run."""

    version: str
    python: str
    machine: str
    cpus: int
    arguments: list[str]
    results: list[CaseResult]
    ratios: list[Ratio]
    targets: list[Target]


def case_result(case: str, load: str, site: Site, rounds: Sequence[Round], rest: Sequence[Usage] = ()) -> CaseResult:
    """Merge the rounds of one runner under one case."""
    latencies = [value for one in rounds for value in one.latencies]
    tasks, wall = len(latencies), sum(one.wall for one in rounds)
    endings: Counter[str] = Counter()
    for one in rounds:
        endings.update(one.endings)
    own = sum(one.own_cpu for one in rounds)
    return CaseResult(
        case=case, runner=site.label, command=site.runners[0].command, load=load, rounds=len(rounds), tasks=tasks,
        wall=wall, throughput=tasks / wall if wall else 0.0, rates=[one.tasks / one.wall for one in rounds],
        latency=summary(latencies), endings=dict(endings), failures=sum(one.failures for one in rounds),
        wrong=[text for one in rounds for text in one.wrong][:20], rejects=sum(one.rejects for one in rounds),
        offers_expired=sum(one.expired for one in rounds), shed=sum(one.shed for one in rounds),
        cpu_per_task=sum(one.cpu for one in rounds) / max(tasks, 1), generator_cpu_per_task=own / max(tasks, 1),
        generator_share=own / wall if wall else 0.0,
        registered_after=max(runner.registered_after for runner in site.runners),
        histogram=histogram(latencies), timeline=timeline(rounds), memory=memory(rounds),
        rest=list(rest),
    )  # fmt: skip


def timeline(rounds: Sequence[Round], slots: int = 60) -> list[Slot]:
    """Rate and latency over the rounds, laid end to end, in at most ``slots`` stretches."""
    whole = sum(one.wall for one in rounds)
    if not whole:
        return []
    width, offset = whole / slots, 0.0
    groups: dict[int, list[float]] = {}
    for one in rounds:
        for start, latency in zip(one.starts, one.latencies, strict=True):
            groups.setdefault(min(int((offset + start + latency) / width), slots - 1), []).append(latency)
        offset += one.wall
    found = []
    for number in range(slots):
        values = sorted(groups.get(number, []))
        if values:
            p50, p99 = percentile(values, 50), percentile(values, 99)
            found.append(Slot(at=number * width, rate=len(values) / width, p50=p50, p99=p99))
    return found


def memory(rounds: Sequence[Round]) -> list[Point]:
    """The samples of all rounds, with tasks counted through; at most 200 of them."""
    found: list[Point] = []
    tasks, first = 0, None
    for one in rounds:
        for ended, at in one.samples:
            first = at.at if first is None else first
            found.append(_point(at, first, tasks + ended))
        tasks += one.tasks
    step = max(math.ceil(len(found) / 200), 1)
    return found[::step] if step == 1 or len(found) % step == 1 else [*found[::step], found[-1]]


def _point(at: Usage, first: float, tasks: int) -> Point:
    return Point(
        at=at.at - first, tasks=tasks, rss=at.rss, pss=at.pss, supervisor=at.supervisor, private=at.private,
        processes=at.processes, descriptors=at.descriptors, threads=at.threads,
    )  # fmt: skip


def ratio(first: CaseResult, second: CaseResult) -> Ratio:
    """Compare two runners that took turns."""
    pairs = zip(first.rates, second.rates, strict=True)
    return Ratio(
        case=first.case,
        throughput=_over(first.throughput, second.throughput),
        rounds=[_over(one, other) for one, other in pairs],
        p50=_over(second.latency["p50"], first.latency["p50"]),
        p99=_over(second.latency["p99"], first.latency["p99"]),
    )


def _over(one: float | None, other: float | None) -> float:
    return one / other if one is not None and other else math.nan


def build(
    arguments: Sequence[str], results: list[CaseResult], ratios: list[Ratio], targets: list[Target]
) -> BenchReport:
    """The report with what is known of the machine."""
    return BenchReport(
        version=__version__, python=platform.python_version(),
        machine=f"{platform.machine()} Linux {platform.release()}",
        cpus=len(os.sched_getaffinity(0)), arguments=list(arguments), results=results, ratios=ratios, targets=targets,
    )  # fmt: skip


def to_json(report: BenchReport) -> bytes:
    """The report as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(report), indent=1)


# ---- the page --------------------------------------------------------------------------------

_STYLE = """
:root{--ink:#1d2330;--faint:#6b7385;--line:#d8dce5;--a:#1f6feb;--b:#d9730d;--paper:#fff}
@media(prefers-color-scheme:dark){
:root{--ink:#e6e9f0;--faint:#98a1b3;--line:#333a48;--a:#6ea8fe;--b:#f0a35e;--paper:#14171e}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:70rem;
margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
td,th{padding:.3rem .6rem;border-bottom:1px solid var(--line); text-align:right}
td:first-child,th:first-child{text-align:left}
.wide{overflow-x:auto}.faint{color:var(--faint)}.bad{color:#d1242f;font-weight:600}
.plots{display:flex;flex-wrap:wrap;gap:1rem}figure{margin:0}figcaption{color:var(--faint);font-size:13px}
svg text{fill:var(--faint);font-size:11px}.axis{stroke:var(--line)}
.a{stroke:var(--a);fill:none}.b{stroke:var(--b);fill:none}
.fa{fill:var(--a)}.fb{fill:var(--b)}
"""


def to_html(report: BenchReport) -> str:
    """One page that loads nothing from anywhere."""
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>reptarium bench</title>',
        f"<style>{_STYLE}</style><h1>reptarium bench</h1>",
        f'<p class="faint">Reptarium {_e(report.version)}, Python {_e(report.python)}, {_e(report.machine)}, '
        f"{report.cpus} CPUs. Arguments: {_e(' '.join(report.arguments)) or 'none'}. Broker and load generator "
        "run in one process beside the runner and share the machine with it; "
        "“generator” is their part of one CPU.</p>",
    ]
    if report.targets:
        rows = [
            [_e(t.name), _e(t.wanted), _e(t.measured), "met" if t.met else '<span class="bad">missed</span>']
            for t in report.targets
        ]
        parts += ["<h2>Targets</h2>", _table(["", "wanted", "measured", ""], rows)]
    head = ["case", "runner", "tasks", "tasks/s", "p50 ms", "p90", "p99", "p99.9", "max", "wrong", "rejects",
            "CPU ms/task", "peak MB", "generator"]  # fmt: skip
    rows = [[_e(r.case), _e(r.runner), f"{r.tasks}", f"{r.throughput:.1f}", *(ms(v) for v in r.latency.values()),
             f'<span class="bad">{r.failures}</span>' if r.failures else "0", f"{r.rejects}",
             f"{r.cpu_per_task * 1000:.2f}", f"{peak(r) / 1e6:.0f}", f"{r.generator_share:.0%}"]
            for r in report.results]  # fmt: skip
    parts += ["<h2>Cases</h2>", _table(head, rows)]
    if report.ratios:
        rows = [
            [
                _e(r.case),
                f"{r.throughput:.2f}×",
                ", ".join(f"{x:.2f}" for x in r.rounds),
                f"{r.p50:.2f}×",
                f"{r.p99:.2f}×",
            ]
            for r in report.ratios
        ]
        parts += ["<h2>Ratios</h2>", _table(["case", "tasks/s", "by round", "p50", "p99"], rows)]
    for result in report.results:
        parts.append(_section(result))
    return "\n".join(parts) + "</html>\n"


def _section(result: CaseResult) -> str:
    lines = [f"<h3>{_e(result.case)}: {_e(result.runner)}</h3>"]
    lines.append(f'<p class="faint">{_e(result.load)}; {_e(result.command)}. Ended as: ')
    lines.append(", ".join(f"{_e(kind)} {count}" for kind, count in sorted(result.endings.items())) + "</p>")
    if result.wrong:
        lines.append("<ul>" + "".join(f'<li class="bad">{_e(text)}</li>' for text in result.wrong) + "</ul>")
    lines.append('<div class="plots">')
    lines.append(_bars(result.histogram, "latency: tasks by milliseconds (logarithmic)"))
    slots = result.timeline
    lines.append(_lines([("a", [(s.at, s.rate) for s in slots])], "tasks per second over seconds", "{:.0f}"))
    curves = [("a", [(s.at, s.p50 * 1000) for s in slots]), ("b", [(s.at, s.p99 * 1000) for s in slots])]
    lines.append(_lines(curves, "latency in ms over seconds: p50 (first colour), p99 (second)", "{:.1f}"))
    whole = [(float(p.tasks), (p.rss if p.pss is None else p.pss) / 1e6) for p in result.memory]
    own = [(float(p.tasks), p.supervisor / 1e6) for p in result.memory]
    lines.append(_lines([("a", whole), ("b", own)], "MB over tasks run: all processes, supervisor", "{:.0f}"))
    counts = [("a", [(float(p.tasks), float(p.descriptors)) for p in result.memory]),
              ("b", [(float(p.tasks), float(p.threads)) for p in result.memory])]  # fmt: skip
    lines.append(_lines(counts, "supervisor over tasks run: descriptors, threads", "{:.0f}"))
    return "\n".join(lines) + "</div>"


_W, _H, _LEFT, _BOTTOM, _TOP = 420, 190, 46, 22, 10


def _lines(curves: list[tuple[str, list[tuple[float, float]]]], caption: str, label: str) -> str:
    points = [point for _, curve in curves for point in curve]
    if len(points) < 2:
        return ""
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    top = max(y for _, y in points) * 1.1 or 1.0

    def place(x: float, y: float) -> str:
        across = (x - left) / ((right - left) or 1)
        return f"{_LEFT + across * (_W - _LEFT - 8):.1f},{_H - _BOTTOM - y / top * (_H - _BOTTOM - _TOP):.1f}"

    body = "".join(
        f'<polyline class="{kind}" points="{" ".join(place(x, y) for x, y in curve)}"/>' for kind, curve in curves
    )
    marks = "".join(_mark(label.format(top * part), part) for part in (0.0, 0.5, 1.0))
    ends = f'<text x="{_LEFT}" y="{_H - 6}">{left:.4g}</text>'
    ends += f'<text x="{_W - 8}" y="{_H - 6}" text-anchor="end">{right:.6g}</text>'
    return _figure(body + marks + ends, caption)


def _bars(bins: list[tuple[float, int]], caption: str) -> str:
    if not bins:
        return ""
    step = 10 ** (1 / 20)
    low, high = math.log10(bins[0][0] / step), math.log10(bins[-1][0])
    top, span = max(count for _, count in bins), max(high - low, 0.05)

    def across(value: float) -> float:
        return _LEFT + (math.log10(value) - low) / span * (_W - _LEFT - 8)

    body = ""
    for upper, count in bins:
        height = max(count / top * (_H - _BOTTOM - _TOP), 1)
        x, width = across(upper / step), across(upper) - across(upper / step)
        body += (
            f'<rect class="fa" x="{x:.1f}" y="{_H - _BOTTOM - height:.1f}" width="{max(width - 1, 1):.1f}" '
            f'height="{height:.1f}"><title>up to {upper * 1000:.3g} ms: {count}</title></rect>'
        )
    marks = "".join(_mark(f"{top * part:.0f}", part) for part in (0.0, 0.5, 1.0))
    for part in (0.0, 0.5, 1.0):
        value = 10 ** (low + part * span)
        anchor = {0.0: "start", 0.5: "middle", 1.0: "end"}[part]
        marks += f'<text x="{across(value):.1f}" y="{_H - 6}" text-anchor="{anchor}">{value * 1000:.3g}</text>'
    return _figure(body + marks, caption)


def _mark(text: str, part: float) -> str:
    y = _H - _BOTTOM - part * (_H - _BOTTOM - _TOP)
    return (
        f'<line class="axis" x1="{_LEFT}" x2="{_W}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{_LEFT - 4}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
    )


def _figure(body: str, caption: str) -> str:
    size = f'width="{_W}" height="{_H}" viewBox="0 0 {_W} {_H}"'
    svg = f'<svg {size} role="img" aria-label="{_e(caption)}">{body}</svg>'
    return f"<figure>{svg}<figcaption>{_e(caption)}</figcaption></figure>"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["".join(f"<td>{cell}</td>" for cell in row) for row in rows]
    top = "".join(f"<th>{_e(cell)}</th>" for cell in head)
    return f'<div class="wide"><table><tr>{top}</tr><tr>{"</tr><tr>".join(lines)}</tr></table></div>'


def _e(text: str) -> str:
    return html.escape(text)


def ms(value: float | None) -> str:
    """Seconds as milliseconds, with three digits that count."""
    if value is None:
        return "–"
    value *= 1000
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def peak(result: CaseResult) -> int:
    """The most that the runner's processes used together, in bytes (PSS where it can be read)."""
    return max((p.rss if p.pss is None else p.pss for p in result.memory), default=0)
