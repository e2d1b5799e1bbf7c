"""Numbers over measured tasks: percentiles, histogram, timeline, and what a process tree uses."""

from __future__ import annotations

import contextlib
import math
import random
import time
from collections import Counter
from collections.abc import Sequence

import msgspec
import psutil

PERCENTILES = (50.0, 90.0, 99.0, 99.9, 100.0)


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of sorted values (NaN of none): always a value that was measured."""
    if not ordered:
        return math.nan
    return ordered[max(math.ceil(percent / 100 * len(ordered)) - 1, 0)]


def summary(values: Sequence[float]) -> dict[str, float | None]:
    """Percentiles of ``values`` by name: p50, p90, p99, p99.9, max. None where there is no value."""
    ordered = sorted(values)
    names = [f"p{percent:g}" for percent in PERCENTILES[:-1]] + ["max"]
    if not ordered:
        return dict.fromkeys(names)
    return {name: percentile(ordered, percent) for name, percent in zip(names, PERCENTILES, strict=True)}


def histogram(values: Sequence[float], per_decade: int = 20) -> list[tuple[float, int]]:
    """(upper bound, count) of logarithmic bins, without the empty ones. Values are positive seconds."""
    bins = Counter(math.ceil(math.log10(max(value, 1e-6)) * per_decade) for value in values)
    return [(10 ** (number / per_decade), count) for number, count in sorted(bins.items())]


def interval(pairs: Sequence[tuple[float, float]], *, draws: int = 2000, seed: int = 1) -> tuple[float, float] | None:
    """Where the ratio of the first values' mean to the second ones' lies with 95 %, by bootstrap over the pairs.

    None of fewer than two pairs, and where a mean of the second ones is 0.
    """
    if len(pairs) < 2:
        return None
    rng, ratios = random.Random(seed), []
    for _ in range(draws):
        drawn = rng.choices(pairs, k=len(pairs))
        below = sum(second for _, second in drawn)
        if not below:
            return None
        ratios.append(sum(first for first, _ in drawn) / below)
    ratios.sort()
    return percentile(ratios, 2.5), percentile(ratios, 97.5)


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """A process tree at one moment. ``cpu`` in seconds since its start, memory in bytes.

    ``pss`` counts a shared page once (proc(5), smaps_rollup); None where the kernel doesn't show it
    (workers are not dumpable, so only root sees theirs). ``supervisor`` is the runner's own PSS or RSS; ``private``
    what of it nobody shares (USS): a leak shows there, while PSS moves with the neighbours, too.
    """

    at: float
    cpu: float
    rss: int
    pss: int | None
    supervisor: int
    private: int
    processes: int
    descriptors: int
    threads: int


def usage(processes: Sequence[psutil.Process]) -> Usage:
    """What these processes and all below them use. Those that end meanwhile count as far as they were seen."""
    cpu, rss, pss, supervisor, private, count, descriptors, threads = 0.0, 0, 0, 0, 0, 0, 0, 0
    hidden = False
    for root in processes:
        for process in tree(root):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                # children_* holds those that were reaped, so nothing is counted twice
                cpu += times.user + times.system + times.children_user + times.children_system
                memory = process.memory_info().rss
                rss += memory
                count += 1
                own = None
                with contextlib.suppress(psutil.AccessDenied):
                    own = process.memory_full_info()
                hidden = hidden or own is None
                pss += own.pss if own else 0
                if process == root:
                    supervisor += own.pss if own else memory
                    private += own.uss if own else memory
                    descriptors += descriptors_of(process)
                    threads += process.num_threads()
    return Usage(
        at=time.perf_counter(), cpu=cpu, rss=rss, pss=None if hidden else pss, supervisor=supervisor,
        private=private, processes=count, descriptors=descriptors, threads=threads,
    )  # fmt: skip


def descriptors_of(process: psutil.Process) -> int:
    """How many descriptors a process has; 0 where they are hidden: a runner shows its own to root alone.

    Raises psutil.NoSuchProcess.
    """
    with contextlib.suppress(psutil.AccessDenied):
        return int(process.num_fds())
    return 0


def tree(root: psutil.Process) -> list[psutil.Process]:
    """``root`` and everything below it; empty when it has ended."""
    try:
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
