"""What the load found as a page for people: one HTML file that needs nothing else, for phones too."""

from __future__ import annotations

import html
import math

from reptarium.pool.bench.report import BenchReport, CaseResult, cpu_text, failed_text, ms, peak_text, verdict

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
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,22rem),1fr));gap:1rem}
figure{margin:0;min-width:0}figure svg{width:100%;height:auto;display:block}p{overflow-wrap:anywhere}
figcaption{color:var(--faint);font-size:13px}
svg text{fill:var(--faint);font-size:11px}.axis{stroke:var(--line)}
.a{stroke:var(--a);fill:none}.b{stroke:var(--b);fill:none}
.fa{fill:var(--a)}.fb{fill:var(--b)}
"""


def to_html(report: BenchReport) -> str:
    """One page that loads nothing from anywhere."""
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>reptarium bench</title>',
        f"<style>{_STYLE}</style><h1>reptarium bench</h1>",
        f'<p class="faint">Reptarium {_e(report.version)}, Python {_e(report.python)}, {_e(report.machine)}, '
        f"{report.cpus} CPUs ({_e(report.cpu)}), {_e(report.date)}. Load average at the end "
        f"{', '.join(f'{one:.1f}' for one in report.load_average)}; {report.steal:.1%} of the processors' time went to "
        f"other guests of the host. Arguments: {_e(' '.join(report.arguments)) or 'none'}. Broker and load generator "
        "run in one process beside the runner and share the machine with it; "
        "“generator” is their part of one CPU.</p>",
    ]
    if report.interrupted:
        parts.append('<p class="bad">Interrupted: this is what had been measured by then.</p>')
    if report.targets:
        rows = [
            [_e(t.name), _e(t.wanted), _e(t.measured), "met" if t.met else '<span class="bad">missed</span>']
            for t in report.targets
        ]
        parts += ["<h2>Targets</h2>", _table(["", "wanted", "measured", ""], rows)]
    head = ["case", "runner", "tasks", "tasks/s", "p50 ms", "p90", "p99", "p99.9", "max", "failed", "rejects",
            "CPU ms/task", "peak MB", "generator"]  # fmt: skip
    rows = [[_e(r.case), _e(r.runner), f"{r.tasks}", f"{r.throughput:.1f}", *(ms(v) for v in r.latency.values()),
             f'<span class="bad">{_e(failed_text(r))}</span>' if r.failures else "0", f"{r.rejects}",
             cpu_text(r), peak_text(r), f"{r.generator_share:.0%}"]
            for r in report.results]  # fmt: skip
    parts += ["<h2>Cases</h2>", _table(head, rows)]
    if report.ratios:
        rows = [
            [
                _e(r.case),
                f"{_e(r.first)} over {_e(r.second)}",
                f"{r.throughput:.2f}×",
                _e(verdict(r)),
                ", ".join(f"{x:.2f}" for x in r.rounds),
                f"{r.p50:.2f}×",
                f"{r.p99:.2f}×",
            ]
            for r in report.ratios
        ]
        parts += ["<h2>Ratios</h2>", _table(["case", "", "tasks/s", "how sure", "by round", "p50", "p99"], rows)]
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
    svg = f'<svg viewBox="0 0 {_W} {_H}" role="img" aria-label="{_e(caption)}">{body}</svg>'
    return f"<figure>{svg}<figcaption>{_e(caption)}</figcaption></figure>"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["".join(f"<td>{cell}</td>" for cell in row) for row in rows]
    top = "".join(f"<th>{_e(cell)}</th>" for cell in head)
    return f'<div class="wide"><table><tr>{top}</tr><tr>{"</tr><tr>".join(lines)}</tr></table></div>'


def _e(text: str) -> str:
    return html.escape(text)
