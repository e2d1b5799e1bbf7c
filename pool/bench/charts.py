"""Charts of a report: SVG with ticks at round numbers, titles on both axes, a legend; nothing else is needed for it."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

#: As wide as a phone shows it, so that text has its size there.
_W, _H, _LEFT, _RIGHT, _BOTTOM, _TOP = 360, 220, 52, 22, 40, 14

STYLE = """
figure{margin:0;min-width:0}figure svg{width:100%;height:auto;display:block}
figcaption{font-weight:600;margin-bottom:.2rem}
.legend{color:var(--faint);font-size:13px;display:flex;flex-wrap:wrap;gap:.1rem .9rem;min-height:1.5em}
.legend i{display:inline-block;width:1.4em;border-top:3px solid;vertical-align:middle;margin-right:.35em}
.legend .dash{border-top-style:dashed}
svg text{fill:var(--faint);font:11px system-ui,sans-serif}.axis{stroke:var(--line)}
.mark{stroke:var(--faint);stroke-dasharray:2 3}svg text.said{font-size:9px}
polyline{fill:none;stroke-width:1.6;stroke-linejoin:round}.dashed{stroke-dasharray:5 3}
.a{stroke:var(--a)}.b{stroke:var(--b)}.legend .a{border-color:var(--a)}.legend .b{border-color:var(--b)}
.fa{fill:var(--a);opacity:.55}.fb{fill:var(--b);opacity:.55}
"""


class Curve(NamedTuple):
    """A line of a chart: what the legend calls it, its colour (``a`` or ``b``), x and y of its points."""

    label: str
    colour: str
    dashed: bool
    points: Sequence[tuple[float, float]]


class Bins(NamedTuple):
    """Bars of a chart: upper bounds on a logarithmic scale of ``per_decade``, and how many."""

    label: str
    colour: str
    bins: Sequence[tuple[float, int]]


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 with zeros) from ``low`` to beyond ``high``; the last is where an axis may end."""
    span = high - low or 1.0
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(power * one for one in (1, 2, 5, 10) if span / (power * one) <= most)
    first = math.floor(low / step + 1e-9)
    last = max(math.ceil(high / step - 1e-9), first + 1)
    return [round(number * step, 12) for number in range(first, last + 1)]


def decades(low: float, high: float) -> list[float]:
    """Round numbers of a logarithmic axis that reach around both: 1, 2 and 5 with zeros, or over many decades 1."""
    few = math.log10(high / low) > 2
    found = [
        digit * 10.0**power
        for power in range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
        for digit in ((1,) if few else (1, 2, 5))
    ]
    first = max((number for number, one in enumerate(found) if one <= low * 1.0001), default=0)
    last = min((number for number, one in enumerate(found) if one >= high * 0.9999), default=len(found) - 1)
    return found[first : last + 1]


def lines(
    title: str, x_title: str, y_title: str, curves: Sequence[Curve], marks: Sequence[tuple[float, str]] = ()
) -> str:
    """Curves over a common x; ``marks`` are places on it, with a word each. Empty without two points."""
    points = [point for curve in curves for point in curve.points]
    if len(points) < 2:
        return ""
    across, x_axis = _across(ticks(min(x for x, _ in points), max(x for x, _ in points)), lambda value: value)
    up, y_axis = _up(ticks(0.0, max(y for _, y in points) or 1.0))
    body = "".join(
        f'<line class="mark" x1="{across(x):.1f}" x2="{across(x):.1f}" y1="{_TOP}" y2="{_H - _BOTTOM}"/>'
        f'<text class="said" x="{across(x) + 2:.1f}" y="{_TOP - 4}">{_e(word)}</text>'
        for x, word in marks
    )
    for curve in curves:
        drawn = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in curve.points)
        body += f'<polyline class="{curve.colour}{" dashed" if curve.dashed else ""}" points="{drawn}"/>'
    # a line with a gap is several of one name
    legend = list(dict.fromkeys((curve.label, curve.colour, curve.dashed) for curve in curves))
    return _figure(title, x_title, y_title, x_axis + y_axis + body, legend)


