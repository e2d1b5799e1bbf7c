"""What the load found: numbers for machines (JSON); the page for people is in ``page.py``."""

from __future__ import annotations

import math
import os
import platform
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import accumulate

import msgspec

from reptarium import __version__
from reptarium.pool.bench.conditions import Conditions, Moment, processor
from reptarium.pool.bench.load import Round
from reptarium.pool.bench.parts import Fleet, Part, Step, fleet, kinds, of_runners, steps
from reptarium.pool.bench.runners import Site
from reptarium.pool.bench.stages import Stage
from reptarium.pool.bench.stats import Usage, histogram, interval, percentile, summary


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

    ``throughput``, ``rates`` and latencies are of the ``good`` ones of all ``tasks`` that ended; ``failed`` counts the
    others by how they ended.

    ``generator_share`` is the CPU time of broker and load generator over the wall time: near 1 they, and not the
    runner, are what is measured. ``cpu_per_task`` is the runner's tree, in seconds for each good task. ``rest`` is what
    the idle runner held before and after a long run, empty for others. Of runners that were started elsewhere
    (``fleet``) neither memory nor processor time is known.

    ``marks`` are where the rounds begin on the timeline, ``begun`` where the first one did, in seconds of the run.
    ``parts`` are the tasks by kind, ``by_runner`` by runner: each empty where there is one.
    """

    case: str
    runner: str
    command: str
    load: str
    rounds: int
    tasks: int
    good: int
    wall: float
    throughput: float
    rates: list[float]
    latency: dict[str, float | None]
    endings: dict[str, int]
    failures: int
    failed: dict[str, int]
    wrong: list[str]
    rejects: int
    offers_expired: int
    cpu_per_task: float | None
    generator_cpu_per_task: float
    generator_share: float
    registered_after: float | None
    histogram: list[tuple[float, int]]
    timeline: list[Slot]
    memory: list[Point]
    rest: list[Usage]
    begun: float
    marks: list[float]
    parts: list[Part]
    by_runner: list[Part]
    steps: list[Step]
    fleet: Fleet | None


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """First runner over second, from interleaved rounds: above 1 the first is faster.

    ``interval``: where the throughput's ratio lies with 95 %, by bootstrap over the rounds; None of a single one.
    """

    case: str
    first: str
    second: str
    throughput: float
    interval: tuple[float, float] | None
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
    date: str
    cpu: str
    load_average: tuple[float, float, float]
    steal: float
    """Share of the machine's processor time that its host gave to others during the run."""
    seconds: float
    moments: list[Moment]
    """The machine during the run."""
    interrupted: bool
    results: list[CaseResult]
    ratios: list[Ratio]
    targets: list[Target]


def case_result(
    case: str,
    load: str,
    site: Site,
    rounds: Sequence[Round],
    rest: Sequence[Usage] = (),
    *,
    stages: Sequence[Stage] = (),
    since: float = 0.0,
) -> CaseResult:
    """Merge the rounds of one runner under one case. ``since``: when the run began (``time.perf_counter()``)."""
    latencies = [value for one in rounds for value in one.latencies]
    good, wall = len(latencies), sum(one.wall for one in rounds)
    tasks = sum(one.tasks for one in rounds)
    endings: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for one in rounds:
        endings.update(one.endings)
        failed.update(one.failed)
    own = sum(one.own_cpu for one in rounds)
    return CaseResult(
        case=case, runner=site.label, command=site.command, load=load, rounds=len(rounds), tasks=tasks,
        good=good, wall=wall, throughput=good / wall if wall else 0.0, rates=[one.good / one.wall for one in rounds],
        latency=summary(latencies), endings=dict(endings), failures=failed.total(), failed=dict(failed),
        wrong=[text for one in rounds for text in one.wrong][:20], rejects=sum(one.rejects for one in rounds),
        offers_expired=sum(one.expired for one in rounds),
        cpu_per_task=sum(one.cpu for one in rounds) / max(good, 1) if site.runners else None,
        generator_cpu_per_task=own / max(tasks, 1),
        generator_share=own / wall if wall else 0.0,
        registered_after=site.registered_after,
        histogram=histogram(latencies), timeline=timeline(rounds), memory=memory(rounds) if site.runners else [],
        rest=list(rest), begun=max(rounds[0].begun - since, 0.0), marks=_marks(rounds), parts=kinds(rounds),
        by_runner=of_runners(rounds, site.coming), steps=steps(rounds, stages),
        fleet=fleet(rounds, site.coming, len(site.there())) if site.coming is not None else None,
    )  # fmt: skip


def _marks(rounds: Sequence[Round]) -> list[float]:
    """Where each round begins when they are laid end to end."""
    return list(accumulate((one.wall for one in rounds[:-1]), initial=0.0))


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
        first=first.runner,
        second=second.runner,
        interval=interval(list(zip(first.rates, second.rates, strict=True))),
        throughput=_over(first.throughput, second.throughput),
        rounds=[_over(one, other) for one, other in pairs],
        p50=_over(second.latency["p50"], first.latency["p50"]),
        p99=_over(second.latency["p99"], first.latency["p99"]),
    )


def verdict(ratio: Ratio) -> str:
    """Whether a ratio tells the two apart."""
    if ratio.interval is None:
        return "one round: no telling how far chance goes"
    low, high = ratio.interval
    told = f"95 %: {low:.2f} to {high:.2f}"
    return f"{told}, within the noise" if low <= 1 <= high else told


def failed_text(result: CaseResult | Part | Step) -> str:
    """How many failed, by how they ended: `12 no-runner, 1 timeout`; "0" when none did."""
    return ", ".join(f"{count} {kind}" for kind, count in sorted(result.failed.items())) or "0"


def cpu_text(result: CaseResult) -> str:
    """Milliseconds of processor time for each good task."""
    return "–" if result.cpu_per_task is None else f"{result.cpu_per_task * 1000:.2f}"


def peak_text(result: CaseResult) -> str:
    """The most memory, MB."""
    return f"{peak(result) / 1e6:.0f}" if result.memory else "–"


def _over(one: float | None, other: float | None) -> float:
    return one / other if one is not None and other else math.nan


def build(
    arguments: Sequence[str],
    results: list[CaseResult],
    ratios: list[Ratio],
    targets: list[Target],
    *,
    conditions: Conditions | None = None,
    interrupted: bool = False,
) -> BenchReport:
    """The report with what is known of the machine."""
    conditions = conditions or Conditions()
    return BenchReport(
        date=datetime.now(UTC).isoformat(timespec="seconds"), cpu=processor(), load_average=os.getloadavg(),
        steal=conditions.steal(), seconds=time.perf_counter() - conditions.begun, moments=conditions.held(),
        interrupted=interrupted,
        version=__version__, python=platform.python_version(),
        machine=f"{platform.machine()} Linux {platform.release()}",
        cpus=len(os.sched_getaffinity(0)), arguments=list(arguments), results=results, ratios=ratios, targets=targets,
    )  # fmt: skip


def to_json(report: BenchReport) -> bytes:
    """The report as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(report), indent=1)


def ms(value: float | None) -> str:
    """Seconds as milliseconds, with three digits that count."""
    if value is None:
        return "–"
    value *= 1000
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def peak(result: CaseResult) -> int:
    """The most that the runner's processes used together, in bytes (PSS where it can be read)."""
    return max((p.rss if p.pss is None else p.pss for p in result.memory), default=0)
