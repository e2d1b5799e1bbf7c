"""Many seeds, in several processes."""

from __future__ import annotations

import gc
import multiprocessing
import sys
import time
from collections.abc import Iterator

from tests.simulation.world import Failure, play

#: Seeds that a process plays between two words about its progress.
BATCH = 100


def many(seeds: range, processes: int, *, go_on: bool) -> int:
    """Every seed of a range, with progress. Returns the exit status."""
    began, done, failures = time.monotonic(), 0, 0
    batches = [range(start, min(start + BATCH, seeds.stop)) for start in range(seeds.start, seeds.stop, BATCH)]
    for played, failed in _results(batches, processes):
        done += played
        for seed, why, events in failed:
            failures += 1
            print("\n" + "\n".join([*events[-40:], why, f"again, with all its events: make simulate SEED={seed}"]))
        seconds = time.monotonic() - began
        print(
            f"\r{done} of {len(seeds)} seeds, {failures} failed, {seconds:.0f} s", end="", file=sys.stderr, flush=True
        )
        if failures and not go_on:
            break
    print(file=sys.stderr)
    print(f"{done} seeds in {time.monotonic() - began:.0f} s, {failures} failed")
    return 1 if failures else 0


Played = tuple[int, list[tuple[int, str, list[str]]]]


def _results(batches: list[range], processes: int) -> Iterator[Played]:
    if processes <= 1:
        yield from map(_play_all, batches)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(_play_all, batches)


def _play_all(seeds: range) -> Played:
    # what is imported is no garbage, and a history's own is little: a seventh of the time went into looking for it
    if not gc.get_freeze_count():
        gc.collect()
        gc.freeze()
        gc.set_threshold(200_000, 20, 20)
    failed = []
    for seed in seeds:
        try:
            play(seed)
        except Failure as failure:
            failed.append((seed, str(failure), failure.events))
    return len(seeds), failed
