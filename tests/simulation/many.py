"""Many seeds, in several processes."""

from __future__ import annotations

import gc
import multiprocessing
import signal
import sys
import time
from collections.abc import Iterator

from tests.simulation.world import Failure, play

#: Seeds that a process plays between two words about its progress.
BATCH = 20


def many(seeds: range, processes: int, *, go_on: bool) -> int:
    """Every seed of a range, with progress. Interrupted, it says where to go on. Returns the exit status."""
    began, done, failures = time.monotonic(), 0, 0
    batches = [range(start, min(start + BATCH, seeds.stop)) for start in range(seeds.start, seeds.stop, BATCH)]
    interrupted: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: interrupted.append(number))
    for played, failed in _results(batches, processes):
        done += played
        for seed, why, events in failed:
            failures += 1
            print("\n" + "\n".join([*events[-40:], why, f"again, with all its events: make simulate SEED={seed}"]))
        progress = f"{done} of {len(seeds)} seeds, {failures} failed, {time.monotonic() - began:.0f} s"
        print(f"\r{progress}", end="", file=sys.stderr, flush=True)
        if interrupted:
            print(f"\ngo on: make simulate SEEDS={seeds.start + done}-{seeds.stop}", end="", file=sys.stderr)
        if interrupted or (failures and not go_on):
            break
    print(file=sys.stderr)
    print(f"{done} seeds in {time.monotonic() - began:.0f} s, {failures} failed")
    return 1 if failures else 130 if interrupted else 0


Played = tuple[int, list[tuple[int, str, list[str]]]]


def _results(batches: list[range], processes: int) -> Iterator[Played]:
    if processes <= 1:
        yield from map(_play_all, batches)
        return
    deaf = (signal.SIGINT, signal.SIG_IGN)
    with multiprocessing.get_context("spawn").Pool(processes, signal.signal, deaf) as pool:
        yield from pool.imap(_play_all, batches)  # in their order: what is done is a range


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