def bars(title: str, x_title: str, y_title: str, series: Sequence[Bins], per_decade: int = 20) -> str:
    """Histograms laid over one another, each as shares of its own values (%). Empty without a value."""
    series = [one for one in series if one.bins]
    if not series:
        return ""
    step = 10 ** (1 / per_decade)
    bounds = [upper for one in series for upper, _ in one.bins]
    across, x_axis = _across(decades(min(bounds) / step, max(bounds)), math.log10)
    wholes = [sum(count for _, count in one.bins) for one in series]
    highest = max(count / whole for one, whole in zip(series, wholes, strict=True) for _, count in one.bins)
    up, y_axis = _up(ticks(0.0, highest * 100))
    body = ""
    for one, whole in zip(series, wholes, strict=True):
        for upper, count in one.bins:
            left, right, top = across(upper / step), across(upper), up(count / whole * 100)
            body += (
                f'<rect class="f{one.colour}" x="{left:.1f}" y="{top:.1f}" width="{max(right - left - 0.5, 1):.1f}" '
                f'height="{_H - _BOTTOM - top:.1f}"><title>{_e(one.label)}: up to {upper:.3g}: {count}</title></rect>'
            )
    return _figure(title, x_title, y_title, x_axis + y_axis + body, [(one.label, one.colour, False) for one in series])


def _across(marks: list[float], scale: Callable[[float], float]) -> tuple[Callable[[float], float], str]:
    """The place of a value on the x axis, which ends at the first and the last of ``marks``, and the axis."""
    low, high = scale(marks[0]), scale(marks[-1])

    def place(value: float) -> float:
        return _LEFT + (scale(value) - low) / (high - low) * (_W - _LEFT - _RIGHT)

    drawn = "".join(
        f'<path class="axis" d="M{place(mark):.1f} {_H - _BOTTOM}v4"/>'
        f'<text x="{place(mark):.1f}" y="{_H - _BOTTOM + 15}" text-anchor="middle">{mark:,.6g}</text>'
        for mark in marks
    )
    return place, drawn


def _up(marks: list[float]) -> tuple[Callable[[float], float], str]:
    """The same of the y axis, with a line across at each mark."""
    high = marks[-1]

    def place(value: float) -> float:
        return _H - _BOTTOM - value / high * (_H - _BOTTOM - _TOP)

    drawn = "".join(
        f'<line class="axis" x1="{_LEFT}" x2="{_W - _RIGHT}" y1="{place(mark):.1f}" y2="{place(mark):.1f}"/>'
        f'<text x="{_LEFT - 4}" y="{place(mark) + 4:.1f}" text-anchor="end">{mark:,.6g}</text>'
        for mark in marks
    )
    return place, drawn


def _figure(title: str, x_title: str, y_title: str, body: str, legend: Sequence[tuple[str, str, bool]]) -> str:
    middle_x, middle_y = (_LEFT + _W - _RIGHT) / 2, (_TOP + _H - _BOTTOM) / 2
    titles = (
        f'<text x="{middle_x:.0f}" y="{_H - 6}" text-anchor="middle">{_e(x_title)}</text>'
        f'<text x="11" y="{middle_y:.0f}" text-anchor="middle" transform="rotate(-90 11 {middle_y:.0f})">{_e(y_title)}'
        "</text>"
    )
    said = "".join(
        f'<span><i class="{colour}{" dash" if dashed else ""}"></i>{_e(label)}</span>'
        for label, colour, dashed in legend
    )
    svg = f'<svg viewBox="0 0 {_W} {_H}" role="img" aria-label="{_e(title)}">{body}{titles}</svg>'
    return f'<figure><figcaption>{_e(title)}</figcaption><div class="legend">{said}</div>{svg}</figure>'


def _e(text: str) -> str:
    return html.escape(text)
